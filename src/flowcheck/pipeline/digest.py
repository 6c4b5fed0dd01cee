"""Digest of the code an experiment runs: its script and the modules it imports, transitively.

Snakemake sees a changed script but not a changed module behind it. Rules take this digest as a parameter, so a change in the
mathematics re-runs what depends on it and nothing else. Comments, docstrings and formatting do not count: the digest is taken
over the syntax tree.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowcheck.errors import ConfigError

PACKAGE = "flowcheck"
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
BY_NAME = "imports a module whose name is known only as it runs, and whose changes nothing would see"
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def check_package(root: Path) -> None:
    """Raise ConfigError if the checkout at `root` has a package of its own and this is another one.

    Scripts, configuration and commit come from the checkout, and the code from wherever the environment was made.
    """
    own = root / "src" / PACKAGE
    if own.is_dir() and own.resolve() != PACKAGE_FOLDER:
        raise ConfigError(
            f"{own.resolve()}: this environment runs the code of another checkout, {PACKAGE_FOLDER}; "
            "use the environment of this one: make env"
        )


def code_digest(*entry_points: Path) -> str:
    """Digest (16 hex digits) of the given files, of every `flowcheck` module they import, transitively, and of their data.

    Data that a script reads lie in the folder ``data`` beside it.
    """
    digest = hashlib.sha256()
    for text in sorted(f"{path.name}\n{_read(path)[0]}" for path in dependencies(*entry_points)):  # wherever the checkout lies
        digest.update(text.encode())
    for folder in sorted({path.resolve().parent / "data" for path in entry_points}):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()[:16]


def own_digest(path: Path) -> str:
    """Digest (16 hex digits) of one file, whatever it imports."""
    return _read(path.resolve())[0][:16]


def dependencies(*entry_points: Path) -> set[Path]:
    """The given files and all `flowcheck` modules they reach by import statements (anywhere in the file).

    Raises ImportError for a relative import, for one by a name that is known only as it runs, and where a file outside the
    package imports one that lies beside it: a helper of a script is a module of the package, where types and shapes are checked
    and tests reach it.
    """
    reached: set[Path] = set()
    waiting = [path.resolve() for path in entry_points]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(_read(path)[1])
    return reached


@dataclass(frozen=True)
class Syntax:
    """What counts of a Python source.

    Attributes:
        digest: of its syntax tree without docstrings, 64 hex digits.
        imports: dotted names that it imports, wherever in the file.
    """

    digest: str
    imports: tuple[str, ...]


_KNOWN: dict[str, Syntax] = {}
"""By digests of sources: to parse the package takes a second, and all that is parsed follows from the text."""
_USED: set[str] = set()
"""Keys of what this process read: what nobody asks for any more is forgotten."""


def recall_syntax(path: Path) -> None:
    """Take from a file what was parsed before; nothing, if there is no such file or it is not what was written."""
    try:
        seal, text = path.read_text(encoding="utf-8").split("\n", 1)
    except (OSError, ValueError):
        return
    if seal == hashlib.sha256(text.encode()).hexdigest():
        _KNOWN.update({key: Syntax(digest, tuple(imports)) for key, (digest, imports) in json.loads(text).items()})


def remember_syntax(path: Path) -> None:
    """Write to a file the syntax of what this process read; where nothing can be written it is parsed again next time."""
    used = {key: _KNOWN[key] for key in sorted(_USED)}
    text = json.dumps({key: [one.digest, one.imports] for key, one in used.items()})
    sealed = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
    with contextlib.suppress(OSError):
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != sealed:
            path.parent.mkdir(exist_ok=True)
            path.write_text(sealed, encoding="utf-8")


@functools.cache
def _read(path: Path) -> tuple[str, frozenset[Path]]:
    """The digest of the syntax tree of a module or a notebook without docstrings, and the files it imports."""
    source = _source(path)
    key = hashlib.sha256(f"{sys.version_info[:2]}\n{source}".encode()).hexdigest()  # a tree is one of a version of Python
    if key not in _KNOWN:
        _KNOWN[key] = _parse(source, path)
    _USED.add(key)
    syntax = _KNOWN[key]
    return syntax.digest, frozenset(file for name in syntax.imports for file in _files(name, path))


def _parse(source: str, path: Path) -> Syntax:
    tree, found = ast.parse(source, filename=str(path)), set[str]()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "importlib":
                    raise ImportError(f"{path}: {BY_NAME}")
                found.add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ImportError(f"{path}: relative imports are not used in this project")
            module = node.module or ""
            if module == "importlib" and any(alias.name == "import_module" for alias in node.names):
                raise ImportError(f"{path}: {BY_NAME}")
            found.update({module, *(f"{module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, WITH_DOCSTRING) and node.body and _is_docstring(node.body[0]):
            node.body = node.body[1:]
    return Syntax(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(found)))


def _source(path: Path) -> str:
    """The Python of a file: all of a module, the code cells of a notebook without the commands of its shell."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell["source"] for cell in json.loads(text).get("cells", []) if cell["cell_type"] == "code"]
    lines = "\n".join("".join(source) for source in cells).splitlines()
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all statements in it, depth first; expressions hold no imports and are most of a tree."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield from _statements(child)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _files(module: str, importer: Path) -> Iterator[Path]:
    """Files of the package behind a dotted name. Packages on the way count."""
    head, *rest = module.split(".")
    if head == PACKAGE:
        folder = PACKAGE_FOLDER
        for name in rest:
            if (folder / "__init__.py").is_file():
                yield folder / "__init__.py"
            if (folder / f"{name}.py").is_file():
                yield folder / f"{name}.py"
                return
            folder = folder / name
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
    elif PACKAGE_FOLDER not in importer.parents and (
        (importer.parent / f"{head}.py").is_file() or any((importer.parent / head).glob("*.py"))
    ):
        raise ImportError(f"{importer}: imports {module!r} from beside it; what a script needs is a module of {PACKAGE}")
