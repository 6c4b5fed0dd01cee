"""The documents say what is: the tree is complete, tables are in step with the code, and what they show is valid and runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from flowcheck.pipeline.digest import dependencies
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.targets import file_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "flowcheck"
PROJECT = Project(ROOT)


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


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_pursuit_runs_as_the_readme_shows_it(tmp_path):
    (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    env = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.9
    assert (tmp_path / "error-against-neurons.png").is_file()


def test_targets_that_the_documents_ask_for_exist():
    asked = re.findall(r"^ *snakemake .*?(results/\S+)", (ROOT / "README.md").read_text() + document("claims"), re.MULTILINE)
    for target in (name for name in asked if "<" not in name):
        assert file_of(PROJECT, "laptop", target) == target
        if "/figures/" in target:
            _, _, paper, experiment, _, figure = Path(target).parts
            assert Path(figure).stem in PROJECT.experiment(paper, experiment).figures
    assert len(asked) >= 5


def test_the_papers_of_the_readme_are_those_of_the_project():
    table = re.findall(r"^\| `(\w+)` \| .* \| in(?:: .*)? \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(PROJECT.papers)


def test_the_table_of_devices_says_which_experiments_ask_for_one():
    table = dict(re.findall(r"^\| `(\w+/\w+)` \| (yes|no) \|", document("devices"), re.MULTILINE))
    assert set(table) == {f"{paper}/{experiment}" for paper, experiment in PROJECT}
    for paper, experiment in PROJECT:
        reached = dependencies(PROJECT.script(paper, experiment))
        own = [path for path in reached if path.is_relative_to(ROOT / "scripts") or path.is_relative_to(PACKAGE / "papers")]
        asks = any(re.search(r"\bcontext\.device\b", path.read_text()) for path in own)
        assert table[f"{paper}/{experiment}"] == ("yes" if asks else "no"), f"{paper}/{experiment}"
        # a GPU is reserved for those alone
        assert (PROJECT.experiment(paper, experiment).resources.gpu > 0) == asks, f"{paper}/{experiment}"


def test_the_table_of_devices_says_whose_arrays_are_tensors():
    for row in re.findall(r"^\| `(\w+)/(\w+)` \| \w+ \| (.*) \|$", document("devices"), re.MULTILINE):
        paper, experiment, arrays = row
        text = PROJECT.script(paper, experiment).read_text()
        tensors = "import torch" in text or "context.device" in text
        assert ("torch tensors" in arrays) == tensors, f"{paper}/{experiment}"


def test_the_entries_that_the_documents_show_are_a_project_that_validates(tmp_path):
    shown = re.findall(r"^```yaml\n# (config/\S+)\n(.*?)^```$", document("claims") + document("add_a_paper"), re.M | re.S)
    files = {kind: f"config/{kind}/example/contraction.yaml" for kind in ("claims", "experiments")}
    paper = "config/experiments/example/paper.yaml"
    assert [name for name, _ in shown] == [files["claims"], "config/deviations/example.yaml", paper, files["experiments"]]
    for name, text in shown:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("scripts/example/contraction.py", "notebooks/example/contraction.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    project = Project(tmp_path)
    assert list(project.claims["example"]) == ["theorem-1"]
    assert [deviation.id for deviation in project.deviations["example"]] == ["relative-distance", "contraction-square"]
    assert len(project.settings("example", "contraction", "paper").cells()) == 3


def test_the_claim_and_the_entry_that_are_said_to_have_every_key_have_every_key():
    from flowcheck.pipeline.claims import ClaimEntry, ClaimsFile
    from flowcheck.pipeline.schema import Experiment

    shown = dict(re.findall(r"^```yaml\n# (config/\S+)\n(.*?)^```$", document("claims") + document("add_a_paper"), re.M | re.S))
    file = yaml.safe_load(shown["config/claims/example/contraction.yaml"])
    assert set(file) == set(ClaimsFile.model_fields)
    (claim,) = file["claims"]
    keys = {field.alias or name for name, field in ClaimEntry.model_fields.items()}
    assert keys - set(claim) == {"no_control", "passes"}  # explained below it: the one excludes controls
    entry = yaml.safe_load(shown["config/experiments/example/contraction.yaml"])
    assert set(entry) == set(Experiment.model_fields)


EXAMPLES = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", document("library"), re.MULTILINE | re.DOTALL)


def test_every_example_of_the_library_is_followed_by_what_it_prints():
    assert len(EXAMPLES) == document("library").count("```python") >= 4


@pytest.mark.parametrize(("text", "printed"), EXAMPLES, ids=[str(number + 1) for number in range(len(EXAMPLES))])
def test_an_example_of_the_library_prints_what_the_document_says(text, printed, capsys):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        exec(compile(text, "docs/library.md", "exec"), {})
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out == printed


def test_the_functions_that_the_library_offers_are_there():
    import importlib

    rows = re.findall(r"^\| `([\w.]+)` \| (`.*?) \|", document("library"), re.MULTILINE)
    assert len(rows) >= 10
    for module, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert hasattr(importlib.import_module(f"flowcheck.{module}"), name), f"{module}.{name}"
