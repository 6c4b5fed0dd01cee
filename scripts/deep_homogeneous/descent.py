"""Gradient descent of squared-ReLU and ReLU networks from small weights (deep_homogeneous, Sections 5.1.2-5.1.3, Figures 1-5).

A draw is a teacher, 100 points and a start. Escape is the first iteration at which the loss is below 0.99 of its initial value.
The flow predicts it: under a loss c times the half sum, after t / (c * step size) iterations. The displayed draw is trained
exactly as printed. The others are trained as many iterations (a stated fraction of them at the smaller scales), each with the
step size that makes its predicted escape come at the end: a fixed step size shows most of them long before or after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.descent.gradient_descent import DescentPath, gradient_descent, log_spaced
from flowcheck.errors import HypothesisError
from flowcheck.flows.events import loss_ratio_below
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.flows.rescaled import FlowPath
from flowcheck.geometry import unit
from flowcheck.losses import HALF_SUM, Loss
from flowcheck.networks import anatomy as layers
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.problem import Objective
from flowcheck.papers.deep_homogeneous import figure_criteria as reading
from flowcheck.papers.deep_homogeneous.figure_criteria import LOSSES, NETWORKS, Parameters, rate
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, main


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
        x = synthetic.sphere_inputs(rng, p.points, network.inputs)
        sets.append((x, synthetic.teacher_labels(teacher, x, rng), synthetic.unit_vectors(rng, 1, network.size)[0]))
    return Draws(np.arange(len(sets)), *(torch.stack(parts) for parts in zip(*sets, strict=True)))


def displayed_starts(p: Parameters, draws: Draws, context: Context) -> Draws:
    """The displayed data with the first starts of a stream of their own, and with the displayed one."""
    recipe, size = p.recipes[p.network], NETWORKS[p.network][0].size
    number = np.union1d(np.arange(p.efforts[p.network].starts), recipe.displayed_start)
    starts = [synthetic.unit_vectors(context.rng(p.network, recipe.displayed_draw, k), 1, size) for k in number.tolist()]
    same = draws.take(np.repeat(np.flatnonzero(draws.number == recipe.displayed_draw), len(number)))
    if not len(same.number):
        sentence = f"draw {recipe.displayed_draw}, to be displayed, has labels that are nearly zero"
        raise HypothesisError(f"displayed_rule_violations_{p.network}", 1.0, sentence)
    return Draws(number, same.x, same.y, torch.cat(starts))


def cell(p: Parameters, context: Context) -> Evidence:
    recipe, effort, everything = p.recipes[p.network], p.efforts[p.network], draw(p, context)
    label = everything.y.mean(dim=-1).numpy()
    draws = everything.take(label > p.silent_label)
    accepted = np.flatnonzero(label[draws.number] > p.degenerate_label)
    chosen = accepted[: effort.seeds]
    some = draws.take(chosen)
    measured = hypotheses(p, some)
    times, starts = escape_times(p, draws, context), displayed_starts(p, draws, context)
    return Evidence(
        arrays={
            **measured,
            "label_mean": label,
            "number": draws.number,
            "accepted": accepted,
            "chosen": chosen,
            "time": times.numpy(),
            "start_number": starts.number,
            "start_time": escape_times(p, starts, context).numpy(),
            **tuned_runs(p, some, times[chosen]),
            **displayed_run(p, starts.take(starts.number == recipe.displayed_start)),
            **printed_run(p, some, times[chosen]),
            **control_run(p, some.take(slice(p.control_seeds))),
            **trend(p, some.take(slice(effort.trend_seeds))),
        }
    )


def hypotheses(p: Parameters, draws: Draws) -> dict[str, np.ndarray]:
    """What every claim presupposes, measured before anything runs. Raises HypothesisError."""
    if not len(draws.number):
        raise HypothesisError("signal", 0.0, "no teacher has labels that are not nearly zero")
    network = NETWORKS[p.network][0]
    return {
        "scale_min": np.array(require_scale([p.recipes[p.network].delta, p.control_delta, *p.deltas])),
        "degree_defect": np.array(max(require_degree(network, x) for x in draws.x)),
        "signal": np.array(min(require_signal(network, x, y) for x, y in zip(draws.x, draws.y, strict=True))),
    }


def escape_times(p: Parameters, draws: Draws, context: Context) -> Float[Tensor, " s"]:
    """Predicted time of escape under the half sum, in blocks that stay in the cache."""
    delta, rtol = p.recipes[p.network].delta, p.efforts[p.network].rtol
    rows = [slice(a, a + 64) for a in range(0, len(draws.number), 64)]
    return torch.cat([escape(p, draws.take(r), delta, rtol).plain_time() for r in context.progress(rows, what="blocks of flows")])


def escape(p: Parameters, draws: Draws, delta: float | Tensor, rtol: float) -> FlowPath:
    """The flow of the printed loss until its ratio is reached.

    Kinks of the ReLU network are stepped over, not located: it has thousands on the way, descent does the same, and the effect is
    in the difference between two tolerances.
    """
    network = NETWORKS[p.network][0]
    event = loss_ratio_below(p.loss_ratio)
    return gradient_flow(
        Objective(network, draws.x, draws.y, HALF_SUM),
        draws.w0,
        delta,
        rtol=rtol,
        until=[event],
        method=Method(locate_kinks=False),
    )


def record(steps: int, beyond: int) -> np.ndarray:
    """Iterations to record: most of them in the last twentieth, where everything happens, and those after the end."""
    early, late, after = (
        np.linspace(0, 0.95 * steps, 60),
        np.linspace(0.95 * steps, steps, 80),
        np.linspace(steps, steps + beyond, 20),
    )
    return np.unique(np.concatenate([early, late, after]).round().astype(np.int64))


def train_to_escape(
    p: Parameters, draws: Draws, delta: float, times: Tensor, steps: int, *, loss: Loss = HALF_SUM, curves: bool = False
) -> DescentPath:
    """Descent with the step sizes for which the flow predicts escape after `steps` iterations."""
    network = NETWORKS[p.network][0]
    correlation, last = Correlation(network, draws.x, draws.y), steps + steps // 10
    return gradient_descent(
        Objective(network, draws.x, draws.y, loss),
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
        Objective(network, three.x, three.y, HALF_SUM),
        recipe.delta * three.w0,
        step_size=recipe.step_size * effort.displayed_coarsening * factors,
        steps=steps + steps // 20,
        record=np.union1d(record(steps, steps // 20), log_spaced(steps // 20, 80)),
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
        Objective(network, some.x, some.y, HALF_SUM),
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
        found[f"{name}_ratio"] = reading.second_ratio(at_escape[f"{name}_singular"]).reshape(*shape, -1)
    return found


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, tables = Evidence(), []
    for name, arrays in ((name, cell.arrays) for name, cell in cells.items()):
        cell = reading.Cell(name.removeprefix("network-"), arrays)
        reading.measure_criteria(p, evidence, cell)
        reading.measure_steps(p, evidence, cell)
        reading.measure_normalisations(p, evidence, cell)
        reading.measure_displayed(p, evidence, cell)
        reading.measure_trend(p, evidence, cell)
        tables.append(reading.run_table(p, cell))
        evidence.arrays |= {f"{cell.network}_{key}": value for key, value in arrays.items() if value.dtype.kind in "fib"}
    evidence.measure("degree_defect", max(float(c.arrays["degree_defect"]) for c in cells.values()), error=1e-15)
    evidence.measure("scale_min", min(float(c.arrays["scale_min"]) for c in cells.values()), error=0.0)
    evidence.measure("signal", min(float(c.arrays["signal"]) for c in cells.values()), error=1e-15)
    evidence.runs = pd.concat(tables, ignore_index=True)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
