r"""From the arrays of `early_alignment.Study` to numbers: slopes, and the two statements of Theorem 5.1 of both papers.

Arrays [S, D, E] belong to cases, deltas (decreasing) and epsilons (decreasing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.flows.ending import Ending
from flowcheck.measures.readings import count, largest, rate, smallest
from flowcheck.pipeline.evidence import Evidence, Measurement

Arrays = Mapping[str, np.ndarray]


def parts_of(arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """Arrays named part/key, part by part."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        part, _, key = name.partition("/")
        parts.setdefault(part, {})[key] = value
    return parts


def deviation_rate(
    deltas: Float[np.ndarray, "s p"],
    deviation: Float[np.ndarray, "s p"],
    error: Float[np.ndarray, "s p"],
    size: Float[np.ndarray, " s"],
    resolution: float = 100.0,
) -> Measurement:
    r"""Slope of $\ln\|s-u\|$ on $\ln\delta$.

    Points are kept by a rule: the deviation is below a hundredth of the `size` of u, where its expansion in $\delta^L$ starts
    to hold, and at least `resolution` times its own error.
    """
    use = (deviation <= 1e-2 * size[:, None]) & (deviation >= resolution * error) & (deviation > 0)
    floor = np.where(use, deviation, 1.0)
    return rate(np.log(deltas), np.log(floor), error / floor, use)


def from_here_on(holds: Bool[np.ndarray, "s d *e"]) -> Bool[np.ndarray, "s d *e"]:
    """Whether it holds at a delta (second axis, decreasing) and at all smaller ones."""
    return np.flip(np.logical_and.accumulate(np.flip(holds, axis=1), axis=1), axis=1)


@dataclass(frozen=True)
class Dichotomy:
    r"""Both statements of Theorem 5.1 at some deltas, [S, D, E].

    Attributes:
        valid: epsilon is below the theorem's limit, and u resolved.
        deviation: $\sup\|s-u\|/\epsilon$; at most 1 where the proof applies.
        excess: how far the norm exceeds $B_\epsilon$, over epsilon; at most 1 if $\|w\|\le(B_\epsilon+\epsilon)\delta$.
        margin: not negative where one of the two alternatives holds.
        deviation_error, excess_error, margin_error: their numerical errors.
    """

    valid: Bool[np.ndarray, "*s"]
    deviation: Float[np.ndarray, "*s"]
    excess: Float[np.ndarray, "*s"]
    margin: Float[np.ndarray, "*s"]
    deviation_error: Float[np.ndarray, "*s"]
    excess_error: Float[np.ndarray, "*s"]
    margin_error: Float[np.ndarray, "*s"]

    @classmethod
    def at(
        cls,
        arrays: Arrays,
        columns: slice,
        epsilons: Sequence[float],
        eta: Float[np.ndarray, " s"],
        largest_epsilon: Float[np.ndarray, " s"],
        margin: Callable[..., np.ndarray],
    ) -> Dichotomy:
        """`columns` of the deltas; `margin(norm, misalignment, eta, epsilon)` is the paper's dichotomy."""
        epsilon = np.array(sorted(epsilons, reverse=True))
        of = {key: value[:, columns] for key, value in arrays.items() if value.ndim == 3}
        valid = arrays["resolved"][:, None] & (epsilon < largest_epsilon[:, None, None])

        def margin_of(a: int, b: int) -> np.ndarray:
            norm, apart = of["norm"] + a * of["norm_error"], of["misalignment"] + b * of["misalignment_error"]
            return margin(norm, apart, eta[:, None, None], epsilon)

        here = margin_of(0, 0)
        return cls(
            np.broadcast_to(valid, of["norm"].shape),
            of["deviation"] / epsilon,
            of["excess"] / epsilon,
            here,
            of["deviation_error"] / epsilon,
            of["excess_error"] / epsilon,
            # where the cosine decides, the error of a large norm does not count
            np.max([np.abs(margin_of(a, b) - here) for a in (-1, 1) for b in (-1, 1)], axis=0),
        )

    def where(self, valid: Bool[np.ndarray, "*s"]) -> Dichotomy:
        """Fewer of them valid."""
        return Dichotomy(self.valid & valid, *list(vars(self).values())[1:])

    def close(self) -> Dichotomy:
        """Those deltas from which on s stays within epsilon of u."""
        return self.where(from_here_on(self.deviation <= 1))

    def diagonal(self) -> Dichotomy:
        """Delta number e at epsilon number e, [S, E]."""
        return Dichotomy(*(np.diagonal(value, axis1=1, axis2=2) for value in vars(self).values()))

    @staticmethod
    def joined(parts: Sequence[Dichotomy]) -> Dichotomy:
        """All of them in one row."""
        return Dichotomy(
            *(np.concatenate([column.ravel() for column in columns]) for columns in zip(*map(_fields, parts), strict=True))
        )

    def measure(self, evidence: Evidence, prefix: str = "") -> None:
        """Worst deviation, excess and margin of the valid ones."""
        for name in ("deviation", "excess"):
            evidence.record(f"{prefix}{name}_ratio_max", largest(getattr(self, name), getattr(self, f"{name}_error"), self.valid))
        self.measure_margin(evidence, f"{prefix}dichotomy_margin_min")

    def measure_margin(self, evidence: Evidence, name: str) -> None:
        """The smallest margin of the valid ones: what the claim is judged by, and so are its controls."""
        evidence.record(name, smallest(self.margin, self.margin_error, self.valid))


