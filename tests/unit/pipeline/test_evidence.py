"""Evidence on disk: complete or absent, plain numbers and text, and the same when read back."""

import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcheck.errors import EvidenceError
from flowcheck.pipeline import evidence as module
from flowcheck.pipeline.evidence import Evidence, Measurement, atomic_file, load_arrays, load_metrics, save_arrays, save_json
from flowcheck.pipeline.seal import seal_archive


@pytest.fixture
def evidence():
    made = Evidence(
        arrays={"t": np.linspace(0, 1, 5), "names": np.array(["a", "ß"]), "size": np.array(3), "empty": np.zeros((0, 2))},
        runs=pd.DataFrame({"seed": [1, 2], "loss": [0.5, math.nan], "status": ["ok", "dead"]}),
        provenance={"seed": 1, "commit": "unknown"},
    )
    made.measure("slope", 1.25, error=1e-12, interval=(1.0, 1.5), n=32)
    made.record("count", Measurement.count(7))
    return made


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_evidence_reads_back_as_it_was_written(evidence, tmp_path):
    evidence.save(tmp_path / "new" / "folder")
    read = Evidence.load(tmp_path / "new" / "folder")
    assert read.metrics == evidence.metrics
    assert read.provenance == evidence.provenance
    assert list(read.arrays) == list(evidence.arrays)
    for name, array in evidence.arrays.items():
        assert read.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(read.arrays[name], array)
    pd.testing.assert_frame_equal(read.runs, evidence.runs)
    assert files_in(tmp_path / "new" / "folder") == ["arrays.npz", "metrics.json", "runs.parquet"]


def test_empty_evidence_reads_back_empty(tmp_path):
    Evidence().save(tmp_path)
    read = Evidence.load(tmp_path)
    assert (read.metrics, read.arrays, len(read.runs)) == ({}, {}, 0)


def test_metrics_json_is_flat_sorted_and_holds_one_provenance_object(evidence, tmp_path):
    evidence.save(tmp_path)
    flat = json.loads((tmp_path / "metrics.json").read_text())
    assert list(flat) == ["count", "slope", "provenance"]
    assert flat["slope"] == {"value": 1.25, "error": 1e-12, "interval": [1.0, 1.5], "n": 32}
    assert flat["count"] == {"value": 7.0, "error": 0.0}
    assert list(flat["provenance"]) == ["seed", "commit", "sealed"]
    assert list(flat["provenance"]["sealed"]["files"]) == ["arrays.npz", "runs.parquet"]


@st.composite
def measurements(draw):
    value, n = draw(st.floats()), draw(st.none() | st.integers(0, 10**9))
    interval = draw(st.none() | st.tuples(st.floats(), st.floats()))
    if interval is not None and not any(map(math.isnan, (value, *interval))):
        interval = min(value, *interval), max(value, *interval)
    if draw(st.booleans()):
        return Measurement.exact(value, n, interval)
    return Measurement(value, draw(st.floats(0, exclude_min=True) | st.just(math.nan)), interval, n)


@given(measurements())
def test_a_measurement_survives_json(measurement):
    text = json.dumps(measurement.to_json(), allow_nan=False)
    assert repr(Measurement.from_json(json.loads(text))) == repr(measurement)  # NaN is not equal to itself


def test_what_json_has_no_number_for_is_null_or_a_word(tmp_path):
    evidence = Evidence()
    evidence.measure("bad", math.nan, error=math.nan, interval=(-math.inf, 1.0))
    evidence.save(tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())["bad"]
    assert written == {"value": None, "error": "inf", "interval": ["-inf", 1.0]}
    assert load_metrics(tmp_path / "metrics.json")[0]["bad"].error == math.inf


def test_numpy_numbers_are_recorded_as_plain_ones(tmp_path):
    evidence = Evidence()
    half = np.float32(0.5)
    evidence.measure("mean", half, error=np.float64(0.25), interval=(half, np.float64(1)), n=np.int64(5))
    evidence.record("hits", Measurement.count(np.int32(4), np.array([1, 2]).size))
    evidence.save(tmp_path)
    assert load_metrics(tmp_path / "metrics.json")[0]["mean"] == Measurement(0.5, 0.25, (0.5, 1.0), 5)


def test_measuring_twice_under_one_name_raises(evidence):
    with pytest.raises(ValueError, match="'slope' is recorded twice"):
        evidence.measure("slope", 1.0, error=0.1)
    with pytest.raises(ValueError, match="'provenance' is recorded twice"):
        evidence.measure("provenance", 1.0, error=0.1)


def test_the_error_of_a_measurement_is_not_optional(evidence):
    with pytest.raises(TypeError):
        evidence.measure("other", 1.0)


@pytest.mark.parametrize(
    ("value", "error"), [(0.5, 0.0), (0.5, -0.0), (0.5, -1e-9), (1.0, np.float64(0)), (0.0, -math.inf)], ids=str
)
def test_a_measured_number_has_an_error_above_zero(value, error):
    with pytest.raises(ValueError, match="a measured number has an error above 0"):
        Measurement(value, error)


