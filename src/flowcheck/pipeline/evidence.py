"""Evidence: what an experiment measured, on disk.

An experiment leaves three files: ``metrics.json`` (flat, named numbers with their errors), ``arrays.npz`` (curves for the
figures) and ``runs.parquet`` (one row per run). They are written atomically, ``metrics.json`` last: where it exists, the
rest is complete. What one cell measured is evidence already; until it is gathered it lies in one file, ``cells/{cell}.npz``.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

from flowcheck.errors import EvidenceError, HypothesisError
from flowcheck.pipeline.seal import SEAL, blank_seal, check_archive, check_sealed, parse_json, seal_archive, seal_of, seal_text

EVIDENCE_FILES = ("metrics.json", "arrays.npz", "runs.parquet")
PROVENANCE = "provenance"
UNMET = "hypothesis_not_met"
"""Entry of the provenance that says which hypothesis ended the run; the figures are then empty."""
MARK = ":"
"""In a cell's file the names of what is no array begin with it."""


@dataclass(frozen=True)
class Measurement:
    """One measured number with the bound on its error; `count` and `exact` make those that have none.

    Attributes:
        value: the number; NaN says that it was measured and is not a number.
        error: bound on its numerical error, in the unit of the value; infinite where nothing bounds it (NaN becomes that).
        interval: confidence interval of a statistical statement, or None.
        n: how many runs, seeds or samples stand behind it, or None.
        is_exact: that no error stands behind it.

    Raises ValueError if a number that is not exact has an error of 0, if an error or n is negative, or if an interval does not
    hold the value.
    """

    value: float
    error: float
    interval: tuple[float, float] | None = None
    n: int | None = None
    is_exact: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Numbers of numpy and torch become Python's, which is what JSON and the judge take."""
        object.__setattr__(self, "value", float(self.value))
        object.__setattr__(self, "error", math.inf if math.isnan(self.error) else float(self.error))
        if self.interval is not None:
            object.__setattr__(self, "interval", (float(self.interval[0]), float(self.interval[1])))
        if self.n is not None:
            object.__setattr__(self, "n", int(self.n))
        self._refuse()

    def _refuse(self) -> None:
        if self.error < 0 or (self.error == 0) != self.is_exact:
            raise ValueError(
                f"{self.value:g} with an error of {self.error:g}: a measured number has an error above 0; "
                "use Measurement.count or Measurement.exact for one that has none"
            )
        if self.n is not None and self.n < 0:
            raise ValueError(f"{self.value:g} of {self.n} runs")
        if self.interval is not None and not any(map(math.isnan, (self.value, *self.interval))):
            low, high = self.interval
            if not low <= self.value <= high:
                raise ValueError(f"the interval [{low:g}, {high:g}] does not hold its value {self.value:g}")

    @classmethod
    def count(cls, value: int, n: int | None = None) -> Measurement:
        """How many of `n` there are. Raises ValueError if that is no whole number."""
        if value != int(value):
            raise ValueError(f"a count is a whole number, not {value!r}")
        return cls.exact(int(value), n)

    @classmethod
    def exact(cls, value: float, n: int | None = None, interval: tuple[float, float] | None = None) -> Measurement:
        """A setting, a share of counts, or an answer that no rounding stands behind: symbolic, or rational and written down."""
        return cls(value, 0.0, interval, n, is_exact=True)

    def to_json(self) -> Any:
        """The contract of ``metrics.json``: an object with value and error.

        JSON has no infinity and no NaN: they become the texts "inf" and "-inf", and null.
        """
        record: dict[str, Any] = {"value": _written(self.value), "error": _written(self.error)}
        if self.interval is not None:
            record["interval"] = [_written(end) for end in self.interval]
        if self.n is not None:
            record["n"] = self.n
        return record

    @classmethod
    def from_json(cls, record: Any) -> Measurement:
        """Inverse of `to_json`. Raises ValueError on anything that it does not write."""
        if not isinstance(record, Mapping) or not {"value", "error"} <= record.keys() <= {"value", "error", "interval", "n"}:
            raise ValueError(f"a metric has a 'value' and an 'error', perhaps an 'interval' and an 'n', and this is {record!r}")
        interval, n = record.get("interval"), record.get("n")
        if "n" in record and (not isinstance(n, int) or isinstance(n, bool)):
            raise ValueError(f"the 'n' of a metric is a whole number, not {n!r}")
        if "interval" in record and not (isinstance(interval, list) and len(interval) == 2):
            raise ValueError(f"the 'interval' of a metric has two ends, and this is {interval!r}")
        return cls(
            value=_number(record["value"]),
            error=_number(record["error"]),
            interval=None if interval is None else (_number(interval[0]), _number(interval[1])),
            n=n,
            is_exact=record["error"] == 0,
        )


