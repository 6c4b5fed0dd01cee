"""Gradient descent near the origin and near a saddle, squared-ReLU network in the plane (two_homogeneous, Figures 1, 3 and 4).

20 neurons, 50 unit inputs of a target with two neurons, 50,000 steps of 5e-5 from weights of size 1e-5; at the saddle ten neurons
carry one half of the target. Step and loss normalisation enter descent as a product only, so that the four normalisations of
the square loss are four step sizes of one batch. Every run is repeated with a larger step, twice, the second time from a start
disturbed by as much as rounding adds up to: the difference of the two bounds the rounding error of what is measured.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck.correlation.planar import PlanarCorrelation
from flowcheck.data.synthetic import gaussian, sphere_inputs
from flowcheck.descent.gradient_descent import gradient_descent, log_spaced
from flowcheck.losses import MEAN, Loss, Normalisation
from flowcheck.measures.statistics import clopper_pearson
from flowcheck.networks import hypotheses
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import power_net
from flowcheck.papers.two_homogeneous.figure_criteria import (
    FITTED,
    UNITS,
    Correlations,
    Path,
    Positive,
    Reading,
    near_origin,
    near_saddle,
)
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

NORMALISATIONS: tuple[Normalisation, ...] = ("mean", "half_mean", "half_sum", "sum")
CONTROL = "control"
STARTS = ("origin", "saddle")
TEACHER = torch.tensor([[5.0**0.5, 0.0, -2.0, 0.0]], dtype=torch.float64)
NETWORK, TARGET = power_net(UNITS, 2, 2), power_net(2, 2, 2)
SADDLE = torch.tensor([[0.5**0.5, 0.0]] * FITTED + [[0.0, 0.0]] * (UNITS - FITTED), dtype=torch.float64).view(1, -1)
SCAN = 2000  # angles on a circle
BATCH = 40  # runs in one batch

# measured, with the rounding of what is bounded from below; what is bounded from above is rounding itself
HYPOTHESES = {"degree_defect": 0.0, "scale_min": 0.0, "stationarity": 0.0, "saddle_residual_gap": 0.0}
HYPOTHESES |= dict.fromkeys(("signal", "saddle_loss_fall_min", "saddle_loss_rise_min"), 1e-14)


class Parameters(ParametersModel):
    points: int = Field(ge=2)
    std: float  # not positive: a hypothesis that is not met, measured as such
    control_std: dict[Literal["origin", "saddle"], Positive]
    step_size: Positive
    steps: int = Field(ge=100)
    recorded: int = Field(ge=10)
    coarsening: int = Field(ge=2)
    seeds: dict[Literal["mean", "half_mean", "half_sum", "sum", "control"], int]
    reading: Reading


class Run(NamedTuple):
    """One descent: its loss normalisation, or `control` (normalisation `mean`, start too large), and its seed."""

    group: str
    seed: int


def planned(p: Parameters) -> list[Run]:
    return [Run(group, seed) for group in (*NORMALISATIONS, CONTROL) for seed in range(p.seeds[group])]


def data(p: Parameters, context: Context, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [n, 2] and labels [n] of a seed, the same for all figures."""
    x = sphere_inputs(context.rng("inputs", seed), p.points, 2)
    return x, TARGET.forward(TEACHER, x)[0]


def start_weights(p: Parameters, context: Context, start: str, run: Run) -> torch.Tensor:
    """Weights [1, 40]: the origin or the saddle plus noise, in controls large on all weights or on the fitted ones."""
    noise = p.std * gaussian(context.rng("start", start, run.seed), 1, NETWORK.size)
    if run.group == CONTROL:
        enlarged = slice(None) if start == "origin" else slice(0, 2 * FITTED)
        noise[:, enlarged] *= p.control_std[start] / p.std
    return noise if start == "origin" else SADDLE + noise


