r"""Lemma 6: the flow of an L-homogeneous function from $\delta s_0$ is $s_\delta(t/\delta^{L-2})=\delta\,s(t)$.

Both flows are integrated as they stand, without rescaling: a solver that rescales would give the lemma for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import change
from flowcheck.networks.zoo import deep_power, power_net
from flowcheck.pipeline.evidence import Found, Measurement

FUNCTIONS = {
    2: power_net(3, 3, 2, slope=1.0),
    3: deep_power((3,), 3, 2, 1.0),
    4: power_net(3, 3, 4),
    6: power_net(3, 3, 6, slope=0.5),
}
"""By degree; of its NCF for random data."""
RTOL, COARSER = 1e-12, 10.0
GROWTH = 30.0
"""A flow ends where its norm has grown by this factor, or after fifty times the time in which its start moves by its length."""
MOMENTS = 20
Field = Callable[[np.ndarray], np.ndarray]


class Case(NamedTuple):
    """A field of degree L - 1, a start and the time that its flow is followed."""

    field: Field
    degree: int
    start: Float[np.ndarray, " k"]
    end: float


def draw(degree: int, sign: int, rng: np.random.Generator, damping: float = 0.0) -> Case:
    r"""Ascent (sign 1) or descent (-1) of a random NCF, followed as long without damping as with it.

    Damping adds the field $-\text{damping}\,\|s\|^Ls$, of degree L + 2; flows with it exist for longer.
    """
    x, z = sphere_inputs(rng, 6, 3), gaussian(rng, 6)
    network = FUNCTIONS[degree]
    start = unit_vectors(rng, 1, network.size)[0].numpy()

    def field(s: np.ndarray) -> np.ndarray:
        return np.asarray(sign * network.pull(torch.from_numpy(s)[None], x, z)[0].numpy())

    def damped(s: np.ndarray) -> np.ndarray:
        return np.asarray(field(s) - damping * np.linalg.norm(s) ** degree * s)

    longest = 50.0 / float(np.linalg.norm(field(start)))
    return Case(damped, degree, start, 0.9 * _end(field, start, longest))


def _end(field: Field, start: Float[np.ndarray, " k"], longest: float) -> float:
    def grown(_: float, s: np.ndarray) -> float:
        return float(np.linalg.norm(s)) - GROWTH

    grown.terminal = True  # type: ignore[attr-defined]
    return float(solve(lambda _, s: field(s), longest, start, "DOP853", rtol=1e-8, atol=1e-10, events=grown).t[-1])


def path(case: Case, delta: float, rtol: float, exponent: float) -> Float[np.ndarray, "p k"]:
    r"""$s_\delta(t/\delta^m)/\delta$ at even times, m the exponent."""
    times = np.linspace(0.0, case.end, MOMENTS) / delta**exponent
    answer = solve(
        lambda _, s: case.field(s), times[-1], delta * case.start, "DOP853", times, rtol=rtol, atol=0.01 * rtol * delta
    )
    return np.asarray(answer.y).T / delta


def gap(case: Case, delta: float, exponent: float | None = None) -> tuple[float, float]:
    """Largest relative distance of the two flows at equal times, and what a coarser tolerance moves it by."""
    m = case.degree - 2 if exponent is None else exponent
    found = []
    for rtol in (RTOL, COARSER * RTOL):
        one, scaled = path(case, 1.0, rtol, 0.0), path(case, delta, rtol, m)
        found.append(float((np.linalg.norm(scaled - one, axis=1) / np.linalg.norm(one, axis=1)).max()))
    return found[0], float(change(np.array(found[0]), np.array(found[1])))


def readings(rng: np.random.Generator, deltas: Sequence[float], draws: int) -> Found:
    """Over degrees, both directions and all deltas; without the change of time, and with a function of another degree."""
    gaps, mixed, unchanged = [], [], []
    for degree in FUNCTIONS:
        for _ in range(draws):
            gaps += [gap(draw(degree, sign, rng), delta) for sign in (1, -1) for delta in deltas]
        mixed.append(gap(draw(degree, 1, rng, damping=0.5), min(deltas)))
        if degree > 2:
            unchanged.append(gap(draw(degree, 1, rng), 0.5, exponent=0.0))
    return {
        "lemma6_gap_max": Measurement(*max(gaps), n=len(gaps)),
        "lemma6_gap_two_degrees_min": Measurement(*min(mixed), n=len(mixed)),
        "lemma6_gap_same_time_min": Measurement(*min(unchanged), n=len(unchanged)),
    }
