"""Data from outside the checkout: verified before any job, kept beside the results, named by all that rests on them."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.pipeline

OVERLAY = Path(__file__).resolve().parents[1] / "toy_data"
ORIGIN = "results/smoke/data/table/origin.json"
VERDICT = "results/smoke/claims/toy/table-positive.json"
MEASURED = {"cell": 2, "evidence": 1, "judge_toy_table": 1, "notebook_toy_table": 1, "ledger": 1, "report": 1}
"""What follows from the data: of one experiment of four."""
NAMED = ("--config", "table_dir=../tables")


def write_table(pipeline, *numbers, folder="tables", header="value"):
    """A table beside the checkout."""
    path = pipeline.root.parent / folder / "table.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *map(str, numbers)]) + "\n")


@pytest.fixture(scope="module")
def with_table(sources, tmp_path_factory):
    """The toy project with an experiment that reads a table, before its first run."""
    pipeline = sources.copy(tmp_path_factory.mktemp("with_table") / "checkout")
    for folder in ("config", "scripts", "notebooks"):
        shutil.copytree(OVERLAY / folder, pipeline.path(folder), dirs_exist_ok=True)
    shutil.copytree(OVERLAY / "package", pipeline.path("src/flowcheck"), dirs_exist_ok=True)
    return pipeline


@pytest.fixture(scope="module")
def finished_with_table(with_table, tmp_path_factory):
    """After one full run."""
    pipeline = with_table.copy(tmp_path_factory.mktemp("finished_with_table") / "checkout")
    write_table(pipeline, 1, 2, 4)
    pipeline.snakemake(*NAMED)
    return pipeline


@pytest.fixture
def bare(with_table, tmp_path):
    return with_table.copy(tmp_path / "checkout")


@pytest.fixture
def read(finished_with_table, tmp_path):
    """A copy of the finished project, and of its table, for the test to change."""
    shutil.copytree(finished_with_table.root.parent / "tables", tmp_path / "tables")
    return finished_with_table.copy(tmp_path / "checkout")


def test_the_data_are_part_of_where_numbers_come_from_and_every_reader_is_told(finished_with_table):
    verdict = finished_with_table.json(VERDICT)
    assert verdict["verdict"] == "supported"
    assert verdict["predicates"][0]["value"] == 7
    ((name, origin),) = verdict["provenance"]["data"].items()
    assert (name, origin["source"], origin["surrogate"]) == ("table", "the table of 3 numbers", False)
    assert re.fullmatch("[0-9a-f]{64}", origin["sha256"]["table.csv"])
    said = {name: finished_with_table.path(f"results/smoke/{name}").read_text() for name in ("ledger.md", "ledger.csv")}
    assert "(on the table of 3 numbers)" in said["ledger.md"]
    assert re.search(r"^toy/table-positive,.*,the table of 3 numbers,False$", said["ledger.csv"], re.MULTILINE)
    for name in ("report/claims/toy/table-positive.html", "toy/table/figures/powers.svg", "toy/table/notebook.html"):
        assert "ata: the table of 3 numbers" in finished_with_table.path(f"results/smoke/{name}").read_text(), name
    assert "data" not in finished_with_table.json("results/smoke/claims/toy/figure-1.json")["provenance"]
    done = finished_with_table.run("python", "-m", "flowcheck", "verify", "--scale", "smoke")
    assert done.returncode == 0, done.stdout


def test_no_result_says_where_on_this_machine_the_data_lay(finished_with_table):
    for folder in ("results", "logs"):
        for name in finished_with_table.files(folder):
            assert b"../tables" not in finished_with_table.path(f"{folder}/{name}").read_bytes(), name


def test_what_is_kept_is_whole_wherever_it_came_from(read):
    assert read.planned(*NAMED) == {}
    assert read.planned() == {}  # what an earlier run kept
    write_table(read, 1, 2, 4, folder="elsewhere")
    assert read.planned("--config", "table_dir=../elsewhere") == {}
    assert read.planned("--config", f"table_dir={read.root.parent / 'elsewhere'}") == {}


def test_a_change_of_data_makes_again_what_reads_them_and_nothing_else(read):
    write_table(read, 1, 2, 5)
    assert read.planned(*NAMED) == {"data": 1} | MEASURED
    read.snakemake(*NAMED)
    assert read.json(VERDICT)["predicates"][0]["value"] == 8
    assert read.planned(*NAMED) == {}


def test_kept_data_that_are_damaged_or_gone_are_kept_again(read):
    kept = read.path("results/smoke/data/table/table.csv")
    kept.write_text("value\n9\n")
    assert read.planned(*NAMED) == {"data": 1} | MEASURED
    shutil.rmtree(kept.parent)
    assert read.planned(*NAMED) == {"data": 1} | MEASURED
    read.snakemake(*NAMED)
    assert read.json(VERDICT)["predicates"][0]["value"] == 7


def test_evidence_on_other_data_than_are_kept_is_no_result_of_this_checkout(read):
    done = read.run("python", "-m", "flowcheck", "data", "table", "--scale", "smoke")  # without a folder: a surrogate
    assert done.stdout == "surrogate for the table\n"
    assert json.loads(read.path(ORIGIN).read_text())["surrogate"]
    done = read.run("python", "-m", "flowcheck", "verify", "--scale", "smoke")
    assert done.returncode == 1
    assert "measured on other data of 'table' than are kept now: the table of 3 numbers, and now surrogate" in done.stdout


def test_without_a_folder_a_surrogate_is_marked_wherever_a_verdict_is_read(bare):
    bare.snakemake()
    claim = next(c for c in bare.json("results/smoke/ledger.json")["claims"] if c["id"] == "toy/table-positive")
    assert claim["surrogate"]
    assert claim["provenance"]["data"]["table"]["surrogate"]
    pages = {
        "ledger.md": "(on surrogate for the table)",
        "ledger.csv": "surrogate for the table,True",
        "report/index.html": "1 claim not on the data that are meant",
        "report/claims.html": "not on the data that are meant",
        "report/claims/toy/table-positive.html": "Data: surrogate for the table",
        "toy/table/notebook.html": "Data: surrogate for the table",
        "toy/table/figures/powers.svg": "Data: surrogate for the table",
    }
    for file, said in pages.items():
        assert said in bare.path(f"results/smoke/{file}").read_text(), file
    write_table(bare, 3)
    assert bare.planned(*NAMED) == {"data": 1} | MEASURED


def test_at_paper_scale_a_surrogate_is_an_error(bare):
    said = bare.snakemake("results/paper/claims/toy/table-positive.json", ok=False)
    assert "Error in rule data" in said
    log = bare.path("logs/paper/data/table.log").read_text()
    assert log == "flowcheck: table.csv cannot be fetched, and a surrogate is not allowed; name its folder\n"


ALLOWED = "allowed: 'scale', 'papers', 'device', 'table_dir'"
WRONG = {
    "no folder of that name": ("table_dir=../nowhere", "--config: key 'table_dir': no folder '../nowhere'"),
    "no folder": ("table_dir=Snakefile", "--config: key 'table_dir': no folder 'Snakefile'"),
    "a folder without the file": ("table_dir=config", "config/table.csv: not there"),
    "another file": ("table_dir=../wrong", "../wrong/table.csv: no table: its header is 'x', and 'value' is expected"),
    "a misspelt key": ("tabel_dir=../tables", f"--config: key 'tabel_dir': unknown key; {ALLOWED}"),
    "a number": ("table_dir=3", "--config: key 'table_dir': input should be a valid string, found 3"),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_data_that_cannot_be_found_are_one_sentence_before_any_job(read, given, said):
    write_table(read, 1, folder="wrong", header="x")
    before = read.files("results")
    found = read.snakemake("--config", given, ok=False)
    assert f"flowcheck: {said}" in found
    assert "rule" not in found
    assert read.files("results") == before


def test_a_module_that_knows_no_data_set_is_one_sentence(bare):
    path = bare.path("config/experiments/toy/table.yaml")
    entry = yaml.safe_load(path.read_text())
    wrong = {"flowcheck.data.nowhere": "is no module", "flowcheck.toy_signs": "knows no data set: it has no 'FILES'"}
    for module, said in wrong.items():
        path.write_text(yaml.safe_dump(entry | {"data": {"table": module}}))
        found = bare.snakemake("-n", ok=False)
        assert f"flowcheck: config/experiments/toy/table.yaml: key 'data.table': '{module}' {said}" in found