@pytest.mark.parametrize("interval", [(0.6, 0.7), (0.3, 0.4), (0.6, 0.4)], ids=str)
def test_an_interval_holds_its_value(interval):
    with pytest.raises(ValueError, match="does not hold its value"):
        Measurement(0.5, 0.1, interval)


def test_there_are_no_fewer_than_no_runs():
    with pytest.raises(ValueError, match="of -1 runs"):
        Measurement(0.5, 0.1, n=-1)


def test_exactness_survives_json():
    for measurement in (Measurement.count(3, 5), Measurement(3.0, 1e-300)):
        assert Measurement.from_json(json.loads(json.dumps(measurement.to_json()))) == measurement


WHOLE = {"value": 0.5, "error": 0.1, "interval": [0.4, 0.6], "n": 3}
NOT_WRITTEN = {
    "a bare number": 1.5,
    "a truth": True,
    "a string": "1",
    "an infinity of another spelling": {"value": "Infinity", "error": 1.0},
    "a list": [1],
    "nothing": {},
    "no value": {"error": 1.0},
    "no error": {"value": 1.0},
    "a misspelt key": {"value": 1.0, "eror": 1.0},
    "one key more": WHOLE | {"unit": "s"},
    "value a string": WHOLE | {"value": "0.5"},
    "value a truth": WHOLE | {"value": True, "interval": [0, 1]},
    "value of too many digits": {"value": 10**400, "error": 0.1},
    "error a string": WHOLE | {"error": "0.1"},
    "error negative": WHOLE | {"error": -0.1},
    "n a string": WHOLE | {"n": "3"},
    "n a fraction": WHOLE | {"n": 2.5},
    "n null": WHOLE | {"n": None},
    "n negative": WHOLE | {"n": -1},
    "interval null": WHOLE | {"interval": None},
    "interval of one end": WHOLE | {"interval": [0.4]},
    "interval of three ends": WHOLE | {"interval": [0.4, 0.6, 9.0]},
    "interval a string": WHOLE | {"interval": "00"},
    "interval reversed": WHOLE | {"interval": [0.6, 0.4]},
    "interval elsewhere": WHOLE | {"interval": [0.6, 0.7]},
}


@pytest.mark.parametrize("record", NOT_WRITTEN.values(), ids=NOT_WRITTEN)
def test_what_is_not_written_is_not_read_and_the_file_and_the_metric_are_named(tmp_path, record):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"slope": record}))
    with pytest.raises(ValueError, match="metric 'slope'") as caught:
        load_metrics(path)
    assert str(path) in str(caught.value)


def test_nan_in_an_array_or_a_column_is_named_unless_it_is_declared():
    made = Evidence(
        arrays={"t": np.array([0.0, math.nan, math.nan]), "names": np.array(["a"]), "k": np.array([1, 2])},
        runs=pd.DataFrame({"seed": [1, 2], "loss": [0.5, math.nan], "status": ["ok", None]}),
    )
    assert made.undeclared([]) == "array 't' is NaN in 2 of 3 places"
    assert made.undeclared(["t"]) == "column 'loss' is NaN in 1 of 2 places"
    assert made.undeclared(["t", "lo*"]) is None
    assert Evidence(arrays={"inf": np.array([math.inf])}).undeclared([]) is None


# ----------------------------------------------------------------------------------------------------------- no pickles


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array([{}]), np.array([(1, None)], dtype="i4,O")], ids=["none", "dict", "record"]
)
def test_arrays_of_python_objects_are_refused_and_leave_nothing(array, tmp_path):
    with pytest.raises(TypeError, match="'x' holds Python objects"):
        save_arrays(tmp_path / "a.npz", {"x": array})
    assert files_in(tmp_path) == []


def test_an_archive_with_a_pickle_is_not_read(tmp_path):
    archive = io.BytesIO()
    np.savez(archive, x=np.array([{}], dtype=object))
    (tmp_path / "a.npz").write_bytes(seal_archive(archive.getvalue()))
    with pytest.raises(EvidenceError, match=r"a\.npz: ValueError: .*allow_pickle"):
        load_arrays(tmp_path / "a.npz")


# --------------------------------------------------------------------------------------------------------------- atomic

WRITERS = {
    "json": ("x.json", lambda path: save_json(path, {"a": 1})),
    "arrays": ("x.npz", lambda path: save_arrays(path, {"a": np.arange(10_000)})),
    "text": ("x.txt", lambda path: write_text(path)),
}


def write_text(path):
    with atomic_file(path, "w") as stream:
        stream.write("ü" * 100_000)


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def writer(request, tmp_path):
    name, write = request.param
    return tmp_path / name, write


def out_of_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_appears_complete_and_readable_by_others(writer):
    path, write = writer
    write(path)
    assert path.stat().st_size > 0
    assert path.stat().st_mode & 0o777 == 0o644
    assert files_in(path.parent) == [path.name]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("older", [None, b"older"], ids=["new file", "over an older file"])
