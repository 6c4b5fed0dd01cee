r"""How distances near a minimum scale with delta, and when flows escape: the rates behind Theorem 5.3 of deep_homogeneous.

Derived here: $\|w_n-\bar w_n\|=\Theta(\delta^L)$ at T, $\sup_t\|w_z/\delta-u\|=\Theta(\delta^{L-1})$, or $\Theta(\delta^L)$ if
p_n = 0, and the escape time is $\delta^{-(L-2)}(T^*+o(1))$.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.events import tangential_below
from flowcheck.flows.flow import blow_up_time, gradient_flow
from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import change
from flowcheck.measures.table import Row, Table, at_two_tolerances
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.departure import Departure, Start
from flowcheck.saddles.saddle import Saddle

BLOW_UP_RTOL, BLOW_UP_SINE = (1e-9, 1e-7), 1e-6
"""Tolerances at which T* is found, and up to which sine the NCF flow is followed for it; the rest is a bounded tail."""


def is_fitted(scales: Float[np.ndarray, " s"], between: tuple[float, float]) -> Bool[np.ndarray, " s"]:
    """Which deltas enter the fits."""
    return (scales >= between[0]) & (scales <= between[1])


def sizes(path: Departure, first: float) -> dict[str, float]:
    r"""For each delta the largest $\|w_z/\delta-u\|$ up to `first`; $\|w_n-\bar w_n\|$ at the end; the largest over delta."""
    last, found = int(np.searchsorted(path.tau, first)), {}
    deviation, a = path.deviation[:, : last + 1].max(axis=1), path.a_norm
    for k, delta in enumerate(path.delta):
        found[f"deviation_{k}"] = float(deviation[k])
        found[f"end_{k}"] = float(delta * a[k, -1])
        found[f"farthest_{k}"] = float(a[k].max())
    return found


def still(
    saddle: Saddle, start: Start, scales: Float[np.ndarray, " s"], tau: Float[np.ndarray, " p"], between: tuple[float, float]
) -> Row:
    """The deviation from u, up to the first of the times, of flows that leave along w_z alone: p_n = 0. At the fitted scales."""
    fitted = np.flatnonzero(is_fitted(scales, between))
    tau = tau[tau <= start.u.times[0]]

    def deviations(coarser: float) -> dict[str, float]:
        path = departure.depart(saddle, scales[fitted], 0 * start.n, start.z, tau, start.u.curve, coarser=coarser)
        return {f"still_{k}": float(path.deviation[i].max()) for i, k in enumerate(fitted)}

    fine = deviations(1.0)
    found = at_two_tolerances(fine, deviations(departure.COARSER))
    return {name: found[name] for name in (*fine, *found)}


def escapes(saddle: Saddle, start: Start, scales: Float[np.ndarray, " e"], share: float) -> Row:
    """Rescaled times at which a `share` of what the KKT direction can take from the loss is gone, and T* of the NCF flow.

    The second tolerance is tried at the smallest delta, where the flow is stiffest; its relative effect is taken for all.

    Raises ValueError where u has no limit direction.
    """
    if start.u.target is None:
        raise ValueError("where u goes to zero no flow escapes along a KKT direction")
    blow_up = _blow_up(saddle, start)
    ratio = 1 - share * departure.largest_fall(saddle, start.u.target)

    def escape(delta: float, coarser: float) -> float:
        margin = departure.loss_below(saddle, delta, ratio)
        time, *_ = departure.depart_until(saddle, delta, start.n, start.z, margin, 3 * blow_up.value, coarser=coarser)
        return time * delta ** (2 - saddle.degree)

    times = np.array([escape(float(delta), 1.0) for delta in scales])
    coarse = escape(float(scales[-1]), departure.COARSER)
    relative = float(change(times[-1:], np.array([coarse]))[0]) / times[-1]
    row: Row = {"blow_up": blow_up}
    row |= {f"escape_{k}": Measurement(time, relative * time) for k, time in enumerate(times)}
    return row | {f"escape_{len(scales) - 1}_coarse": Measurement(coarse, relative * times[-1])}


def _blow_up(saddle: Saddle, start: Start) -> Measurement:
    x, z, direction = (torch.from_numpy(array) for array in (saddle.idle.x, saddle.residual, start.z[None]))
    ncf = Correlation(saddle.idle.network, x, z)
    paths = [gradient_flow(ncf, direction, until=[tangential_below(BLOW_UP_SINE)], rtol=rtol) for rtol in BLOW_UP_RTOL]
    (fine, tail), (coarse, _) = ([float(found) for found in blow_up_time(path, ncf)] for path in paths)
    return Measurement(fine, float(change(np.array(fine), np.array(coarse))) + tail)


def slopes(
    aligned: Table, deltas: Float[np.ndarray, " s"], between: tuple[float, float], escape: Float[np.ndarray, " e"]
) -> Found:
    """Slopes against delta, for each degree, pooled over draws with one offset each.

    `deltas` and those of the escapes decrease. That of the escape time at the smallest delta over T* comes last.
    """
    found: dict[str, Measurement] = {}
    fitted, last = np.flatnonzero(is_fitted(deltas, between)).tolist(), len(escape) - 1
    for degree in np.unique(aligned["degree"]).tolist():
        runs = aligned.where(aligned["degree"] == degree)
        for name, column, grid, chosen in (
            ("deviation_slope", "deviation", deltas, fitted),
            ("still_deviation_slope", "still", deltas, fitted),
            ("end_slope", "end", deltas, fitted),
            ("escape_time_slope", "escape", escape, list(range(len(escape)))),
        ):
            found[f"{name}_L{degree}"] = runs.log_slope([f"{column}_{k}" for k in chosen], grid[chosen])
        found[f"farthest_L{degree}"] = runs.largest(f"farthest_{len(deltas) - 1}")
        over = runs[f"escape_{last}"] * escape[-1] ** (degree - 2) / runs["blow_up"]
        moved = runs.errors[f"escape_{last}"] / runs[f"escape_{last}"] + runs.errors["blow_up"] / runs["blow_up"]
        found[f"escape_over_blow_up_gap_L{degree}"] = largest(np.abs(over - 1), np.abs(over) * moved.to_numpy())
    return found
