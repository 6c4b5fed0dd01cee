"""The command line that every experiment script shares: errors, resuming, random streams, progress."""

import faulthandler
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import Field

from flowcheck.errors import EvidenceError
from flowcheck.pipeline import digest, experiment, stamp
from flowcheck.pipeline.evidence import UNMET, Evidence, Measurement, load_arrays
from flowcheck.pipeline.experiment import Context, ParametersModel, main, only_cell


class Parameters(ParametersModel):
    """As small as it gets."""

    step_size: float = Field(gt=0)
    horizon: float = 1.0


class Study:
    """An experiment in a folder of its own, run in this process; counts the cells that are computed."""

    def __init__(self, folder):
        self.folder = folder
        self.output = folder / "results"
        self.script = folder / "study.py"
        self.script.write_text("x = 1\n")
        self.computed = []
        self.settings = {
            "paper": "toy",
            "experiment": "decay",
            "scale": "smoke",
            "seed": 1,
            "grid": {"step_size": [0.1, 0.05]},
            "parameters": {},
            "metrics": ["total"],
        }

    def cell(self, parameters, context):
        """The step size and a random number."""
        self.computed.append(parameters.step_size)
        return Evidence(arrays={"x": np.array(parameters.step_size), "random": context.rng("x").random(3)})

    def gather(self, parameters, cells, context):
        """Sum over the cells."""
        evidence = Evidence()
        evidence.measure("total", sum(float(cell.arrays["x"]) for cell in cells.values()), error=1e-12)
        return evidence

    @property
    def file(self):
        path = self.folder / "parameters.yaml"
        path.write_text(self.settings if isinstance(self.settings, str) else yaml.safe_dump(self.settings))
        return path

    def run(self, *options, parameters=None):
        """Run; returns the step sizes of the cells that were computed."""
        self.computed.clear()
        for cached in (digest._read,):
            cached.cache_clear()
        arguments = ["--parameters", str(parameters or self.file), "--output", str(self.output), *options]
        main(Parameters, self.cell, self.gather, arguments)
        return list(self.computed)

    def metrics(self):
        return json.loads((self.output / "metrics.json").read_text())


@pytest.fixture
def study(tmp_path, monkeypatch):
    made = Study(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(made.script)])
    return made


# ---------------------------------------------------------------------------------------------- runs that say nothing


class SilentStudy(Study):
    """A study one of whose cells goes wrong in one of its runs."""

    def cell(self, parameters, context):
        evidence = super().cell(parameters, context)
        evidence.arrays["random"][1] = np.nan if parameters.step_size == 0.05 else 0.5
        return evidence


@pytest.fixture
def silent(tmp_path, monkeypatch):
    made = SilentStudy(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(made.script)])
    return made


def test_nan_that_is_not_declared_stops_the_cell_that_made_it(silent):
    silent.settings["silent"] = []
    with pytest.raises(SystemExit, match=r"cell step_size-0.05: array 'random' is NaN in 1 of 3 places, which 'silent'"):
        silent.run()
    assert not (silent.output / "metrics.json").exists()
    assert [path.name for path in (silent.output / "cells").iterdir()] == ["step_size-0.1.npz"]


@pytest.mark.parametrize("declared", [None, ["rand*"], ["random", "x"]], ids=str)
def test_nan_that_is_declared_or_about_which_nothing_is_said_stops_nothing(silent, declared):
    silent.settings["silent"] = declared
    silent.run()
    assert silent.metrics()["total"]["value"] == pytest.approx(0.15)


def test_nan_in_what_is_gathered_stops_the_experiment(study):
    def gather(parameters, cells, context):
        evidence = Study.gather(study, parameters, cells, context)
        evidence.runs = pd.DataFrame({"x": [1.0, np.nan]})
        return evidence

    study.settings["silent"], study.gather = [], gather
    with pytest.raises(SystemExit, match="evidence: column 'x' is NaN in 1 of 2 places"):
        study.run()
    assert not (study.output / "metrics.json").exists()


# ---------------------------------------------------------------------------------------------------------- bad input