def test_a_writer_out_of_disk_leaves_the_folder_as_it_was(writer, older, broken, monkeypatch):
    path, write = writer
    if older is not None:
        path.write_bytes(older)
    monkeypatch.setattr(module.os, broken, out_of_space)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert files_in(path.parent) == ([] if older is None else [path.name])
    assert older is None or path.read_bytes() == older


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_writer_that_raises_midway_leaves_nothing(tmp_path, error):
    def write_half():
        with atomic_file(tmp_path / "x.bin") as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert files_in(tmp_path) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is a Linux device")
def test_a_disk_that_is_really_full_leaves_nothing(tmp_path, monkeypatch):
    fdopen = os.fdopen

    def on_full_disk(descriptor, mode):
        os.close(descriptor)
        return fdopen(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(module.os, "fdopen", on_full_disk)  # every flush says ENOSPC
    with pytest.raises(OSError, match="No space left") as caught:
        save_arrays(tmp_path / "x.npz", {"a": np.random.default_rng(0).random(100_000)})
    assert caught.value.errno == errno.ENOSPC
    assert files_in(tmp_path) == []


def test_a_writer_killed_midway_leaves_nothing_that_looks_finished(tmp_path):
    code = """
        import sys, time
        from pathlib import Path
        from flowcheck.pipeline.evidence import atomic_file
        with atomic_file(Path(sys.argv[1]) / "cells" / "x.npz") as stream:
            stream.write(b"half"); stream.flush()
            print("writing", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = files_in(tmp_path / "cells")
    assert "x.npz" not in left
    assert all(name.startswith(".x.npz.") and name.endswith(".part") for name in left)
    assert not list((tmp_path / "cells").glob("*.npz"))


FAILING = ["savez_compressed", "to_parquet", "save_sealed"]


@pytest.mark.parametrize("broken", FAILING)
def test_evidence_that_fails_midway_is_not_evidence(evidence, tmp_path, monkeypatch, broken):
    evidence.save(tmp_path)
    owner = {"savez_compressed": np, "to_parquet": pd.DataFrame, "save_sealed": module}[broken]
    monkeypatch.setattr(owner, broken, lambda *_, **__: out_of_space())
    with pytest.raises(OSError, match="No space left"):
        evidence.save(tmp_path)
    assert not (tmp_path / "metrics.json").exists(), "metrics of an earlier run stand beside arrays of this one"
    with pytest.raises(FileNotFoundError):
        Evidence.load(tmp_path)


def test_loading_what_is_not_there_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        Evidence.load(tmp_path)


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_json(tmp_path / "x.json", {"a": math.nan})
    assert files_in(tmp_path) == []


def test_json_keeps_the_letters_of_the_field(tmp_path):
    save_json(tmp_path / "x.json", {"θ": "η → 0"})
    assert "η → 0" in (tmp_path / "x.json").read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------------- one cell in one file


def test_a_cell_is_read_back_as_it_was_written(tmp_path):
    written = Evidence(
        {"a": Measurement(1 / 3, 1e-9, (0.0, 1.0), 4), "undefined": Measurement.exact(math.nan), "count": Measurement.count(3)},
        {"curve": np.linspace(0, 1, 5), "names": np.array(["x", "é"])},
        pd.DataFrame({"run": [1, 2]}),
        {"stamp": "abc"},
    )
    written.save_cell(tmp_path / "cell.npz")
    read = Evidence.load_cell(tmp_path / "cell.npz")
    assert str(read.metrics) == str(written.metrics)
    assert read.arrays.keys() == written.arrays.keys()
    for name, array in written.arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array)
    assert read.runs.equals(written.runs)
    assert read.provenance == {"stamp": "abc"}


def test_a_cell_without_a_table_has_none(tmp_path):
    Evidence(arrays={"x": np.zeros(1)}).save_cell(tmp_path / "cell.npz")
    assert Evidence.load_cell(tmp_path / "cell.npz").runs.empty


def test_the_name_of_an_array_does_not_look_like_what_is_no_array(tmp_path):
    with pytest.raises(ValueError, match="the names of arrays do not begin with ':'"):
        Evidence(arrays={":metrics": np.zeros(1)}).save_cell(tmp_path / "cell.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("second", [{"x": np.zeros(1)}, {"x": Measurement.count(1)}])
@pytest.mark.parametrize("first", [{"x": np.zeros(1)}, {"x": Measurement.count(1)}])
def test_parts_of_a_study_do_not_overwrite_each_other(first, second):
    with pytest.raises(ValueError, match="'x' is recorded twice"):
        Evidence.of([first, second])


def test_parts_of_a_study_are_put_together():
    evidence = Evidence.of([{"x": np.zeros(1)}, {"k": Measurement.count(2, 3)}])
    assert list(evidence.arrays) == ["x"]
    assert evidence.metrics == {"k": Measurement.exact(2, n=3)}


def test_a_count_is_a_whole_number():
    assert Measurement.count(np.int64(3), np.int64(5)).to_json() == {"value": 3.0, "error": 0.0, "n": 5}
    with pytest.raises(ValueError, match=r"a count is a whole number, not 0\.5"):
        Measurement.count(0.5)
