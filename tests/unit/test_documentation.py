"""The documents say what is: the tree is complete."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "flowcheck"


def document(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def tree(text: str) -> set[str]:
    """Paths in a drawing of a tree below its first line, a level for two spaces; folders end in a slash."""
    found, folders = set(), []
    for line in filter(str.strip, text.splitlines()):
        level, name = (len(line) - len(line.lstrip())) // 2 - 1, line.split()[0]
        del folders[level:]
        found.add("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return found


def drawn() -> set[str]:
    (text,) = re.findall(r"^```\nsrc/flowcheck/\n(.*?)^```$", document("architecture"), re.MULTILINE | re.DOTALL)
    return tree(text)


def test_a_drawn_tree_is_read_by_its_indentation():
    text = "  one.py  first\n  two/\n    three.py   third\n    four/\n      five.py\n  six.py"
    assert tree(text) == {"one.py", "two/", "two/three.py", "two/four/", "two/four/five.py", "six.py"}


def test_every_module_is_named_in_the_architecture_and_every_name_is_there():
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    named = drawn()
    assert sorted(modules - named) == [], "not named"
    assert sorted(name for name in named if not (PACKAGE / name).exists()) == [], "named, and not there"


def test_every_wing_and_room_is_named_in_the_architecture():
    folders = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE}
    assert folders <= drawn()
