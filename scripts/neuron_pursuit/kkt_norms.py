"""Norms of weights at KKT points, and what added neurons change (neuron_pursuit): Lemmas 3, 6, 8, 9, 14, 15 and 19, Section 3.3.

KKT points of the NCF of whole networks, and of the leading term of added neurons, by ascents over depth, power and leak.
"""

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat

from flowcheck.measures.readings import largest, median, smallest
from flowcheck.measures.table import Row, Table
from flowcheck.papers.neuron_pursuit import decomposition, lemma_3, lemma_6, lemma_8, lemma_9, lemma_14
from flowcheck.papers.neuron_pursuit.kkt_table import ROUNDING, kinds
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    starts: int = Field(ge=5, description="starts of each ascent")
    iterations: int = Field(ge=100, description="steps of each ascent, at most")
    points: int = Field(ge=2, description="random weights for the sum over neurons")
    draws: int = Field(ge=1, le=50, description="networks of each setting of Lemma 8, functions of each degree of Lemma 6")
    deltas: list[PositiveFloat] = Field(min_length=3)
    start_scales: list[PositiveFloat] = Field(min_length=1)


def cell(p: Parameters, context: Context) -> Evidence:
    rows: dict[str, list[Row]] = {"lemma3": [], "lemma9": [], "lemma19": []}
    sums, euler, others = [], [], []
    for kind in context.progress(list(kinds()), what="networks"):
        rng = context.rng(*kind)
        rows["lemma3"].append(lemma_3.row(kind, rng, p.starts, p.iterations))
        rows["lemma9"].append(lemma_9.row(kind, lemma_9.draw(kind, rng), rng, p.starts, p.iterations))
        if kind.depth == 2:
            rows["lemma19"].append(lemma_9.row(kind, lemma_9.one_neuron(kind, rng), rng, p.starts, p.iterations))
        else:
            sums.append(lemma_9.separability(kind, rng, p.points))
            others.append(lemma_14.in_other_weights(kind, rng))  # with two layers it does not depend on w_n
        euler.append(lemma_14.euler(kind, rng))
    evidence, runs = Evidence(), {name: Table.of(found) for name, found in rows.items()}
    for name, table in runs.items():
        evidence.add(lemma_3.readings_of(table, name))
    evidence.record("lemma9_between_max", runs["lemma9"].largest("between"))
    evidence.record("lemma9_between_early_min", runs["lemma9"].smallest("early"))
    evidence.add(lemma_3.dead_gap(context.rng("dead")))
    evidence.add(lemma_9.idle_point(context.rng("idle")))
    evidence.add(lemma_6.readings(context.rng("scaling"), p.start_scales, p.draws))
    found, curves = lemma_8.asymptotics(context.rng("orders"), p.deltas, p.draws)
    evidence.add(found)
    evidence.add(decomposition.expansion(context.rng("polynomials"), p.draws))

    read = {"max": largest, "min": smallest, "median": median}
    for name, measured, column, end in (
        ("separability_gap_max", sums, "leading", "max"),
        ("separability_gap_whole_median", sums, "whole", "median"),
        ("separability_between_max", sums, "between", "max"),
        ("lemma14_scaling_defect_max", euler, "scaling", "max"),
        ("lemma14_euler_defect_max", euler, "euler", "max"),
        ("lemma14_scaling_defect_other_degree_min", euler, "other_degree", "min"),
        ("lemma14_scaling_defect_value_min", euler, "value", "min"),
        ("lemma15_defect_max", others, "lemma15", "max"),
        ("lemma15_defect_other_degree_min", others, "lemma15_other_degree", "min"),
    ):
        evidence.record(name, read[end](np.array([row[column] for row in measured]), ROUNDING))
    evidence.arrays |= curves | lemma_9.ratios(context.rng("ratios"), p.starts, p.iterations)
    evidence.runs = pd.concat([table.values.assign(lemma=name) for name, table in runs.items()], ignore_index=True)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
