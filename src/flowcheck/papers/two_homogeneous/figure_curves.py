"""What Figures 1, 3 and 4 (two_homogeneous) draw: displayed runs, NCFs with their critical points, quartiles over data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from flowcheck.correlation.planar import PlanarCorrelation
from flowcheck.papers.two_homogeneous.figure_runs import Recorded
from flowcheck.papers.two_homogeneous.toy_problem import FITTED, Correlations, Start

Array = np.ndarray
ANGLES = np.linspace(-np.pi, np.pi, 721)


def displayed(runs: Mapping[Start, Recorded], ncf: Correlations, row: int, beside: int) -> dict[str, Array]:
    """Curves of one run from each start, loss and size of the first `beside` runs, and NCFs on the circle."""
    drawn = {"iterations": runs["origin"].iterations, "theta": ANGLES}
    for start, of in runs.items():
        z = seen_from(start, ncf)
        drawn |= {f"{start}_loss": of.loss[row], f"{start}_distance": of.distance[row], f"{start}_angles": of.angles[row]}
        drawn |= {f"{start}_losses": of.loss[:beside], f"{start}_distances": of.distance[:beside]}
        drawn |= {f"{start}_ncf": z.value(ANGLES), f"{start}_flat": z.critical.flat}
        for name, points in (("maxima", z.critical.maxima), ("minima", z.critical.minima)):
            drawn |= {f"{start}_{name}": points, f"{start}_{name}_value": z.value(points)}
    return drawn


def seen_from(start: Start, ncf: Correlations) -> PlanarCorrelation:
    """The NCF that neurons climb there: that of the labels, or of the residual at the saddle."""
    return ncf.labels if start == "origin" else ncf.residual


def quartiles(start: Start, runs: Recorded, ncf: Sequence[Correlations], rows: Int[Array, " s"]) -> dict[str, Array]:
    """Over the runs `rows`, each with its NCFs: share of the loss, distance, and gap of the median neuron to a maximum."""
    gaps = []
    for row in rows:
        theta = runs.angles[row] if start == "origin" else runs.angles[row][:, FITTED:]
        gaps.append(np.median(seen_from(start, ncf[row]).distance_to_maximum(theta), axis=1))
    loss = runs.loss[rows]
    curves = {"loss_ratio": loss / loss[:, :1], "distance": runs.distance[rows], "gap": np.array(gaps)}
    return {name: np.quantile(values, [0.25, 0.5, 0.75], axis=0) for name, values in curves.items()}
