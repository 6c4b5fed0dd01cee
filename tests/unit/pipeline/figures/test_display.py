"""A reader opens a notebook of the checkout: from its own folder, or from the top."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from flowcheck.pipeline.figures.display import results_at
from flowcheck.pipeline.project import Project

ROOT = Path(__file__).parents[4]
RESULTS = "results/laptop/spherical_data/plateau"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A checkout with one notebook and its results."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks" / "spherical_data").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "spherical_data" / "plateau.ipynb", root / "notebooks" / "spherical_data")
    settings = root / "parameters.yaml"
    settings.write_text(Project(ROOT).settings("spherical_data", "plateau", "smoke").to_yaml())
    script = ROOT / "scripts" / "spherical_data" / "plateau.py"
    command = [sys.executable, str(script), "--parameters", str(settings), "--output", str(root / RESULTS)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return root


@pytest.mark.parametrize("place", ["notebooks/spherical_data", "."], ids=["its own folder", "the top"])
def test_a_notebook_runs_where_a_reader_opens_it(opened, place):
    notebook = nbformat.read(opened / "notebooks" / "spherical_data" / "plateau.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(opened / place)}}, kernel_name="python3").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert any("image/png" in output.data for output in shown)
    assert (opened / RESULTS / "figures").is_dir()
    assert not (opened / place / "results").exists() or place == "."


def test_results_that_are_nowhere_are_one_sentence_with_the_command_that_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        results_at(RESULTS)
    assert str(caught.value) == f"{RESULTS}: no results there; make them with: snakemake --cores 2 {RESULTS}/notebook.html"


def test_jupyterlab_is_there_to_open_it():
    listed = subprocess.run([sys.executable, "-m", "jupyter", "lab", "--version"], capture_output=True, text=True, env=os.environ)
    assert listed.returncode == 0, listed.stderr
