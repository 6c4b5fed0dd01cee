"""Notes: a file among a job's inputs that is newer than its outputs where they are not whole."""

import os
import time

import pytest

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.plan import write_note


@pytest.fixture
def output(tmp_path):
    path = tmp_path / "results" / "metrics.json"
    path.parent.mkdir()
    path.write_text("{}")
    return path


@pytest.fixture
def note(tmp_path):
    return tmp_path / "logs" / "smoke" / "evidence.note"


def whole():
    """A check that passes."""


def broken():
    raise EvidenceError("metrics.json: damaged")


def test_the_note_of_whole_outputs_is_older_than_they_are_and_is_written_once(note, output):
    assert write_note(note, [output], whole) == str(note)
    before = note.stat()
    assert 0 < before.st_mtime_ns < output.stat().st_mtime_ns
    write_note(note, [output], whole)
    assert note.stat().st_ctime_ns == before.st_ctime_ns


def test_the_note_of_outputs_that_are_not_whole_is_newer_says_why_and_never_the_same_twice(note, output):
    write_note(note, [output], broken)
    first = note.read_text()
    assert note.stat().st_mtime_ns > output.stat().st_mtime_ns
    assert "metrics.json: damaged" in first
    write_note(note, [output], broken)
    assert note.read_text() != first


@pytest.mark.parametrize("error", [EvidenceError("x"), FileNotFoundError(2, "x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_an_output_that_is_gone_or_cannot_be_read_is_not_whole(note, tmp_path, error):
    def check():
        raise error

    write_note(note, [tmp_path / "gone"], check)
    assert note.read_text().startswith("made again: ")
    assert not (tmp_path / "gone").exists()


def test_a_mistake_in_the_configuration_is_no_reason_to_run_a_job(note, output):
    def check():
        raise ConfigError("x")

    with pytest.raises(ConfigError):
        write_note(note, [output], check)


def test_outputs_from_the_future_are_older_than_the_note_where_they_are_not_whole_and_keep_their_time_where_they_are(
    note, output
):
    future = time.time_ns() + 10**18
    os.utime(output, ns=(future, future))
    write_note(note, [output], whole)
    assert output.stat().st_mtime_ns == future
    write_note(note, [output], broken)
    assert note.stat().st_mtime_ns > output.stat().st_mtime_ns


def test_outputs_that_are_not_whole_get_a_time_that_snakemake_compares(note, output):
    os.utime(output, (0, 0))
    write_note(note, [output], whole)
    assert output.stat().st_mtime == 0
    write_note(note, [output], broken)
    assert 0 < output.stat().st_mtime < note.stat().st_mtime


def test_a_link_from_the_future_is_older_than_the_note_and_what_it_leads_to_keeps_its_time(note, output, tmp_path):
    link, before = tmp_path / "link", output.stat().st_mtime_ns
    link.symlink_to(output)
    future = time.time_ns() + 10**18
    os.utime(link, ns=(future, future), follow_symlinks=False)
    write_note(note, [link], broken)
    assert note.stat().st_mtime_ns > link.lstat().st_mtime_ns
    assert output.stat().st_mtime_ns == before


def test_a_note_remembers_nothing_of_an_earlier_plan(note, output):
    write_note(note, [output], broken)
    write_note(note, [output], whole)
    assert note.stat().st_mtime_ns < output.stat().st_mtime_ns
    assert "damaged" not in note.read_text()
