"""What the paper prints for Figures 1 to 5 (deep_homogeneous, Sections 5.1.2 and 5.1.3), and what a scale reduces of it."""

from __future__ import annotations

from pydantic import Field

from flowcheck.losses import HALF_MEAN, HALF_SUM, MEAN, Loss
from flowcheck.pipeline.experiment import ParametersModel

LOSSES: dict[str, Loss] = {"half_sum": HALF_SUM, "half_mean": HALF_MEAN, "mean": MEAN}
"""The printed loss, and the two others that the text allows."""
SHOWN = "mean"
"""The loss that the figures evidently have (`loss_normalisation`)."""


def rate(loss: Loss, points: int) -> float:
    """How much faster than under the half sum the weights move.

    >>> rate(MEAN, 100)
    0.02
    """
    return loss.factor(points) / HALF_SUM.factor(points)


class Recipe(ParametersModel):
    """What the paper prints for one network, and a start that is looked at beside the first ones when one is selected.

    It is what a search of the stream finds at the root seed of the configuration: smaller scales do not search that far.
    """

    delta: float = Field(gt=0)
    step_size: float = Field(gt=0)
    iterations: int = Field(ge=1)
    displayed_start: int = Field(ge=0)

    def shown_time(self, points: int) -> float:
        """How far the flow of the half sum comes in the printed iterations under the loss that is shown."""
        return rate(LOSSES[SHOWN], points) * self.step_size * self.iterations


class Effort(ParametersModel):
    """What a scale may reduce. A coarsening of 10 takes ten times fewer and ten times longer steps."""

    seeds: int = Field(ge=2)
    draws: int = Field(ge=1)
    starts: int = Field(ge=1)
    displayed_coarsening: int = Field(ge=1)
    coarsening: int = Field(ge=1)
    printed_seeds: int = Field(ge=1)
    printed_iterations: int = Field(ge=1)
    trend_seeds: int = Field(ge=2)
    rtol: float = Field(gt=0, lt=1)
