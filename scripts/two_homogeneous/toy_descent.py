"""Gradient descent near the origin and near a saddle, squared-ReLU network in the plane (two_homogeneous, Figures 1, 3 and 4).

20 neurons, 50 unit inputs of a target with two neurons, 50,000 steps of 5e-5 from weights of size 1e-5; at the saddle ten neurons
carry one half of the target. Step and loss normalisation enter descent as a product only, so that the four normalisations of
the square loss are four step sizes of one batch. Every run is repeated twice with a larger step, to measure its rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from flowcheck.data.synthetic import gaussian, sphere_inputs
from flowcheck.losses import MEAN, Loss, Normalisation
from flowcheck.measures import readings
from flowcheck.networks.problem import Objective
from flowcheck.papers.two_homogeneous import figure_curves, figure_readings
from flowcheck.papers.two_homogeneous.figure_criteria import Positive, Reading, near_origin, near_saddle
from flowcheck.papers.two_homogeneous.figure_runs import Repeated, repeat
from flowcheck.papers.two_homogeneous.toy_problem import (
    FITTED,
    NETWORK,
    SADDLE,
    Start,
    correlations,
    labelled,
    presupposed,
    start_norm_ratio,
)
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import keyed_by

Group = Literal["mean", "half_mean", "half_sum", "sum", "control"]
"""A loss normalisation, or runs of the mean whose start is too large."""
NORMALISATIONS: tuple[Normalisation, ...] = ("mean", "half_mean", "half_sum", "sum")
GROUPS: tuple[Group, ...] = (*NORMALISATIONS, "control")
CENTRES = {"origin": torch.zeros_like(SADDLE), "saddle": SADDLE}
CRITERIA: dict[Start, Callable[..., dict[str, float]]] = {"origin": near_origin, "saddle": near_saddle}
ENLARGED = {"origin": slice(None), "saddle": slice(0, 2 * FITTED)}
"""Weights on which the noise of a control is large: all, or those of the fitted neurons."""
BATCH = 40
"""Runs in one batch."""


class Parameters(ParametersModel):
    points: int = Field(ge=2)
    std: float  # not positive: a hypothesis that is not met, measured as such
    control_std: Annotated[dict[Start, Positive], keyed_by(get_args(Start))]
    step_size: Positive
    steps: int = Field(ge=100)
    recorded: int = Field(ge=10)
    coarsening: int = Field(ge=2)
    seeds: Annotated[dict[Group, Annotated[int, Field(ge=1)]], keyed_by(get_args(Group))]
    reading: Reading


class Run(NamedTuple):
    """One descent."""

    group: Group
    seed: int

    def faster(self, points: int) -> float:
        """How many times as far as under the mean a step goes."""
        loss = MEAN if self.group == "control" else Loss("square", self.group)
        return loss.factor(points) / MEAN.factor(points)


def starts(runs: list[Run], context: Context, start: Start, *, std: float, control_std: float) -> Tensor:
    """Weights [S, 40]: the origin or the saddle plus noise, in controls large."""
    rows = []
    for run in runs:
        noise = std * gaussian(context.rng("start", start, run.seed), 1, NETWORK.size)
        if run.group == "control":
            noise[:, ENLARGED[start]] *= control_std / std
        rows.append(noise if start == "origin" else SADDLE + noise)
    return torch.cat(rows)


def cell(p: Parameters, context: Context) -> Evidence:
    seeds = range(max(p.seeds.values()))
    drawn = [labelled(sphere_inputs(context.rng("inputs", seed), p.points, 2)) for seed in seeds]
    by_seed = [correlations(drawn[seed], context.rng("permutation", seed).permutation(p.points)) for seed in seeds]
    evidence = Evidence.of([presupposed(drawn, p.std), figure_readings.of_correlations(by_seed, p.reading.near_flat)])
    signs = [torch.from_numpy(context.rng("rounding", seed).choice([-1.0, 1.0], NETWORK.size)) for seed in seeds]

    runs = [Run(group, seed) for group in GROUPS for seed in range(p.seeds[group])]
    ncf = [by_seed[run.seed] for run in runs]
    batches = [runs[first : first + BATCH] for first in range(0, len(runs), BATCH)]
    kept = p.reading.phase_loss_kept
    descend = functools.partial(repeat, steps=p.steps, coarsening=p.coarsening, points=p.recorded, loss_kept=kept)
    recorded, tables = {}, {}
    for start, criterion in CRITERIA.items():
        parts = []
        for batch in context.progress(batches, what=f"{start}, batches"):
            data = zip(*((*drawn[run.seed], signs[run.seed]) for run in batch), strict=True)
            x, y, signed = (torch.stack(part).to(context.device) for part in data)
            weights = starts(batch, context, start, std=p.std, control_std=p.control_std[start]).to(context.device)
            faster = torch.tensor([run.faster(p.points) for run in batch], dtype=x.dtype, device=context.device)
            objective, centre = Objective(NETWORK, x, y, MEAN), CENTRES[start].to(context.device)
            parts.append(descend(objective, weights, centre, signed, step_size=p.step_size * faster))
        together = Repeated.joined(parts)
        recorded[start] = together.fine
        tables[start] = figure_readings.table(together, ncf, functools.partial(criterion, p.reading))

    for start, table in tables.items():
        for group in GROUPS:
            rows = np.array([run.group == group for run in runs])
            found = figure_readings.of_normalisation(start, table.where(rows), p.step_size)
            evidence.add({f"{name}_{group}": number for name, number in found.items()})
            if group != "control":
                bands = figure_curves.quartiles(start, recorded[start], ncf, np.flatnonzero(rows))
                evidence.add({f"overview_{start}_{name}_{group}": band for name, band in bands.items()})
    mean = {start: table.where(np.array([run.group == "mean" for run in runs])) for start, table in tables.items()}
    good = figure_readings.meeting(mean["origin"], mean["saddle"], p.reading)
    shown = int(good.argmax())  # runs of the mean come first; the first of all if none is good
    evidence.add(figure_readings.of_seeds(mean["origin"], mean["saddle"]))
    evidence.add(figure_readings.of_displayed(mean, shown))
    evidence.record("all_captions_fraction", readings.fraction(good))
    evidence.record("seeds_rejected", Measurement.count(shown if good.any() else len(good), len(good)))
    evidence.add(start_norm_ratio(recorded["origin"].distance[: len(good), 0], p.std))
    evidence.add(figure_curves.displayed(recorded, by_seed[shown], shown, len(good)))
    evidence.arrays |= {"displayed_seed": np.array(shown), "meets_captions": good}
    labelled_rows = [pd.DataFrame(runs).join(table.values).assign(start=start) for start, table in tables.items()]
    evidence.runs = pd.concat(labelled_rows, ignore_index=True)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
