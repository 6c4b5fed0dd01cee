"""Which normalisation of the loss Figures 1 and 4 (deep_homogeneous) have: a factor on it divides the iterations to the escape.

The text prints half a sum over the points. The escape of every draw under each loss is predicted by the flow; gradient descent as
printed, and descent under each loss with the step size that makes up for its factor, confirm it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import fraction, largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.networks.problem import Objective
from flowcheck.papers.deep_homogeneous.figure_criteria import between
from flowcheck.papers.deep_homogeneous.figure_draws import Audible, Draws
from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES, SHOWN, Effort, Recipe, rate
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.pipeline.evidence import Measurement


@dataclass(frozen=True)
class PredictedEscapes:
    """When the flow of each draw that is followed escapes: times under the half sum, with their relative error."""

    audible: Audible
    time: Float[np.ndarray, " s"]
    error: float

    def arrays(self) -> dict[str, np.ndarray]:
        number, accepted = self.audible.draws.number, self.audible.accepted
        return {"label_mean": self.audible.label, "number": number, "accepted": accepted, "time": self.time}

    def numbers(self, recipe: Recipe, points: int) -> dict[str, Measurement]:
        """Under each loss: median escape of the accepted draws, fractions on the plateau and near its end as printed.

        Draws that are not followed never escape.
        """
        found, iterations = {}, self.time / recipe.step_size
        for name, loss in LOSSES.items():
            escape = iterations[self.audible.accepted] / rate(loss, points)
            median = float(np.median(escape))  # all escapes move by at most the same factor, and so does it
            found[f"escape_median_{name}"] = Measurement(median, median * self.error, n=len(escape))
            found[f"plateau_at_end_fraction_{name}"] = fraction(escape > recipe.iterations)
            found[f"within_two_fraction_{name}"] = fraction(within_two(escape, recipe.iterations))
        silent = np.zeros(len(self.audible.label) - len(self.time), dtype=bool)
        everyone = np.append(within_two(iterations, recipe.iterations), silent)
        return found | {"within_two_fraction_any_label": fraction(everyone)}


def within_two(escape: Float[np.ndarray, " s"], printed: int) -> Bool[np.ndarray, " s"]:
    """Which escapes are within a factor two of the printed iteration."""
    return between(escape / printed, (0.5, 2.0))


@dataclass(frozen=True)
class PrintedRuns:
    """Descent as printed, half sum and printed step size, of the draws `rows` that escape first.

    Attributes:
        predicted: iteration of the escape by the flow.
        crossing, diverged: iteration of the escape and of the overflow, or -1.
        loss: at the end over that at the start.
    """

    rows: Int[np.ndarray, " s"]
    predicted: Float[np.ndarray, " s"]
    crossing: Int[np.ndarray, " s"]
    diverged: Int[np.ndarray, " s"]
    loss: Float[np.ndarray, " s"]

    @classmethod
    def trained(cls, plateau: Plateau, draws: Draws, times: Float[Tensor, " s"], recipe: Recipe, effort: Effort) -> PrintedRuns:
        """`times`: predicted escapes of all draws, by which they are chosen."""
        rows = torch.argsort(times)[: effort.printed_seeds].cpu().numpy()
        some = draws.take(rows)
        path = gradient_descent(
            Objective(plateau.network, some.x, some.y, HALF_SUM),
            recipe.delta * some.w0,
            step_size=recipe.step_size,
            steps=effort.printed_iterations,
            loss_ratios=[plateau.loss_ratio],
            compile=True,
        )
        numbers = path.crossings[0].iteration, path.diverged, path.loss[:, -1] / path.loss[:, 0]
        return cls(rows, times[rows].cpu().numpy() / recipe.step_size, *(number.cpu().numpy() for number in numbers))

    def arrays(self) -> dict[str, np.ndarray]:
        found = {"rows": self.rows, "crossing": self.crossing, "diverged": self.diverged, "loss": self.loss}
        return {f"printed_{name}": array for name, array in found.items()}

    def numbers(self, points: int, error: float) -> dict[str, Measurement]:
        """Of the runs that escaped: distance to the prediction, to that for the loss that is shown, and share that overflows.

        `error` is the relative one of a prediction.
        """
        escaped = self.crossing >= 0
        ratio = self.crossing[escaped] / self.predicted[escaped]
        as_mean = ratio * rate(LOSSES[SHOWN], points)
        return {
            "printed_prediction_gap": largest(np.abs(ratio - 1.0), ratio * error),
            "printed_prediction_gap_as_mean": smallest(np.abs(as_mean - 1.0), as_mean * error),
            "printed_diverged_fraction": fraction(self.diverged[escaped] >= 0),
        }


def distances(
    plateau: Plateau, draws: Draws, delta: float, times: Float[Tensor, " s"], steps: int
) -> Float[np.ndarray, "losses s"]:
    """Relative distance of weights at the escape, trained with each loss and a step size that makes up for it, to the first."""
    stops = [plateau.stop(draws, delta, times, steps, loss) for loss in LOSSES.values()]
    return torch.stack([(stop - stops[0]).norm(dim=-1) / stops[0].norm(dim=-1) for stop in stops]).cpu().numpy()


def largest_distance(distance: Float[np.ndarray, "losses s"]) -> Measurement:
    """It is made of rounding, so that it is known up to its own size. Infinite where a run never escaped."""
    known = np.where(np.isnan(distance), np.inf, distance)
    return Refined.of(known, np.zeros_like(known)).largest()
