"""Pairs of a flow and a descent on the objective of Appendix B that Proposition 20 speaks of, and descent step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from mpmath import mp, mpf

from flowcheck.papers.continuous_discrete.worst_case import DIGITS, Slopes, WorstCase
from flowcheck.papers.continuous_discrete.worst_case_paths import Descent, Flow, Start

PRINTED_FACTOR = 10**14
"""Of e^{-at} epsilon / a in the smallest step size that Proposition 20 admits."""
SMALLEST_RATE, LARGEST_RATE = 0.3, 3.0
"""Between which a is drawn. It only sets the unit of time."""
LARGEST_THIRD = 5.0


@dataclass(frozen=True)
class Pair:
    """A flow, the time at which it is looked at, and a descent."""

    flow: Flow
    time: mpf
    step_size: mpf

    @property
    def objective(self) -> WorstCase:
        """What both move on."""
        return self.flow.objective

    @property
    def scaled_time(self) -> float:
        """A t, without a unit."""
        return float(self.objective.a * self.time)

    @property
    def scaled_step(self) -> float:
        """A eta, without a unit."""
        return float(self.objective.a * self.step_size)

    @property
    def is_small(self) -> bool:
        """Whether the third coordinate does not grow: eta <= 1 / 6a; beyond is Lemma 66."""
        return bool(6 * self.objective.a * self.step_size <= 1)

    def descent(self) -> Descent:
        """The iterates."""
        return Descent.of(self.objective, self.flow.start, self.step_size)


def admitted_times(flow: Flow) -> tuple[mpf, mpf]:
    """The first and the last time of Proposition 20."""
    o, rho = flow.objective, flow.objective.width
    return (
        flow.enters_transition + mp.log(2 / (1 - rho)) / o.a,
        flow.enters_transition + (mp.log((1 + rho / 4) / (1 - 3 * rho / 4)) + mp.log(o.b)) / o.a,
    )


def smallest_step(objective: WorstCase, time: mpf) -> mpf:
    """The step size from which on Proposition 20 says that descent misses the flow at that time."""
    return PRINTED_FACTOR * mp.exp(-objective.a * time) * objective.epsilon / objective.a


def random_flow(rng: np.random.Generator, b: float, epsilon: float) -> Flow:
    """A flow from a random start of Proposition 20, its rate drawn too."""
    objective = WorstCase.of(float(np.exp(rng.uniform(np.log(SMALLEST_RATE), np.log(LARGEST_RATE)))), b, epsilon)
    first, second, third = rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0), rng.uniform(2.0, LARGEST_THIRD)
    return Flow(objective, Start(mpf(first), mpf(second) * mp.exp(-12) - objective.width / 2, mpf(third)))


def without_anisotropy(pair: Pair) -> Pair:
    """The same start, time and step size where the second coordinate is pushed as strongly as the first from the beginning.

    There the second coordinate passes its cut point earlier, so the flow is looked at when it reaches what it reached before.
    """
    objective = replace(pair.objective, anisotropic=False)
    flow = Flow(objective, pair.flow.start)
    later = pair.time - pair.flow.enters_isotropic
    return Pair(flow, flow.enters_isotropic + later, pair.step_size)


def pairs(flows: Sequence[Flow], times: int, multiples: Sequence[float]) -> Iterator[Pair]:
    """Each flow at evenly spaced admitted times, with descents at these multiples of the printed step size.

    For each time two more: a step near the first of them with which an iterate lands inside the transition, as few do, and ten
    times the largest that keeps the third coordinate from growing.
    """
    for flow in flows:
        first, last = admitted_times(flow)
        for share in np.linspace(0.0, 1.0, times):
            time = first + (last - first) * mpf(float(share))
            printed = smallest_step(flow.objective, time)
            steps = [printed * mpf(multiple) for multiple in multiples]
            yield from (Pair(flow, time, step) for step in steps)
            yield Pair(flow, time, _landing(flow, steps[0]))
            yield Pair(flow, time, 10 / (6 * flow.objective.a))


def _landing(flow: Flow, step_size: mpf) -> mpf:
    """The next larger step size with an iterate in the middle of the transition (Lemma 72 (ii), solved for it)."""
    o = flow.objective
    ratio = (2 - o.width) / flow.start.from_axis
    count = int(mp.floor(mp.log(ratio) / mp.log1p(o.a * step_size / 2)))
    return 2 / o.a * mp.expm1(mp.log(ratio) / count)


def draw(rng: np.random.Generator, constants: Sequence[tuple[float, float]], starts: int) -> list[Flow]:
    """Random flows for each pair of constants b and epsilon."""
    with mp.workdps(DIGITS):
        return [random_flow(rng, b, epsilon) for b, epsilon in constants for _ in range(starts)]


@dataclass(frozen=True)
class Stepped:
    """Descent step by step in double precision, many pairs at once, until all have passed the cut point.

    Attributes:
        first, from_axis: their coordinates before each step, NaN after a pair has passed its cut point, shape [k, p].
    """

    first: Float[np.ndarray, "k p"]
    from_axis: Float[np.ndarray, "k p"]


def step_by_step(pairs: Sequence[Pair]) -> Stepped:
    """The iterates by the gradient of the pieces, without any closed form."""
    seconds = [pair.objective.second for pair in pairs]
    push = Slopes([pair.objective.first for pair in pairs]), Slopes(seconds)
    ends = np.array([float(pair.objective.second_cut - f.axis) for pair, f in zip(pairs, seconds, strict=True)])
    eta = np.array([float(pair.step_size) for pair in pairs])
    first = np.array([float(pair.flow.start.first) for pair in pairs])
    from_axis = np.array([float(pair.flow.start.from_axis) for pair in pairs])
    running, path = np.ones(len(pairs), dtype=bool), []
    while running.any():
        path.append((np.where(running, first, np.nan), np.where(running, from_axis, np.nan)))
        running &= from_axis < ends
        first, from_axis = first - eta * push[0].at(first), from_axis - eta * push[1].at(from_axis)
    firsts, seconds_from_axis = zip(*path, strict=True)
    return Stepped(np.stack(firsts), np.stack(seconds_from_axis))
