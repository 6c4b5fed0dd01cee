"""The command line that every experiment script shares: parameters in, evidence out; device, progress, resume.

A script defines `Parameters` (pydantic) and `cell` (one grid point -> Evidence), and ends with ``main(Parameters, cell)``. Where
it has a grid it defines `gather` too (all cells -> Evidence) and ends with ``main(Parameters, cell, gather)``. Without `--cell`
or `--gather` it runs whatever cells are missing and gathers them, so a killed run loses at most the cell it was in.
"""

# ruff: noqa: E402 - the environment is set before the numerical libraries are imported
from __future__ import annotations

import os

# One thread per process, whatever the machine says: sums in another order are other numbers. The numerical libraries read these
# when they are first imported.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import datetime
import functools
import gc
import importlib.metadata
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from tqdm import tqdm

from flowcheck.errors import ConfigError, EvidenceError, HypothesisError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import check_package, code_digest
from flowcheck.pipeline.evidence import UNMET, Evidence
from flowcheck.pipeline.limit import add_minutes, end_after
from flowcheck.pipeline.origin import DATA, ORIGIN, origins_in, read_origins
from flowcheck.pipeline.seal import check_sealed
from flowcheck.pipeline.settings import Settings
from flowcheck.pipeline.strict_yaml import parse_yaml

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
ABSENT = "not there"
SECONDS = "wall_time_s"
DEVICE = "device"
MEASURED = "measured"
LIMITS = ("GIT_CEILING_DIRECTORIES", "GIT_EXEC_PATH")
"""Variables of git that say where not to look, and where its own programs are."""


MOST_COUNTED = 10**9
"""Of steps, runs, samples: no machine would hold or take more."""
LARGEST_PARAMETER = 1e30
MOST_ITEMS = 10_000


class ParametersModel(BaseModel):
    """Base of every script's `Parameters`: unknown keys are errors, and so are numbers and lists that no run could take.

    What else a parameter may be its script says: how small, how many.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        for name, value in self.__dict__.items():
            _check_size(name, value)
        return self


def _check_size(name: str, value: Any) -> None:
    """Raise ValueError for a number or a list beyond what a run could take; models look into themselves."""
    if isinstance(value, int) and abs(value) > MOST_COUNTED:
        raise ValueError(f"{name}: a whole number of at most {MOST_COUNTED} expected, found {value}")
    if isinstance(value, float) and not abs(value) <= LARGEST_PARAMETER:
        raise ValueError(f"{name}: a number of at most {LARGEST_PARAMETER:g} expected, found {value:g}")
    if isinstance(value, (list, tuple, dict)):
        if len(value) > MOST_ITEMS:
            raise ValueError(f"{name}: at most {MOST_ITEMS} items expected, found {len(value)}")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_size(f"{name}.{key}", item)


@dataclass
class Context:
    """What a cell or a gathering step may use besides its parameters."""

    seed: int
    requested_device: str = "cpu"
    label: str = ""
    upstream: Mapping[str, Evidence] = field(default_factory=dict)
    data: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each data set that the experiment reads."""

    def rng(self, *names: str | float) -> np.random.Generator:
        """A PCG64 stream of its own for these names, spawned from the experiment's root seed; independent of the device."""
        key = tuple(zlib.crc32(str(name).encode()) for name in names)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))

    @functools.cached_property
    def device(self) -> torch.device:
        """The torch device: what was asked for, or under ``auto`` the GPU where there is one. Sets one thread."""
        import torch

        torch.set_num_threads(1)
        if self.requested_device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.requested_device)

    @property
    def device_used(self) -> str:
        """The device's name, for the provenance; scripts that never ask for a device run on the CPU."""
        return str(self.device) if "device" in self.__dict__ else "cpu"

    def progress(self, items: Iterable[Item], total: int | None = None, what: str = "") -> Iterator[Item]:
        """Iterate with a progress bar on a terminal, or a line every five seconds in a log file."""
        stream = sys.stderr
        interactive = stream.isatty()
        bar = tqdm(
            items,
            total=total,
            desc=f"{self.label} {what}".strip(),
            file=stream if interactive else _Lines(stream),
            mininterval=0.2 if interactive else 5.0,
            ascii=not interactive,
            dynamic_ncols=interactive,
        )
        return iter(bar)


