r"""One step of an explicit Runge-Kutta method over a batch: stages, error estimate, dense output.

Rows are trajectories, each with a step h of its own. The tableaux of Dormand-Prince 5(4) and DOP853 are those of scipy.integrate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.integrate import DOP853, RK45
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One attempted step of rows: y(0), y'(0), y(h), y'(h), h and what dense output needs of the stages."""

    start: Float[Tensor, "a m"]
    slope: Float[Tensor, "a m"]
    end: Float[Tensor, "a m"]
    end_slope: Float[Tensor, "a m"]
    h: Float[Tensor, " a"]
    stages: Float[Tensor, "stages a m"]

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Step:
        """The rows of several, one after the other."""
        start, slope, end, end_slope, h = (
            torch.cat([getattr(step, name) for step in steps]) for name in ("start", "slope", "end", "end_slope", "h")
        )
        return cls(start, slope, end, end_slope, h, torch.cat([step.stages for step in steps], dim=1))

    def take(self, rows: Tensor) -> Step:
        """Copies of some rows."""
        start, slope, end, end_slope, h = (part[rows] for part in (self.start, self.slope, self.end, self.end_slope, self.h))
        return Step(start, slope, end, end_slope, h, self.stages[:, rows])

    def put(self, rows: Tensor, other: Step) -> Step:
        return Step(
            self.start,
            self.slope,
            self.end.index_copy(0, rows, other.end),
            self.end_slope.index_copy(0, rows, other.end_slope),
            self.h.index_copy(0, rows, other.h),
            self.stages.index_copy(1, rows, other.stages),
        )


@dataclass(frozen=True)
class Interpolant:
    """Dense output y(0) + x (c_0 + x_1 (c_1 + x_2 (...))), x the fraction of the step; x_j = x, or x and 1 - x in turn."""

    start: Float[Tensor, "a m"]
    coefficients: Float[Tensor, "c a m"]
    alternate: bool

    def __call__(self, fraction: Float[Tensor, " b"], rows: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b m"]:
        """States at these fractions, of all rows or of the given ones (with repetition)."""
        start, coefficients = (self.start, self.coefficients) if rows is None else (self.start[rows], self.coefficients[:, rows])
        x = fraction.unsqueeze(-1)
        value = coefficients[-1]
        for j in range(len(coefficients) - 1, 0, -1):
            value = coefficients[j - 1] + (1 - x if self.alternate and j % 2 else x) * value
        return start + x * value

    def take(self, rows: Tensor) -> Interpolant:
        """That of some rows."""
        return Interpolant(self.start[rows], self.coefficients[:, rows], self.alternate)


class RungeKutta:
    """One explicit pair. `order` is that of the solution, `exponent` one more than that of the error estimate.

    A step takes `evaluations` of the right-hand side, its dense output `dense_evaluations` more.
    """

    def __init__(self, order: int, like: Tensor) -> None:
        def table(values: object) -> Tensor:
            return torch.as_tensor(np.array(values), dtype=like.dtype, device=like.device)

        solver = {5: RK45, 8: DOP853}[order]
        self.order, self.exponent = order, {5: 5, 8: 8}[order]
        self.rows = [table(row[:j]) for j, row in enumerate(solver.A)]
        self.weights = table(solver.B)
        if order == 5:
            self.errors, self.dense = table(solver.E)[None], table(solver.P.T)
        else:
            self.errors, self.dense = table([solver.E5, solver.E3]), table(solver.D)
            self.extra = [table(row[: 13 + j]) for j, row in enumerate(solver.A_EXTRA)]
        self.evaluations = len(self.rows)
        self.dense_evaluations = 0 if order == 5 else len(self.extra)

    def advance(self, f: Callable[[Tensor], Tensor], start: Tensor, slope: Tensor, h: Tensor) -> Step:
        stages = start.new_empty((len(self.rows) + 1, *start.shape))
        flat, width = stages.view(len(stages), -1), h.unsqueeze(-1)
        stages[0] = slope
        for j in range(1, len(self.rows)):
            stages[j] = f(torch.addcmul(start, width, (self.rows[j] @ flat[:j]).view_as(start)))
        end = torch.addcmul(start, width, (self.weights @ flat[:-1]).view_as(start))
        stages[-1] = f(end)
        return Step(start, slope, end, stages[-1], h, stages)

    def error(self, step: Step, norm: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Scaled error of each row; for order 8 Hairer's combination of the estimates of order 5 and 3."""
        raw = _combined(self.errors, step.stages) * step.h.unsqueeze(-1)
        first = norm(raw[0], step.end)
        if self.order == 5:
            return first
        squared, second = first**2, norm(raw[1], step.end) ** 2
        return torch.where(squared > 0, squared / (squared + 0.01 * second).sqrt(), squared)

    def interpolant(self, f: Callable[[Tensor], Tensor], step: Step) -> Interpolant:
        """Dense output: order 4 for the pair of order 5; order 7 for that of order 8, with three more evaluations."""
        width = step.h.unsqueeze(-1)
        if self.order == 5:
            return Interpolant(step.start, _combined(self.dense, step.stages) * width, alternate=False)
        stages = step.stages
        for row in self.extra:
            point = torch.addcmul(step.start, width, torch.tensordot(row, stages, dims=1))
            stages = torch.cat([stages, f(point)[None]])
        higher = _combined(self.dense, stages) * width
        return Interpolant(step.start, torch.cat([hermite(step), higher]), alternate=True)


def _combined(weights: Float[Tensor, "r stages"], stages: Float[Tensor, "stages a m"]) -> Float[Tensor, "r a m"]:
    """Sums of the stages; `torch.tensordot` takes twice as long for small ones."""
    return (weights @ stages.view(len(stages), -1)).view(-1, *stages.shape[1:])


def hermite(step: Step) -> Tensor:
    """Coefficients of the cubic through both ends of a step, in the alternating form."""
    width, rise = step.h.unsqueeze(-1), step.end - step.start
    return torch.stack([rise, width * step.slope - rise, 2 * rise - width * (step.slope + step.end_slope)])
