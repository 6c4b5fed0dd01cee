"""How long the plateau lasts: T against the initial gap to the opposite direction (ours, beyond spherical_data).

For a start with θ(0) = π - gap the flow passes near the origin, and T grows like gap^{-(N-2)} for depth N > 2 and like
(π/c0) ln(1/gap) for N = 2. On the clock q of the reduced flow a plateau of length 1e16 costs as much as one of length 1.
"""

import math
from typing import Annotated, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import Refined
from flowcheck.measures.statistics import slope_interval
from flowcheck.papers.spherical_data import reduced_flow
from flowcheck.papers.spherical_data.population import LAWS, law
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import one_of

DEPTHS = (2, 3, 4, 5, 6)
OTHER = {2: 3, 3: 4, 4: 5, 5: 6, 6: 5}
"""The depth whose plateau must not have the power of a depth."""


class Parameters(ParametersModel):
    law: Annotated[str, one_of(LAWS)]
    norm: Annotated[float, Field(gt=0)]
    largest_gap: Annotated[float, Field(gt=0, lt=math.pi)]
    smallest_gap: Annotated[float, Field(gt=0, lt=math.pi)]
    gaps: int = Field(ge=8)
    fitted_below: Annotated[float, Field(gt=0, lt=math.pi)]

    @model_validator(mode="after")
    def _fits_a_part_of_its_gaps(self) -> Self:
        if not self.smallest_gap < self.fitted_below <= self.largest_gap:
            raise ValueError("fitted_below: a gap above smallest_gap and up to largest_gap")
        return self


def power(x: np.ndarray, time: Refined, depth: int, c0: float) -> Measurement:
    """Slope of T on ln(1/gap), over π/c0, as it is stated for depth two; of ln T as it is for more layers. With its interval."""
    unit = np.full(len(x), math.pi / c0) if depth == 2 else time.value
    slope, interval = slope_interval(x, time.value / unit if depth == 2 else np.log(time.value))
    return Measurement(slope, 2 * (time.error / unit).max() / (x.max() - x.min()), interval, len(x))


def cell(p: Parameters, context: Context) -> Evidence:
    gaps = np.geomspace(p.largest_gap, p.smallest_gap, p.gaps)
    q0, s0 = np.asarray(reduced_flow.clock_of_gap(gaps)), np.full(p.gaps, math.log(p.norm))
    advances = np.linspace(0.0, 2.0 - q0.min(), 600)
    fitted, c0 = gaps <= p.fitted_below, law(p.law).c0
    x = -np.log(gaps[fitted])
    evidence, followed = Evidence(arrays={"gaps": gaps, "fitted": fitted}), {}
    for depth in context.progress(DEPTHS, what="depths"):
        fine, coarse = (
            reduced_flow.reduced_flow(law(p.law), depth, q0, s0, advances, rtol=rtol).transition
            for rtol in (reduced_flow.RTOL, reduced_flow.COARSE_RTOL)
        )
        followed[depth] = Refined.of(fine.t, coarse.t)
        evidence.arrays[f"norm_N{depth}"] = np.exp(fine.s)
    times: dict[str, np.ndarray] = {"gap": gaps}
    for depth, time in followed.items():
        slope = power(x, time[fitted], depth, c0)
        evidence.record(f"plateau_slope_N{depth}", slope)
        exact = Measurement(abs(slope.value - max(depth - 2, 1)), slope.error, n=slope.n)
        other = power(x, followed[OTHER[depth]][fitted], depth, c0)
        evidence.record(f"plateau_slope_gap_N{depth}", exact)
        evidence.measure(
            f"plateau_slope_gap_other_depth_N{depth}", abs(other.value - max(depth - 2, 1)), error=other.error, n=other.n
        )
        times |= {f"T_N{depth}": time.value, f"T_error_N{depth}": time.error}
    evidence.record("plateau_longest", largest(times["T_N6"], times["T_error_N6"]))
    evidence.arrays |= {name: value for name, value in times.items() if name != "gap"}
    evidence.runs = pd.DataFrame(times)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
