"""Gradient descent of squared-ReLU and ReLU networks from small weights (deep_homogeneous, Sections 5.1.2-5.1.3, Figures 1-5).

A draw is a teacher, 100 points and a start. Escape is the first iteration at which the loss is below 0.99 of its initial value.
The flow predicts it: under a loss c times the half sum, after t / (c * step size) iterations. The displayed draw is trained
exactly as printed. The others are trained as many iterations, with the step size, of each draw its own, that makes their
predicted escape come at the printed iteration; without that, a fixed number of iterations shows most draws long before or after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from flowcheck import data, layers
from flowcheck.correlation import Correlation, unit
from flowcheck.descent import DescentPath, gradient_descent
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.flow import FlowPath, loss_flow, loss_ratio_below
from flowcheck.hypotheses import require_degree, require_scale, require_signal
from flowcheck.losses import HALF_MEAN, HALF_SUM, MEAN, Loss
from flowcheck.networks import deep_relu, squared_relu
from flowcheck.statistics import clopper_pearson, slope_interval

LOSSES: dict[str, Loss] = {"half_sum": HALF_SUM, "half_mean": HALF_MEAN, "mean": MEAN}
NETWORKS = {
    "squared_relu": (squared_relu([20, 20], 10), squared_relu([2, 3], 10)),
    "relu": (deep_relu([20, 20, 20], 10), deep_relu([2, 3, 3], 10)),
}
Positive = Annotated[float, Field(gt=0)]
Range = tuple[float, float]


class Recipe(ParametersModel):
    """What the paper prints, and which start of which draw is displayed."""

    delta: Positive
    step_size: Positive
    iterations: int = Field(ge=1)
    displayed_draw: int = Field(ge=0)
    displayed_start: int = Field(ge=0)


class Effort(ParametersModel):
    """What a scale may reduce. A coarsening of 10 takes ten times fewer and ten times longer steps."""

    seeds: int = Field(ge=2)
    draws: int = Field(ge=1)
    starts: int = Field(ge=1)
    displayed_coarsening: int = Field(ge=1)
    coarsening: int = Field(ge=1)
    printed_seeds: int = Field(ge=1)
    printed_iterations: int = Field(ge=1)
    trend_seeds: int = Field(ge=2)
    rtol: Positive


class Criteria(ParametersModel):
    """Reading tolerances of the figures, per layer where they are lists. `typical` ones are asked of half of the seeds."""

    norm: float
    growth: Range
    cosine: float
    cosine_typical: float
    initial_cosine: float
    cosine_rise: float
    initial_rows: list[float]
    initial_ratio: float
    rows: list[float]
    ratio: list[float]
    share: Range
    rows_typical: list[float] | None = None
    strong_rows: float | None = None
    ratio_typical: list[float] | None = None
    third_ratio: float | None = None
    leading: Range | None = None
    bulk: Range | None = None


class Parameters(ParametersModel):
    network: Literal["squared_relu", "relu"]
    points: int = Field(ge=1)
    degenerate_label: float
    silent_label: float
    draw_window: Range
    start_window: Range
    loss_ratio: Annotated[float, Field(gt=0, lt=1)]
    loss_rise: float
    strong_share: Annotated[float, Field(gt=0, lt=1)]
    control_delta: Positive
    control_seeds: int = Field(ge=2)
    control_steps: int = Field(ge=1)
    deltas: list[Positive]
    recipes: dict[str, Recipe]
    efforts: dict[str, Effort]
    criteria: dict[str, Criteria]


@dataclass(frozen=True)
class Draws:
    """Teachers, data and starts, by their number in the stream."""

    number: np.ndarray
    x: Float[Tensor, "s n d"]
    y: Float[Tensor, "s n"]
    w0: Float[Tensor, "s k"]

    def take(self, rows: object) -> Draws:
        return Draws(self.number[rows], self.x[rows], self.y[rows], self.w0[rows])  # type: ignore[index]


def draw(p: Parameters, context: Context) -> Draws:
    """The first draws of the stream."""
    network, teacher = NETWORKS[p.network]
    sets = []
    for j in range(p.efforts[p.network].draws):
        rng = context.rng(p.network, j)
        x = data.sphere_inputs(rng, p.points, network.inputs)
        sets.append((x, data.teacher_labels(teacher, x, rng), data.unit_vectors(rng, 1, network.size)[0]))
    return Draws(np.arange(len(sets)), *(torch.stack(parts) for parts in zip(*sets, strict=True)))


def displayed_starts(p: Parameters, draws: Draws, context: Context) -> Draws:
    """The displayed data with the first starts of a stream of their own, and with the displayed one."""
    recipe, size = p.recipes[p.network], NETWORKS[p.network][0].size
    number = np.union1d(np.arange(p.efforts[p.network].starts), recipe.displayed_start)
    starts = [data.unit_vectors(context.rng(p.network, recipe.displayed_draw, k), 1, size) for k in number.tolist()]
    same = draws.take(np.repeat(np.flatnonzero(draws.number == recipe.displayed_draw), len(number)))
    return Draws(number, same.x, same.y, torch.cat(starts))


def cell(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    network, recipe, effort = NETWORKS[p.network][0], p.recipes[p.network], p.efforts[p.network]
    everything = draw(p, context)
    label = everything.y.mean(dim=-1).numpy()
    draws = everything.take(label > p.silent_label)
    accepted = np.flatnonzero(label[draws.number] > p.degenerate_label)
    times, starts = escape_times(p, draws, context), displayed_starts(p, draws, context)
    chosen = accepted[: effort.seeds]
    some, chosen_times = draws.take(chosen), times[chosen]
    return {
        "degree_defect": np.array(require_degree(network, some.x[0])),
        "scale_min": np.array(require_scale([recipe.delta, *p.deltas])),
        "signal": np.array(min(require_signal(network, x, y) for x, y in zip(some.x, some.y, strict=True))),
        "label_mean": label,
        "number": draws.number,
        "accepted": accepted,
        "chosen": chosen,
        "time": times.numpy(),
        "start_number": starts.number,
        "start_time": escape_times(p, starts, context).numpy(),
        **tuned_runs(p, some, chosen_times),
        **displayed_run(p, starts.take(starts.number == recipe.displayed_start)),
        **printed_run(p, some, chosen_times),
        **control_run(p, some.take(slice(p.control_seeds))),
        **trend(p, some.take(slice(effort.trend_seeds))),
    }


def escape_times(p: Parameters, draws: Draws, context: Context) -> Float[Tensor, " s"]:
    """Predicted time of escape under the half sum, in blocks that stay in the cache."""
    delta, rtol = p.recipes[p.network].delta, p.efforts[p.network].rtol
    rows = [slice(a, a + 64) for a in range(0, len(draws.number), 64)]
    return torch.cat([escape(p, draws.take(r), delta, rtol).plain_time() for r in context.progress(rows, what="blocks of flows")])


def escape(p: Parameters, draws: Draws, delta: float | Tensor, rtol: float) -> FlowPath:
    """The flow of the printed loss until its ratio is reached."""
    network = NETWORKS[p.network][0]
    return loss_flow(network, draws.x, draws.y, HALF_SUM, draws.w0, delta, rtol=rtol, until=[loss_ratio_below(p.loss_ratio)])


def rate(loss: Loss, points: int) -> float:
    """How much faster than under the half sum the weights move."""
    return loss.factor(points) / HALF_SUM.factor(points)


def record(steps: int, beyond: int) -> np.ndarray:
    """Iterations to record: half of them in the last twentieth, where everything happens."""
    early, late = np.linspace(0, 0.95 * steps, 80), np.linspace(0.95 * steps, steps, 80)
    return np.unique(np.concatenate([early, late, [steps + beyond]]).round().astype(np.int64))


def train_to_escape(
    p: Parameters, draws: Draws, delta: float, times: Tensor, steps: int, *, loss: Loss = HALF_SUM, curves: bool = False
) -> DescentPath:
    """Descent with the step sizes for which the flow predicts escape after `steps` iterations."""
    network = NETWORKS[p.network][0]
    correlation, last = Correlation(network, draws.x, draws.y), steps + steps // 10
    return gradient_descent(
        network,
        draws.x,
        draws.y,
        loss,
        delta * draws.w0,
        step_size=times / (steps * rate(loss, p.points)),
        steps=last,
        record=record(steps, last - steps) if curves else [0, last],
        keep_weights=False,
        measure=lambda w: {"cosine": correlation.cosine(w)},
        loss_ratios=[p.loss_ratio],
        stop_when_crossed=True,
        compile=loss == HALF_SUM,
    )


def anatomy(p: Parameters, draws: Draws, w: Tensor, stage: str) -> dict[str, np.ndarray]:
    """Everything the figures show of weights w [S, k]: norm, alignment, rows, singular values; one entry per seed (and layer)."""
    network = NETWORKS[p.network][0]
    correlation, norm = Correlation(network, draws.x, draws.y), w.norm(dim=-1)
    shuffled = Correlation(network, draws.x, draws.y.flip(-1))
    matrices = network.unpack(w)
    euler = correlation.normalised(w) / correlation.gradient(unit(w)).norm(dim=-1)
    found = {
        "norm": norm,
        "cosine": correlation.cosine(w),
        "cosine_permuted": shuffled.cosine(w),
        "cosine_over_degree": euler,
        "rows": torch.stack([layers.weighted_row_cosine(matrix) for matrix in matrices], dim=-1),
        "strong_rows": torch.stack([layers.strong_row_cosine(matrix, p.strong_share) for matrix in matrices], dim=-1),
        "shares": layers.shares(network, w),
        "singular": torch.nn.utils.rnn.pad_sequence(
            [torch.linalg.svdvals(matrix).mT for matrix in matrices], padding_value=torch.nan
        ).permute(2, 1, 0)
        / norm[:, None, None],
        "invariants": layers.invariants(network, w),
    }
    return {f"{stage}_{name}": value.numpy() for name, value in found.items()}


def tuned_runs(p: Parameters, draws: Draws, times: Tensor) -> dict[str, np.ndarray]:
    """The population: descent to the escape, and the same with steps four times as long."""
    recipe, effort = p.recipes[p.network], p.efforts[p.network]
    steps = recipe.iterations // effort.coarsening
    path = train_to_escape(p, draws, recipe.delta, times, steps, curves=True)
    coarse = train_to_escape(p, draws, recipe.delta, times, steps // 4)
    (crossing,), (coarse_crossing,) = path.crossings, coarse.crossings
    return {
        "steps": np.array(steps),
        "iterations": path.iterations,
        "loss": (path.loss / path.loss[:, :1]).numpy(),
        "path_norm": path.norm.numpy(),
        "cosine": path.measured["cosine"].numpy(),
        "crossing": crossing.iteration.numpy(),
        **anatomy(p, draws, recipe.delta * draws.w0, "start"),
        **anatomy(p, draws, crossing.weights_before, "stop"),
        **anatomy(p, draws, coarse_crossing.weights_before, "coarse"),
        **normalisation_run(p, draws.take(slice(2)), times[:2]),
    }


def normalisation_run(p: Parameters, draws: Draws, times: Tensor) -> dict[str, np.ndarray]:
    """Each loss with the step size that makes up for its normalisation: the same iterates up to rounding."""
    delta, steps = p.recipes[p.network].delta, p.control_steps
    runs = [train_to_escape(p, draws, delta, times, steps, loss=loss).crossings[0].weights_before for loss in LOSSES.values()]
    apart = torch.stack([(run - runs[0]).norm(dim=-1) / runs[0].norm(dim=-1) for run in runs])
    return {"normalisation_distance": apart.numpy()}


def displayed_run(p: Parameters, draw: Draws) -> dict[str, np.ndarray]:
    """The displayed draw, literally, under each normalisation, as three step sizes of the half sum; a little beyond the end."""
    network, recipe, effort = NETWORKS[p.network][0], p.recipes[p.network], p.efforts[p.network]
    steps, three = recipe.iterations // effort.displayed_coarsening, draw.take([0] * len(LOSSES))
    factors = torch.tensor([rate(loss, p.points) for loss in LOSSES.values()], dtype=torch.float64)
    correlation = Correlation(network, three.x, three.y)
    path = gradient_descent(
        network,
        three.x,
        three.y,
        HALF_SUM,
        recipe.delta * three.w0,
        step_size=recipe.step_size * effort.displayed_coarsening * factors,
        steps=steps + steps // 20,
        record=record(steps, steps // 20),
        measure=lambda w: {"cosine": correlation.cosine(w)},
        loss_ratios=[p.loss_ratio],
        compile=True,
    )
    assert path.weights is not None
    end = int(np.searchsorted(path.iterations, steps))
    return {
        "displayed_iterations": path.iterations,
        "displayed_loss": (path.loss / path.loss[:, :1]).numpy(),
        "displayed_path_norm": path.norm.numpy(),
        "displayed_path_cosine": path.measured["cosine"].numpy(),
        "displayed_crossing": path.crossings[0].iteration.numpy(),
        "displayed_diverged": path.diverged.numpy(),
        "displayed_end": np.array(end),
        "displayed_weights": path.weights[-1, [0, end]].numpy(),
        **anatomy(p, draw, path.weights[-1:, end], "displayed"),
        **anatomy(p, draw, path.weights[-1:, 0], "displayed_start"),
    }


def printed_run(p: Parameters, draws: Draws, times: Tensor) -> dict[str, np.ndarray]:
    """The printed recipe, half sum and printed step size, for the seeds that it makes escape first."""
    network, recipe, effort = NETWORKS[p.network][0], p.recipes[p.network], p.efforts[p.network]
    first = torch.argsort(times)[: effort.printed_seeds].numpy()
    some, steps = draws.take(first), effort.printed_iterations
    start = recipe.delta * some.w0
    path = gradient_descent(
        network,
        some.x,
        some.y,
        HALF_SUM,
        start,
        step_size=recipe.step_size,
        steps=steps,
        loss_ratios=[p.loss_ratio],
        compile=True,
    )
    return {
        "printed_rows": first,
        "printed_crossing": path.crossings[0].iteration.numpy(),
        "printed_diverged": path.diverged.numpy(),
        "printed_loss": (path.loss[:, -1] / path.loss[:, 0]).numpy(),
    }


def control_run(p: Parameters, draws: Draws) -> dict[str, np.ndarray]:
    """The same from weights that are not small."""
    times = escape(p, draws, p.control_delta, p.efforts[p.network].rtol).plain_time()
    path = train_to_escape(p, draws, p.control_delta, times, p.control_steps)
    return anatomy(p, draws, path.crossings[0].weights_before, "large")


def trend(p: Parameters, draws: Draws) -> dict[str, np.ndarray]:
    """Flows of the same draws from several scales, at two tolerances: [scales, seeds]."""
    rows = np.tile(np.arange(len(draws.number)), len(p.deltas))
    deltas = torch.tensor(p.deltas, dtype=torch.float64).repeat_interleave(len(draws.number))
    repeated, found = draws.take(rows), {}
    for name, factor in (("trend", 1.0), ("trend_coarse", 10.0)):
        path = escape(p, repeated, deltas, factor * p.efforts[p.network].rtol)
        shape = (len(p.deltas), len(draws.number))
        at_escape = anatomy(p, repeated, path.weights(), name)
        found[f"{name}_time"] = path.time.reshape(shape).numpy()
        found[f"{name}_misalignment"] = 1.0 - at_escape[f"{name}_cosine"].reshape(shape)
        found[f"{name}_ratio"] = second_ratio(at_escape[f"{name}_singular"]).reshape(*shape, -1)
    return found


def second_ratio(singular: np.ndarray, which: int = 1) -> np.ndarray:
    """s_2 / s_1 of each layer, or s_3 / s_1."""
    return singular[..., which] / singular[..., 0]


def meets(c: Criteria, start: dict[str, np.ndarray], at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each criterion on the state of a set of runs: name -> yes or no, one per run."""
    growth, ratio = at["norm"] / start["norm"], second_ratio(at["singular"])
    within = {
        "small_norm": (at["norm"] <= c.norm) & between(growth, c.growth),
        "aligned": at["cosine"] >= c.cosine,
        "aligned_typical": at["cosine"] >= c.cosine_typical,
        "aligned_permuted": at["cosine_permuted"] >= c.cosine,
        "rise": (start["cosine"] <= c.initial_cosine) & (at["cosine"] - start["cosine"] >= c.cosine_rise),
        "random_start": (start["rows"] <= c.initial_rows).all(axis=-1)
        & (second_ratio(start["singular"]) >= c.initial_ratio).all(axis=-1),
        "shares": between(at["shares"], c.share).all(axis=-1),
    }
    within |= per_layer("rows", at["rows"] >= c.rows) | per_layer("low_rank", ratio <= c.ratio)
    if c.rows_typical is not None:
        within |= per_layer("rows_typical", at["rows"] >= c.rows_typical)
    if c.strong_rows is not None:
        within["strong_rows"] = (at["strong_rows"] >= c.strong_rows).all(axis=-1)
    if c.ratio_typical is not None:
        within |= per_layer("low_rank_typical", ratio <= c.ratio_typical)
    if c.third_ratio is not None:
        within["rank_two_W1"] = second_ratio(at["singular"], 2)[:, 0] <= c.third_ratio
    if c.leading is not None:
        within["leading"] = between(at["singular"][..., 0], c.leading).all(axis=-1)
    if c.bulk is not None:
        within |= per_layer("bulk", between(growth[:, None] * ratio, c.bulk))
    return within


