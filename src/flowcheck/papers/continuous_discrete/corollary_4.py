r"""Corollary 4: steps from global constants, in the three regimes of $m$, on functions whose flows are known in closed form.

Bowls ($m<0$), a valley and log cosh ($m=0$), hills of cosines ($m>0$): all are non-negative and smooth everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.integration.discrepancy import largest_step
from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.beside_the_flow import (
    ADMITTED,
    Flow,
    Gradient,
    bisected,
    cosine_flow,
    farthest,
    log_cosh_flow,
)
from flowcheck.pipeline.evidence import Found, Measurement

MOST_STEPS = 600_000
"""Of one descent: longer ones are left out and counted."""
LARGEST_STEP = 0.5
"""The largest curvature is two: with longer steps descent would not settle."""
CURVED = 0.5
"""The smallest curvature of the bowl."""


def admitted_step(m: float, smoothness: float, loss: float, radius: float, time: float, offset: float = 0.0) -> float:
    r"""The right side of the condition, with $c=(\sqrt{2\beta^3f(\theta(0))}+\beta^2\epsilon)^{-1}$; 0 or less: none is."""
    c = 1 / (np.sqrt(2 * smoothness**3 * loss) + smoothness**2 * radius)
    if m < 0:
        return float(c * (radius - offset) * -m)
    if m == 0:
        return float(c * (radius - offset) / time)
    return float(c * (radius - offset * np.exp(m * time)) * m / np.expm1(m * time))


@dataclass(frozen=True)
class Example:
    """A function of two numbers with its global constants and one flow.

    Attributes:
        gradient, flow: of rows of points, and at times.
        m, smoothness: minus the infimum of the smallest eigenvalue of the Hessian, and the supremum of its norm.
        loss: at the start of the flow.
        push: the direction in which an offset grows or stays, [2].
    """

    name: str
    gradient: Gradient
    flow: Flow
    m: float
    smoothness: float
    loss: float
    push: Float[np.ndarray, " 2"]

    def deviation(self, step_size: float, time: float, offset: float) -> float:
        """The largest distance of descent from the flow."""
        start = self.flow(np.zeros(1)) + offset * self.push
        return float(farthest(self.gradient, self.flow, start, np.array([step_size]), time)[0])

    def admitted(self, radius: float, time: float, offset: float) -> float:
        """The step of the corollary."""
        return admitted_step(self.m, self.smoothness, self.loss, radius, time, offset)

    def following(self, radius: float, time: float) -> float:
        """The largest step that keeps descent from the flow's start within the radius, up to `LARGEST_STEP`."""
        low = min(self.admitted(radius, time, 0.0), LARGEST_STEP) / 2
        return bisected(lambda eta: self.deviation(eta, time, 0.0) <= radius, low, LARGEST_STEP)


def bowl() -> Example:
    """(x^2 / 2 + 2 y^2) / 2."""
    start = np.array([1.0, 0.5])
    curvatures = np.array([CURVED, 2.0])
    return Example(
        "bowl",
        lambda w: w * curvatures,
        lambda t: start * np.exp(-np.outer(t, curvatures)),
        -CURVED,
        2.0,
        float((curvatures * start**2).sum() / 2),
        np.array([1.0, 0.0]),
    )


def valley() -> Example:
    """x^2 / 2, flat in y."""
    return Example(
        "valley",
        lambda w: w * np.array([1.0, 0.0]),
        lambda t: np.stack([np.exp(-t), np.zeros_like(t)], axis=1),
        0.0,
        1.0,
        0.5,
        np.array([0.0, 1.0]),
    )


def log_cosh(start: float = 3.0) -> Example:
    """The function ln cosh x, flat in y; its curvature is positive and has no positive lower bound."""
    return Example(
        "log cosh",
        lambda w: np.tanh(w) * np.array([1.0, 0.0]),
        lambda t: np.stack([log_cosh_flow(start, t), np.zeros_like(t)], axis=1),
        0.0,
        1.0,
        float(np.log(np.cosh(start))),
        np.array([0.0, 1.0]),
    )


def hills(start: float = 1e-3, height: float = 1.0) -> Example:
    """Twice the height + cos x + cos y: the flow leaves the top in x, and rests in y. Below height 1 it has negative values."""
    return Example(
        "hills",
        lambda w: -np.sin(w),
        lambda t: np.stack([cosine_flow(start, t), np.zeros_like(t)], axis=1),
        1.0,
        1.0,
        2 * height + float(np.cos(start)) + 1,
        np.array([1.0, 0.0]),
    )