Found = Mapping[str, "np.ndarray | Measurement"]
"""What one part of a study found, by name: measurements for the metrics, arrays for the figures."""


class Evidence:
    """Everything one experiment measured: named numbers, arrays for its figures, one table of its runs.

    `runs` may be the path of a table, which then is read when it is asked for: importing pandas takes longer than judging.
    """

    def __init__(
        self,
        metrics: dict[str, Measurement] | None = None,
        arrays: dict[str, np.ndarray] | None = None,
        runs: pd.DataFrame | Path | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.metrics, self.arrays, self.provenance = metrics or {}, arrays or {}, provenance or {}
        self._runs = runs

    @classmethod
    def of(cls, parts: Iterable[Found], runs: pd.DataFrame | None = None) -> Evidence:
        """What the parts of a study found, together. Raises ValueError if two of them share a name."""
        evidence = cls(runs=runs)
        for found in parts:
            evidence.add(found)
        return evidence

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run."""
        if self._runs is None or isinstance(self._runs, Path):
            import pandas as pd

            self._runs = pd.DataFrame() if self._runs is None else pd.read_parquet(self._runs)
        return self._runs

    @runs.setter
    def runs(self, table: pd.DataFrame) -> None:
        self._runs = table

    def measure(
        self,
        name: str,
        value: float,
        *,
        error: float,
        interval: tuple[float, float] | None = None,
        n: int | None = None,
    ) -> None:
        """Record one measured number with its error, which is above 0. Raises ValueError if the name is taken."""
        self.record(name, Measurement(value, error, interval, n))

    def record(self, name: str, measurement: Measurement) -> None:
        """Record one number. Raises ValueError if the name is taken."""
        self.add({name: measurement})

    def add(self, found: Found) -> None:
        """Record what one part of a study found: measurements as metrics, arrays as arrays.

        Raises ValueError if a name is taken.
        """
        for name, item in found.items():
            if name in self.metrics or name in self.arrays or name == PROVENANCE:
                raise ValueError(f"{name!r} is recorded twice")
            if isinstance(item, Measurement):
                self.metrics[name] = item
            else:
                self.arrays[name] = item

    def undeclared(self, silent: Iterable[str]) -> str | None:
        """What holds NaN although its name matches none of `silent`, in words; None if nothing does."""
        patterns = list(silent)
        columns = {} if self._runs is None else {str(name): self.runs[name].to_numpy() for name in self.runs}
        for kind, name, numbers in [
            *(("array", name, np.asarray(array)) for name, array in self.arrays.items()),
            *(("column", name, column) for name, column in columns.items()),
        ]:
            if numbers.dtype.kind not in "fc" or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                continue
            if count := int(np.isnan(numbers).sum()):
                return f"{kind} {name!r} is NaN in {count} of {numbers.size} places"
        return None

    def save_cell(self, path: Path, stamp: str = "") -> None:
        """Write all of it into one file, atomically, with the stamp of what it was made with.

        Raises TypeError on object arrays, ValueError if the name of an array begins with ``:``.
        """
        if marked := [name for name in self.arrays if name.startswith(MARK)]:
            raise ValueError(f"the names of arrays do not begin with {MARK!r}: {', '.join(marked)}")
        parts = {
            "metrics": np.array(json.dumps({name: m.to_json() for name, m in self.metrics.items()}, allow_nan=False)),
            "provenance": np.array(json.dumps(self.provenance, allow_nan=False)),
        }
        if self._runs is not None:
            table = io.BytesIO()
            check_table(self.runs).to_parquet(table, index=False)
            parts["runs"] = np.frombuffer(table.getvalue(), dtype=np.uint8)
        save_arrays(path, self.arrays | {f"{MARK}{name}": part for name, part in parts.items()}, label=stamp)

    @classmethod
    def load_cell(cls, path: Path) -> Evidence:
        """Inverse of `save_cell`. Raises FileNotFoundError, or EvidenceError on a file that it did not write."""
        arrays = load_arrays(path)
        try:
            metrics, provenance = (json.loads(str(arrays.pop(f"{MARK}{name}"))) for name in ("metrics", "provenance"))
        except (KeyError, ValueError):
            raise EvidenceError(f"{path}: arrays, and not what a cell measured") from None
        table, runs = arrays.pop(f"{MARK}runs", None), None
        if table is not None:
            import pandas as pd

            runs = pd.read_parquet(io.BytesIO(table.tobytes()))
        return cls(_measurements(metrics, path), arrays, runs, provenance)

    def save(self, folder: Path, upstream: Iterable[Path] = (), stamp: str = "") -> None:
        """Write the three files into `folder`, ``metrics.json`` last, with the stamp of what they were made with.

        `upstream` are files of other evidence that it rests on.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").unlink(missing_ok=True)  # numbers of an earlier run must not stand beside new arrays
        save_arrays(folder / "arrays.npz", self.arrays)
        with atomic_file(folder / "runs.parquet") as stream:
            check_table(self.runs).to_parquet(stream, index=False)
        flat: dict[str, Any] = {name: m.to_json() for name, m in sorted(self.metrics.items())}
        place = "/".join([*(str(self.provenance.get(key, "")) for key in ("scale", "paper", "experiment")), "metrics.json"])
        seal = blank_seal(
            folder / "metrics.json", [*(folder / name for name in EVIDENCE_FILES[1:]), *upstream], place, stamp=stamp
        )
        save_sealed(folder / "metrics.json", flat | {PROVENANCE: self.provenance | {SEAL: seal}})

    @classmethod
    def of_unmet_hypothesis(cls, unmet: HypothesisError, promised: Iterable[str]) -> Evidence:
        """The measured hypothesis, and NaN for every other promised number: claims on it become `hypothesis-not-met`."""
        evidence = cls(provenance={UNMET: str(unmet)})
        for name in sorted({*promised, unmet.metric}):
            evidence.record(name, Measurement.exact(unmet.measured if name == unmet.metric else math.nan))
        return evidence

    @classmethod
    def load(cls, folder: Path) -> Evidence:
        """Read what `save` wrote. Raises FileNotFoundError without ``metrics.json``, EvidenceError if a file is not whole."""
        metrics, provenance = load_metrics(folder / "metrics.json")
        check_sealed(folder / "metrics.json")
        return cls(metrics, load_arrays(folder / "arrays.npz"), folder / "runs.parquet", provenance)


def load_metrics(path: Path, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Measurement], dict[str, Any]]:
    """Metrics and provenance of a ``metrics.json``.

    Raises FileNotFoundError, or EvidenceError: malformed, changed after it was written, or of another paper, experiment or scale
    than was `asked` for.
    """
    content = path.read_bytes()
    flat = parse_json(path, content)
    provenance = flat.pop(PROVENANCE, None)
    metrics = _measurements(flat, path)
    if not isinstance(provenance, dict):
        raise EvidenceError(f"{path}: does not say where its numbers come from (key {PROVENANCE!r})")
    for key, value in (asked or {}).items():
        if provenance.get(key) != value:
            raise EvidenceError(f"{path}: evidence of {key} {provenance.get(key)!r}, and {value!r} was asked for")
    seal_of(path, content)
    return metrics, {key: value for key, value in provenance.items() if key != SEAL}