def cell(p: Parameters, context: Context) -> Evidence:
    runs = planned(p)
    arrays = {"group": np.array([run.group for run in runs]), "seed": np.array([run.seed for run in runs])}
    arrays |= {name: np.array(value) for name, value in measured_hypotheses(p, context).items()}
    batches = [runs[first : first + BATCH] for first in range(0, len(runs), BATCH)]
    for start in STARTS:
        parts = [descend(p, context, start, batch) for batch in context.progress(batches, what=f"{start}, batches")]
        arrays |= {f"{start}_{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for coarsening, name in ((1, "iterations"), (p.coarsening, "coarse_iterations")):
        arrays[name] = recorded_iterations(p, coarsening)
    return Evidence(arrays=arrays)


def recorded_iterations(p: Parameters, coarsening: int) -> np.ndarray:
    """Equally spaced, and equally spaced in the logarithm."""
    steps = p.steps // coarsening
    return np.union1d(np.linspace(0, steps, p.recorded + 1).astype(int), log_spaced(steps, p.recorded // 2))


def descend(p: Parameters, context: Context, start: str, runs: list[Run]) -> dict[str, np.ndarray]:
    """Loss, distance to the origin or saddle, and angles along descent; `coarse` with the larger step, `disturbed` as well."""
    drawn = [data(p, context, run.seed) for run in runs]
    x, y = torch.stack([x for x, _ in drawn]), torch.stack([y for _, y in drawn])
    w = torch.cat([start_weights(p, context, start, run) for run in runs])
    origin = SADDLE if start == "saddle" else torch.zeros_like(SADDLE)
    factors = [MEAN if run.group == CONTROL else Loss("square", run.group) for run in runs]  # type: ignore[arg-type]
    step = p.step_size * torch.tensor([loss.factor(p.points) / MEAN.factor(p.points) for loss in factors], dtype=w.dtype)
    # every step rounds to within 2 eps; all of it at once, at the start, where it is amplified longest
    signs = torch.from_numpy(np.stack([context.rng("rounding", run.seed).choice([-1.0, 1.0], NETWORK.size) for run in runs]))
    disturbed = w * (1.0 + 2.0 * np.finfo(float).eps * p.steps * signs)

    def measure(weights: torch.Tensor) -> dict[str, torch.Tensor]:
        from_origin = weights - origin
        return {
            "angles": angles(weights),
            "distance": from_origin.norm(dim=-1),
            "fitted_distance": from_origin[:, : 2 * FITTED].norm(dim=-1),
        }

    arrays = {}
    for name, begin, coarsening in (("fine", w, 1), ("coarse", w, p.coarsening), ("disturbed", disturbed, p.coarsening)):
        path = gradient_descent(
            Objective(NETWORK, x, y, MEAN),
            begin,
            step_size=step * coarsening,
            steps=p.steps // coarsening,
            record=recorded_iterations(p, coarsening),
            keep_weights=False,
            measure=measure,
            loss_ratios=[p.reading.phase_loss_kept],
            compile=True,
        )
        (phase,) = path.crossings
        ended = torch.where(phase.happened[:, None], phase.weights_before, path.last)
        arrays |= {f"{name}_{key}": value.numpy() for key, value in path.measured.items()}
        arrays[f"{name}_loss"] = path.loss.numpy()
        arrays[f"{name}_phase_angles"] = angles(ended).numpy()
        arrays[f"{name}_phase_end"] = torch.where(phase.happened, phase.iteration - 1, p.steps // coarsening).numpy()
    return arrays


def angles(w: torch.Tensor) -> torch.Tensor:
    """Angle of every neuron with the first axis, in (-π, π]: [S, 40] -> [S, 20]."""
    neurons = w.view(-1, UNITS, 2)
    return torch.atan2(neurons[..., 1], neurons[..., 0])


def correlations(p: Parameters, context: Context, seed: int) -> Correlations:
    x, y = (tensor.numpy() for tensor in data(p, context, seed))
    # exactly zero where the fitted neurons reach: rounding of H(x) - y there would tilt the flat arc
    residual = np.where(x[:, 0] < 0, y, 0.0)
    order = context.rng("permutation", seed).permutation(p.points)
    return Correlations(PlanarCorrelation(x, y), PlanarCorrelation(x, residual), PlanarCorrelation(x, y[order]))


def paths(arrays: dict[str, np.ndarray], start: str, resolution: str) -> list[Path]:
    def of(name: str) -> np.ndarray:
        return arrays[f"{start}_{resolution}_{name}"]

    iterations = arrays["iterations" if resolution == "fine" else "coarse_iterations"]
    return [
        Path(iterations, loss / loss[0], *rest)
        for loss, *rest in zip(
            *(of(name) for name in ("loss", "distance", "fitted_distance", "angles", "phase_angles", "phase_end")), strict=True
        )
    ]


class Tables(NamedTuple):
    """One row per run: measured, and the bound of its rounding error."""

    measured: pd.DataFrame
    error: pd.DataFrame

    def of(self, group: str) -> "Tables":
        return Tables(*(table[self.measured["group"] == group] for table in self))


def tables(p: Parameters, arrays: dict[str, np.ndarray], ncf: dict[int, Correlations], start: str) -> Tables:
    criteria: Callable[..., dict[str, float]] = {"origin": near_origin, "saddle": near_saddle}[start]
    labels = pd.DataFrame({"group": arrays["group"], "seed": arrays["seed"]})
    fine, coarse, disturbed = (
        pd.DataFrame(
            [criteria(p.reading, path, ncf[seed]) for path, seed in zip(paths(arrays, start, name), arrays["seed"], strict=True)]
        )
        for name in ("fine", "coarse", "disturbed")
    )
    fine["step_effect"] = (fine["loss_ratio"] - coarse["loss_ratio"]).abs()
    error = (coarse - disturbed).abs()
    error["step_effect"] = error["loss_ratio"]
    return Tables(pd.concat([labels, fine], axis=1), pd.concat([labels, error], axis=1))


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"].arrays
    ncf = {seed: correlations(p, context, seed) for seed in range(max(p.seeds.values()))}
    for name, error in HYPOTHESES.items():
        evidence.measure(name, float(arrays[name]), error=error, n=len(ncf))
    by_start = {start: tables(p, arrays, ncf, start) for start in STARTS}
    origin, saddle = by_start["origin"], by_start["saddle"]
    for group in (*NORMALISATIONS, CONTROL):
        criteria = ("settled", "slowed", "aligned_in_phase", "calm_when_aligned")
        normalisation_metrics(evidence, "origin", group, origin.of(group), criteria)
        evidence.measure(f"origin_settled_{group}", origin.of(group).measured["settled"].sum(), error=0.0, n=p.seeds[group])
        normalisation_metrics(evidence, "saddle", group, saddle.of(group), ("explained_in_phase", "calm_when_explained"))
        evidence.measure(f"saddle_settled_{group}", saddle.of(group).measured["reproduces"].sum(), error=0.0, n=p.seeds[group])
        for start, table in by_start.items():
            escape = p.step_size * table.of(group).measured["escape"]
            evidence.measure(f"{start}_escape_time_median_{group}", escape.median(), error=p.step_size, n=len(escape))
    seed_metrics(p.reading, evidence, origin.of("mean"), saddle.of("mean"), ncf)
    shown = displayed_seed(p, origin.of("mean").measured, saddle.of("mean").measured)
    evidence.measure("seeds_rejected", shown, error=0.0)
    displayed_metrics(p, evidence, arrays, origin.of("mean"), saddle.of("mean"), shown)
    evidence.arrays |= figure_arrays(arrays, ncf[shown], shown) | overview_arrays(arrays, ncf)
    evidence.runs = pd.concat([table.measured.assign(start=start) for start, table in by_start.items()], ignore_index=True)
    return evidence


def measured_hypotheses(p: Parameters, context: Context) -> dict[str, float]:
    """Degree, scale, signal of every data set; that the saddle is stationary, with the residual of the paper, and a saddle."""
    drawn = [data(p, context, seed) for seed in range(max(p.seeds.values()))]
    measured = {
        "degree_defect": hypotheses.require_degree(NETWORK, drawn[0][0], 2),
        "scale_min": hypotheses.require_scale([p.std]),
        "signal": math.inf,
        "stationarity": 0.0,
        "saddle_residual_gap": 0.0,
        "saddle_loss_fall_min": math.inf,
        "saddle_loss_rise_min": math.inf,
    }
    for x, y in drawn:
        residual = torch.where(x[:, 0] < 0, y, 0.0)
        outputs, gradient = NETWORK.forward_and_pull(SADDLE, x, lambda h, y=y: y - h)
        # 1e-3 along -e1 of a neuron at rest lowers the loss; 0.01 of a fitted neuron raises it
        bare, down, up = (float(MEAN.value(NETWORK.forward(w, x), y)) for w in (SADDLE, nudged(-1, -1e-3), nudged(0, 0.01)))
        for name, value, worst in (
            ("signal", min(hypotheses.require_signal(NETWORK, x, z) for z in (y, residual)), min),
            ("stationarity", hypotheses.require_stationary(gradient[0], y - outputs[0]), max),
            ("saddle_residual_gap", float((y - outputs[0] - residual).abs().max()), max),
            ("saddle_loss_fall_min", (bare - down) / bare, min),
            ("saddle_loss_rise_min", (up - bare) / bare, min),
        ):
            measured[name] = worst(measured[name], value)
    return measured


def nudged(neuron: int, along: float) -> torch.Tensor:
    """The saddle with `along` added to the first weight of a neuron."""
    w = SADDLE.clone().view(UNITS, 2)
    w[neuron, 0] += along
    return w.view(1, -1)


def fraction(evidence: Evidence, name: str, passed: Iterable[float]) -> None:
    yes = np.asarray(list(passed)) > 0
    evidence.measure(name, yes.mean(), error=0.0, interval=clopper_pearson(int(yes.sum()), len(yes)), n=len(yes))


def extreme(evidence: Evidence, name: str, tables: Tables, column: str, of: Callable[..., float]) -> None:
    """A median, largest or smallest value over seeds, with the largest of their errors."""
    evidence.measure(name, of(tables.measured[column]), error=tables.error[column].max(), n=len(tables.error))


def normalisation_metrics(evidence: Evidence, start: str, group: str, runs: Tables, criteria: tuple[str, ...]) -> None:
    size = "norm" if start == "origin" else "distance"
    extreme(evidence, f"{start}_loss_ratio_median_{group}", runs, "loss_ratio", np.median)
    extreme(evidence, f"{start}_loss_ratio_max_{group}", runs, "loss_ratio", np.max)
    extreme(evidence, f"{start}_{size}_median_{group}", runs, size, np.median)
    extreme(evidence, f"{start}_gap_to_maximum_median_{group}", runs, "gap_to_maximum", np.median)
    for name in ("barely_moves", "reproduces", *criteria):
        fraction(evidence, f"{start}_{name}_fraction_{group}", runs.measured[name])


def seed_metrics(reading: Reading, evidence: Evidence, origin: Tables, saddle: Tables, ncf: dict[int, Correlations]) -> None:
    """What is asked of every data set, with the normalisation that the figures show."""
    for name in ("aligned_at_start", "aligned_permuted", "basin_rule", "basin_rule_permuted"):
        fraction(evidence, f"origin_{name}_fraction", origin.measured[name])
    for name in ("explained_at_start", "explained_by_labels", "explained_permuted"):
        fraction(evidence, f"saddle_{name}_fraction", saddle.measured[name])
    extreme(evidence, "origin_kkt_residual_median", origin, "phase_kkt_residual", np.median)
    extreme(evidence, "origin_kkt_residual_median_at_start", origin, "start_kkt_residual", np.median)
    for start, table in (("origin", origin), ("saddle", saddle)):
        extreme(evidence, f"{start}_ncf_drop_max", table, "ncf_drop", np.max)
        extreme(evidence, f"{start}_ncf_drop_permuted_median", table, "ncf_drop_permuted", np.median)
    extreme(evidence, "saddle_fitted_growth_max", saddle, "fitted_growth", np.max)
    extreme(evidence, "saddle_last_growth_min", saddle, "last_growth", np.min)
    extreme(evidence, "saddle_flat_moved_max", saddle, "flat_moved", np.max)
    extreme(evidence, "saddle_steep_moved_min", saddle, "steep_moved", np.min)
    evidence.measure("saddle_flat_neurons", saddle.measured["neurons_flat"].sum(), error=0.0, n=len(saddle.measured))
    counts = [(len(one.labels.critical.maxima), len(one.labels.critical.minima)) for one in ncf.values()]
    fraction(evidence, "two_maxima_fraction", [count == (2, 2) for count in counts])
    values = [one.labels.critical.value.min() for one in ncf.values()]
    evidence.measure("kkt_value_min", min(values), error=1e-12, n=len(values))
    scanned = [one.residual.value(np.linspace(-np.pi, np.pi, SCAN, endpoint=False)) for one in ncf.values()]
    evidence.measure("residual_ncf_min", min(value.min() for value in scanned), error=0.0, n=len(scanned))
    nearly = [
        (value <= reading.near_flat * one.residual.maximum).mean() for value, one in zip(scanned, ncf.values(), strict=True)
    ]
    exactly = [np.ptp(one.residual.critical.flat, axis=1).sum() / (2.0 * np.pi) for one in ncf.values()]
    evidence.measure("nearly_flat_share_median", np.median(nearly), error=1.0 / SCAN, n=len(nearly))
    evidence.measure("flat_share_median", np.median(exactly), error=1e-12, n=len(exactly))


def displayed_seed(p: Parameters, origin: pd.DataFrame, saddle: pd.DataFrame) -> int:
    """The first seed whose runs do what the captions of Figures 1, 3 and 4 say; 0 if none does."""
    rows = origin.set_index("seed")
    kkt = (rows["neurons_near_kkt"] == UNITS) & (rows["neurons_close_to_maximum"] >= p.reading.neurons_near)
    good = (rows["reproduces"] > 0) & kkt & (saddle.set_index("seed")["reproduces"] > 0)
    return int(good.idxmax())


def displayed_metrics(
    p: Parameters, evidence: Evidence, arrays: dict[str, np.ndarray], origin: Tables, saddle: Tables, seed: int
) -> None:
    columns = {
        "origin": (
            *("loss_ratio", "norm", "moved", "gap_to_maximum", "gap_to_maximum_worst", "neurons_near_maximum", "speed_left"),
            *("neurons_close_to_maximum", "neurons_near_kkt", "kkt_residual", "step_effect"),
        ),
        "saddle": ("loss_ratio", "distance", "neurons_explained", "neurons_at_maximum", "neurons_nearly_flat", "step_effect"),
    }
    for start, table in (("origin", origin), ("saddle", saddle)):
        row = int(np.flatnonzero(table.measured["seed"] == seed)[0])
        for column in columns[start]:
            error = 0.0 if column.startswith("neurons_") else table.error[column].iloc[row]
            evidence.measure(f"{start}_{column}_displayed", table.measured[column].iloc[row], error=error, n=1)
    row = int(np.flatnonzero((arrays["group"] == "mean") & (arrays["seed"] == seed))[0])
    size = arrays["origin_fine_distance"][row, 0] / (p.std * np.sqrt(NETWORK.size))
    evidence.measure("start_norm_ratio_displayed", size, error=1e-14, n=1)


def figure_arrays(arrays: dict[str, np.ndarray], ncf: Correlations, seed: int) -> dict[str, np.ndarray]:
    """Curves of the displayed seed, and the NCFs with their critical points."""
    row = int(np.flatnonzero((arrays["group"] == "mean") & (arrays["seed"] == seed))[0])
    kept = {"iterations": arrays["iterations"], "displayed_seed": np.array(seed)}
    for start in STARTS:
        kept |= {f"{start}_{name}": arrays[f"{start}_fine_{name}"][row] for name in ("loss", "distance", "angles")}
    theta = np.linspace(-np.pi, np.pi, 721)
    kept["theta"] = theta
    for start, z in (("origin", ncf.labels), ("saddle", ncf.residual)):
        kept |= {f"{start}_ncf": z.value(theta), f"{start}_flat": z.critical.flat}
        kept |= {f"{start}_maxima": z.critical.maxima, f"{start}_minima": z.critical.minima}
        kept |= {f"{start}_{name}_value": z.value(kept[f"{start}_{name}"]) for name in ("maxima", "minima")}
    return kept


def overview_arrays(arrays: dict[str, np.ndarray], ncf: dict[int, Correlations]) -> dict[str, np.ndarray]:
    """Per normalisation and start: quartiles over seeds of loss ratio, distance and gap to the maximum."""
    kept = {}
    for start in STARTS:
        for group in NORMALISATIONS:
            rows = np.flatnonzero(arrays["group"] == group)
            loss, size = arrays[f"{start}_fine_loss"][rows], arrays[f"{start}_fine_distance"][rows]
            gaps = []
            for row in rows:
                one, theta = ncf[arrays["seed"][row]], arrays[f"{start}_fine_angles"][row]
                steep = theta if start == "origin" else theta[:, FITTED:]
                gaps.append(np.median((one.labels if start == "origin" else one.residual).distance_to_maximum(steep), axis=1))
            for name, curves in (("loss_ratio", loss / loss[:, :1]), ("distance", size), ("gap", np.array(gaps))):
                kept[f"overview_{start}_{name}_{group}"] = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
    return kept


if __name__ == "__main__":
    main(Parameters, cell, gather)