def _fields(one: Dichotomy) -> tuple[np.ndarray, ...]:
    return tuple(vars(one).values())


def measure_endings(evidence: Evidence, parts: Sequence[Arrays]) -> None:
    """How many NCF flows end in each way; the largest KKT residual; the smallest NCF where u does not end at 0."""
    branch = np.concatenate([arrays["branch"] for arrays in parts])
    for number, name in enumerate(("direction", "collapse", "rest")):
        evidence.record(f"cases_{name}", count(branch == number))
    residual = np.concatenate([arrays["residual"] for arrays in parts])
    evidence.measure("kkt_residual_max", residual.max(), error=1e-12, n=len(residual))
    value = np.concatenate([arrays["value"] for arrays in parts])[branch != Ending.VANISHES]
    evidence.measure("kkt_value_min", value.min(), error=1e-12, n=len(value))


def measure_sweep(evidence: Evidence, sweeps: Sequence[Dichotomy]) -> None:
    """Theorem 5.1 at every delta from which on s stays within epsilon of u, and how many cases have no such delta."""
    close = [one.close() for one in sweeps]
    found = [one.valid.any(axis=1) for one in close]
    missing = sum(int((one.valid.any(axis=1) & ~there).sum()) for one, there in zip(sweeps, found, strict=True))
    evidence.record("cases_without_delta_bar", Measurement.count(missing, sum(int(there.sum()) for there in found) + missing))
    Dichotomy.joined(close).measure(evidence)


def measure_deviation_rate(
    evidence: Evidence,
    name: str,
    arrays: Arrays,
    rows: Bool[np.ndarray, " s"],
    columns: slice,
    resolution: float = 100.0,
) -> None:
    """`deviation_slope_{name}` from the first moment of some cases; the curves go into the arrays, as fractions of the norm."""
    rows = rows & arrays["resolved"][:, 0]
    deltas = arrays["deltas"][rows, columns]
    deviation, error = arrays["deviation"][rows, columns, 0], arrays["deviation_error"][rows, columns, 0]
    size = arrays["largest_norm"][rows, 0]
    evidence.record(name, deviation_rate(deltas, deviation, error, size, resolution))
    evidence.arrays |= {f"{name}_deltas": deltas[0], f"{name}_deviation": deviation / size[:, None]}


def measure_evaluations(evidence: Evidence, parts: Sequence[Arrays], deltas: Sequence[float]) -> None:
    """`evaluations_growth`: right-hand sides from delta = 1e-6 over those from 1e-2, the largest quotient of any trajectory."""
    coarse, fine = deltas.index(1e-2), deltas.index(1e-6)
    growth = np.concatenate([arrays["evaluations"][:, fine] / arrays["evaluations"][:, coarse] for arrays in parts])
    evidence.measure("evaluations_growth", growth.max(), error=0.0, n=len(growth))
