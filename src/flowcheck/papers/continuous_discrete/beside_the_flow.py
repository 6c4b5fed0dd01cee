"""Gradient descent beside a gradient flow that is known at any time: how far apart they get within a time, and for which step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.integration.discrepancy import largest_step

Gradient = Callable[[Float[np.ndarray, "r d"]], Float[np.ndarray, "r d"]]
"""Of rows of weights."""
Flow = Callable[[Float[np.ndarray, " p"]], Float[np.ndarray, "p d"]]
"""Times that increase to states."""
ADMITTED = 0.99
"""Of the step that a condition admits, which has to be smaller: what descent is run with."""
SAMPLES = 1000
"""Iterates at which descent is held against the flow, evenly spread; all of them where there are no more."""
BISECTIONS = 30


@dataclass(frozen=True)
class Instance:
    """One flow, its neighbourhood, and what bounds curvature and gradient in there: all that Theorem 3 asks for.

    Attributes:
        gradient: of the objective.
        flow: the exact flow, or one whose error is negligible.
        times: from 0 to the time up to which descent is to follow, [p].
        growth: m, an upper bound on each interval of `times`, [p - 1].
        smoothness, slope: beta and gamma.
        radius: epsilon.
        push: where descent starts, seen from where the flow does, [d].
    """

    name: str
    gradient: Gradient
    flow: Flow
    times: Float[np.ndarray, " p"]
    growth: Float[np.ndarray, " i"]
    smoothness: float
    slope: float
    radius: float
    push: Float[np.ndarray, " d"]

    @property
    def offset(self) -> float:
        """The distance at the start."""
        return float(np.linalg.norm(self.push))

    @property
    def admitted(self) -> float:
        """The right side of Eq. (7)."""
        return largest_step(self.times, self.growth, self.smoothness, self.slope, self.radius, self.offset)

    @property
    def until(self) -> float:
        """The last time."""
        return float(self.times[-1])

    def deviations(self, step_sizes: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        """The largest distance of descent from the flow up to the last time, over 1000 iterates, for each step size."""
        start = self.flow(np.zeros(1))[0] + self.push
        return farthest(self.gradient, self.flow, np.broadcast_to(start, (len(step_sizes), len(start))), step_sizes, self.until)

    def following(self, largest: float) -> float:
        """The largest step, up to `largest`, with which descent stays in the neighbourhood; by bisection, to one part in 1e8."""
        return bisected(lambda eta: float(self.deviations(np.array([eta]))[0]) <= self.radius, self.admitted / 2, largest)


def log_cosh_flow(start: float, times: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """The gradient flow of ln cosh x."""
    return np.asarray(np.arcsinh(np.sinh(start) * np.exp(-times)))


def cosine_flow(start: float, times: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """The gradient flow of cos x: from the top of a hill down."""
    return np.asarray(2 * np.arctan(np.tan(start / 2) * np.exp(times)))


def farthest(
    gradient: Gradient, flow: Flow, starts: Float[np.ndarray, "r d"], step_sizes: Float[np.ndarray, " r"], until: float
) -> Float[np.ndarray, " r"]:
    """The largest distance of each descent from one flow; 0 where the first step is longer than the time."""
    order = np.argsort(step_sizes)
    counts = np.floor(until / step_sizes[order] * (1 + 1e-12)).astype(int)
    marks = [np.unique(np.linspace(1, count, SAMPLES).astype(int)) if count else np.zeros(0, int) for count in counts]
    events = sorted((int(k), row) for row, kept in enumerate(marks) for k in kept)
    w, eta = starts[order].copy(), step_sizes[order][:, None]
    states: list[list[np.ndarray]] = [[] for _ in counts]
    active, position = len(counts), 0
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, int(counts.max(initial=0)) + 1):
            while counts[active - 1] < k:
                active -= 1
                w, eta = w[:active], eta[:active]
            w = w - eta * gradient(w)
            while position < len(events) and events[position][0] == k:
                states[events[position][1]].append(w[events[position][1]])
                position += 1
    found = np.zeros(len(counts))
    for row, kept in enumerate(marks):
        if len(kept):
            there = flow(np.minimum(kept * step_sizes[order][row], until))
            distance = np.linalg.norm(np.array(states[row]) - there, axis=1)
            found[order[row]] = np.nan_to_num(distance, nan=np.inf).max()
    return found


def bisected(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds` ends between a step where it does and a larger one, on a logarithmic scale; `high` if it holds there."""
    if holds(high):
        return high
    for _ in range(BISECTIONS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
