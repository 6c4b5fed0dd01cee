"""The seeds of Figures 1 to 5 (deep_homogeneous): many draws, each trained to its escape, at two step sizes.

What the figures show is read at the last iterate before the escape, the stop that the paper's iteration count evidently is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from flowcheck.descent.gradient_descent import DescentPath
from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.papers.deep_homogeneous import figure_anatomy
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy, curves, drift, drift_rounding
from flowcheck.papers.deep_homogeneous.figure_criteria import Criteria, Met, meets, monotone
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.pipeline.evidence import Measurement

COARSENING = 4
"""How many times longer the steps of the second run are."""


@dataclass(frozen=True)
class Seeds:
    """A set of runs whose escape is predicted after `steps` iterations: start, stop, and stop with longer steps (`coarse`)."""

    steps: int
    degree: float
    path: DescentPath
    start: Anatomy
    stop: Anatomy
    coarse: Anatomy

    @classmethod
    def trained(cls, plateau: Plateau, draws: Draws, delta: float, times: Float[Tensor, " s"], steps: int) -> Seeds:
        """`times`: of the escapes that the flow predicts."""
        path = plateau.descent(draws, delta, times, steps, curves=True)
        coarse = plateau.stop(draws, delta, times, steps // COARSENING)
        states = (delta * draws.w0, path.crossings[0].weights_before, coarse)
        return cls(steps, plateau.network.degree, path, *(plateau.anatomy(draws, w) for w in states))

    @property
    def crossing(self) -> np.ndarray:
        """The iteration of each escape."""
        return self.path.crossings[0].iteration.cpu().numpy()

    @property
    def loss(self) -> Float[np.ndarray, "s p"]:
        """Over its initial value."""
        return (self.path.loss / self.path.loss[:, :1]).cpu().numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """Curves along the way, and the weights' anatomy at the start and at the escape, for the figures."""
        return {
            "steps": np.array(self.steps),
            "iterations": self.path.iterations,
            "loss": self.loss,
            "path_norm": self.path.norm.cpu().numpy(),
            "cosine": self.path.measured["cosine"].cpu().numpy(),
            "crossing": self.crossing,
            **self.start.arrays("start"),
            **self.stop.arrays("stop"),
            **self.coarse.arrays("coarse"),
        }

    def met(self, criteria: Criteria, loss_rise: float) -> Met:
        """Criteria that each run meets."""
        plain = meets(criteria, self.start, self.stop)
        return plain | {"monotone": monotone(self.path.iterations, self.loss, self.crossing, loss_rise)}

    def numbers(self, flow_error: float) -> dict[str, Measurement]:
        """What the figures show, in the median, and how far descent is the flow; `flow_error`: of a prediction, relative."""
        gap = largest(np.abs(self.crossing / self.steps - 1.0), flow_error)
        return self.medians() | self.euler_defect() | {"drift_ratio": self.drift_ratio(), "escape_prediction_gap": gap}

    def medians(self) -> dict[str, Measurement]:
        """Of what the figures show, with the change from longer steps."""
        coarse = curves(self.start, self.coarse)
        return {f"{name}_median": Refined.of(fine, coarse[name]).median() for name, fine in curves(self.start, self.stop).items()}

    def euler_defect(self) -> dict[str, Measurement]:
        r"""Distance of the cosine to $L\mathcal N/\|\nabla\mathcal N\|$, Euler's identity, and to L + 1 of them."""
        found = {}
        for suffix, factor, worst in (("", self.degree, largest), ("_wrong_degree", self.degree + 1, smallest)):
            defect = np.abs(self.stop.cosine - factor * self.stop.cosine_over_degree)
            found[f"euler_defect{suffix}"] = worst(defect, figure_anatomy.ROUNDING)
        return found

    def drift_ratio(self) -> Measurement:
        """Drift of the invariants over that with longer steps, the median: 1/4, as descent is of first order."""
        fine, coarse = drift(self.start, self.stop), drift(self.start, self.coarse)
        ratio = fine / coarse
        rounding = ratio * (drift_rounding(self.steps) / fine + drift_rounding(self.steps / COARSENING) / coarse)
        return Measurement(float(np.median(ratio)), float(rounding.max()), n=len(ratio))

    def table(self, met: Met) -> dict[str, np.ndarray]:
        """One row for each run: its escape, what the figures show, and the criteria that it meets."""
        columns = {"escape": self.crossing, "norm": self.stop.norm, "initial_cosine": self.start.cosine}
        return columns | curves(self.start, self.stop) | {f"{name}_ok": hits for name, hits in met.items()}
