"""The README's example paper, taken from the README and run by real `snakemake` processes."""

import re
from pathlib import Path

import nbformat.v4 as nb
import pytest
from nbformat import write

pytestmark = pytest.mark.pipeline

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```(?:yaml|python)\n# (.+?)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLE = {name: text for name, text in BLOCKS if "/" in name}
KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}  # as Jupyter writes it
CELLS = [text for name, text in BLOCKS if "code cell" in name]


@pytest.fixture
def example(fresh):
    """The toy project with the README's example beside it."""
    for name, text in EXAMPLE.items():
        fresh.path(name).parent.mkdir(parents=True, exist_ok=True)
        fresh.path(name).write_text(text)
    cells = [nb.new_code_cell(text) for text in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    fresh.path("notebooks/example").mkdir()
    write(nb.new_notebook(cells=cells, metadata=KERNEL), fresh.path("notebooks/example/contraction.ipynb"))
    return fresh


def test_the_readme_has_every_file_of_its_example():
    folders = ("config/claims", "config/experiments", "config/deviations")
    assert set(EXAMPLE) == {f"{folder}/example.yaml" for folder in folders} | {"scripts/example/contraction.py"}
    assert len(CELLS) == 4


def test_the_example_of_the_readme_runs_and_its_claim_is_supported(example):
    arguments = ("--config", "scale=smoke", "papers=example")
    assert example.planned(*arguments) == {
        **{"parameters": 1, "cell": 2, "evidence": 1, "judge_example_contraction": 1},
        **{"notebook_example_contraction": 1, "ledger": 1, "report": 1},
    }
    example.snakemake(*arguments)
    claim, *others = example.json("results/smoke/ledger.json")["claims"]
    assert not others
    assert (claim["id"], claim["verdict"], claim["deviations"]) == ("example/theorem-1", "supported", ["relative-distance"])
    assert {"distance.png", "distance.svg", "distance.pdf"} == set(example.files("results/smoke/example/contraction/figures"))


def test_the_verdict_of_the_example_is_recorded_as_the_readme_says(example):
    example.snakemake("results/smoke/ledger.json", "--config", "scale=smoke", "papers=example")
    compare = ("python", "-m", "flowcheck", "expected", "--scale", "smoke")
    assert example.run(*compare).returncode == 1
    assert example.run(*compare, "--record").returncode == 0
    assert example.json("config/expected/smoke.json") == {"example/theorem-1": "supported"}
    assert example.run(*compare).returncode == 0


def test_a_changed_threshold_runs_the_judge_alone_and_the_control_guards_it(example):
    claim = "results/laptop/claims/example/theorem-1.json"
    example.snakemake(claim)
    example.replace("config/claims/example.yaml", "value: 1.0e-10", "value: 1.0e-30")
    assert example.planned(claim) == {"judge_example_contraction": 1}
    example.snakemake(claim)
    assert example.json(claim)["verdict"] == "inconclusive"  # below the numerical error
    example.replace("config/claims/example.yaml", "value: 1.0e-30", "value: 0.5")
    assert "threshold on the wrong side" in example.snakemake(claim, ok=False)


def test_the_library_example_of_the_readme_ends_aligned(capsys):
    (text,) = re.findall(r"^```python\n(import numpy.*?)^```$", README, re.MULTILINE | re.DOTALL)
    exec(compile(text, "README.md", "exec"), {})
    cosine, evaluations = capsys.readouterr().out.split()
    assert float(cosine) > 0.999
    assert int(evaluations) < 5000


def test_a_script_runs_without_snakemake_as_the_readme_says(example):
    settings = "results/smoke/example/contraction/parameters.yaml"
    example.snakemake(settings)
    done = example.run(*f"python scripts/example/contraction.py --parameters {settings} --output try".split())
    assert done.returncode == 0, done.stdout
    assert {"metrics.json", "arrays.npz", "runs.parquet"} <= set(example.files("try"))
