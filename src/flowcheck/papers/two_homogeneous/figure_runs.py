"""Runs of descent for Figures 1, 3 and 4 (two_homogeneous), and their repetition that measures rounding.

Every run is repeated with a larger step, twice, the second time from a start disturbed by as much as rounding adds up to: the
difference of the two bounds the rounding error of what is measured. Its step size is no error: descent is what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.descent.gradient_descent import gradient_descent, log_spaced
from flowcheck.networks.problem import Objective
from flowcheck.papers.two_homogeneous.toy_problem import FITTED, angles

Array = np.ndarray
STEP_ROUNDING = 2.0 * float(np.finfo(np.float64).eps)
"""Relative rounding of the weights in one step of descent."""


class Path(NamedTuple):
    """One run as recorded: iterations [P], angles [P, 20], the others [P]; phase_angles [20] where 1 % of the loss is gone."""

    iterations: Int[Array, " p"]
    loss_ratio: Float[Array, " p"]
    distance: Float[Array, " p"]
    fitted_distance: Float[Array, " p"]
    angles: Float[Array, "p 20"]
    phase_angles: Float[Array, " 20"]
    phase_end: int


@dataclass(frozen=True)
class Recorded:
    """S runs at P iterations: loss, distance to the origin or saddle, that of the fitted neurons alone, angle of each neuron.

    `phase_angles` [S, 20] and `phase_end` [S] are those of the last iteration at which enough of the loss is left.
    """

    iterations: Int[Array, " p"]
    loss: Float[Array, "s p"]
    distance: Float[Array, "s p"]
    fitted_distance: Float[Array, "s p"]
    angles: Float[Array, "s p 20"]
    phase_angles: Float[Array, "s 20"]
    phase_end: Int[Array, " s"]

    @classmethod
    def joined(cls, parts: Sequence[Recorded]) -> Recorded:
        """Runs of several batches."""
        names = [field.name for field in fields(cls)][1:]
        return cls(parts[0].iterations, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def paths(self) -> list[Path]:
        """The runs one by one, their losses over the first."""
        each = (self.loss, self.distance, self.fitted_distance, self.angles, self.phase_angles, self.phase_end)
        return [Path(self.iterations, loss / loss[0], *rest) for loss, *rest in zip(*each, strict=True)]


class Repeated(NamedTuple):
    """The runs, the same with a larger step, and those from disturbed starts."""

    fine: Recorded
    coarse: Recorded
    disturbed: Recorded

    @classmethod
    def joined(cls, parts: Sequence[Repeated]) -> Repeated:
        """Runs of several batches."""
        return cls(*(Recorded.joined(same) for same in zip(*parts, strict=True)))


def recorded_iterations(steps: int, points: int) -> Int[Array, " p"]:
    """Equally spaced, and half as many equally spaced in the logarithm."""
    return np.union1d(np.linspace(0, steps, points + 1).astype(int), log_spaced(steps, points // 2))


def descend(
    objective: Objective,
    start: Float[Tensor, "s 40"],
    centre: Float[Tensor, "1 40"],
    *,
    step_size: Float[Tensor, " s"],
    steps: int,
    points: int,
    loss_kept: float,
) -> Recorded:
    """Descent of S runs. `centre` is the origin or the saddle; the phase ends where less than `loss_kept` of the loss is left."""

    def measure(weights: Tensor) -> dict[str, Tensor]:
        moved = weights - centre
        return {
            "distance": moved.norm(dim=-1),
            "fitted_distance": moved[:, : 2 * FITTED].norm(dim=-1),
            "angles": angles(weights),
        }

    path = gradient_descent(
        objective,
        start,
        step_size=step_size,
        steps=steps,
        record=recorded_iterations(steps, points),
        keep_weights=False,
        measure=measure,
        loss_ratios=[loss_kept],
        compile=True,
    )
    (phase,) = path.crossings
    ended = torch.where(phase.happened[:, None], phase.weights_before, path.last)
    end = torch.where(phase.happened, phase.iteration - 1, steps)
    found = {"loss": path.loss, **path.measured, "phase_angles": angles(ended), "phase_end": end}
    return Recorded(path.iterations, **{name: value.cpu().numpy() for name, value in found.items()})


def repeat(
    objective: Objective,
    start: Float[Tensor, "s 40"],
    centre: Float[Tensor, "1 40"],
    signs: Float[Tensor, "s 40"],
    *,
    step_size: Float[Tensor, " s"],
    steps: int,
    coarsening: int,
    points: int,
    loss_kept: float,
) -> Repeated:
    """The runs, and twice with steps `coarsening` times as large, the second time disturbed.

    Every step rounds; all of it is added at once, with the given signs, at the start, where it is amplified longest.
    """
    disturbed = start * (1.0 + STEP_ROUNDING * steps * signs)

    def run(begin: Tensor, factor: int) -> Recorded:
        return descend(
            objective,
            begin,
            centre,
            step_size=step_size * factor,
            steps=steps // factor,
            points=points,
            loss_kept=loss_kept,
        )

    return Repeated(run(start, 1), run(start, coarsening), run(disturbed, coarsening))
