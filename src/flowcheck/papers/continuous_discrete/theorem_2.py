"""Theorem 2, the Fundamental Theorem: Euler's method beside exact solutions of linear, gradient and time-dependent systems."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.integration import initial_value
from flowcheck.integration.discrepancy import Discrepancy, Rates, beside, euler
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.papers.continuous_discrete.near_the_flow import DeepLinear
from flowcheck.pipeline.evidence import Found

END = 3.0
RTOL, COARSE_RTOL = 1e-12, 1e-10
PARTS, PIECE = 4, 5e-3
"""Pieces of a step: at least four, none longer than this. The error of a ratio is what half as many change."""
ALONG, COARSE_ALONG = 5, 3
"""Points of a segment at which the logarithmic norm is looked at."""
OFFSETS = (0.0, 1e-3, 0.1)
LOWER = 0.5
"""What the control takes off m."""
POINTS, VALUES = ((1.0, 0.2), (-0.5, 1.0), (0.3, -0.8)), (1.0, -0.6, 0.4)
"""The data of the smooth network."""
DRAWN_STEP = 0.02
"""Of the runs that the figure shows."""


@dataclass(frozen=True)
class System:
    """A field and where it starts.

    Attributes:
        rates: g(t, q), for torch.
        start: at time 0, [d].
        matrix: A where g(t, q) = A q: the solution is then its exponential.
        end: until when it is followed.
    """

    name: str
    rates: Rates
    start: Float[np.ndarray, " d"]
    matrix: Float[np.ndarray, "d d"] | None = None
    end: float = END

    def integrated(
        self,
        times: Float[np.ndarray, " p"],
        rtol: float,
        method: Literal["DOP853", "LSODA"] = "DOP853",
        *,
        start: Float[np.ndarray, " d"] | None = None,
        begins: float = 0.0,
    ) -> Float[np.ndarray, "p d"]:
        """The solution from a start at a time `begins`, at times after it, by an integrator."""
        first, rates = self.start if start is None else start, partial(self._rates, begins)
        found = initial_value.solve(rates, times[-1], first, method, times, what=self.name, rtol=rtol, atol=1e-3 * rtol)
        return np.asarray(found.y.T)

    def _rates(self, begins: float, t: float, q: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        return np.asarray(self.rates(torch.tensor(t + begins, dtype=torch.float64), torch.as_tensor(q)).numpy())

    def solution(self, rtol: float) -> Callable[[Float[np.ndarray, " p"]], Float[np.ndarray, "p d"]]:
        """States at times: by the exponential where there is one."""
        if self.matrix is None:
            rates = partial(self._rates, 0.0)
            path = initial_value.solve(
                rates, self.end, self.start, "DOP853", what=self.name, rtol=rtol, atol=1e-3 * rtol, dense_output=True
            ).sol
            return lambda times: np.asarray(path(times).T)
        values, vectors = np.linalg.eig(self.matrix)
        weights = np.linalg.solve(vectors, self.start.astype(complex))
        return lambda times: np.asarray((np.exp(np.outer(times, values)) * weights) @ vectors.T).real


def linear(name: str, matrix: Float[np.ndarray, "d d"], start: Float[np.ndarray, " d"]) -> System:
    """The system q' = A q."""
    a = torch.as_tensor(matrix)
    return System(name, lambda t, q: a @ q, start, matrix)


def descending(name: str, loss: Callable[[Tensor], Tensor], start: Float[np.ndarray, " d"]) -> System:
    """The gradient flow of a loss."""
    slope = torch.func.grad(loss)
    return System(name, lambda t, q: -slope(q), start)


def _double_well(q: Tensor) -> Tensor:
    return (q[0] ** 2 - 1) ** 2 / 4 + q[1] ** 2 / 2 + q[0] * q[1] ** 2 / 2


def _driven_pendulum(t: Tensor, q: Tensor) -> Tensor:
    return torch.stack([q[1], -torch.sin(q[0]) - 0.1 * q[1] + torch.cos(2 * t)])


def _turning(t: Tensor, q: Tensor) -> Tensor:
    """A linear field whose axes turn with time, with a term that does not depend on the state."""
    c, s = torch.cos(t), torch.sin(t)
    return torch.stack([c * q[0] + s * q[1] + torch.sin(3 * t), s * q[0] - c * q[1]])


def smooth_network(q: Tensor) -> Tensor:
    """Half the mean squared error of two tanh units on three points."""
    x, y = torch.tensor(POINTS, dtype=q.dtype), torch.tensor(VALUES, dtype=q.dtype)
    outputs = torch.tanh(x @ q[:4].reshape(2, 2).T) @ q[4:]
    return ((outputs - y) ** 2).mean() / 2