def _measurements(flat: Mapping[str, Any], path: Path) -> dict[str, Measurement]:
    """The metrics of a file. Raises EvidenceError, with file and metric, on what `Measurement.to_json` does not write."""
    found = {}
    for name, record in flat.items():
        try:
            found[name] = Measurement.from_json(record)
        except ValueError as error:
            raise EvidenceError(f"{path}: metric {name!r}: {error}") from None
    return found


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file that appears under its name only when it is complete: a killed or out-of-disk writer leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8"}
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, mode, **encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_json(path: Path, content: Any) -> None:
    """Write JSON atomically. Raises ValueError on NaN or infinity, which JSON does not have."""
    with atomic_file(path) as stream:
        stream.write(_json_text(content).encode())


def save_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whose last object is a blank seal, sealed and atomically. Raises ValueError on NaN or infinity."""
    with atomic_file(path) as stream:
        stream.write(seal_text(_json_text(content)).encode())


def load_sealed(path: Path) -> dict[str, Any]:
    """The content of what `save_sealed` wrote. Raises EvidenceError if it is not there, damaged or changed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from None
    found = parse_json(path, content)
    seal_of(path, content)
    found.pop(SEAL, None)
    return found


def verdicts_on(folder: Path) -> dict[Path, dict[str, Any]]:
    """The verdict files on the evidence in ``results/{scale}/{paper}/{experiment}``, with what they say.

    Files of other experiments may be damaged, or be written just now. Raises EvidenceError if one of these was changed.
    """
    found = []
    for path in sorted((folder.parent.parent / "claims" / folder.parent.name).glob("*.json")):
        with contextlib.suppress(EvidenceError, OSError):
            if parse_json(path, path.read_bytes()).get("experiment") == folder.name:
                found.append(path)
    return {path: load_sealed(path) for path in found}