def error_of(study, capsys, *options, **rest):
    with pytest.raises(SystemExit) as caught:
        study.run(*options, **rest)
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1, f"one sentence expected: {text}"
    assert not study.computed
    return text.strip()


BAD_SETTINGS = {
    "malformed": ("a: [1", "malformed YAML: while parsing a flow"),
    "too deep": (f"parameters: {'[' * 100_000}{']' * 100_000}", "more than 20 lists and mappings within each other"),
    "in two ways": ("seed: 0x10", "key 'seed': '0x10' can be read in two ways"),
    "empty": ("", "key '(the whole file)': Input should be a valid dictionary"),
    "a list": ("[1]", "key '(the whole file)': Input should be a valid dictionary"),
    "unknown key": ({"sede": 2}, "key 'sede': Extra inputs are not permitted, found 2"),
    "negative seed": ({"seed": -1}, "key 'seed': Input should be greater than or equal to 0, found -1"),
    "bad parameter": ({"parameters": {"horizon": "long"}}, "key 'horizon': Input should be a valid number"),
    "unknown parameter": ({"parameters": {"horizont": 1}}, "key 'horizont': Extra inputs are not permitted, found 1"),
    "bad grid point": ({"grid": {"step_size": [0.1, 0]}}, "key 'step_size': Input should be greater than 0, found 0"),
    "missing parameter": ({"grid": {}}, "key 'step_size': Field required"),
    "grid points of one name": ({"grid": {"step_size": [0.1, "0.1"]}}, "have the same name 'step_size-0.1'"),
}