def systems(rng: np.random.Generator) -> list[System]:
    """The systems: two scalar ones, four that are linear, five gradient flows, two that depend on time."""
    wild = np.triu(rng.uniform(2.0, 4.0, (4, 4)), 1) - np.diag([0.5, 0.75, 1.0, 1.25])
    symmetric = rng.standard_normal((4, 4))
    found = [
        linear("growth", np.array([[1.0]]), np.array([1.0])),
        linear("decay", np.array([[-1.0]]), np.array([1.0])),
        linear("rotation", np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([1.0, 0.0])),
        linear("symmetric", (symmetric + symmetric.T) / 4, rng.standard_normal(4) / 2),
        linear("random", rng.standard_normal((4, 4)) / 2, rng.standard_normal(4) / 2),
        linear("non-normal", wild, rng.standard_normal(4) / 2),
        descending("double well", _double_well, np.array([0.05, 0.6])),
    ]
    for depth in (2, 3, 4):
        target = rng.standard_normal(2)
        network = DeepLinear(depth, 2, 2, torch.as_tensor(target / np.linalg.norm(target)))
        size = sum(rows * columns for rows, columns in network.shapes)
        found.append(descending(f"deep linear, {depth} layers", network.loss, 0.4 * rng.standard_normal(size)))
    return [
        *found,
        descending("smooth network", smooth_network, 0.7 * rng.standard_normal(6)),
        System("driven pendulum", _driven_pendulum, np.array([0.5, 0.0])),
        System("turning axes", _turning, np.array([0.5, -0.3])),
    ]


SHARP, NON_NORMAL = ("growth", "decay"), "non-normal"


def _offset_start(rng: np.random.Generator, system: System, offset: float) -> Float[np.ndarray, " d"]:
    """In a random direction; of one number downwards, where the step's own error points too; in a cascade at its top."""
    direction = rng.standard_normal(len(system.start))
    if system.name == NON_NORMAL or len(direction) == 1:
        direction = np.zeros(len(direction))
        direction[-1] = -1.0
    return np.asarray(system.start + offset * direction / np.linalg.norm(direction))


def _ratios(found: Discrepancy) -> Float[np.ndarray, " k"]:
    """Distance over bound at the iterates after the first."""
    return np.asarray((found.deviation[1:] / found.bound[1:])[found.is_iterate[1:]])


def fundamental_theorem(rng: np.random.Generator, chosen: Sequence[System], step_sizes: Sequence[float]) -> Found:
    """Left over right side of Eq. (4) over systems, step sizes and offsets; with what breaks it; the order in the step size."""
    rows: dict[str, list[tuple[float, float]]] = {}
    curves: dict[str, np.ndarray] = {}

    def note(name: str, fine: float, coarse: float) -> None:
        rows.setdefault(name, []).append((fine, coarse))

    far: list[list[tuple[float, float]]] = []
    for i, system in enumerate(chosen):
        far.append([])
        exact, nearly = system.solution(RTOL), system.solution(COARSE_RTOL)
        for eta in step_sizes:
            for offset in OFFSETS:
                start, steps = _offset_start(rng, system, offset), round(system.end / eta)
                parts = 2 * math.ceil(max(PARTS, eta / PIECE) / 2)
                states = euler(system.rates, start, eta, steps)
                fine = beside(system.rates, exact, states, eta, parts, ALONG)
                coarse = beside(system.rates, nearly, states, eta, parts // 2, COARSE_ALONG)
                kind = "sharp" if system.name in SHARP else "linear" if system.matrix is not None else "smooth"
                both = _ratios(fine), _ratios(coarse)
                note(f"theorem2_{kind}_ratio_max", both[0].max(), both[1].max())
                if kind == "sharp":
                    note("theorem2_sharp_ratio_min", both[0].min(), both[1].min())
                    note("theorem2_less_growth_ratio_min", *(_ratios(_with_less_growth(one)).max() for one in (fine, coarse)))
                    note("theorem2_half_defect_ratio_min", *(_ratios(_with_half_defect(one)).max() for one in (fine, coarse)))
                if kind == "sharp" and offset:
                    note("theorem2_no_offset_ratio_min", *(_ratio_without_offset(one) for one in (fine, coarse)))
                if system.name == NON_NORMAL and system.matrix is not None and offset == max(OFFSETS):
                    abscissa = float(np.linalg.eigvals(system.matrix).real.max())
                    values = [_ratios(replace(one, growth=np.full_like(one.growth, abscissa))).max() for one in (fine, coarse)]
                    note("theorem2_abscissa_ratio_min", *values)
                if offset == 0:
                    far[-1].append((fine.deviation.max(), coarse.deviation[coarse.is_iterate].max()))
                if eta == DRAWN_STEP:
                    kept = np.unique(np.linspace(0, steps - 1, 60).astype(int))
                    curves[f"theorem2_curve_{i}_{OFFSETS.index(offset)}"] = both[0][kept]
                    curves["theorem2_times"] = eta * (kept + 1)
    readings_of = {name: Refined.of(*map(np.array, zip(*pairs, strict=True))) for name, pairs in rows.items()}
    deviation = np.array(far)[..., 0]
    return {
        **{name: found.largest() if name.endswith("max") else found.smallest() for name, found in readings_of.items()},
        "theorem2_order": readings.log_rate(np.array(step_sizes), deviation, 1e-10 + 0 * deviation),
        "theorem2_systems": np.array([system.name for system in chosen]),
        "theorem2_offsets": np.array(OFFSETS),
        **curves,
    }


def _with_less_growth(found: Discrepancy) -> Discrepancy:
    return replace(found, growth=found.growth - LOWER)


def _with_half_defect(found: Discrepancy) -> Discrepancy:
    return replace(found, defect=found.defect / 2)


def _ratio_without_offset(found: Discrepancy) -> float:
    """The largest ratio where the distance at the start is left out of the bound."""
    bound = replace(found, deviation=np.concatenate([[0.0], found.deviation[1:]])).bound
    return float((found.deviation[1:] / bound[1:])[found.is_iterate[1:]].max())
