"""Gradient descent of squared-ReLU and ReLU networks from small weights (deep_homogeneous, Sections 5.1.2-5.1.3, Figures 1-5).

A draw is a teacher, 100 points and a start. The displayed draw is trained exactly as printed. The others are trained as many
iterations (a stated fraction of them at the smaller scales), each with the step size that makes its predicted escape come at the
end: a fixed step size shows most of them long before or after.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat, model_validator

from flowcheck.errors import HypothesisError
from flowcheck.measures.readings import fraction
from flowcheck.papers.deep_homogeneous.displayed_run import DisplayedRun, Stream
from flowcheck.papers.deep_homogeneous.figure_criteria import Criteria, Range, fractions, meets
from flowcheck.papers.deep_homogeneous.figure_draws import PAIRS, Audible, draw, other_starts
from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES, Effort, Recipe, rate
from flowcheck.papers.deep_homogeneous.figure_seeds import Seeds
from flowcheck.papers.deep_homogeneous.loss_normalisation import PredictedEscapes, PrintedRuns, distances, largest_distance
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.papers.deep_homogeneous.scale_trend import ScaleTrend
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure, worst
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    network: Literal["squared_relu", "relu"]
    points: int = Field(ge=1)
    degenerate_label: float = Field(ge=0)
    silent_label: float = Field(ge=0)
    draw_window: Range
    start_window: Range
    loss_ratio: Annotated[float, Field(gt=0, lt=1)]
    loss_rise: PositiveFloat
    control_delta: PositiveFloat
    control_seeds: int = Field(ge=2)
    control_steps: int = Field(ge=1)
    deltas: list[PositiveFloat] = Field(min_length=2)
    recipes: dict[str, Recipe]
    efforts: dict[str, Effort]
    criteria: Criteria

    @model_validator(mode="after")
    def _says_all_of_its_network(self) -> Parameters:
        if unsaid := [key for key in ("recipes", "efforts") if self.network not in getattr(self, key)]:
            raise ValueError(f"{unsaid[0]}: nothing is said of the network {self.network!r}")
        missing = [recipe.delta for recipe in self.recipes.values() if recipe.delta not in self.deltas]
        if missing:
            raise ValueError(f"the printed scales must be among deltas: {missing} missing")
        return self


def cell(p: Parameters, context: Context) -> Evidence:
    pair, recipe, effort, criteria = PAIRS[p.network], p.recipes[p.network], p.efforts[p.network], p.criteria
    delta, plateau, unit = recipe.delta, Plateau(pair.network, p.loss_ratio, effort.rtol), recipe.shown_time(p.points)
    progress = functools.partial(context.progress, what="blocks of flows")

    stream = draw(pair, (context.rng(p.network, j) for j in range(effort.draws)), p.points).on(context.device)
    audible = Audible.of(stream, silent=p.silent_label, degenerate=p.degenerate_label)
    draws, chosen = audible.draws, audible.accepted[: effort.seeds]
    seeds, few = draws.take(chosen), draws.take(chosen[: p.control_seeds])
    if not len(seeds):
        raise HypothesisError("signal", 0.0, "no teacher has labels that are not nearly zero")
    problems = [Presupposed(pair.network, x, y[None]) for x, y in zip(seeds.x, seeds.y, strict=True)]
    presupposed = measure(problems, [delta, p.control_delta, *p.deltas])

    time = plateau.escape_times(draws, delta, progress)
    accepted = Stream(draws.number[audible.accepted], time.cpu().numpy()[audible.accepted])
    shown_draw, draw_found = accepted.selected(unit, p.draw_window)
    number = np.union1d(np.arange(effort.starts), recipe.displayed_start)
    streams = (context.rng(p.network, shown_draw, k) for k in number.tolist())
    starts = other_starts(draws.numbered(shown_draw), number, streams)
    start_escapes = Stream(number, plateau.escape_times(starts, delta, progress).cpu().numpy())
    shown_start, start_found = start_escapes.selected(unit, p.start_window)
    large_time = plateau.flow(few, p.control_delta).plain_time()
    trend = ScaleTrend.followed(plateau, seeds.take(slice(effort.trend_seeds)), p.deltas)
    runs = Seeds.trained(plateau, seeds, delta, time[chosen], recipe.iterations // effort.coarsening)
    large = plateau.anatomy(few, plateau.stop(few, p.control_delta, large_time, p.control_steps))
    distance = distances(plateau, seeds.take(slice(2)), delta, time[chosen][:2], p.control_steps)
    displayed = DisplayedRun.trained(plateau, starts.numbered(shown_start), recipe, effort, context.rng("rounding", p.network))
    printed = PrintedRuns.trained(plateau, seeds, time[chosen], recipe, effort)

    error, met = trend.time_error(delta), runs.met(criteria, p.loss_rise)
    escapes = PredictedEscapes(audible, time.cpu().numpy(), error)
    numbers = {
        **fractions(met),
        **fractions(meets(criteria, runs.start, runs.start), "start"),
        **fractions(meets(criteria, runs.start.first(len(few)).rescaled(p.control_delta), large), "large"),
        **runs.numbers(error),
        **escapes.numbers(recipe, p.points),
        "degenerate_fraction": fraction(audible.label <= p.degenerate_label),
        **printed.numbers(p.points, error),
        "normalisation_distance": largest_distance(distance),
        **displayed.numbers(),
        "displayed_windows_met": Measurement.count(draw_found + start_found, 2),
        **trend.numbers(),
    }
    arrays = {
        "chosen": chosen,
        "start_number": number,
        "start_time": start_escapes.time,
        "displayed_number": np.array([shown_draw, shown_start]),
        "normalisation_distance": distance,
        **large.arrays("large"),
    }
    for part in (escapes, runs, printed, displayed, trend):
        arrays |= part.arrays()
    half_sum = escapes.time[chosen] / recipe.step_size
    predicted = {f"predicted_escape_{name}": half_sum / rate(loss, p.points) for name, loss in LOSSES.items()}
    table = pd.DataFrame({"network": p.network, "draw": draws.number[chosen], **predicted, **runs.table(met)})
    own = {f"{name}_{p.network}": value for name, value in numbers.items()}
    return Evidence.of([presupposed, own, {f"{p.network}_{name}": array for name, array in arrays.items()}], table)


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    """Both networks; of what every claim presupposes, the worst."""
    presupposed = worst(cell.metrics for cell in cells.values())
    own = [{name: number for name, number in cell.metrics.items() if name not in presupposed} for cell in cells.values()]
    table = pd.concat([cell.runs for cell in cells.values()], ignore_index=True)
    return Evidence.of([presupposed, *own, *(cell.arrays for cell in cells.values())], table)


if __name__ == "__main__":
    main(Parameters, cell, gather)
