"""Gradient descent with several step sizes on digits, fully connected networks (continuous_discrete, Section 6, Figure 1).

A study is a network in one precision, with some draws of the weights and some r; a draw has the same weights in all studies of a
network. Those in single precision are the paper's figure, those in double precision say what of it is rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.data.mnist import digits
from flowcheck.measures.readings import largest
from flowcheck.papers.continuous_discrete import drift_readings as drift
from flowcheck.papers.continuous_discrete import figure_1, mnist_networks, step_studies
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

PUBLISHED = Path(__file__).parent / "data"


class Parameters(ParametersModel):
    study: str
    points: int = Field(ge=10, le=60_000, description="digits")
    studies: dict[str, figure_1.Study]


def cell(p: Parameters, context: Context) -> Evidence:
    study = p.studies[p.study]
    start = np.stack([mnist_networks.xavier(context.rng("start", study.network, draw)) for draw in study.draws])
    data = digits(context.data["mnist"], count=p.points)
    arrays, table = figure_1.run(study, data, start, context.rng("order").permutation(p.points))
    return Evidence.of([arrays], table)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    curves = {name.removeprefix("study-"): one.arrays for name, one in cells.items()}
    table = pd.concat([one.runs for one in cells.values()], ignore_index=True)
    found: list[Found] = [step_studies.labelled(p.studies, curves)]
    for name in ("linear", "relu"):
        mine = table[table["network"] == name]
        single, double = (mine[mine["precision"] == precision] for precision in ("float32", "float64"))
        shown = curves[f"{name}_float32"]
        share = drift.reordered_share(shown["reordered"], shown["drift"][0, 0])
        in_double = largest(double["drift_ratio"].to_numpy(), double["drift_ratio_error"].to_numpy())
        found += [
            drift.as_drawn(single, name),
            figure_1.beside_published(name, shown["records"], shown["loss"][0], shown["distance"], PUBLISHED),
            {
                f"{name}_reordered_share_float32": share,
                f"{name}_max_drift_ratio_float64": in_double,
                f"{name}_late_growth_float64": drift.late_growth(double),
            },
        ]
    linear = table[table["network"] == "linear"]
    single, double = (linear[linear["precision"] == precision] for precision in ("float32", "float64"))
    gaps = {
        "linear_first_order_gap_float64": drift.first_order_gap(double),
        "linear_first_order_gap_float32": drift.first_order_gap(single),
        "linear_second_order_gap_float64": drift.second_order_gap(double),
        "linear_late_growth_float32": drift.late_growth(single),
    }
    return Evidence.of([*found, gaps], table)


if __name__ == "__main__":
    main(Parameters, cell, gather)
