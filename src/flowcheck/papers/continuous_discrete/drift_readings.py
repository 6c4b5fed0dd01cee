r"""What is read from runs that differ in their step size: the ratio of drift to distance, and where the drift comes from.

To first order the distance between the runs with $\eta_0$ and $\eta_0/r$ is $\eta_0(1-1/r)$ times a number that does not depend
on r.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.errors import HypothesisError
from flowcheck.measures import readings
from flowcheck.measures.statistics import mean_interval
from flowcheck.papers.continuous_discrete.step_comparison import READING
from flowcheck.pipeline.evidence import Found, Measurement

LOSS_READING = 1e-12
"""Of a mean of a thousand terms of size one, in double precision."""


def as_drawn(rows: pd.DataFrame, name: str) -> Found:
    """What Figures 1 and 3 show of one network: a row of `rows` is a draw of the weights and an r.

    Raises HypothesisError if one of these runs diverges; those with the large step may.
    """
    diverged = Measurement.count(int(rows["diverged"].sum()), len(rows))
    if diverged.value:
        first = rows[rows["diverged"] > 0].iloc[0]
        sentence = f"{name}: descent from draw {first.draw:g} with eta_0 or eta_0 / {first.ratio:g} diverges"
        raise HypothesisError(f"{name}_diverged", diverged.value, sentence)
    by_draw = rows.groupby("draw")
    worst, error = by_draw["drift_ratio"].max(), float(rows["drift_ratio_error"].max())
    travelled = by_draw["distance_end"].first()
    large = {column: rows[f"{column}_large_step"].to_numpy() for column in ("drift_ratio", "loss_gap", "distance_end")}
    return {
        f"{name}_diverged": diverged,
        f"{name}_large_step_drift_ratio_min": readings.smallest(large["drift_ratio"], READING),
        f"{name}_large_step_loss_gap_min": readings.smallest(large["loss_gap"], LOSS_READING),
        f"{name}_large_step_distance_min": readings.smallest(large["distance_end"], READING),
        f"{name}_large_step_loss_rises": Measurement.count(int(rows["loss_rises_large_step"].sum()), len(rows)),
        f"{name}_distance_travelled": _mean(travelled, READING),
        f"{name}_distance_tenth_max": readings.largest(by_draw["distance_tenth"].first().to_numpy(), READING),
        f"{name}_max_drift_ratio": readings.largest(rows["drift_ratio"].to_numpy(), error),
        f"{name}_mean_drift_ratio": _mean(worst, error),
        f"{name}_loss_gap_max": readings.largest(rows["loss_gap"].to_numpy(), LOSS_READING),
        f"{name}_loss_end_max": readings.largest(rows["loss_end"].to_numpy(), LOSS_READING),
        f"{name}_loss_tenth_min": readings.smallest(by_draw["loss_tenth"].first().to_numpy(), LOSS_READING),
        f"{name}_loss_rises": Measurement.count(int(rows["loss_rises"].sum()), len(rows)),
        f"{name}_distance_falls": Measurement.count(int(by_draw["distance_falls"].first().sum()), len(by_draw)),
    }


def _mean(values: pd.Series[float], error: float) -> Measurement:
    mean, interval = mean_interval(values.to_numpy())
    return Measurement(mean, error, interval, len(values))


def first_order_gap(rows: pd.DataFrame) -> Measurement:
    """How far the drift at the end is from what the first order makes of that of the smallest r; largest over draws and r."""
    return _against_smallest(rows, lambda ratio: 1 - 1 / ratio)


def second_order_gap(rows: pd.DataFrame) -> Measurement:
    """The same for a method of order two, whose drift is as 1 - 1 / r^2."""
    return _against_smallest(rows, lambda ratio: 1 - 1 / ratio**2)


def _against_smallest(rows: pd.DataFrame, size: Callable[[float], float]) -> Measurement:
    gaps, errors = [], []
    for _, one in rows.groupby("draw"):
        one = one.sort_values("ratio")
        first, others = one.iloc[0], one.iloc[1:]
        for _, other in others.iterrows():
            share = other.drift_end / first.drift_end
            expected = size(other.ratio) / size(first.ratio)
            gaps.append(abs(share / expected - 1))
            errors.append(share / expected * (other.drift_error / other.drift_end + first.drift_error / first.drift_end))
    return readings.largest(np.array(gaps), np.array(errors))


def late_growth(rows: pd.DataFrame) -> Measurement:
    """The drift at the end over that at a tenth of the time, of the largest r, smallest over draws."""
    chosen = rows[rows["ratio"] == rows["ratio"].max()]
    growth = (chosen["drift_end"] / chosen["drift_tenth"]).to_numpy()
    error = growth * (chosen["drift_error"] * (1 / chosen["drift_end"] + 1 / chosen["drift_tenth"])).to_numpy()
    return readings.smallest(growth, error)


def reordered_share(reordered: Float[np.ndarray, " p"], drift: Float[np.ndarray, " p"]) -> Measurement:
    """How far another order of the same sums moves a run by its end, over the drift there."""
    share = float(reordered[-1] / drift[-1])
    return Measurement(share, READING * (1 + share) / float(drift[-1]), n=1)