@pytest.mark.parametrize(("change", "expected"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_are_one_sentence(study, capsys, change, expected):
    study.settings = change if isinstance(change, str) else study.settings | change
    text = error_of(study, capsys)
    assert text.startswith(f"study.py: error: {study.folder / 'parameters.yaml'}: ")
    assert expected in text


def test_a_missing_parameter_file_is_one_sentence(study, capsys):
    assert error_of(study, capsys, parameters=study.folder / "no.yaml").endswith("no.yaml: No such file or directory")


def test_a_folder_for_a_parameter_file_is_one_sentence(study, capsys):
    assert error_of(study, capsys, parameters=study.folder).endswith(f"{study.folder}: Is a directory")


def test_a_parameter_file_that_is_no_text_is_one_sentence(study, capsys):
    path = study.folder / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert str(path) in error_of(study, capsys, parameters=path)


def test_an_unknown_cell_is_one_sentence(study, capsys):
    text = error_of(study, capsys, "--cell", "step_size-0.2")
    assert text == "study.py: error: --cell: unknown cell 'step_size-0.2'; allowed: step_size-0.1, step_size-0.05"


def test_an_output_that_is_a_file_is_one_sentence(study, capsys):
    study.output.write_text("")
    assert error_of(study, capsys) == f"study.py: error: --output {study.output}: File exists"


def test_cuda_where_there_is_none_is_one_sentence(study, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = error_of(study, capsys, "--device", "cuda")
    assert text.endswith("--device: 'cuda' was asked for and torch finds no GPU; allowed here: auto, cpu")


def test_a_negative_seed_on_the_command_line_is_one_sentence(study, capsys):
    assert error_of(study, capsys, "--seed", "-3") == "study.py: error: --seed: a root seed is 0 or more, found -3"


@pytest.mark.parametrize("upstream", ["decay", "decay=", "decay=no/such/folder"])
def test_upstream_without_evidence_is_one_sentence(study, capsys, upstream):
    assert "no evidence (metrics.json) there" in error_of(study, capsys, "--upstream", upstream)


def test_gathering_before_all_cells_are_there_is_one_sentence_and_writes_nothing(study):
    study.run("--cell", "step_size-0.1")
    with pytest.raises(SystemExit, match=r"nothing to gather, cells that are not there: step_size-0\.05"):
        study.run("--gather")
    assert not (study.output / "metrics.json").exists()


@pytest.mark.parametrize(
    ("promised", "expected"),
    [
        (["total", "slope"], r"not promised: \[\]; not written: \['slope'\]"),
        ([], r"not promised: \['total'\]; not written: \[\]"),
    ],
    ids=["less", "more"],
)
def test_evidence_that_differs_from_the_promise_is_refused(study, promised, expected):
    study.settings["metrics"] = promised
    with pytest.raises(SystemExit, match=expected):
        study.run()
    assert not (study.output / "metrics.json").exists()


# -------------------------------------------------------------------------------------------------------------- resuming


def test_a_plain_run_computes_every_cell_and_gathers(study):
    assert study.run() == [0.1, 0.05]
    assert study.metrics()["total"]["value"] == pytest.approx(0.15)
    provenance = study.metrics()["provenance"]
    assert provenance["seed"] == 1
    assert provenance["cells"] == 2
    assert provenance["device"] == "cpu"
    assert provenance["scale"] == "smoke"
    assert {"python", "flowcheck", "numpy", "torch"} <= set(provenance["versions"])


def test_finished_cells_are_not_computed_again(study):
    study.run()
    before = (study.output / "cells/step_size-0.1.npz").stat().st_mtime_ns
    assert study.run() == []
    assert (study.output / "cells/step_size-0.1.npz").stat().st_mtime_ns == before


def test_a_single_cell_and_then_the_rest(study):
    assert study.run("--cell", "step_size-0.05") == [0.05]
    assert study.run() == [0.1]
    assert study.run("--gather") == []


CHANGES = {
    "parameter": (lambda study: study.settings.update(parameters={"horizon": 2.0}), [0.1, 0.05]),
    "seed": (lambda study: study.settings.update(seed=2), [0.1, 0.05]),
    "code": (lambda study: study.script.write_text("x = 2\n"), [0.1, 0.05]),
    "code behind it": (lambda study: (study.folder / "package" / "behind.py").write_text("y = 2\n"), [0.1, 0.05]),
    "grid grown": (lambda study: study.settings["grid"]["step_size"].append(0.025), [0.025]),
    "grid shrunk": (lambda study: study.settings["grid"]["step_size"].pop(), []),
    "comment": (lambda study: study.script.write_text("# new\nimport flowcheck.behind\n"), []),
    "a whole number written as such": (lambda study: study.settings.update(parameters={"horizon": 1}), []),
    "grid in another order": (lambda study: study.settings["grid"]["step_size"].reverse(), []),
    "a library": (lambda study: study.libraries.update(numpy="1.0"), [0.1, 0.05]),
    "promised metrics in another order": (lambda study: study.settings.update(metrics=["total"]), []),
    "scale": (lambda study: study.settings.update(scale="laptop"), []),
}


@pytest.mark.parametrize(("change", "recomputed"), CHANGES.values(), ids=CHANGES)
def test_cached_cells_count_only_for_the_parameters_seed_and_code_that_made_them(study, change, recomputed, monkeypatch):
    package = study.folder / "package"
    package.mkdir()
    monkeypatch.setattr(digest, "PACKAGE_FOLDER", package)
    (package / "behind.py").write_text("y = 1\n")
    study.script.write_text("import flowcheck.behind\n")
    study.settings["parameters"] = {"horizon": 1.0}
    study.libraries = dict(stamp.libraries())
    monkeypatch.setattr(stamp, "libraries", lambda: study.libraries)
    study.run()
    change(study)
    assert study.run() == recomputed


def test_another_root_seed_on_the_command_line_is_another_run(study):
    study.run()
    first = load_arrays(study.output / "cells/step_size-0.1.npz")["random"]
    assert study.run("--seed", "2") == [0.1, 0.05]
    second = load_arrays(study.output / "cells/step_size-0.1.npz")["random"]
    assert not np.array_equal(first, second)
    assert study.metrics()["provenance"]["seed"] == 2


def test_cached_cells_count_only_for_the_upstream_evidence_that_they_read(study):
    upstream = study.folder / "upstream"
    evidence = Evidence()
    evidence.measure("x", 1.0, error=1e-12)
    evidence.save(upstream)
    option = ("--upstream", f"decay={upstream}")
    assert study.run(*option) == [0.1, 0.05]
    assert study.run(*option) == []
    evidence.metrics.clear()
    evidence.measure("x", 2.0, error=1e-12)
    evidence.save(upstream)
    assert study.run(*option) == [0.1, 0.05]


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 cut"], ids=["empty", "garbage", "cut"])
def test_a_damaged_cell_is_computed_again(study, damage):
    study.run()
    path = study.output / "cells/step_size-0.1.npz"
    path.write_bytes(damage)
    assert study.run() == [0.1]
    path.write_bytes(damage)
    assert study.run("--gather") == [0.1]


def test_every_flipped_bit_of_a_cell_is_noticed_and_named(study, capsys):
    study.run()
    path = study.output / "cells/step_size-0.1.npz"
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for position in random.integers(len(whole), size=20):
        path.write_bytes(flipped(whole, position, random.integers(8)))
        with pytest.raises(EvidenceError, match=r"^.*step_size-0\.1\.npz: damaged"):
            load_arrays(path)
        capsys.readouterr()
        assert study.run("--gather") == [0.1]
        assert f"cell step_size-0.1: made again, {path}: damaged" in capsys.readouterr().err


def flipped(content, position, bit):
    return content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :]


def test_a_cell_under_the_name_of_another_is_computed_again(study, capsys):
    study.run()
    cells = study.output / "cells"
    (cells / "step_size-0.05.npz").write_bytes((cells / "step_size-0.1.npz").read_bytes())
    assert study.run("--gather") == [0.05]
    assert "step_size-0.05.npz: made with another grid point" in capsys.readouterr().err
    assert study.metrics()["total"]["value"] == pytest.approx(0.15)


def test_code_that_changes_while_a_cell_runs_does_not_count_as_the_code_that_ran(study):
    original = study.cell

    def edited_meanwhile(parameters, context):
        study.script.write_text("x = 3\n")
        for cached in (digest._read,):
            cached.cache_clear()
        return original(parameters, context)

    study.cell = edited_meanwhile
    study.run("--cell", "step_size-0.1")
    study.cell = original
    assert study.run() == [0.1, 0.05]


SCRIPT = '''
"""A slow study."""
import time
import numpy as np
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main
from pathlib import Path

class Parameters(ParametersModel):
    step_size: float

def cell(parameters, context):
    with open("computed", "a") as stream:
        stream.write(f"{parameters.step_size}\\n")
    while parameters.step_size == 0.05 and Path("hold").exists():
        time.sleep(0.02)
    return Evidence(arrays={"x": np.array(parameters.step_size)})

def gather(parameters, cells, context):
    evidence = Evidence()
    evidence.measure("total", sum(float(c.arrays["x"]) for c in cells.values()), error=1e-12)
    return evidence

if __name__ == "__main__":
    main(Parameters, cell, gather)
'''


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_script_killed_in_its_second_cell_resumes_there(study):
    study.script.write_text(SCRIPT)
    command = [sys.executable, str(study.script), "--parameters", str(study.file), "--output", "results"]
    computed = study.folder / "computed"
    (study.folder / "hold").touch()
    with (study.folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=study.folder, stderr=log)
        wait_until(lambda: computed.is_file() and computed.read_text() == "0.1\n0.05\n")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sorted(path.name for path in (study.output / "cells").iterdir()) == ["step_size-0.1.npz"]
    assert not (study.output / "metrics.json").exists()
    (study.folder / "hold").unlink()
    done = subprocess.run(command, cwd=study.folder, capture_output=True, text=True, check=True)
    assert "cell step_size-0.1: finished earlier" in done.stderr
    assert computed.read_text() == "0.1\n0.05\n0.05\n"
    assert study.metrics()["total"]["value"] == pytest.approx(0.15)
    subprocess.run(command, cwd=study.folder, capture_output=True, check=True)
    assert computed.read_text() == "0.1\n0.05\n0.05\n"


def test_a_cell_that_raises_leaves_no_file(study):
    def broken(parameters, context):
        raise FloatingPointError("overflow")

    study.cell = broken
    with pytest.raises(FloatingPointError):
        study.run("--cell", "step_size-0.1")
    assert not list(study.output.rglob("*"))


# -------------------------------------------------------------------------------------------------------- random streams


def test_streams_of_one_name_are_equal_and_of_two_names_are_not():
    draws = {name: Context(1).rng(*name).random(4).tolist() for name in [("a",), ("b",), ("a", "b"), ("b", "a"), ("a", 1), ()]}
    assert Context(1).rng("a").random(4).tolist() == draws[("a",)]
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)
    assert Context(2).rng("a").random(4).tolist() != draws[("a",)]


def test_streams_do_not_depend_on_the_order_in_which_they_are_asked_for():
    one, other = Context(1), Context(1)
    first = [one.rng(name).random(4).tolist() for name in "abc"]
    second = [other.rng(name).random(4).tolist() for name in "cba"]
    assert first == second[::-1]


def test_streams_do_not_depend_on_the_device_the_label_or_the_upstream():
    expected = Context(1).rng("a").random(4).tolist()
    assert Context(1, "cuda", "label", {"decay": Evidence()}).rng("a").random(4).tolist() == expected


def test_streams_are_the_documented_ones():
    """PCG64 seeded with SeedSequence(seed, spawn_key=crc32 of the names): a change would silently change every result."""
    rng = Context(20240).rng("data", 3)
    assert type(rng.bit_generator) is np.random.PCG64
    expected = np.random.SeedSequence(20240, spawn_key=(2918445923, 1842515611))
    assert rng.random() == np.random.Generator(np.random.PCG64(expected)).random()


def test_cells_draw_the_same_numbers_alone_and_together(study):
    study.run()
    together = load_arrays(study.output / "cells/step_size-0.05.npz")["random"]
    study.run("--cell", "step_size-0.05", "--device", "auto")
    np.testing.assert_array_equal(load_arrays(study.output / "cells/step_size-0.05.npz")["random"], together)


def test_a_script_that_never_asks_for_a_device_ran_on_the_cpu():
    assert Context(1, "auto").device_used == "cpu"


# --------------------------------------------------------------------------------------------------------------- progress


def test_progress_writes_lines_to_a_log_file(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(Context(1, label="decay step_size-0.1").progress(range(3), what="descent")) == [0, 1, 2]
    text = stream.getvalue()
    assert text.endswith("\n")
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert all(line.startswith("decay step_size-0.1 descent: ") for line in lines)
    assert "3/3" in lines[-1]
    assert text.isascii()


def test_progress_knows_the_total_of_an_iterator(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    list(Context(1).progress(iter(range(3)), total=3))
    assert "3/3" in stream.getvalue()


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (25, 80))
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        list(Context(1, label="decay").progress(range(3)))
        monkeypatch.undo()
        terminal.flush()
        shown = ""
        while "100%" not in shown and select.select([reader], [], [], 10)[0]:
            shown += os.read(reader, 100_000).decode()
    os.close(reader)
    assert "\rdecay:   0%" in shown
    assert "\rdecay: 100%" in shown, "one line, drawn again"


def test_a_long_run_reports_in_its_log_more_than_once(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    original = experiment.tqdm
    monkeypatch.setattr(experiment, "tqdm", lambda *a, **k: original(*a, **(k | {"mininterval": 0.01, "miniters": 1})))
    [time.sleep(0.03) for _ in Context(1).progress(range(5))]
    assert len(stream.getvalue().splitlines()) >= 4


# ------------------------------------------------------------------------------------------------- what a cell measured


def everything(parameters, context):
    """A cell that measures all there is."""
    evidence = Evidence(arrays={"x": np.arange(3)}, runs=pd.DataFrame({"run": [0, 1], "name": ["a", "b"]}))
    evidence.measure("total", 1 / 3, error=1e-12, interval=(0.1, 0.5), n=7)
    return evidence


def test_without_a_grid_what_the_cell_measured_is_the_evidence(study):
    study.settings |= {"grid": {}, "parameters": {"step_size": 0.1}}
    main(Parameters, everything, argv=["--parameters", str(study.file), "--output", str(study.output)])
    evidence = Evidence.load(study.output)
    assert evidence.metrics == {"total": Measurement(1 / 3, 1e-12, (0.1, 0.5), 7)}
    assert list(evidence.arrays) == ["x"]
    assert evidence.runs.to_dict("list") == {"run": [0, 1], "name": ["a", "b"]}
    assert "stamp" not in evidence.provenance


def test_a_gathering_step_sees_what_each_cell_measured_and_not_how_it_was_made(study):
    seen = {}

    def gather(parameters, cells, context):
        seen.update(cells)
        return only_cell(parameters, {"first": next(iter(cells.values()))}, context)

    main(Parameters, everything, gather, ["--parameters", str(study.file), "--output", str(study.output)])
    assert list(seen) == ["step_size-0.1", "step_size-0.05"]
    for cell in seen.values():
        assert cell.metrics["total"] == Measurement(1 / 3, 1e-12, (0.1, 0.5), 7)
        assert len(cell.runs) == 2
        assert UNMET not in cell.provenance


def test_a_grid_needs_a_gathering_step(study, capsys):
    with pytest.raises(SystemExit) as caught:
        main(Parameters, everything, argv=["--parameters", str(study.file), "--output", str(study.output)])
    assert caught.value.code == 2
    assert "key 'grid': 2 cells, and the script defines no 'gather' that merges them" in capsys.readouterr().err


ENDLESS = """
import sys
from flowcheck.pipeline import limit
limit.LENIENCE = 1.0
limit.end_after(float(sys.argv[1]))
while True:
    sum(range(10**9))  # within one call of a library that never gives way
"""


def test_one_thread_for_each_process_whatever_the_machine_says():
    asked = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "7")
    program = "import os, flowcheck.pipeline.experiment, torch; print(torch.get_num_threads(), *(os.environ[n] for n in {}))"
    command = [sys.executable, "-c", program.format(list(asked))]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"] * 4


def test_a_run_that_never_ends_is_ended_with_its_traceback():
    done = subprocess.run([sys.executable, "-c", ENDLESS, "0.005"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 7 in <module>' in done.stderr


def test_a_run_within_its_minutes_is_left_alone(study):
    assert study.run("--minutes", "10") == [0.1, 0.05]
    faulthandler.cancel_dump_traceback_later()


# ------------------------------------------------------------------------------------------------------- whose commit it is


def git(folder, *arguments):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    script = tmp_path / "outer" / "checkout" / "scripts" / "toy" / "decay.py"
    script.parent.mkdir(parents=True)
    script.write_text("x = 1\n")
    return script


def committed(folder):
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    return git(folder, "rev-parse", "--short=12", "HEAD")


def test_the_commit_is_that_of_the_checkout_whatever_its_tags_and_says_what_differs(checkout):
    made = committed(checkout.parents[2])
    git(checkout.parents[2], "tag", "v9.9")
    assert experiment.commit(checkout) == made
    checkout.write_text("x = 2\n")
    assert experiment.commit(checkout) == f"{made}-dirty"


def test_files_inside_another_repository_have_no_commit(checkout):
    committed(checkout.parents[3])
    assert experiment.commit(checkout) == "unknown: the files lie inside a repository that is not theirs"


def test_variables_that_name_another_repository_change_no_commit(checkout, tmp_path, monkeypatch):
    made, other = committed(checkout.parents[2]), tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("x")
    committed(other)
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_COMMON_DIR": other / ".git",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_NAMESPACE": "other",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": other,
    }.items():
        monkeypatch.setenv(name, str(value))
        assert experiment.commit(checkout) == made, name


def test_files_outside_of_git_have_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parents[4]))
    assert experiment.commit(checkout) == "unknown: no git repository"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("fatal: detected dubious ownership in repository at 'x'", "git does not read a checkout of another user"),
        ("fatal: something else\nand more", "fatal: something else"),
    ],
)
def test_why_git_does_not_know_is_said(checkout, monkeypatch, said, why):
    def refuse(command, **_):
        raise subprocess.CalledProcessError(128, command, stderr=said)

    monkeypatch.setattr(experiment.subprocess, "run", refuse)
    assert experiment.commit(checkout) == f"unknown: {why}"
