"""Near a saddle, degree above two: w_n stays for a time of order delta^-(L-2), w_z aligns (deep_homogeneous, Section 5.2).

One power unit fits a teacher of three as well as it can, found by Newton; three idle units are at zero. Theorem 5.3 with the
constants of its proof, Lemma 5.4, the rates behind them, and what happens where a hypothesis fails.
"""

import dataclasses
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat

from flowcheck.data.synthetic import unit_vectors
from flowcheck.measures.readings import fraction, smallest_of
from flowcheck.measures.table import Table
from flowcheck.papers.deep_homogeneous import equation_66, equation_72, lemma_5_4, saddle_rates, theorem_5_3
from flowcheck.papers.deep_homogeneous.broken_hypotheses import chain_ratios, strict_saddle_ratios
from flowcheck.papers.deep_homogeneous.power_saddles import (
    RADII,
    collapsing_saddle,
    inward_radius,
    proved_radius,
    stable_saddle,
    strict_saddle,
)
from flowcheck.papers.homogeneous.near_saddles import presupposed, velocity_gaps, velocity_readings
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import INCREASING
from flowcheck.saddles.departure import draw_starts
from flowcheck.saddles.saddle import Saddle

DEGREES = (3, 4)


class Parameters(ParametersModel):
    draws: Annotated[int, Field(ge=1)]
    starts: Annotated[int, Field(ge=1)]
    epsilons: list[PositiveFloat] = Field(min_length=1)
    scales: list[PositiveFloat] = Field(min_length=2)
    fitted_scales: Annotated[tuple[PositiveFloat, PositiveFloat], INCREASING]
    escape_scales: list[PositiveFloat] = Field(min_length=3)
    escape_share: PositiveFloat
    largest_growth: PositiveFloat
    displacement: float = Field(ge=0)
    directions: Annotated[int, Field(ge=100)]
    unstable_scales: list[PositiveFloat] = Field(min_length=1)


class Drawn(NamedTuple):
    """A saddle, a radius gamma of Eq. (15) with the smallest inward rate at each of `RADII`, and what its start is drawn with."""

    saddle: Saddle
    gamma: float
    rates: np.ndarray
    rng: np.random.Generator


def draw(degree: int, rng: np.random.Generator, *, directions: int, above: float, displacement: float) -> Drawn:
    """A minimum of this degree, gamma above a radius; of degree 0, the saddle whose idle unit shrinks to zero."""
    sampled = unit_vectors(rng, directions, 3).numpy()
    if degree:
        saddle, gamma, rates = stable_saddle(degree, sampled, above, rng)
    else:
        saddle = collapsing_saddle(rng)
        radius, rates = inward_radius(saddle, sampled)
        gamma = proved_radius(saddle, radius, above)
    return Drawn(dataclasses.replace(saddle, weights=saddle.weights + displacement), gamma, rates, rng)


def cell(p: Parameters, context: Context) -> Evidence:
    scales, escape = (np.array(sorted(some, reverse=True)) for some in (p.scales, p.escape_scales))
    problems = [(degree, number) for degree in (*DEGREES, 0) for number in range(p.draws)]
    drawn = [
        draw(degree, context.rng(degree, number), directions=p.directions, above=max(p.epsilons), displacement=p.displacement)
        for degree, number in problems
    ]
    evidence, rows, points, left_out = Evidence.of([presupposed([found.saddle for found in drawn], p.scales)]), [], [], 0
    for (degree, _), (saddle, gamma, rates, rng) in context.progress(list(zip(problems, drawn, strict=True)), what="saddles"):
        found = draw_starts(saddle, p.starts, np.array(p.epsilons), p.largest_growth, rng)
        left_out += found.left_out
        point = lemma_5_4.ball(saddle, gamma, rates, unit_vectors(rng, p.directions, saddle.fitted.size).numpy())
        point |= equation_66.distances(saddle, rng.standard_normal(saddle.network.size))
        points.append(point | velocity_gaps(saddle, rng))
        for start in found.starts:
            row, paths = theorem_5_3.run(saddle, start, gamma=gamma, epsilons=p.epsilons, delta=scales)
            if degree:
                row |= saddle_rates.still(saddle, start, scales, paths["tau"], p.fitted_scales)
                row |= saddle_rates.escapes(saddle, start, escape, p.escape_share)
                shown = paths | {"inward": rates}  # those of the last start from the last draw
                evidence.arrays |= {f"L{degree}_{name}": values for name, values in shown.items()}
            rows.append(row)
    runs, saddles = Table.of(rows), Table.of(points)
    evidence.record("left_out_share", fraction(np.arange(len(runs) + left_out) >= len(runs)))
    evidence.add(theorem_5_3.readings_of(runs))
    for readings_of in (lemma_5_4.readings_of, equation_66.readings_of, velocity_readings):
        evidence.add(readings_of(saddles))
    evidence.add(saddle_rates.slopes(runs.where(~runs["collapses"]), scales, p.fitted_scales, escape))
    evidence.add(equation_72.nearly_sharp())
    # controls, without (15) and without separability
    epsilon, unstable = p.epsilons[0], p.unstable_scales
    ratios = [strict_saddle_ratios(degree, epsilon, unstable, p.largest_growth, context.rng("unstable")) for degree in DEGREES]
    evidence.record("unstable_ratio_min", smallest_of(found.smallest() for found in ratios))
    evidence.record("chain_ratio_min", chain_ratios(epsilon, unstable, context.rng("chain")).smallest())
    split = strict_saddle(4, context.rng("split"))
    evidence.add(lemma_5_4.split(split, unit_vectors(context.rng("split directions"), p.directions, split.fitted.size).numpy()))
    evidence.add(lemma_5_4.valley())
    evidence.add(lemma_5_4.symbolic_failures())
    fitted = saddle_rates.is_fitted(scales, p.fitted_scales)
    evidence.arrays |= {"radii": RADII, "scales": scales, "escape_scales": escape, "fitted": fitted}
    evidence.runs = runs.values
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
