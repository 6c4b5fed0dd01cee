"""Interleaved timing of variants that were checked first, and the rows of the result.

One thread each and CPU time (`time.process_time`), so that a shared machine hurts all alike. A round times every variant once;
ratios are taken within a round, and their median and range over the rounds are reported.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Variant:
    """Something to be timed. `units`: what one call is worth, so that times are per unit; `error`: against the reference."""

    name: str
    call: Callable[[], Any]
    units: float
    error: float


@dataclass(frozen=True)
class Row:
    """One line of the result. `ratio` is peer / ours, at least `target`; with `at_most`, ours / floor, at most `target`.

    Times are seconds of CPU per unit of work: medians, with the smallest and largest of the rounds. With `counted` they are no
    times but numbers of products.
    """

    id: str
    work: str
    peer: str
    ours: str
    unit: str
    ratio: float
    ratio_range: tuple[float, float]
    target: float | None
    at_most: bool
    ours_median: float
    ours_range: tuple[float, float]
    peer_median: float
    peer_range: tuple[float, float]
    rounds: int
    errors: dict[str, float]
    note: str = ""
    why: str = ""
    machine: dict[str, str] = field(default_factory=dict)
    counted: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met}


def require_accurate(variants: Sequence[Variant], tolerance: float) -> None:
    """Raises ValueError for a variant that is off the reference by more than the tolerance, or by nan."""
    for variant in variants:
        if not variant.error <= tolerance:
            raise ValueError(f"{variant.name}: error {variant.error:.1e} against the reference, allowed {tolerance:.0e}")


def interleave(
    variants: Sequence[Variant], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds per unit of every variant in every round, after one call each that is not timed."""
    for variant in variants:
        variant.call()
    seconds: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            started = clock()
            variant.call()
            seconds[variant.name].append((clock() - started) / variant.units)
    return seconds


def fastest(seconds: dict[str, list[float]], names: Sequence[str]) -> str:
    """The variant with the smallest median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))


def compare(
    identity: str,
    work: str,
    unit: str,
    variants: Sequence[Variant],
    seconds: dict[str, list[float]],
    ours: str,
    peer: str,
    target: float | None,
    *,
    label: str = "",
    note: str = "",
    why: str = "",
    counted: bool = False,
) -> Row:
    """The row of ours against one peer. `why` is kept only if the target is missed."""
    mine, other = seconds[ours], seconds[peer]
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    errors = {variant.name: variant.error for variant in variants if variant.name in (ours, peer)}
    row = _row(identity, work, label or peer, ours, unit, ratios, target, False, mine, other, errors, note, why)
    return replace(row, counted=counted)


def against_floor(
    identity: str,
    work: str,
    unit: str,
    mine: Sequence[float],
    floor: Sequence[float],
    ours: str,
    target: float,
    *,
    note: str = "",
    why: str = "",
) -> Row:
    """The row of ours against a time that cannot be undercut, measured in the same rounds."""
    ratios = [a / b for a, b in zip(mine, floor, strict=True)]
    return _row(identity, work, "floor", ours, unit, ratios, target, True, mine, floor, {}, note, why)


def _row(
    identity: str,
    work: str,
    peer: str,
    ours: str,
    unit: str,
    ratios: Sequence[float],
    target: float | None,
    at_most: bool,
    mine: Sequence[float],
    other: Sequence[float],
    errors: dict[str, float],
    note: str,
    why: str,
) -> Row:
    row = Row(
        identity, work, peer, ours, unit, statistics.median(ratios), (min(ratios), max(ratios)), target, at_most,
        statistics.median(mine), (min(mine), max(mine)), statistics.median(other), (min(other), max(other)),
        len(ratios), errors, note, "", machine(),
    )  # fmt: skip
    return row if row.met is not False else Row(**{**asdict(row), "why": why or "not yet understood"})


def machine() -> dict[str, str]:
    """Processor, cores, system, Python and the versions of what was timed."""
    packages = ("numpy", "scipy", "torch", "jax", "jaxlib", "diffrax", "equinox", "curvlinops-for-pytorch")
    versions = {name: _version(name) for name in packages}
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{name: version for name, version in versions.items() if version},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """The model, with family and model number where the name does not tell them (virtual machines)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{known.get('model name', platform.machine())} (family {known.get('cpu family')}, model {known.get('model')})"


def tune(
    solve: Callable[[float], Any], error: Callable[[Any], float], target: float, ladder: Sequence[float]
) -> tuple[float, float]:
    """The loosest tolerance of the ladder whose result has an error below the target, and that error.

    The next tighter rung must hold too: one lucky rung does not count. Raises ValueError if there are no such two.
    """
    previous: tuple[float, float] | None = None
    for rtol in sorted(ladder, reverse=True):
        found = error(solve(rtol))
        if not found <= target:
            previous = None
        elif previous is None:
            previous = (rtol, found)
        else:
            return previous
    raise ValueError(f"no tolerance of {list(ladder)} reaches an error of {target:.0e}")
