"""Gradient descent with several step sizes on digits, convolutional networks (continuous_discrete, Appendix H.1, Figure 3).

A study is a network in one precision from one kind of start, with some draws of the weights and some r; a draw has the same
weights in all studies of a network and a start. Those in single precision are the paper's figure; those from the authors' start
are it as their code has it; those in double precision say what of it is rounding.
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
from flowcheck.papers.continuous_discrete import figure_3, mnist_networks, step_studies
from flowcheck.papers.continuous_discrete.published_curves import read_off
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

PUBLISHED = Path(__file__).parent / "data"
NETWORKS: tuple[mnist_networks.Convolutional, ...] = ("conv_max_pool", "conv_subsample")
STARTS: tuple[mnist_networks.Start, ...] = ("xavier", "authors")


class Parameters(ParametersModel):
    study: str
    points: int = Field(ge=10, le=60_000, description="digits")
    captured_draws: int = Field(ge=1, description="draws of the weights at which the caption's network is compared")
    captured_points: int = Field(ge=1, le=1000)
    studies: dict[str, figure_3.Study]


def starts(network: mnist_networks.Convolutional, start: mnist_networks.Start, draws: list[int], context: Context) -> np.ndarray:
    net = mnist_networks.convolutional(network)
    drawn = [context.rng("start", network, start, draw) for draw in draws]
    return np.stack([mnist_networks.convolutional_start(net, start, rng) for rng in drawn])


def cell(p: Parameters, context: Context) -> Evidence:
    study = p.studies[p.study]
    start = starts(study.network, study.start, study.draws, context)
    data = digits(context.data["mnist"], count=p.points)
    arrays, table = figure_3.run(study, data, start, context.rng("order").permutation(p.points), context.device)
    return Evidence.of([arrays], table)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    curves = {name.removeprefix("study-"): one.arrays for name, one in cells.items()}
    table = pd.concat([one.runs for one in cells.values()], ignore_index=True)
    weights = [starts(network, "authors", list(range(p.captured_draws)), context) for network in reversed(NETWORKS)]
    found: list[Found] = [
        step_studies.labelled(p.studies, curves),
        figure_3.captured(digits(context.data["mnist"], count=p.captured_points), *weights),
    ]
    for network in NETWORKS:
        mine = table[table["network"] == network]
        single, double = (mine[mine["precision"] == precision] for precision in ("float32", "float64"))
        theirs = read_off(PUBLISHED / f"figure_3_{network}.csv")
        found.append(figure_3.published_points(network, theirs))
        for start in STARTS:
            name = network if start == "xavier" else f"{network}_{start}"
            shown = curves[f"{name}_float32"]
            ours = {"loss": shown["loss"][0], "distance": shown["distance"]}
            found += [
                drift.as_drawn(single[single["start"] == start], name),
                figure_3.beside_published(name, shown["records"], ours, theirs),
            ]
        shown = curves[f"{network}_float32"]
        in_double = largest(double["drift_ratio"].to_numpy(), double["drift_ratio_error"].to_numpy())
        share = drift.reordered_share(shown["reordered"], shown["drift"][0, 0])
        found.append(
            {
                f"{network}_max_drift_ratio_float64": in_double,
                f"{network}_late_growth_float64": drift.late_growth(double),
                f"{network}_reordered_share_float32": share,
            }
        )
    return Evidence.of(found, table)


if __name__ == "__main__":
    main(Parameters, cell, gather)
