r"""What a smaller start changes (deep_homogeneous, Section 5.1.1): alignment, rank and time of the flow at its escape.

Eq. (8): $\delta^{L-2}$ times the escape time has a limit as $\delta\to0$.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from flowcheck.measures.readings import smallest
from flowcheck.measures.refinement import Refined, change
from flowcheck.measures.statistics import mean_interval
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.pipeline.evidence import Measurement

COARSENING = 10.0
"""Between the two tolerances."""


@dataclass(frozen=True)
class Escapes:
    r"""Flows at their escapes, [scales, seeds]: $\delta^{L-2}t$, 1 - cosine, and s_2 / s_1 of each matrix."""

    time: Float[np.ndarray, "p s"]
    misalignment: Float[np.ndarray, "p s"]
    ratio: Float[np.ndarray, "p s l"]

    @classmethod
    def of(cls, plateau: Plateau, draws: Draws, deltas: Sequence[float], rtol: float) -> Escapes:
        """The same draws from each scale."""
        repeated = draws.take(np.tile(np.arange(len(draws)), len(deltas)))
        scales = repeated.w0.new_tensor(deltas).repeat_interleave(len(draws))
        path = plateau.flow(repeated, scales, rtol)
        at, shape = plateau.anatomy(repeated, path.weights()), (len(deltas), len(draws))
        return cls(path.time.reshape(shape).cpu().numpy(), 1.0 - at.cosine.reshape(shape), at.ratio().reshape(*shape, -1))


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
        """Medians of 1 - cosine and how they fall, the spread of rescaled escape times, slopes of log(s_2 / s_1) on log delta."""
        return self._misalignment() | self._times() | self._ranks()

    def _misalignment(self) -> dict[str, Measurement]:
        pairs = zip(self.fine.misalignment, self.coarse.misalignment, strict=True)
        medians = [Refined.of(fine, coarse).median() for fine, coarse in pairs]
        found = {f"misalignment_median_delta_{delta:g}": median for delta, median in zip(self.deltas, medians, strict=True)}
        value, relative = np.array([(median.value, median.error / median.value) for median in medians]).T
        fall = value[:-1] / value[1:]
        least = smallest(fall, fall * (relative[:-1] + relative[1:]))
        return found | {"misalignment_fall_min": replace(least, n=medians[0].n)}

    def _times(self) -> dict[str, Measurement]:
        """Against the smallest scale, on the clock of Eq. (8), and on one with the exponent L - 3."""
        ratios = [escapes.time / escapes.time[-1] for escapes in (self.fine, self.coarse)]
        found = {}
        for row, delta in enumerate(self.deltas[:-1]):
            fine, coarse = (np.abs(ratio[row] - 1) for ratio in ratios)
            found[f"escape_time_gap_delta_{delta:g}"] = Refined.of(fine, coarse).largest()
            fine, coarse = (np.abs(ratio[row] * self.deltas[-1] / delta - 1) for ratio in ratios)
            found[f"escape_time_gap_wrong_exponent_delta_{delta:g}"] = Refined.of(fine, coarse).smallest()
        return found

    def _ranks(self) -> dict[str, Measurement]:
        """Mean slope over seeds with its interval: one where s_2 / s_1 is proportional to delta; `over_delta`: less one."""
        found = {}
        for layer in range(self.fine.ratio.shape[-1]):
            fine, coarse = (slopes(self.deltas, escapes.ratio[..., layer]) for escapes in (self.fine, self.coarse))
            for suffix, less in (("", 0.0), ("_over_delta", 1.0)):
                mean, interval = mean_interval(fine - less)
                error = change(fine.mean(keepdims=True), coarse.mean(keepdims=True)).item()
                found[f"ratio_slope{suffix}_W{layer + 1}"] = Measurement(mean, error, interval, len(fine))
        return found


def slopes(deltas: Sequence[float], ratio: Float[np.ndarray, "p s"]) -> Float[np.ndarray, " s"]:
    """Slope of log(s_2 / s_1) on log(delta) of each seed."""
    return np.polyfit(np.log(deltas), np.log(ratio), 1)[0]