class _Lines:
    """A stream that turns a progress bar's redrawing into lines."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        text = text.replace("\r", "").strip("\n ")
        if text:
            self.stream.write(text + "\n")

    def flush(self) -> None:
        self.stream.flush()


P = TypeVar("P", bound=ParametersModel)
Cell = Callable[[P, Context], Evidence]
Gather = Callable[[P, Mapping[str, Evidence], Context], Evidence]


def only_cell(parameters: Any, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    """The gathering step of an experiment without a grid: what its one cell measured is the evidence."""
    (evidence,) = cells.values()
    return evidence


@dataclass
class _Run:
    """One experiment in one output folder."""

    settings: Settings
    parameters_model: type[ParametersModel]
    folder: Path
    device: str
    script: Path
    upstream: Mapping[str, Path]
    data: Mapping[str, Path]

    def cell_file(self, name: str) -> Path:
        return self.folder / "cells" / f"{name}.npz"

    def parameters(self, point: Mapping[str, Any]) -> ParametersModel:
        return self.parameters_model.model_validate(self.settings.parameters | dict(point))

    @functools.cached_property
    def code(self) -> str:
        return code_digest(self.script)

    def context(self, label: str) -> Context:
        upstream = {name: Evidence.load(folder) for name, folder in self.upstream.items()}
        return Context(self.settings.seed, self.device, label, upstream, self.data)

    def why_unfinished(self, name: str, point: Mapping[str, Any]) -> str:
        """Why a cell has to be computed, or nothing if it is finished."""
        path = self.cell_file(name)
        if not path.is_file():
            return ABSENT
        try:
            stamp.check_cell(path, self.settings, point, self.code, self.upstream, self.data)
        except (OSError, EvidenceError) as error:
            return str(error)
        return ""

    def run_cell(self, cell: Cell[Any], name: str, point: Mapping[str, Any]) -> None:
        context = self.context(f"{self.settings.experiment} {name}")
        made_with = stamp.of_cell(self.settings, point, self.code, self.upstream, self.data)  # of the code that runs now
        print(f"cell {name}: {dict(point)}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        try:
            evidence = cell(self.parameters(point), context)
        except HypothesisError as unmet:
            print(f"cell {name}: {unmet}", file=sys.stderr, flush=True)
            evidence = Evidence(provenance={UNMET: [unmet.metric, unmet.sentence], MEASURED: unmet.measured})
        seconds = time.perf_counter() - started
        self._check_silence(evidence, f"cell {name}")
        evidence.provenance |= {SECONDS: seconds, DEVICE: context.device_used}
        evidence.save_cell(self.cell_file(name), made_with)
        print(f"cell {name}: done in {seconds:.1f} s", file=sys.stderr, flush=True)

    def run_unfinished(self, cell: Cell[Any]) -> None:
        for name, point in self.settings.cells().items():
            why = self.why_unfinished(name, point)
            if why and why != ABSENT:
                print(f"cell {name}: made again, {why}", file=sys.stderr)
            if why:
                self.run_cell(cell, name, point)
            else:
                print(f"cell {name}: finished earlier", file=sys.stderr)

    def run_gather(self, gather: Gather[Any]) -> None:
        context = self.context(f"{self.settings.experiment} gather")
        made_with = stamp.of_evidence(self.settings, self.code, self.upstream, self.data)
        cells = {name: Evidence.load_cell(self.cell_file(name)) for name in self.settings.cells()}
        for name, one in cells.items():
            self._check_silence(one, f"cell {name}")
        made = [cell.provenance for cell in cells.values()]
        for cell in cells.values():
            cell.provenance = {}  # how a cell was made is no part of what it measured
        started = time.perf_counter()
        try:
            for how in made:
                if UNMET in how:
                    raise HypothesisError(how[UNMET][0], how[MEASURED], how[UNMET][1])
            evidence = gather(self.parameters(next(iter(self.settings.cells().values()))), cells, context)
        except HypothesisError as unmet:
            evidence = Evidence.of_unmet_hypothesis(unmet, self.settings.metrics or ())
        self._check_promise(evidence)
        self._check_silence(evidence, "evidence")
        devices = sorted({how[DEVICE] for how in made})
        evidence.provenance |= provenance(self.settings, self.script, devices) | {
            "script": _relative(self.script),
            "code": self.code,
            "cells": len(cells),
            **self._data_read(context),
            "wall_time_s": round(sum(how[SECONDS] for how in made) + time.perf_counter() - started, 3),
        }
        evidence.save(self.folder, [folder / "metrics.json" for folder in self.upstream.values()], made_with)

    def _data_read(self, context: Context) -> dict[str, Any]:
        """The entry of the provenance for the data that the numbers rest on, those behind the evidence of others too."""
        behind = [origins_in(evidence.provenance) for evidence in context.upstream.values()]
        origins = {name: origin for each in [*behind, read_origins(self.data)] for name, origin in each.items()}
        return {DATA: origins} if origins else {}

    def _check_silence(self, evidence: Evidence, what: str) -> None:
        """A run that went wrong must not leave its population unseen: NaN is declared or it stops the experiment."""
        if self.settings.silent is not None and (said := evidence.undeclared(self.settings.silent)):
            raise SystemExit(f"{self.script}: {what}: {said}, which 'silent' in the experiment's configuration does not declare")

    def _check_promise(self, evidence: Evidence) -> None:
        promised = self.settings.metrics
        if promised is None:
            return
        written, expected = set(evidence.metrics), set(promised)
        if written != expected:
            raise SystemExit(
                f"{self.script}: metrics written and promised in the config differ: "
                f"not promised: {sorted(written - expected)}; not written: {sorted(expected - written)}"
            )


def main(parameters_model: type[P], cell: Cell[P], gather: Gather[P] = only_cell, argv: list[str] | None = None) -> None:
    """Run an experiment script. Exits with one sentence, and status 2, on bad input."""
    gc.freeze()  # no module is garbage: collections need not walk them all, and the last one, as Python ends, took half a second
    script = Path(sys.argv[0])
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__, prog=script.name)
    parser.add_argument("--parameters", type=Path, required=True, help="settings of the experiment (YAML)")
    parser.add_argument("--output", type=Path, required=True, help="folder for cells and evidence")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--seed", type=int, help="root seed, in place of the one in the parameter file")
    parser.add_argument("--upstream", action="append", default=[], metavar="NAME=DIR", help="evidence of another experiment")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=DIR", help="a data set that the script reads")
    add_minutes(parser)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--cell", help="run this cell only")
    only.add_argument("--gather", action="store_true", help="gather; compute only cells that are damaged or outdated")
    arguments = parser.parse_args(argv)
    end_after(arguments.minutes)

    def stop(sentence: str) -> NoReturn:
        parser.exit(2, f"{parser.prog}: error: {sentence}\n")

    try:
        check_package(script.resolve().parent.parent.parent)
    except ConfigError as error:
        stop(str(error))
    if arguments.seed is not None and arguments.seed < 0:
        stop(f"--seed: a root seed is 0 or more, found {arguments.seed}")
    try:
        text = arguments.parameters.read_text(encoding="utf-8")
        settings = Settings.model_validate(parse_yaml(text))
        if arguments.seed is not None:
            settings = Settings.model_validate(settings.model_dump() | {"seed": arguments.seed})
        cells = settings.cells()
        for point in cells.values():
            parameters_model.model_validate(settings.parameters | point)
    except OSError as error:
        stop(f"{arguments.parameters}: {error.strerror}")
    except yaml.YAMLError as error:
        stop(f"{arguments.parameters}: malformed YAML: {' '.join(str(error).split())}")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        stop(f"{arguments.parameters}: key '{key}': {first['msg']}, found {first['input']!r}")
    except ValueError as error:  # not text, or a grid with two points of one name
        stop(f"{arguments.parameters}: {error}")
    if arguments.cell is not None and arguments.cell not in cells:
        stop(f"--cell: unknown cell {arguments.cell!r}; allowed: {', '.join(cells)}")
    if gather is only_cell and len(cells) > 1:
        stop(f"{arguments.parameters}: key 'grid': {len(cells)} cells, and the script defines no 'gather' that merges them")
    if arguments.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            stop("--device: 'cuda' was asked for and torch finds no GPU; allowed here: auto, cpu")
    upstream, data = (
        {name: Path(folder) for name, _, folder in (item.partition("=") for item in items)}
        for items in (arguments.upstream, arguments.data)
    )
    for name, folder in upstream.items():
        if not (folder / "metrics.json").is_file():
            stop(f"--upstream {name}={folder}: no evidence (metrics.json) there")
    for name, folder in data.items():
        try:
            check_sealed(folder / ORIGIN)
        except EvidenceError as error:
            stop(f"--data {name}={folder}: {error}")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"--output {arguments.output}: {error.strerror}")
    run = _Run(settings, parameters_model, arguments.output, arguments.device, script, upstream, data)
    if arguments.gather and (absent := [name for name in cells if not run.cell_file(name).is_file()]):
        raise SystemExit(f"{script}: nothing to gather, cells that are not there: {', '.join(absent)}")
    try:
        if arguments.cell is not None:
            run.run_cell(cell, arguments.cell, cells[arguments.cell])
        else:
            run.run_unfinished(cell)
            run.run_gather(gather)
    except EvidenceError as error:
        stop(str(error))


def provenance(settings: Settings, script: Path, devices: list[str]) -> dict[str, Any]:
    """Where numbers come from: commit, settings, seed, versions, device, machine, time."""
    versions = {name: importlib.metadata.version(name) for name in ("flowcheck", *stamp.NUMERICAL)}
    return {
        "paper": settings.paper,
        "experiment": settings.experiment,
        "scale": settings.scale,
        "seed": settings.seed,
        "grid": settings.grid,
        "parameters": settings.parameters,
        "commit": commit(script),
        "versions": {"python": platform.python_version()} | versions,
        "device": ", ".join(devices),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def commit(script: Path) -> str:
    """The commit of the checkout that ``scripts/<paper>/<experiment>.py`` is in, with ``-dirty`` if tracked files differ.

    ``unknown``, and why, where git does not know it: an archive that lies inside another repository has no commit.
    """
    checkout = script.resolve().parent.parent.parent

    # GIT_DIR and its like, which git sets for its hooks, would name another repository
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in LIMITS}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=plain | {"LC_ALL": "C"})
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != checkout:
            return "unknown: the files lie inside a repository that is not theirs"
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip()
        if "dubious ownership" in said:
            return "unknown: git does not read a checkout of another user"
        return "unknown: no git repository" if "not a git repository" in said else f"unknown: {said.splitlines()[0]}"
    except (OSError, subprocess.SubprocessError):
        return "unknown: git does not answer"


def _relative(path: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd())) if resolved.is_relative_to(Path.cwd()) else path.name
