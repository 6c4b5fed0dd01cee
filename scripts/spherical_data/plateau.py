"""How long the plateau lasts: T against the initial gap to the opposite direction (ours, beyond spherical_data).

For a start with θ(0) = π - gap the flow passes near the origin, and T grows like gap^{-(N-2)} for depth N > 2 and like
(π/c0) ln(1/gap) for N = 2. On the clock q of the reduced flow a plateau of length 1e16 costs as much as one of length 1.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures.statistics import slope_interval
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

DEPTHS = (2, 3, 4, 5, 6)


class Parameters(ParametersModel):
    law: str
    norm: Annotated[float, Field(gt=0)]
    largest_gap: Annotated[float, Field(gt=0, lt=math.pi)]
    smallest_gap: Annotated[float, Field(gt=0, lt=math.pi)]
    gaps: int = Field(ge=8)
    fitted_below: Annotated[float, Field(gt=0, lt=math.pi)]


def cell(p: Parameters, context: Context) -> Evidence:
    gaps = np.geomspace(p.largest_gap, p.smallest_gap, p.gaps)
    q0, s0 = reduced_flow.clock_of_gap(gaps), np.full(p.gaps, math.log(p.norm))
    advances = np.linspace(0.0, 2.0 - q0.min(), 600)
    times = {"gaps": gaps}
    for depth in context.progress(DEPTHS, what="depths"):
        fine, coarse = (
            reduced_flow.integrate(law(p.law), depth, q0, s0, advances, rtol=rtol).transition
            for rtol in (reduced_flow.RTOL, reduced_flow.COARSE_RTOL)
        )
        times[f"T_N{depth}"], times[f"T_error_N{depth}"] = fine.t, np.abs(fine.t - coarse.t)
        times[f"log_norm_N{depth}"] = fine.s
    return Evidence(arrays=times)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"].arrays
    gaps = arrays["gaps"]
    fitted = gaps <= p.fitted_below
    c0 = law(p.law).c0
    for depth in DEPTHS:
        time, error = arrays[f"T_N{depth}"], arrays[f"T_error_N{depth}"]
        x = -np.log(gaps[fitted])
        # depth two: T itself is linear in ln(1/gap); deeper: ln T is
        y = time[fitted] * c0 / math.pi if depth == 2 else np.log(time[fitted])
        slope, interval = slope_interval(x, y)
        spread = np.abs(error / (time if depth > 2 else math.pi / c0)).max() / (x.max() - x.min())
        evidence.measure(f"plateau_slope_N{depth}", slope, error=2 * spread, interval=interval, n=int(fitted.sum()))
        evidence.measure(f"plateau_slope_gap_N{depth}", abs(slope - max(depth - 2, 1)), error=2 * spread, n=int(fitted.sum()))
        evidence.measure(
            f"plateau_slope_gap_one_layer_less_N{depth}", abs(slope - (depth - 3)), error=2 * spread, n=int(fitted.sum())
        )
        evidence.arrays |= {
            f"T_N{depth}": time,
            f"T_error_N{depth}": error,
            f"norm_N{depth}": np.exp(arrays[f"log_norm_N{depth}"]),
        }
    evidence.measure("plateau_longest", arrays["T_N6"].max(), error=arrays["T_error_N6"][np.argmax(arrays["T_N6"])])
    evidence.arrays |= {"gaps": gaps, "fitted": fitted}
    evidence.runs = pd.DataFrame({"gap": gaps} | {key: value for key, value in arrays.items() if key[:2] == "T_"})
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
