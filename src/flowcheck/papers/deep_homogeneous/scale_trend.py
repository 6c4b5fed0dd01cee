r"""What a smaller start changes (deep_homogeneous, Section 5.1.1): alignment, rank and time of the flow at its escape.

Eq. (8): $\delta^{L-2}$ times the escape time has a limit as $\delta\to0$.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.measures.readings import fraction
from flowcheck.measures.refinement import Refined, change
from flowcheck.measures.statistics import common_slope, mean_interval
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.pipeline.evidence import Measurement

COARSENING = 10.0
"""Between the two tolerances."""


@dataclass(frozen=True)
class Escapes:
    r"""Flows at their escapes, [scales, seeds]: $\delta^{L-2}t$, 1 - cosine then and before, s_2 / s_1 and s_1 of each matrix."""

    time: Float[np.ndarray, "p s"]
    misalignment: Float[np.ndarray, "p s"]
    misalignment_before: Float[np.ndarray, "p s"]
    ratio: Float[np.ndarray, "p s l"]
    leading: Float[np.ndarray, "p s l"]

    @classmethod
    def of(cls, plateau: Plateau, draws: Draws, deltas: Sequence[float], rtol: float) -> Escapes:
        """The same draws from each scale."""
        repeated = draws.take(np.tile(np.arange(len(draws)), len(deltas)))
        scales = repeated.w0.new_tensor(deltas).repeat_interleave(len(draws))
        path = plateau.flow(repeated, scales, rtol)
        at, before = plateau.anatomy(repeated, path.weights()), plateau.anatomy(repeated, repeated.w0)
        shape = len(deltas), len(draws)
        return cls(
            time=path.time.reshape(shape).cpu().numpy(),
            misalignment=1.0 - at.cosine.reshape(shape),
            misalignment_before=1.0 - before.cosine.reshape(shape),
            ratio=at.ratio().reshape(*shape, -1),
            leading=at.singular[..., 0].reshape(*shape, -1),
        )


@dataclass(frozen=True)
class ScaleTrend:
    """The escapes from several scales, the smallest last, at two tolerances."""

    deltas: Sequence[float]
    fine: Escapes
    coarse: Escapes

    @classmethod
    def followed(cls, plateau: Plateau, draws: Draws, deltas: Sequence[float]) -> ScaleTrend:
        tolerances = plateau.rtol, COARSENING * plateau.rtol
        return cls(deltas, *(Escapes.of(plateau, draws, deltas, rtol) for rtol in tolerances))

    def arrays(self) -> dict[str, np.ndarray]:
        named = {"trend": self.fine, "trend_coarse": self.coarse}
        return {f"{name}_{key}": array for name, escapes in named.items() for key, array in vars(escapes).items()}

    def time_error(self, delta: float) -> float:
        """Largest relative change of an escape time from one of the scales."""
        row = list(self.deltas).index(delta)
        return float(np.abs(self.coarse.time[row] / self.fine.time[row] - 1.0).max())

    def numbers(self) -> dict[str, Measurement]:
        """Medians of 1 - cosine and how often they fall, spread and correction of rescaled escape times, slopes of s_2 / s_1."""
        return self._misalignment() | self._times() | self._correction() | self._ranks()

    def _misalignment(self) -> dict[str, Measurement]:
        pairs = zip(self.deltas, self.fine.misalignment, self.coarse.misalignment, strict=True)
        found = {f"misalignment_median_delta_{delta:g}": Refined.of(fine, coarse).median() for delta, fine, coarse in pairs}
        for suffix, values in (("", self.fine.misalignment), ("_before", self.fine.misalignment_before)):
            found[f"misalignment_falls_fraction{suffix}"] = fraction(np.all(np.diff(values, axis=0) < 0, axis=0))
        return found

    def _times(self) -> dict[str, Measurement]:
        """Largest relative distance to the smallest scale on the clock of Eq. (8)."""
        gaps = [np.abs(escapes.time[:-1] / escapes.time[-1] - 1) for escapes in (self.fine, self.coarse)]
        rows = zip(self.deltas[:-1], *gaps, strict=True)
        return {f"escape_time_gap_delta_{delta:g}": Refined.of(fine, coarse).largest() for delta, fine, coarse in rows}

    def _correction(self) -> dict[str, Measurement]:
        r"""The power of $\delta$ with which the rescaled escape time reaches its limit, and on a clock with the exponent L - 3.

        What is left of a blow-up at the escape is a time that does not depend on $\delta$, so that $\delta^{L-2}t$ lacks as much
        times $\delta^{L-2}$ to its limit. Differences between scales have that power too.
        """
        found = {}
        for suffix, less in (("", 0.0), ("_other_clock", 1.0)):
            fine, coarse = (exponent(self.deltas, escapes.time, less) for escapes in (self.fine, self.coarse))
            error = change(np.array(fine[0]), np.array(coarse[0])).item()
            found[f"correction_exponent{suffix}"] = Measurement(fine[0], error, fine[1], fine[2])
        return found

    def _ranks(self) -> dict[str, Measurement]:
        """Mean slope of log(s_2 / s_1) over seeds with its interval, one where it is proportional to delta; and of log s_1."""
        found = {}
        for name, column in (("ratio_slope", "ratio"), ("leading_slope", "leading")):
            for layer in range(self.fine.ratio.shape[-1]):
                fine, coarse = (slopes(self.deltas, getattr(escapes, column)[..., layer]) for escapes in (self.fine, self.coarse))
                mean, interval = mean_interval(fine)
                error = change(fine.mean(keepdims=True), coarse.mean(keepdims=True)).item()
                found[f"{name}_W{layer + 1}"] = Measurement(mean, error, interval, len(fine))
        return found


def exponent(deltas: Sequence[float], time: Float[np.ndarray, "p s"], less: float) -> tuple[float, tuple[float, float], int]:
    r"""Slope of $\ln|\hat t(\delta_{i+1})-\hat t(\delta_i)|$ on $\ln\delta_i$, common to all seeds, its interval and points.

    $\hat t$ is the rescaled time over $\delta$ to the power `less`.
    """
    scale = np.asarray(deltas)
    moved = np.abs(np.diff(time / scale[:, None] ** less, axis=0)).T
    return common_slope(np.broadcast_to(np.log(scale[:-1]), moved.shape), np.log(moved), np.ones(moved.shape, dtype=bool))


def slopes(deltas: Sequence[float], ratio: Float[np.ndarray, "p s"]) -> Float[np.ndarray, " s"]:
    """Slope of log(s_2 / s_1) on log(delta) of each seed."""
    return np.polyfit(np.log(deltas), np.log(ratio), 1)[0]
