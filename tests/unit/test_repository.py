"""What is committed: notebooks without outputs, no pickles, no paths of one machine, and documents that name what exists."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("config", "scripts", "notebooks", "src", "workflow", "profiles")
TEXT = {".py", ".yaml", ".yml", ".json", ".ipynb", ".smk", ".html", ".css", ".js", ".rst"}
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)


def committed() -> list[Path]:
    """The files that a clone has, and those about to be added; all files where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        hidden = {".git", ".venv", ".snakemake", "results", "logs"}
        paths = [path for path in ROOT.rglob("*") if not hidden & set(path.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file()]


FILES = committed()
NOTEBOOKS = [path for path in FILES if path.suffix == ".ipynb"]
CODE = [path for path in FILES if path.relative_to(ROOT).parts[0] in CODE_FOLDERS and path.suffix in TEXT]
# a module beside the scripts has no main(...)
SCRIPTS = [path for path in CODE if path.is_relative_to(ROOT / "scripts") and re.search(r"^    main\(", path.read_text(), re.M)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def machine_paths(text: str) -> list[str]:
    """Absolute paths into folders that only one machine has."""
    return re.findall(r"(?<![\w.~}/-])/(?:work|home|root|tmp|Users|mnt)/[\w.-]+", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_is_committed_without_outputs_and_execution_counts(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_nothing_committed_is_a_pickle():
    suffixes = {".pkl", ".pickle", ".joblib", ".pt", ".pth"}
    assert not [name(path) for path in FILES if path.suffix in suffixes]
    # protocols 2 to 5 start with these bytes, whatever the file is called
    assert not [name(path) for path in FILES if re.match(rb"\x80[\x02-\x05][\x8c\x95}\](cK]", path.read_bytes()[:3])]


@pytest.mark.parametrize("path", CODE, ids=name)
def test_a_file_names_no_path_of_one_machine(path):
    assert machine_paths(path.read_text()) == []


def without_encoding(text: str) -> list[int]:
    """Lines that read or write text in whatever encoding the locale has."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        method = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        mode = "".join(str(part.value) for part in call.args if isinstance(part, ast.Constant))
        binary = method in ("open", "fdopen") and "b" in mode
        if method in ("read_text", "write_text", "open", "fdopen") and not binary:
            found += [] if {"encoding", None} & {keyword.arg for keyword in call.keywords} else [call.lineno]
    return found


@pytest.mark.parametrize("path", [path for path in CODE if path.suffix == ".py"], ids=name)
def test_text_is_read_and_written_as_utf_8_whatever_the_locale(path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


def test_the_search_for_text_without_an_encoding_finds_it():
    text = "a.read_text()\na.write_text(b)\nopen(a)\na.open('w')\nos.fdopen(a, 'w')\na.open('rb')\nopen(a, encoding='utf-8')\n"
    assert without_encoding(text) == [1, 2, 3, 4, 5]


def test_the_search_for_machine_paths_finds_them_and_leaves_relative_ones():
    found = machine_paths('open("/home/ada/x.npz") or Path("/tmp/cells") or {folder}/root/x or results/home/x')
    assert found == ["/home/ada", "/tmp/cells"]


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_has_a_notebook_and_a_config_entry(path):
    paper, experiment = path.parent.name, path.stem
    assert (ROOT / "notebooks" / paper / f"{experiment}.ipynb").is_file()
    for kind in ("experiments", "claims"):
        assert (ROOT / "config" / kind / paper / f"{experiment}.yaml").is_file()


def test_every_notebook_of_a_paper_belongs_to_a_script():
    notebooks = {(path.parent.name, path.stem) for path in NOTEBOOKS if path.is_relative_to(ROOT / "notebooks")}
    assert notebooks == {(path.parent.name, path.stem) for path in SCRIPTS}


def test_the_citation_file_has_what_version_1_2_0_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", "flowcheck")
    assert [author["name"] for author in citation["authors"]] == ["The flowcheck developers"]
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_licence_is_the_one_that_pyproject_names():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_only_make_targets_that_exist(document):
    commands = re.findall(r"(?:^|`|\n)make ([a-z]+)", (ROOT / document).read_text())
    assert set(commands) <= make_targets()


def test_the_make_targets_of_the_readme_are_found():
    assert {"reproduce", "test", "lint", "smoke", "env"} <= set(
        re.findall(r"(?:^|`|\n)make ([a-z]+)", (ROOT / "README.md").read_text())
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_of_a_document_leads_to_a_file_or_a_heading(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_of_the_checkout_that_a_document_names_is_there(document):
    text = (ROOT / document).read_text()
    named = re.findall(r"(?<![\w/])((?:config|scripts|notebooks|src|workflow|profiles|docs|\.ci)/[\w./-]*\w)", text)
    assert not [path for path in set(named) if "example" not in path and not (ROOT / path).exists()]


def test_ci_is_executable_and_calls_what_a_user_calls():
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & 0o111
    assert {"make lint", "make test"} <= set(re.findall(r"make \w+", path.read_text()))
    subprocess.run(["bash", "-n", path], check=True)