def check_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The table. Raises TypeError for what a file of runs does not give back: an index, columns without a name or of no type."""
    import pandas as pd

    if not runs.index.equals(pd.RangeIndex(len(runs))):
        raise TypeError(f"runs have the index {runs.index[:3].tolist()}...; make it a column: what tells the rows apart is lost")
    if not len(runs.columns) and len(runs):
        raise TypeError(f"runs have {len(runs)} rows and no column")
    for name in runs.columns:
        if not isinstance(name, str):
            raise TypeError(f"runs have a column {name!r}, and the name of a column is text")
        # what is missing has no type: None, or the NaN of a table that was put together of others without this column
        kinds = set(map(type, runs[name].dropna())) if runs[name].dtype == object else set()
        if not (kinds <= {str} or kinds <= {bool} or kinds <= {list}) or runs[name].dtype.kind == "c":
            found = ", ".join(sorted(kind.__name__ for kind in kinds)) or str(runs[name].dtype)
            raise TypeError(f"column {name!r} of runs holds {found}; a column is numbers, truth values or text of one type")
    return runs


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], label: str = "") -> None:
    """Write arrays as sealed ``.npz`` without pickles, atomically.

    Raises TypeError on object arrays, ValueError for names that numpy or the archive would take for something else.
    """
    for name, array in arrays.items():
        if name in ("file", "allow_pickle") or not name or "\0" in name:
            raise ValueError(f"{name!r} is no name of an array: numpy or the archive would take it for something else")
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects; evidence is plain numbers and text")
    archive = io.BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **{name: np.asarray(a) for name, a in arrays.items()})
    with atomic_file(path) as stream:
        stream.write(seal_archive(archive.getvalue(), label))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` that `save_arrays` wrote. Raises FileNotFoundError, or EvidenceError if it was damaged or changed."""
    content = path.read_bytes()
    check_archive(path, content)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # whatever a library says of its format, the reader learns which file it is about
        raise EvidenceError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _json_text(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _written(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def _number(record: Any) -> float:
    if record is None:
        return math.nan
    if record in ("inf", "-inf"):
        return float(record)
    if not isinstance(record, (int, float)) or isinstance(record, bool):
        raise ValueError(f"a number, null, 'inf' or '-inf' is expected, not {record!r}")
    try:
        return float(record)
    except OverflowError:
        raise ValueError("a number of more digits than a double holds") from None
