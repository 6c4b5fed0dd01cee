"""The skeleton of a new experiment: it validates, runs, is judged and drawn as it stands, and never overwrites."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowcheck.__main__ import main
from flowcheck.errors import ConfigError
from flowcheck.pipeline import digest
from flowcheck.pipeline.ledger import judge_experiment
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.skeleton import write_skeleton

SRC = Path(__file__).resolve().parents[3] / "src"


@pytest.fixture(autouse=True)
def _fresh_digests():
    """Digests are cached for the life of a process; tests change files within one."""
    digest._read.cache_clear()


def contents(root: Path) -> dict[Path, bytes]:
    """All files of a checkout but the memory of what was found valid."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and ".cache" not in path.parts}


def run(root: Path, script: str, output: str) -> dict[str, float]:
    """Run a script of the checkout at smoke scale as a user would; the numbers it measured."""
    paper, experiment = Path(script).parent.name, Path(script).stem
    (root / "parameters.yaml").write_text(Project(root).settings(paper, experiment, "smoke").to_yaml())
    command = [sys.executable, script, "--parameters", "parameters.yaml", "--output", output]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    done = subprocess.run(command, cwd=root, env=environment, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {name: m["value"] for name, m in json.loads((root / output / "metrics.json").read_text()).items() if "value" in m}


def verdict(root: Path, output: str) -> dict:
    """The verdict file of the only claim."""
    (record,) = judge_experiment(Project(root), "smoke", "fresh", "first_try", root / output / "metrics.json")
    return record


def test_an_experiment_of_a_new_paper_runs_and_its_claim_is_supported(tmp_path):
    written = write_skeleton(tmp_path, "fresh", "first_try")
    assert {str(path) for path in written} == {
        "config/experiments/fresh/paper.yaml",
        "config/experiments/fresh/first_try.yaml",
        "config/claims/fresh/first_try.yaml",
        "scripts/fresh/first_try.py",
        "notebooks/fresh/first_try.ipynb",
    }
    assert all((tmp_path / path).is_file() for path in written)
    measured = run(tmp_path, "scripts/fresh/first_try.py", "results/smoke/fresh/first_try")
    # by hand: Heun multiplies by 1 - h + h^2/2, Euler by 1 - h; slopes of their errors over h = 1/10, 1/20, 1/40
    assert measured["order"] == pytest.approx(2.05, abs=0.02)
    assert measured["order_lower_order_method"] == pytest.approx(1.02, abs=0.02)
    assert verdict(tmp_path, "results/smoke/fresh/first_try")["verdict"] == "supported"


def test_the_control_re_runs_a_broken_system_and_the_claim_notices_if_heun_itself_is_broken(tmp_path):
    write_skeleton(tmp_path, "fresh", "first_try")
    script = tmp_path / "scripts" / "fresh" / "first_try.py"
    text = script.read_text()
    # Heun's corrector evaluated where the step began is Euler's method
    script.write_text(text.replace("(y + euler_step(y, h))", "(y + y)"))
    assert script.read_text() != text
    run(tmp_path, "scripts/fresh/first_try.py", "broken")
    assert verdict(tmp_path, "broken")["verdict"] == "contradicted"
    script.write_text(text.replace("end(n, euler_step)", "end(n, heun_step)"))  # a control that is not broken
    run(tmp_path, "scripts/fresh/first_try.py", "toothless")
    assert verdict(tmp_path, "toothless")["verdict"] == "inconclusive"


@pytest.mark.slow
def test_the_notebook_draws_the_figure_that_the_entry_promises(tmp_path, monkeypatch):
    write_skeleton(tmp_path, "fresh", "first_try")
    folder = Path("results/smoke/fresh/first_try")
    run(tmp_path, "scripts/fresh/first_try.py", str(folder))
    verdict(tmp_path, str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    assert main(["notebook", "notebooks/fresh/first_try.ipynb", "--folder", str(folder), "--log", "logs/notebook.log"]) == 0
    assert {path.name for path in (folder / "figures").iterdir()} == {"error.png", "error.svg", "error.pdf"}
    assert "order two" in (folder / "notebook.html").read_text()


def test_an_experiment_is_added_to_a_paper_that_is_there(tmp_path):
    write_skeleton(tmp_path, "fresh", "first_try")
    before = contents(tmp_path)
    assert len(write_skeleton(tmp_path, "fresh", "second")) == 4
    assert before.items() <= contents(tmp_path).items()
    project = Project(tmp_path)
    assert list(project.experiments["fresh"]) == ["first_try", "second"]
    assert list(project.claims["fresh"]) == ["first-try-order", "second-order"]


@pytest.mark.parametrize(
    "there",
    [
        *("scripts/fresh/first_try.py", "notebooks/fresh/first_try.ipynb"),
        *("config/experiments/fresh/first_try.yaml", "config/claims/fresh/first_try.yaml"),
    ],
)
def test_nothing_is_overwritten(tmp_path, there, monkeypatch, capsys):
    for path in write_skeleton(tmp_path, "fresh", "first_try"):
        if not str(path).startswith(there):
            (tmp_path / path).unlink()
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "fresh", "first_try"]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert there in sentence
    assert "is there already" in sentence
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("paper", "experiment", "words"),
    [
        ("Fresh", "first_try", "lower-case"),
        ("fresh", "first-try", "lower-case"),
        ("", "first_try", "lower-case"),
        ("../fresh", "first_try", "lower-case"),
        ("claims", "first_try", "results"),
        ("fresh", "signal", "hide"),
        ("fresh", "paper", "take another name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_before_anything_is_written(tmp_path, paper, experiment, words):
    with pytest.raises(ConfigError, match=words):
        write_skeleton(tmp_path, paper, experiment)
    assert contents(tmp_path) == {}


def test_a_project_that_would_not_validate_is_left_as_it_was(tmp_path):
    write_skeleton(tmp_path, "fresh", "first_try")
    (tmp_path / "notebooks" / "fresh" / "first_try.ipynb").unlink()  # the project is broken already
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"first_try\.ipynb"):
        write_skeleton(tmp_path, "fresh", "second")
    assert contents(tmp_path) == before


def test_the_script_is_written_in_the_style_of_the_house(tmp_path):
    write_skeleton(tmp_path, "fresh", "a_name_that_is_rather_long_but_still_a_name")
    settings = ("--config", str(SRC.parent / "pyproject.toml"), "--no-cache")
    for command in (("check",), ("format", "--check")):
        line = [sys.executable, "-m", "ruff", *command, *settings, tmp_path / "scripts"]
        done = subprocess.run(line, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
