"""What is written and read again comes back equal, or is refused by name.

Settings, arrays, tables, metrics, claims, verdicts, ledger, recorded verdicts, the parameter of a notebook.
"""

import csv
import io
import math
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from pydantic import ValidationError

from conftest import Checkout
from flowcheck.errors import ConfigError
from flowcheck.pipeline.claims import LARGEST, Verdict
from flowcheck.pipeline.evidence import Evidence, Measurement, load_arrays, load_sealed, save_arrays, save_sealed
from flowcheck.pipeline.freshness import Freshness
from flowcheck.pipeline.ledger import CSV_COLUMNS, as_csv, record_expected
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import load_about, load_expected, load_runs
from flowcheck.pipeline.seal import SEAL, blank_seal
from flowcheck.pipeline.settings import Settings
from flowcheck.pipeline.strict_yaml import NO_TEXT, parse_yaml

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TRICKY = [
    "",
    " ",
    "1e5",
    "0x10",
    "010",
    "yes",
    "NO",
    "y",
    "null",
    "~",
    ".inf",
    "nan",
    "2024-01-01",
    "12:30",
    "=",
    "<<",
    "*a",
    "&a",
    "- a",
    "a: b",
]
TEXT = st.sampled_from(TRICKY) | st.text(max_size=20).filter(lambda text: not NO_TEXT.search(text))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 5e-324, 1e22, 1e-5, 1e16, 0.1 + 0.2])
PLAIN = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | NUMBERS | TEXT
NESTED = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)


def the_settings(**given_values):
    values = {"paper": "p", "experiment": "e", "scale": "smoke", "seed": 0, "grid": {}, "parameters": {}} | given_values
    return Settings(**values)


@QUICK
@given(NESTED)
def test_parameters_come_back_as_they_were_in_type_and_digits(value):
    written = the_settings(parameters={"a": value}).to_yaml()
    read = Settings.model_validate(parse_yaml(written)).parameters["a"]
    assert repr(read) == repr(value)  # 1 is not 1.0, and -0.0 not 0.0
    assert repr(yaml.safe_load(written)["parameters"]["a"]) == repr(value)  # for other readers of YAML too


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_yaml_would_write_as_null_is_refused_with_its_key(value):
    for where, put, key in (("parameters", {"a": {"caps": [1.0, value]}}, "a.caps.1"), ("grid", {"t": [1.0, value]}, "t.1")):
        with pytest.raises(ValidationError, match=rf"{key} is {value}; a number of the settings is finite"):
            the_settings(**{where: put})


READ = [
    ("1e-5", 1e-5),
    ("2024-01-01", "2024-01-01"),
    ("1e22", 1e22),
    ("9007199254740993", 2**53 + 1),
    ("-1" + 18 * "0", -(10**18)),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_a_parameter_file_is_read_as_the_configuration_is(text, value):
    """The library's own reader makes text of 1e-5, which it takes for no number, and a date of 2024-01-01."""
    assert repr(parse_yaml(text)) == repr(value)


DTYPES = st.sampled_from([np.float64, np.float32, np.float16, np.complex128, np.bool_, np.int8, np.int64, np.uint64, ">i4", "U5"])


@QUICK
@given(st.data())
def test_arrays_come_back_with_dtype_and_shape(tmp_path, data):
    dtype = data.draw(DTYPES)
    text = {"elements": st.text(max_size=5).filter(lambda t: not t.endswith("\0"))} if dtype == "U5" else {}
    array = data.draw(arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), **text))
    save_arrays(tmp_path / "a.npz", {"a": array})
    (read,) = load_arrays(tmp_path / "a.npz").values()
    assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("name", ["file", "allow_pickle", "", "a\0b"])
def test_a_name_that_numpy_or_the_archive_takes_for_something_else_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="is no name of an array"):
        save_arrays(tmp_path / "a.npz", {name: np.ones(2)})
    assert not (tmp_path / "a.npz").exists()


