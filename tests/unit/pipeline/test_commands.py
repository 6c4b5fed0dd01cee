"""The pipeline's own commands: a name that does not exist is one sentence, status 2, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from flowcheck.__main__ import main

ROOT = Path(__file__).resolve().parents[3]

JUDGE = ("judge", "--paper", "toy", "--experiment", "decay", "--metrics", "metrics.json", "--scale")
UNKNOWN = {
    "scale of a judge": ((*JUDGE, "huge"), "--scale: unknown scale: 'huge'; closest: "),
    "scale that leads elsewhere": ((*JUDGE, "../../x"), "--scale: unknown scale: '../../x'; closest: "),
    "scale of a ledger": (("ledger", "--papers", "toy", "--scale", "tiny"), "--scale: unknown scale: 'tiny'; closest: "),
    "scale of a report": (("report", "--scale", ""), "--scale: unknown scale: ''; closest: "),
    "scale of the record": (("expected", "--scale", "../expected"), "--scale: unknown scale: '../expected'; closest: "),
    "paper of a ledger": (
        ("ledger", "--papers", "toy,toi", "--scale", "smoke"),
        "--papers: unknown paper: 'toi'; closest: 'toy'",
    ),
    "no paper of a ledger": (
        ("ledger", "--papers", "", "--scale", "smoke"),
        "--papers: input should be 'all', a paper",
    ),
    "paper of the record": (
        ("expected", "--papers", "toi", "--scale", "smoke"),
        "--papers: unknown paper: 'toi'; closest: 'toy'",
    ),
    "metrics that are a folder": ((*JUDGE[:-2], "config", "--scale", "smoke"), "config: "),
    "notebook": (("notebook", "n.ipynb", "--folder", "r", "--log", "l"), "n.ipynb: No such file"),
    "results of a notebook": (
        ("notebook", "notebooks/toy/decay.ipynb", "--folder", "r", "--log", "l"),
        "r/metrics.json: No such file",
    ),
}


@pytest.mark.parametrize("minutes", ["x", "0", "-1", "nan", "inf", "1e300", ""])
def test_minutes_that_no_job_takes_are_one_sentence_of_the_command_line(minutes, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--minutes", minutes, "verify", "--scale", "smoke"])
    assert caught.value.code == 2
    assert f"--minutes: minutes above 0 and up to 1000000 are expected, found {minutes!r}" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_name_that_does_not_exist_is_one_sentence_and_writes_nothing(checkout, command, expected, monkeypatch, capsys):
    monkeypatch.chdir(checkout.root)
    before = sorted(checkout.root.rglob("*"))
    assert main(list(command)) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"flowcheck: {expected}")
    assert sorted(checkout.root.rglob("*")) == before


def test_a_reader_who_has_seen_enough_is_no_error():
    """`python -m flowcheck results --scale laptop | head -1`."""
    command = [sys.executable, "-u", "-m", "flowcheck", "results", "--scale", "laptop"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
    assert said == ""
    assert run.returncode == 141
