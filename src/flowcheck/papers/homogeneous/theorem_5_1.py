r"""Theorem 5.1 of both papers: what becomes of the NCF flows, and both statements at some deltas.

Arrays [S, D, E] belong to cases, deltas (decreasing) and epsilons (decreasing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.measures.readings import NOTHING, count
from flowcheck.measures.refinement import Refined, change
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.papers.homogeneous.kkt_limits import Limits, largest_residual, smallest_value
from flowcheck.pipeline.evidence import Found, Measurement

ENDINGS = {"direction": Ending.GROWS, "collapse": Ending.VANISHES, "rest": Ending.RESTS}


def decades(deltas: Sequence[float]) -> Measurement:
    """How many powers of ten the deltas span: settings, up to rounding."""
    span = float(np.log10(max(deltas) / min(deltas)))
    return Measurement(span, float(change(span, span)), n=len(deltas))


def endings(studies: Sequence[Study]) -> Found:
    """How many NCF flows end in each way; the largest KKT residual; the smallest NCF where u does not end at 0."""
    limits = [Limits.of(study.network, study.x, study.cases.z, study.ends) for study in studies]
    branch = np.concatenate([part.branch for part in limits])
    return {
        **{f"cases_{name}": count(branch == ending) for name, ending in ENDINGS.items()},
        "kkt_residual_max": largest_residual(limits),
        "kkt_value_min": smallest_value(limits),
    }


def from_here_on(holds: Bool[np.ndarray, "s d *e"]) -> Bool[np.ndarray, "s d *e"]:
    """Whether it holds at a delta (second axis, decreasing) and at all smaller ones."""
    return np.flip(np.logical_and.accumulate(np.flip(holds, axis=1), axis=1), axis=1)


Margin = Callable[[Any, Any, Any, Any], Any]
r"""A paper's dichotomy: norm and misalignment of $w/\delta$, eta and epsilon to how clearly one of the two alternatives holds."""


def margin(
    of: Margin,
    norm: Refined,
    misalignment: Refined,
    eta: Float[np.ndarray, "*#s"] | float,
    epsilon: Float[np.ndarray, "*#s"] | float,
) -> Refined:
    """With the largest change that the errors of norm and angle can make: where one decides, the other's does not count."""

    def at(a: int, b: int) -> np.ndarray:
        return np.asarray(of(norm.value + a * norm.error, misalignment.value + b * misalignment.error, eta, epsilon))

    here = at(0, 0)
    moved = [np.abs(at(a, b) - here) for a in (-1, 1) for b in (-1, 1)]
    return Refined(here, np.max([change(here, here), *moved], axis=0))


@dataclass(frozen=True)
class Dichotomy:
    r"""Both statements of Theorem 5.1 at some deltas, [S, D, E].

    Attributes:
        valid: epsilon is below the theorem's limit, and u resolved.
        deviation: $\sup\|s-u\|/\epsilon$; at most 1 where the proof applies.
        excess: how far the norm exceeds $B_\epsilon$, over epsilon; at most 1 if $\|w\|\le(B_\epsilon+\epsilon)\delta$.
        margin: not negative where one of the two alternatives holds.
    """

    valid: Bool[np.ndarray, "*s"]
    deviation: Refined
    excess: Refined
    margin: Refined

    @classmethod
    def at(
        cls,
        compared: Compared,
        eta: Float[np.ndarray, " s"],
        largest_epsilon: Float[np.ndarray, " s"],
        of: Margin,
    ) -> Dichotomy:
        """`of` is the paper's dichotomy."""
        epsilon, norm = compared.epsilon, compared.norm
        valid = compared.resolved[:, None] & (epsilon < largest_epsilon[:, None, None])
        deviation, excess = (
            Refined(part.value / epsilon, part.error / epsilon) for part in (compared.deviation, compared.excess)
        )
        margins = margin(of, norm, compared.misalignment, eta[:, None, None], epsilon)
        return cls(np.broadcast_to(valid, norm.value.shape), deviation, excess, margins)

    def where(self, valid: Bool[np.ndarray, "*s"]) -> Dichotomy:
        """Fewer of them valid."""
        return replace(self, valid=self.valid & valid)

    def close(self) -> Dichotomy:
        """Those deltas from which on s stays within epsilon of u: there the rest follows by the triangle inequality."""
        return self.where(from_here_on(self.deviation.value <= 1))

    def held(self, *, bounded: bool) -> Dichotomy:
        """Those deltas from which on one of the alternatives holds, and where `bounded` the bound on the norm."""
        holds = self.margin.value >= 0
        return self.where(from_here_on(holds & (self.excess.value <= 1) if bounded else holds))

    def at_smallest(self) -> Dichotomy:
        """At the smallest delta only, whatever happens there."""
        return self.where((np.arange(self.valid.shape[1]) == self.valid.shape[1] - 1)[:, None])

    def diagonal(self) -> Dichotomy:
        """Delta number e at epsilon number e, [S, E]."""
        at = np.arange(self.valid.shape[-1])
        parts = (part[:, at, at] for part in (self.deviation, self.excess, self.margin))
        return Dichotomy(self.valid[:, at, at], *parts)

    @staticmethod
    def joined(parts: Sequence[Dichotomy]) -> Dichotomy:
        """The valid ones of all parts, in one row."""
        found = (
            Refined.joined([getattr(part, name)[part.valid] for part in parts]) for name in ("deviation", "excess", "margin")
        )
        return Dichotomy(np.concatenate([part.valid[part.valid] for part in parts]), *found)

    def readings(self, prefix: str = "") -> Found:
        """Worst deviation, excess and margin of those that are valid."""
        return {
            f"{prefix}deviation_ratio_max": self.deviation[self.valid].largest_of_all(),
            f"{prefix}excess_ratio_max": self.excess[self.valid].largest_of_all(),
            f"{prefix}dichotomy_margin_min": self.smallest_margin(),
        }

    def smallest_margin(self) -> Measurement:
        """Of those that are valid: what the claim is judged by, and so are its controls."""
        return self.margin[self.valid].smallest_of_all()


def over_sweeps(sweeps: Sequence[tuple[Compared, Dichotomy]], *, bounded: bool) -> Found:
    """Theorem 5.1 over deltas: in how many cases no delta-bar is found, and the worst of all cases at their smallest delta.

    Delta-bar is the largest delta from which on the theorem itself holds; beside it, the largest from which on s stays within
    epsilon of u, as the proof asks for.
    """
    asked, answered = (
        np.concatenate([found.valid.any(axis=1).ravel() for found in each])
        for each in ([one for _, one in sweeps], [one.held(bounded=bounded) for _, one in sweeps])
    )
    bars = {"delta_bar": lambda one: one.held(bounded=bounded), "close_delta": Dichotomy.close}
    return {
        "cases_without_delta_bar": Measurement.count(int((asked & ~answered).sum()), int(asked.sum())),
        **Dichotomy.joined([one.at_smallest() for _, one in sweeps]).readings(),
        **{f"{name}_log10_min": smallest_bar([(part, of(one)) for part, one in sweeps]) for name, of in bars.items()},
    }


def smallest_bar(parts: Sequence[tuple[Compared, Dichotomy]]) -> Measurement:
    """The logarithm of the largest valid delta, of the case where it is smallest; of cases that have one. Deltas are settings."""
    largest = [np.where(one.valid, part.deltas[..., None], 0.0).max(axis=1).ravel() for part, one in parts]
    found = np.concatenate(largest)
    found = np.log10(found[found > 0])
    return Measurement.exact(float(found.min()), n=found.size) if found.size else NOTHING
