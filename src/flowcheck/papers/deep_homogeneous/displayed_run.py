"""The run that Figures 1 to 5 (deep_homogeneous) display: one draw and one start, trained as printed.

They are selected by a rule: the first draw of the stream whose predicted escape is near the printed iteration, and the first of
that draw's starts whose predicted escape is just after it. What is read of this run describes the figure and proves nothing.
The same run is repeated under each normalisation of the loss that the text allows, and once more from a start that is disturbed
by as much as rounding adds up to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.descent.gradient_descent import DescentPath, gradient_descent, log_spaced
from flowcheck.losses import HALF_SUM
from flowcheck.measures.refinement import Refined
from flowcheck.networks.problem import Objective
from flowcheck.papers.deep_homogeneous import figure_anatomy
from flowcheck.papers.deep_homogeneous.figure_anatomy import EPS, Anatomy, curves, drift, drift_rounding
from flowcheck.papers.deep_homogeneous.figure_criteria import Range, between
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES, SHOWN, Effort, Recipe, rate
from flowcheck.papers.deep_homogeneous.plateau import Plateau, recorded_iterations
from flowcheck.pipeline.evidence import Measurement

ROW, DISTURBED = list(LOSSES).index(SHOWN), len(LOSSES)
"""Rows of the batch: the loss that is shown, and its disturbed copy after all losses."""


@dataclass(frozen=True)
class Stream:
    """Draws, or starts of one draw, by their number, with the times of the escapes that the flow predicts."""

    number: Int[np.ndarray, " s"]
    time: Float[np.ndarray, " s"]

    def selected(self, unit: float, window: Range) -> tuple[int, bool]:
        """The number of the first whose time over `unit` lies in the window; if none does, of the one that is nearest to one.

        And whether one does.

        >>> Stream(np.array([3, 5, 8]), np.array([0.2, 1.8, 2.0])).selected(2.0, (0.8, 1.25))
        (5, True)
        """
        inside = between(self.time / unit, window)
        place = int(np.argmax(inside)) if inside.any() else int(np.argmin(np.abs(np.log(self.time / unit))))
        return int(self.number[place]), bool(inside.any())


@dataclass(frozen=True)
class DisplayedRun:
    """Descent of one draw under each loss, and disturbed; read after `steps` iterations, at position `end` of the path.

    `printed_steps` are those of the paper: the smaller scales take fewer and longer ones.
    """

    steps: int
    printed_steps: int
    path: DescentPath
    end: int
    start: Anatomy
    at: Anatomy
    disturbed_start: Anatomy
    disturbed: Anatomy

    @classmethod
    def trained(
        cls,
        plateau: Plateau,
        draw: Draws,
        recipe: Recipe,
        effort: Effort,
        rng: np.random.Generator,
    ) -> DisplayedRun:
        """A little beyond the iteration that the paper shows. The random signs of the disturbance are drawn from `rng`."""
        network, points = plateau.network, draw.x.shape[-2]
        steps, batch = recipe.iterations // effort.displayed_coarsening, draw.take(np.zeros(len(LOSSES) + 1, dtype=np.int64))
        factors = draw.w0.new_tensor([*(rate(loss, points) for loss in LOSSES.values()), rate(LOSSES[SHOWN], points)])
        start = recipe.delta * batch.w0
        start[DISTURBED] *= 1.0 + disturbance(rng, steps, start)
        correlation = Correlation(network, batch.x, batch.y)
        path = gradient_descent(
            Objective(network, batch.x, batch.y, HALF_SUM),
            start,
            step_size=recipe.step_size * effort.displayed_coarsening * factors,
            steps=steps + steps // 20,
            record=np.union1d(recorded_iterations(steps, steps // 20), log_spaced(steps // 20, 80)),
            measure=lambda w: {"cosine": correlation.cosine(w)},
            loss_ratios=[plateau.loss_ratio],
            compile=True,
        )
        assert path.weights is not None
        end, weights = int(np.searchsorted(path.iterations, steps)), path.weights
        states = (plateau.anatomy(draw, weights[[row], position]) for row in (ROW, DISTURBED) for position in (0, end))
        return cls(steps, recipe.iterations, path, end, *states)

    @property
    def loss(self) -> Float[np.ndarray, "losses p"]:
        """Over its initial value, under each loss."""
        return self._all_loss[:DISTURBED]

    @property
    def crossing(self) -> Int[np.ndarray, " losses"]:
        """Iteration of the escape under each loss, or -1."""
        return self._all_crossings[:DISTURBED]

    @property
    def _all_loss(self) -> np.ndarray:
        return (self.path.loss / self.path.loss[:, :1]).cpu().numpy()

    @property
    def _all_crossings(self) -> np.ndarray:
        return self.path.crossings[0].iteration.cpu().numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """Curves under each loss; weights and their anatomy at the start and at the end under the loss that is shown."""
        assert self.path.weights is not None
        found = {
            "iterations": self.path.iterations,
            "loss": self.loss,
            "path_norm": self.path.norm[:DISTURBED].cpu().numpy(),
            "path_cosine": self.path.measured["cosine"][:DISTURBED].cpu().numpy(),
            "crossing": self.crossing,
            "diverged": self.path.diverged[:DISTURBED].cpu().numpy(),
            "end": np.array(self.end),
            "weights": self.path.weights[ROW, [0, self.end]].cpu().numpy(),
        }
        named = {f"displayed_{name}": array for name, array in found.items()}
        return named | self.at.arrays("displayed") | self.start.arrays("displayed_start")

    def numbers(self) -> dict[str, Measurement]:
        """The run at the iteration that is shown: escape, loss, norm, alignment, rank; errors are changes by the disturbance.

        `plateau`: whether the run is on the plateau up to then, under each loss.
        """
        fine, disturbed = self._read(ROW, self.start, self.at), self._read(DISTURBED, self.disturbed_start, self.disturbed)
        initial = {
            "initial_cosine": self.start.cosine,
            "initial_rows_max": self.start.rows.max(axis=1),
            "initial_ratio_min": self.start.ratio().min(axis=1),
        }
        closed = {name: Measurement(value.item(), figure_anatomy.ROUNDING) for name, value in initial.items()}
        moved = drift(self.start, self.at) * self.steps / self.printed_steps
        closed["drift"] = Measurement(moved.item(), drift_rounding(self.steps) * self.steps / self.printed_steps)
        found = {name: Refined.of(value, disturbed[name]).number() for name, value in fine.items()} | closed
        for name, escape in zip(LOSSES, self.crossing, strict=True):
            found[f"plateau_{name}"] = Measurement.count(not 0 <= escape <= self.steps)
        return {f"displayed_{name}": replace(number, n=1) for name, number in found.items()}

    def _read(self, row: int, start: Anatomy, at: Anatomy) -> dict[str, np.ndarray]:
        shown = {name: value for name, value in curves(start, at).items() if not name.startswith(("rows", "cosine_"))}
        return shown | {
            "escape": self._all_crossings[[row]] / self.steps,
            "loss_ratio": self._all_loss[[row], self.end],
            "norm": at.norm,
            "rows_min": at.rows.min(axis=1),
            "ratio_max": at.ratio().max(axis=1),
        }


def disturbance(rng: np.random.Generator, steps: int, like: Float[Tensor, "s k"]) -> Float[Tensor, " k"]:
    """Relative change of a start, of random signs: all that the steps round, at once where it is amplified longest.

    A step rounds a weight to within half of eps of itself, and its gradient less than that; four times as much is taken.
    """
    return 2.0 * EPS * steps * like.new_tensor(rng.choice([-1.0, 1.0], like.shape[-1]))
