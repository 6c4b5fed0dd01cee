"""Near a saddle, degree two: w_n stays, w_z / delta follows the NCF flow of the residual (two_homogeneous, Section 5.2).

Saddles made by construction (that of Figure 4; ReLU on orthogonal inputs and on two cones) and by Newton (fewer units than the
teacher has).
Theorem 5.5 with the constants of its proof, Lemma D.1 with its counterexample, Lemma 5.6.
"""

import dataclasses
import math
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from flowcheck.data.synthetic import unit_vectors
from flowcheck.measures.readings import fraction
from flowcheck.measures.table import Table
from flowcheck.papers.homogeneous.near_saddles import presupposed, velocity_gaps, velocity_readings
from flowcheck.papers.two_homogeneous import kinked_saddle, lemma_5_6, theorem_5_5, unheld_points
from flowcheck.papers.two_homogeneous.kinked_saddle import KinkedSaddle, kinked_relu
from flowcheck.papers.two_homogeneous.lemma_d_1 import counterexample
from flowcheck.papers.two_homogeneous.saddle_systems import SYSTEMS, figure_4, smooth_relu
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import INCREASING
from flowcheck.saddles.departure import draw_starts

RADII = np.geomspace(1e-6, 1.0, 13)
"""Over gamma, at which Eq. (15) is asked for near the saddle on a kink."""
CONTROLS = ("figure_4", "partly_fitted", "orthogonal_relu")
"""Where the NCF flow with y in the place of the residual is followed too."""


class Parameters(ParametersModel):
    datasets: Annotated[int, Field(ge=1)]
    starts: Annotated[int, Field(ge=1)]
    epsilons: list[PositiveFloat] = Field(min_length=1)
    scales: list[PositiveFloat] = Field(min_length=2)
    fitted_scales: Annotated[tuple[PositiveFloat, PositiveFloat], INCREASING]
    largest_growth: PositiveFloat
    largest_kinked_scale: PositiveFloat
    directions: Annotated[int, Field(ge=100)]
    displacement: float = Field(ge=0)
    counterexample_label: PositiveFloat
    counterexample_scale: PositiveFloat
    counterexample_constants: list[PositiveFloat] = Field(min_length=1)
    departure_scales: list[PositiveFloat] = Field(min_length=3)


def cell(p: Parameters, context: Context) -> Evidence:
    scales = np.array(sorted(p.scales, reverse=True))
    streams = [(build, context.rng(build.__name__, dataset)) for build in SYSTEMS for dataset in range(p.datasets)]
    drawn = [(build, rng, build(rng)) for build, rng in streams]
    problems = [(b, rng, dataclasses.replace(s, weights=s.weights + p.displacement)) for b, rng, s in drawn]
    evidence = Evidence.of([presupposed([saddle for *_, saddle in problems], p.scales)])
    blocks, rows, at_rest, left_out = [], [], 0, 0
    for build, rng, saddle in context.progress(problems, what="saddles"):
        block = lemma_5_6.blocks(saddle, *(rng.standard_normal(part.size) for part in (saddle.fitted, saddle.idle)))
        blocks.append(block | velocity_gaps(saddle, rng))
        positive, control = build is smooth_relu, build.__name__ in CONTROLS
        found = draw_starts(saddle, p.starts, np.array(p.epsilons), p.largest_growth, rng, positive=positive)
        at_rest, left_out = at_rest + found.at_rest, left_out + found.left_out
        for start in found.starts:
            row, paths = theorem_5_5.run(
                build.__name__,
                saddle,
                start,
                epsilons=p.epsilons,
                scales=scales.tolist(),
                largest_scale=p.largest_kinked_scale if build is kinked_relu else math.inf,
                control=control,
            )
            rows.append(row)
            # those of the last start from the last data set
            evidence.arrays |= {f"{build.__name__}_{name}": values for name, values in paths.items()}
    runs = Table.of(rows)
    evidence.record("starts_at_rest", Measurement.count(at_rest, len(runs) + at_rest + left_out))
    evidence.record("left_out_share", fraction(np.arange(len(runs) + left_out) >= len(runs)))
    evidence.add(theorem_5_5.readings_of(runs))
    evidence.add(theorem_5_5.slopes(runs, scales, p.fitted_scales))
    evidence.add(lemma_5_6.readings_of(Table.of(blocks)))
    evidence.add(velocity_readings(Table.of(blocks)))
    kinked = [saddle for *_, saddle in problems if isinstance(saddle, KinkedSaddle)]
    sampled = unit_vectors(context.rng("directions"), p.directions, kinked[0].fitted.size).numpy()
    evidence.add(kinked_saddle.readings_of(kinked, sampled, RADII))
    evidence.add(counterexample(p.counterexample_label, p.counterexample_scale, np.array(p.counterexample_constants)))
    rng = context.rng("departures")
    saddle = figure_4(rng)
    direction = np.concatenate([unit_vectors(rng, 1, part.size)[0].numpy() for part in (saddle.fitted, saddle.idle)])
    evidence.add(unheld_points.slopes(saddle, direction, np.array(p.departure_scales)))
    evidence.arrays["scales"] = scales
    evidence.runs = runs.values
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