COLUMNS = {
    "float": st.lists(st.floats(), min_size=2, max_size=2).map(np.array),
    "single": st.lists(st.floats(width=32), min_size=2, max_size=2).map(np.float32),
    "whole": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2).map(np.int64),
    "truth": st.lists(st.booleans(), min_size=2, max_size=2).map(np.array),
    "text": st.lists(TEXT, min_size=2, max_size=2),
}


@QUICK
@given(st.fixed_dictionaries(COLUMNS))
def test_tables_come_back(tmp_path, columns):
    table = pd.DataFrame(columns)
    Evidence(runs=table).save_cell(tmp_path / "c.npz")
    Evidence(runs=table).save(tmp_path / "e")
    for read in (Evidence.load_cell(tmp_path / "c.npz").runs, Evidence.load(tmp_path / "e").runs):
        pd.testing.assert_frame_equal(read, table, check_exact=True)


REFUSED = {
    "an index": (pd.DataFrame({"a": [1, 2]}, index=[5, 6]), "runs have the index"),
    "a column that is a number": (pd.DataFrame([[1, 2]]), "column 0, and the name of a column is text"),
    "numbers and text": (pd.DataFrame({"a": [1, "x"]}), "column 'a' of runs holds int, str"),
    "whole numbers of any size": (pd.DataFrame({"a": [2**70]}), "column 'a' of runs holds int"),
    "complex numbers": (pd.DataFrame({"a": [1j]}), "column 'a' of runs holds complex128"),
    "rows without columns": (pd.DataFrame(index=range(3)), "3 rows and no column"),
}


@pytest.mark.parametrize(("table", "said"), REFUSED.values(), ids=REFUSED)
def test_tables_that_would_not_come_back_are_refused_by_name(table, said, tmp_path):
    for save in (lambda evidence: evidence.save_cell(tmp_path / "c.npz"), lambda evidence: evidence.save(tmp_path / "e")):
        with pytest.raises(TypeError, match=said):
            save(Evidence(runs=table))


def test_what_is_missing_in_a_column_of_truth_values_stays_missing(tmp_path):
    table = pd.concat([pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [3], "ok": [True]})], ignore_index=True)
    Evidence(runs=table).save_cell(tmp_path / "c.npz")
    read = Evidence.load_cell(tmp_path / "c.npz").runs["ok"]
    assert [None if pd.isna(entry) else entry for entry in read] == [None, None, True]


@QUICK
@given(NUMBERS, st.floats(5e-324, 1e300), st.none() | st.integers(0, 2**60))
def test_metrics_come_back_to_the_last_digit(tmp_path, value, error, n):
    evidence = Evidence(metrics={"a": Measurement(value, error, (value, value + abs(value)) if abs(value) < 1e300 else None, n)})
    evidence.save_cell(tmp_path / "c.npz")
    evidence.save(tmp_path / "e")
    for read in (Evidence.load_cell(tmp_path / "c.npz"), Evidence.load(tmp_path / "e")):
        assert repr(read.metrics) == repr(evidence.metrics)


WORDED = st.builds("{}three plain words{}".format, TEXT, TEXT)
SAID = {"title": WORDED, "location": WORDED, "statement": WORDED, "note": WORDED, "name": WORDED, "why": WORDED, "over": WORDED}