def between(value: np.ndarray, ends: Range) -> np.ndarray:
    return (value >= ends[0]) & (value <= ends[1])


def per_layer(name: str, met: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_W{layer}": column for layer, column in enumerate(met.T, 1)}


def gather(p: Parameters, cells: dict[str, dict[str, np.ndarray]], context: Context) -> Evidence:
    evidence, tables = Evidence(), []
    for name, c in cells.items():
        network = name.removeprefix("network-")
        stage = {key: select(c, key) for key in ("start", "stop", "coarse", "large", "displayed", "displayed_start")}
        measure_criteria(p, evidence, network, c, stage)
        measure_steps(p, evidence, network, c, stage)
        measure_normalisations(p, evidence, network, c)
        measure_displayed(p, evidence, network, c, stage)
        measure_trend(p, evidence, network, c)
        tables.append(run_table(p, network, c, stage))
        evidence.arrays |= {f"{network}_{key}": value for key, value in c.items() if value.dtype.kind in "fib"}
    evidence.measure("degree_defect", max(float(c["degree_defect"]) for c in cells.values()), error=1e-15)
    evidence.measure("scale_min", min(float(c["scale_min"]) for c in cells.values()), error=0.0)
    evidence.measure("signal", min(float(c["signal"]) for c in cells.values()), error=1e-15)
    evidence.runs = pd.concat(tables, ignore_index=True)
    return evidence


def select(arrays: dict[str, np.ndarray], stage: str) -> dict[str, np.ndarray]:
    """What `anatomy` measured at one stage."""
    names = ("norm", "cosine", "cosine_permuted", "cosine_over_degree", "rows", "strong_rows", "shares", "singular", "invariants")
    return {name: arrays[f"{stage}_{name}"] for name in names}


def fraction(evidence: Evidence, name: str, met: np.ndarray) -> None:
    """Share of the runs, with its Clopper-Pearson interval."""
    evidence.measure(name, met.mean(), error=0.0, interval=clopper_pearson(int(met.sum()), len(met)), n=len(met))


def measure_criteria(p: Parameters, evidence: Evidence, network: str, c: dict[str, np.ndarray], stage: dict) -> None:
    """Fractions of seeds that meet each criterion at the escape; the same at the start, and from weights that are not small."""
    criteria, start = p.criteria[network], stage["start"]
    few = {key: value[: len(stage["large"]["norm"])] for key, value in start.items()}
    few["norm"] = np.full_like(few["norm"], p.control_delta)
    at_stop = meets(criteria, start, stage["stop"]) | {"monotone": monotone(p, c)}
    for name, met in at_stop.items():
        fraction(evidence, f"{name}_fraction_{network}", met)
    for where, found in (("start", meets(criteria, start, start)), ("large", meets(criteria, few, stage["large"]))):
        for name in found.keys() - {"rise", "random_start", "aligned_permuted"}:
            fraction(evidence, f"{name}_fraction_{where}_{network}", found[name])


def monotone(p: Parameters, c: dict[str, np.ndarray]) -> np.ndarray:
    """Whether the loss of each run never rises, between recorded iterations, before it escapes."""
    before = c["iterations"][None, 1:] < c["crossing"][:, None]
    rise = c["loss"][:, 1:] / c["loss"][:, :-1] - 1.0
    return np.where(before, rise, -1.0).max(axis=1) <= p.loss_rise


def measure_steps(p: Parameters, evidence: Evidence, network: str, c: dict[str, np.ndarray], stage: dict) -> None:
    """Medians with the effect of four times longer steps as their error; Euler's identity; drift of the invariants."""
    degree, start = NETWORKS[network][0].degree, stage["start"]
    for name, of in {
        "growth": lambda s: s["norm"] / start["norm"],
        "cosine": lambda s: s["cosine"],
        "cosine_permuted": lambda s: s["cosine_permuted"],
        **{f"rows_W{j + 1}": lambda s, j=j: s["rows"][:, j] for j in range(start["rows"].shape[1])},
        **{f"ratio_W{j + 1}": lambda s, j=j: second_ratio(s["singular"])[:, j] for j in range(start["rows"].shape[1])},
    }.items():
        fine, coarse = np.median(of(stage["stop"])), np.median(of(stage["coarse"]))
        evidence.measure(f"{name}_median_{network}", fine, error=abs(fine - coarse), n=len(start["norm"]))
    stop = stage["stop"]
    for suffix, factor, worst in (("", degree, np.max), ("_wrong_degree", degree + 1, np.min)):
        defect = np.abs(stop["cosine"] - factor * stop["cosine_over_degree"])
        evidence.measure(f"euler_defect{suffix}_{network}", worst(defect), error=1e-14, n=len(defect))
    drift, coarse_drift = (
        np.linalg.norm(s["invariants"] - start["invariants"], axis=1) / s["norm"] ** 2 for s in (stop, stage["coarse"])
    )
    evidence.measure(f"drift_ratio_{network}", np.median(drift / coarse_drift), error=1e-8, n=len(drift))
    gap = np.abs(c["crossing"] / c["steps"] - 1.0)
    evidence.measure(f"escape_prediction_gap_{network}", gap.max(), error=flow_error(p, network, c), n=len(gap))


def flow_error(p: Parameters, network: str, c: dict[str, np.ndarray]) -> float:
    """Relative error of a predicted escape: what ten times the tolerance changes at the scale of the figures."""
    row = p.deltas.index(p.recipes[network].delta)
    return float(np.abs(c["trend_coarse_time"][row] / c["trend_time"][row] - 1.0).max())


def measure_normalisations(p: Parameters, evidence: Evidence, network: str, c: dict[str, np.ndarray]) -> None:
    """When each loss would leave the plateau, for all draws that are not degenerate; what descent with the printed loss does."""
    recipe, labels = p.recipes[network], c["label_mean"]
    time, chosen = c["time"], c["chosen"]
    half_sum = time / recipe.step_size
    for name, loss in LOSSES.items():
        escape_at = half_sum[c["accepted"]] / rate(loss, p.points)
        median = float(np.median(escape_at))
        evidence.measure(f"escape_median_{name}_{network}", median, error=median * flow_error(p, network, c), n=len(escape_at))
        fraction(evidence, f"plateau_at_end_fraction_{name}_{network}", escape_at > recipe.iterations)
        fraction(evidence, f"within_two_fraction_{name}_{network}", within_two(escape_at, recipe.iterations))
    silent = np.zeros(len(labels) - len(time), dtype=bool)
    fraction(evidence, f"within_two_fraction_any_label_{network}", np.append(within_two(half_sum, recipe.iterations), silent))
    fraction(evidence, f"degenerate_fraction_{network}", labels <= p.degenerate_label)
    crossed = c["printed_crossing"] >= 0
    ratio = c["printed_crossing"][crossed] / half_sum[chosen][c["printed_rows"]][crossed]
    error, n = flow_error(p, network, c), int(crossed.sum())
    evidence.measure(f"printed_prediction_gap_{network}", np.abs(ratio - 1).max(), error=error, n=n)
    evidence.measure(
        f"printed_prediction_gap_as_mean_{network}", np.abs(ratio * rate(MEAN, p.points) - 1).min(), error=error, n=n
    )
    fraction(evidence, f"printed_diverged_fraction_{network}", c["printed_diverged"] >= 0)
    distance = c["normalisation_distance"].max()
    evidence.measure(f"normalisation_distance_{network}", distance, error=distance * 1e-2, n=c["normalisation_distance"].size)


def within_two(iterations: np.ndarray, printed: int) -> np.ndarray:
    return between(iterations / printed, (0.5, 2.0))


def measure_displayed(p: Parameters, evidence: Evidence, network: str, c: dict[str, np.ndarray], stage: dict) -> None:
    """The displayed run at the printed iteration; whether the rule of its choice was followed; the other normalisations."""
    recipe, at, start, end = p.recipes[network], stage["displayed"], stage["displayed_start"], int(c["displayed_end"])
    coarsening = recipe.iterations // int(c["displayed_iterations"][end])
    rounding = float(c["normalisation_distance"].max()) * int(c["displayed_iterations"][end]) / p.control_steps
    ratios = second_ratio(at["singular"])[0]
    numbers = {
        "loss_ratio": c["displayed_loss"][-1, end],
        "norm": at["norm"][0],
        "growth": at["norm"][0] / start["norm"][0],
        "cosine": at["cosine"][0],
        "initial_cosine": start["cosine"][0],
        "rows_min": at["rows"].min(),
        "ratio_max": ratios.max(),
        "initial_ratio_min": second_ratio(start["singular"]).min(),
        "initial_rows_max": start["rows"].max(),
        "drift": np.linalg.norm(at["invariants"] - start["invariants"]) / at["norm"][0] ** 2 / coarsening,
    } | {f"ratio_W{layer}": ratio for layer, ratio in enumerate(ratios, 1)}
    for name, number in numbers.items():
        evidence.measure(f"displayed_{name}_{network}", number, error=max(10.0 * rounding * abs(number), 1e-14), n=1)
    evidence.measure(f"displayed_rule_violations_{network}", rule_violations(p, recipe, c), error=0.0)
    crossing = int(c["displayed_crossing"][-1]) / int(c["displayed_iterations"][end])
    evidence.measure(f"displayed_escape_{network}", crossing, error=0.0, n=1)
    for k, name in enumerate(LOSSES):
        left = 0 <= c["displayed_crossing"][k] <= c["displayed_iterations"][end]
        evidence.measure(f"displayed_plateau_{name}_{network}", float(not left), error=0.0, n=1)


def rule_violations(p: Parameters, recipe: Recipe, c: dict[str, np.ndarray]) -> int:
    """0 if the displayed draw and the displayed start are the first whose predicted escape, under the mean, is in the windows."""
    scale = rate(MEAN, p.points) * recipe.step_size * recipe.iterations
    draws = c["number"][c["accepted"]][between(c["time"][c["accepted"]] / scale, p.draw_window)]
    starts = c["start_number"][between(c["start_time"] / scale, p.start_window)]
    return int(draws[:1].tolist() != [recipe.displayed_draw]) + int(starts[:1].tolist() != [recipe.displayed_start])


def measure_trend(p: Parameters, evidence: Evidence, network: str, c: dict[str, np.ndarray]) -> None:
    """How alignment, rank and escape of the flow change with the scale of the start."""
    deltas, n = np.array(p.deltas), c["trend_time"].shape[1]
    median, coarse_median = (np.median(c[f"{name}_misalignment"], axis=1) for name in ("trend", "trend_coarse"))
    error = float(np.abs(coarse_median / median - 1.0).max())
    falls = median[:-1] / median[1:]
    evidence.measure(f"misalignment_fall_min_{network}", falls.min(), error=2 * error * falls.min(), n=n)
    for delta, value in zip(deltas, median, strict=True):
        evidence.measure(f"misalignment_median_delta_{delta:g}_{network}", value, error=error * value, n=n)
    ratio, coarse_ratio = (c[name] / c[name][-1] for name in ("trend_time", "trend_coarse_time"))
    for row, delta in enumerate(deltas[:-1]):
        gap, gap_error = np.abs(ratio[row] - 1).max(), np.abs(ratio[row] - coarse_ratio[row]).max()
        evidence.measure(f"escape_time_gap_delta_{delta:g}_{network}", gap, error=gap_error, n=n)
        if delta == p.recipes["squared_relu"].delta:
            wrong = np.abs(ratio[row] * delta / deltas[-1] - 1).min()
            evidence.measure(f"escape_time_gap_wrong_exponent_{network}", wrong, error=gap_error * delta / deltas[-1], n=n)
    for layer in range(c["trend_ratio"].shape[-1]):
        slope, interval = ratio_slope(deltas, c["trend_ratio"][..., layer])
        coarse, _ = ratio_slope(deltas, c["trend_coarse_ratio"][..., layer])
        off, off_interval = slope - 1.0, (interval[0] - 1.0, interval[1] - 1.0)
        evidence.measure(f"ratio_slope_W{layer + 1}_{network}", slope, error=abs(slope - coarse), interval=interval, n=n)
        evidence.measure(
            f"ratio_slope_over_delta_W{layer + 1}_{network}", off, error=abs(slope - coarse), interval=off_interval, n=n
        )


def ratio_slope(deltas: np.ndarray, ratio: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Slope of log(s_2 / s_1) on log(delta), within seeds: each seed's own level is taken off."""
    log_ratio = np.log(ratio) - np.log(ratio).mean(axis=0)
    return slope_interval(np.repeat(np.log(deltas), ratio.shape[1]), log_ratio.ravel())


def run_table(p: Parameters, network: str, c: dict[str, np.ndarray], stage: dict) -> pd.DataFrame:
    """One row per seed."""
    stop, start, chosen = stage["stop"], stage["start"], c["chosen"]
    predicted = c["time"][chosen] / p.recipes[network].step_size
    columns = {
        "network": network,
        "draw": c["number"][chosen],
        **{f"predicted_escape_{name}": predicted / rate(loss, p.points) for name, loss in LOSSES.items()},
        "escape": c["crossing"],
        "norm": stop["norm"],
        "growth": stop["norm"] / start["norm"],
        "cosine": stop["cosine"],
        "initial_cosine": start["cosine"],
    }
    for layer in range(start["rows"].shape[1]):
        columns |= {f"rows_W{layer + 1}": stop["rows"][:, layer], f"ratio_W{layer + 1}": second_ratio(stop["singular"])[:, layer]}
    met = meets(p.criteria[network], start, stop) | {"monotone": monotone(p, c)}
    return pd.DataFrame(columns | {f"{name}_ok": value for name, value in met.items()})


if __name__ == "__main__":
    main(Parameters, cell, gather)