RADIUS, SMALL_RADIUS = 0.02, 0.001
"""The small one on the hills, where descent strays less, and in a control."""
SHARES = (0.0, 0.5, 0.9)
"""Of the offset that the condition allows."""
TIMES = {"bowl": (1.0, 5.0, 20.0), "valley": (0.02, 1.0, 20.0), "log cosh": (1.0, 10.0, 20.0), "hills": (0.2, 1.0, 3.0)}
REGIMES = {"negative": ("bowl",), "zero": ("valley", "log cosh"), "positive": ("hills",)}
LATE = 4.0
"""From here on the bowl's flow has passed where descent is farthest from it."""
SCALED_TIMES = {
    "bowl": np.geomspace(LATE, 64.0, 7),
    "log cosh": np.geomspace(LATE, 64.0, 7),
    "hills": np.linspace(2.0, 6.0, 9),
}
"""Times for which the largest step is measured."""
NEVER_NEGATIVE_BY = 1e-6
"""How far the control's hills, which go down to -4, are lifted so that their start lies above zero."""


def objectives() -> dict[str, Example]:
    """By name."""
    return {one.name: one for one in (bowl(), valley(), log_cosh(), hills())}


def _allowed_offset(one: Example, time: float) -> float:
    return RADIUS * float(np.exp(-max(one.m, 0.0) * time))


def regimes() -> Found:
    """Distances over the radius at the admitted step, for each sign of m; the conditions of other regimes on the hills."""
    chosen = objectives()
    found: dict[str, Measurement] = {}
    for regime, names in REGIMES.items():
        ratios, skipped = [], 0
        for name in names:
            for time in TIMES[name]:
                for share in SHARES:
                    offset = share * _allowed_offset(chosen[name], time)
                    step = min(ADMITTED * chosen[name].admitted(RADIUS, time, offset), time)
                    if time / step > MOST_STEPS:
                        skipped += 1
                        continue
                    ratios.append(chosen[name].deviation(step, time, offset) / RADIUS)
        found[f"corollary4_{regime}_ratio_max"] = readings.largest(np.array(ratios), 1e-9)
        found[f"corollary4_{regime}_skipped"] = Measurement.count(skipped)
    top, time = chosen["hills"], 3.0
    offset = 0.5 * RADIUS
    steps = {
        "zero_formula": admitted_step(0.0, 1.0, top.loss, RADIUS, time, offset),
        "negative_formula": admitted_step(-1.0, 1.0, top.loss, RADIUS, time, offset),
        "no_offset": admitted_step(1.0, 1.0, top.loss, RADIUS, time),
    }
    broken = {name: top.deviation(ADMITTED * step, time, offset) / RADIUS for name, step in steps.items()}
    steep, low = hills(1.0), hills(1.0, -(np.cos(1.0) + 1) / 2 + NEVER_NEGATIVE_BY)
    step = min(ADMITTED * low.admitted(SMALL_RADIUS, 2.0, 0.0), 2.0)
    broken["below_zero"] = steep.deviation(step, 2.0, 0.0) / SMALL_RADIUS
    return found | {f"corollary4_{name}_ratio": Measurement(value, 1e-9) for name, value in broken.items()}


def scaling() -> Found:
    """How the largest step that works, and the admitted one, change with the time, for each sign of m."""
    chosen, found = objectives(), dict[str, "Measurement | np.ndarray"]()
    for name, times in SCALED_TIMES.items():
        radius = SMALL_RADIUS if name == "hills" else RADIUS
        works = np.array([chosen[name].following(radius, time) for time in times])
        admitted = [chosen[name].admitted(radius, time, 0.0) for time in times]
        label = name.replace(" ", "_")
        found |= {f"{label}_times": times, f"{label}_works": works, f"{label}_admitted": np.array(admitted)}
        error = np.full((1, len(times)), 1e-6)
        if name == "bowl":
            found["corollary4_bowl_kept"] = Measurement(works.min() / works.max(), 1e-6)
        elif name == "hills":
            all_times = np.ones((1, len(times)), dtype=bool)
            found["corollary4_hills_rate"] = readings.rate(times[None], np.log(works)[None], error, all_times)
        else:
            found[f"corollary4_{label}_exponent"] = readings.log_rate(times, works[None], error * works)
    return found


def against_theorem_3(rng: np.random.Generator, draws: int) -> Found:
    """The corollary's step over that of Eq. (7) with the same constants: equal for m >= 0, and at most that for m < 0."""
    equal: list[float] = []
    smaller: list[float] = []
    for _ in range(draws):
        time, m = float(rng.uniform(0.1, 6.0)), float(rng.uniform(0.05, 1.5))
        smoothness, loss, radius = float(rng.uniform(m, 3.0)), float(rng.uniform(0.01, 5.0)), float(10 ** rng.uniform(-3, 0))
        offset = float(rng.uniform(0, 0.95)) * radius
        gamma = float(np.sqrt(2 * smoothness * loss)) + smoothness * radius
        for signed in (m, 0.0, -m):
            push = offset * float(np.exp(-max(signed, 0.0) * time))
            mine = admitted_step(signed, smoothness, loss, radius, time, push)
            grid = np.linspace(0.0, time, 3)
            theirs = largest_step(grid, np.full(2, signed), smoothness, gamma, radius, push)
            (smaller if signed < 0 else equal).append(mine / theirs)
    return {
        "corollary4_equal_gap_max": readings.largest(np.abs(np.array(equal) - 1), 1e-12),
        "corollary4_over_theorem3_max": readings.largest(np.array(smaller), 1e-12),
    }