@QUICK
@given(said=st.fixed_dictionaries(SAID), threshold=st.floats(-LARGEST, LARGEST), limit=st.floats(5e-324, LARGEST))
def test_a_claim_is_read_as_it_was_written_or_refused_by_file_and_name(tmp_path_factory, said, threshold, limit):
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    control = {"name": said["name"], "metric": "error_wrong_rate", "is": ">", "value": threshold}
    predicate = {"metric": "error_fine", "is": "<=", "value": threshold, "why": said["why"]}
    predicate |= {"vacuous_above": limit, "vacuous_why": "three plain words"}

    def put(content):
        texts = {key: said[key] for key in ("title", "location", "statement", "note")}
        covers = {"parts": said["name"], "over": said["over"], "leaves_out": {said["title"]: said["why"]}}
        content["claims"][0] |= texts | {"covers": covers, "predicates": [predicate], "controls": [control]}

    checkout.edit("claims", put)
    if any(
        len(said[key].strip().splitlines()) > 1 for key in ("title", "location", "name", "why", "over")
    ):  # these are of one line
        with pytest.raises(ConfigError, match=r"config/claims/toy/decay\.yaml.*one line of text expected"):
            Project(checkout.root)
        return
    claim = Project(checkout.root).claims["toy"]["theorem-1"]
    assert claim.statement == said["statement"]
    assert claim.note == said["note"]
    lines = [claim.title, claim.location, claim.predicates[0].why, claim.controls[0].name, claim.covers.over]
    assert lines == [said[key].strip() for key in ("title", "location", "why", "name", "over")]
    assert claim.covers.leaves_out == {said["title"].strip(): said["why"].strip()}
    assert repr((claim.predicates[0].value, claim.controls[0].value)) == repr((threshold, threshold))
    assert claim.predicates[0].vacuous_above == limit


RECORDS = st.fixed_dictionaries(
    {
        "statement": TEXT,
        "reason": TEXT,
        "value": st.none() | NUMBERS,
        "hits": st.lists(TEXT, max_size=2),
        "provenance": st.dictionaries(TEXT, PLAIN, max_size=3),
    }
)


@QUICK
@given(RECORDS)
def test_verdicts_and_ledgers_come_back(tmp_path, record):
    path = tmp_path / "x.json"
    save_sealed(path, record | {SEAL: blank_seal(path, [])})
    read = load_sealed(path)
    assert repr(read) == repr(record)


@QUICK
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(CSV_COLUMNS, TEXT | NUMBERS)), min_size=1, max_size=3))
def test_the_ledger_as_a_table_comes_back_to_the_last_digit(claims):
    text = as_csv({"claims": claims})
    for read, written in zip(csv.DictReader(io.StringIO(text, newline="")), claims, strict=True):
        assert read == {key: value if isinstance(value, str) else repr(value) for key, value in written.items()}


@QUICK
@given(verdicts=st.lists(st.sampled_from(list(Verdict)), min_size=5, max_size=5), n=st.integers(0, 2**60), finished=TEXT)
def test_recorded_verdicts_come_back(tmp_path_factory, verdicts, n, finished):
    project = Project(Checkout(tmp_path_factory.mktemp("checkout")).root)
    made = {"data": "", "freshness": Freshness.MADE, "paper": "toy", "experiment": "decay"}
    said = {"finished": finished, "machine": finished, "wall_time_s": 1.5}
    claims = [
        made | {"id": f"toy/{name}", "verdict": verdict, "provenance": said, "predicates": [{"metric": "error_fine", "n": n}]}
        for name, verdict in zip(project.claims["toy"], verdicts, strict=True)
    ]
    record_expected(project, {"scale": "smoke", "claims": claims})
    assert load_expected(project, "smoke") == {claim["id"]: str(claim["verdict"]) for claim in claims}
    assert load_runs(project, "smoke") == {claim["id"]: {"error_fine": n} for claim in claims}
    about = load_about(project, "smoke")
    assert (about.finished, about.machines, about.wall_time_s) == (finished, [finished], 1.5)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A notebook with a cell of parameters, as papermill reads it."""
    cells = [nbformat.v4.new_code_cell('folder = ""', metadata={"tags": ["parameters"]})]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = tmp_path_factory.mktemp("notebook") / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return load_notebook_node(str(path))


@QUICK
@given(name=TEXT)
def test_a_notebook_is_given_the_folder_as_it_is_called(source, name):
    """The parameter becomes source text of a cell, in which quotes, backslashes and ends of lines would be something else."""
    folder = str(Path("results") / name)
    found: dict[str, str] = {}
    for cell in parameterize_notebook(source, {"folder": folder}).cells:
        exec(cell.source, found)
    assert found["folder"] == folder
