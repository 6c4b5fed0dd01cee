"""Gradient descent near the origin and near a saddle, squared-ReLU network in the plane (two_homogeneous, Figures 1, 3 and 4).

20 neurons, 50 unit inputs of a target with two neurons, 50,000 steps of 5e-5 from weights of size 1e-5; at the saddle ten neurons
carry one half of the target. Step and loss normalisation enter descent as a product only, so that the four normalisations of
the square loss are four step sizes of one batch. Every run is repeated with a larger step, twice, the second time from a start
disturbed by as much as rounding adds up to: the difference of the two bounds the rounding error of what is measured.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck import hypotheses
from flowcheck.data import gaussian, sphere_inputs
from flowcheck.descent import gradient_descent, log_spaced
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.losses import MEAN, Loss, Normalisation
from flowcheck.networks import power_net
from flowcheck.planar_correlation import PlanarCorrelation, angular_distance
from flowcheck.statistics import clopper_pearson

NORMALISATIONS: tuple[Normalisation, ...] = ("mean", "half_mean", "half_sum", "sum")
CONTROL = "control"
STARTS = ("origin", "saddle")
UNITS, FITTED = 20, 10  # neurons; at the saddle the first ten are not zero
TEACHER = torch.tensor([[5.0**0.5, 0.0, -2.0, 0.0]], dtype=torch.float64)
NETWORK, TARGET = power_net(UNITS, 2, 2), power_net(2, 2, 2)
SADDLE = torch.tensor([[0.5**0.5, 0.0]] * FITTED + [[0.0, 0.0]] * (UNITS - FITTED), dtype=torch.float64).view(1, -1)
SCAN = 2000  # angles on a circle
SAME = 1e-6  # two angles computed as the limit of a flow are one
BATCH = 40  # runs in one batch: what fits the cache

Positive = Annotated[float, Field(gt=0)]


class Reading(ParametersModel):
    """How the captions are read: what counts as unchanged, small, close."""

    loss_kept: Positive
    phase_loss_kept: Positive
    small_norm: Positive
    small_distance: Positive
    moved: Positive
    close: Positive
    near: Positive
    slowed: Positive
    near_flat: Positive
    neurons_near: int
    last_neurons_explained: int


class Parameters(ParametersModel):
    points: int = Field(ge=2)
    std: Positive
    control_std: dict[Literal["origin", "saddle"], Positive]
    step_size: Positive
    steps: int = Field(ge=100)
    recorded: int = Field(ge=10)
    coarsening: int = Field(ge=2)
    seeds: dict[str, int]
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


def cell(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    runs = planned(p)
    arrays = {"group": np.array([run.group for run in runs]), "seed": np.array([run.seed for run in runs])}
    hypotheses.require_scale([p.std])
    batches = [runs[first : first + BATCH] for first in range(0, len(runs), BATCH)]
    for start in STARTS:
        parts = [descend(p, context, start, batch) for batch in context.progress(batches, what=f"{start}, batches")]
        arrays |= {f"{start}_{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for coarsening, name in ((1, "iterations"), (p.coarsening, "coarse_iterations")):
        arrays[name] = recorded_iterations(p, coarsening)
    return arrays


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
            NETWORK,
            x,
            y,
            MEAN,
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


class Correlations(NamedTuple):
    """NCFs of one data set: for the labels, for the residual at the saddle, and for the labels in random order (control)."""

    labels: PlanarCorrelation
    residual: PlanarCorrelation
    permuted: PlanarCorrelation


def correlations(p: Parameters, context: Context, seed: int) -> Correlations:
    x, y = (tensor.numpy() for tensor in data(p, context, seed))
    # exactly zero where the fitted neurons reach: rounding of H(x) - y there would tilt the flat arc
    residual = np.where(x[:, 0] < 0, y, 0.0)
    order = context.rng("permutation", seed).permutation(p.points)
    return Correlations(PlanarCorrelation(x, y), PlanarCorrelation(x, residual), PlanarCorrelation(x, y[order]))


class Path(NamedTuple):
    """One run as recorded: iterations [P], angles [P, 20], the others [P]; phase_angles [20] where 1 % of the loss is gone."""

    iterations: np.ndarray
    loss_ratio: np.ndarray
    distance: np.ndarray
    fitted_distance: np.ndarray
    angles: np.ndarray
    phase_angles: np.ndarray
    phase_end: int


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


def near_origin(reading: Reading, path: Path, ncf: Correlations) -> dict[str, float]:
    """What the captions of Figures 1 and 3 say, measured on one run."""

    def aligned(theta: np.ndarray, z: PlanarCorrelation = ncf.labels) -> np.ndarray:
        gap = z.distance_to_maximum(theta)
        return (np.median(gap, axis=-1) <= reading.close) & ((gap <= reading.near).sum(axis=-1) >= reading.neurons_near)

    start, end, phase = path.angles[0], path.angles[-1], path.phase_angles

    def follows(z: PlanarCorrelation) -> bool:
        """No neuron has left the basin it started in, and all but a few have arrived at its maximum."""
        goal = z.limit(start)
        kept, arrived = angular_distance(z.limit(phase), goal) < SAME, angular_distance(phase, goal) <= reading.near
        return bool(kept.all()) and int(arrived.sum()) >= reading.neurons_near

    gap = ncf.labels.distance_to_maximum(end)
    speed = angular_distance(path.angles[1:], path.angles[:-1]) / np.diff(path.iterations)[:, None]
    calm = (path.loss_ratio >= reading.loss_kept) & (path.distance <= reading.small_norm)
    measured = {
        "loss_ratio": path.loss_ratio[-1],
        "norm": path.distance[-1],
        "moved": np.median(angular_distance(end, start)),
        "gap_to_maximum": np.median(gap),
        "gap_to_maximum_worst": gap.max(),
        "neurons_near_maximum": (gap <= reading.near).sum(),
        "neurons_close_to_maximum": (gap <= reading.close).sum(),
        "neurons_near_kkt": (ncf.labels.distance_to_critical(end) <= reading.near).sum(),
        "speed_left": np.median(speed[-1] / speed.max(axis=0)),
        "kkt_residual": np.median(ncf.labels.kkt_residual(end)),
        "phase_kkt_residual": np.median(ncf.labels.kkt_residual(phase)),
        "start_kkt_residual": np.median(ncf.labels.kkt_residual(start)),
        "ncf_drop": largest_drop(reading, path, path.angles, ncf.labels),
        "ncf_drop_permuted": largest_drop(reading, path, path.angles, ncf.permuted),
        "barely_moves": path.loss_ratio[-1] >= reading.loss_kept,
        "aligned": aligned(end),
        "aligned_in_phase": aligned(phase),
        "aligned_permuted": aligned(phase, ncf.permuted),
        "aligned_at_start": aligned(start),
        "calm_when_aligned": calm[np.argmax(aligned(path.angles))] and bool(aligned(path.angles).any()),
        "basin_rule": follows(ncf.labels),
        "basin_rule_permuted": follows(ncf.permuted),
        "escape": path.phase_end,
    }
    measured["slowed"] = measured["speed_left"] <= reading.slowed
    measured["settled"] = measured["aligned"] and measured["moved"] >= reading.moved and calm[-1]
    measured["reproduces"] = measured["settled"] and measured["slowed"]
    return {name: float(value) for name, value in measured.items()}


def near_saddle(reading: Reading, path: Path, ncf: Correlations) -> dict[str, float]:
    """What the caption of Figure 4 says, measured on one run; angles are those of the last ten neurons."""
    track = path.angles[:, FITTED:]
    start, end, phase = track[0], track[-1], path.phase_angles[FITTED:]
    nearly_flat = ncf.residual.value(start) <= reading.near_flat * ncf.residual.maximum
    flat, moved = ncf.residual.in_flat(start), angular_distance(track, start).max(axis=0)

    def explained(theta: np.ndarray) -> np.ndarray:
        at_maximum = ncf.residual.distance_to_maximum(theta) <= reading.near
        return (at_maximum | nearly_flat).sum(axis=-1)

    def explained_by(z: PlanarCorrelation) -> int:
        arrived = angular_distance(phase, z.limit(start)) <= reading.near
        return int((arrived | (z.value(start) <= reading.near_flat * z.maximum)).sum())

    enough = explained(track) >= reading.last_neurons_explained
    calm = (path.loss_ratio >= reading.loss_kept) & (path.distance <= reading.small_distance)
    last = np.sqrt(path.distance**2 - path.fitted_distance**2)
    measured = {
        "loss_ratio": path.loss_ratio[-1],
        "distance": path.distance[-1],
        "fitted_growth": path.fitted_distance[-1] / path.fitted_distance[0],
        "last_growth": last[-1] / last[0],
        "neurons_explained": explained(end),
        "neurons_at_maximum": (ncf.residual.distance_to_maximum(end) <= reading.near).sum(),
        "neurons_nearly_flat": nearly_flat.sum(),
        "neurons_flat": flat.sum(),
        "flat_moved": moved[flat].max(initial=0.0),
        "steep_moved": np.median(moved[~nearly_flat]),
        "gap_to_maximum": np.median(ncf.residual.distance_to_maximum(end)),
        "ncf_drop": largest_drop(reading, path, track, ncf.residual),
        "ncf_drop_permuted": largest_drop(reading, path, track, ncf.permuted),
        "barely_moves": path.loss_ratio[-1] >= reading.loss_kept,
        "explained_in_phase": explained(phase) >= reading.last_neurons_explained,
        "explained_at_start": enough[0],
        "explained_by_labels": explained_by(ncf.labels) >= reading.last_neurons_explained,
        "explained_permuted": explained_by(ncf.permuted) >= reading.last_neurons_explained,
        "calm_when_explained": calm[np.argmax(enough)] and bool(enough.any()),
        "escape": path.phase_end,
        "reproduces": calm[-1] and enough[-1],
    }
    return {name: float(value) for name, value in measured.items()}


def largest_drop(reading: Reading, path: Path, track: np.ndarray, z: PlanarCorrelation) -> float:
    """Largest fall of N along a neuron's recorded angles while the loss keeps its phase share, over the maximum of N."""
    value = z.value(track[path.loss_ratio >= reading.phase_loss_kept])
    return float(-np.diff(value, axis=0).min(initial=0.0) / z.maximum)


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


def gather(p: Parameters, cells: dict[str, dict[str, np.ndarray]], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"]
    ncf = {seed: correlations(p, context, seed) for seed in range(max(p.seeds.values()))}
    measure_hypotheses(p, context, evidence)
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


def measure_hypotheses(p: Parameters, context: Context, evidence: Evidence) -> None:
    """Degree, scale, signal of every data set; that the saddle is stationary, with the residual of the paper, and a saddle."""
    drawn = [data(p, context, seed) for seed in range(max(p.seeds.values()))]
    evidence.measure("degree_defect", hypotheses.require_degree(NETWORK, drawn[0][0], 2), error=0.0)
    evidence.measure("scale_min", hypotheses.require_scale([p.std]), error=0.0)
    signals, stationarity, gaps, falls, rises = [], [], [], [], []
    for x, y in drawn:
        residual = torch.where(x[:, 0] < 0, y, 0.0)
        signals += [hypotheses.require_signal(NETWORK, x, z) for z in (y, residual)]
        outputs, gradient = NETWORK.forward_and_pull(SADDLE, x, lambda h, y=y: y - h)
        stationarity.append(hypotheses.require_stationary(gradient[0], y - outputs[0]))
        gaps.append(float((y - outputs[0] - residual).abs().max()))
        # 1e-3 along -e1 of a neuron at rest lowers the loss; 1 % of a fitted neuron raises it
        bare, down, up = (MEAN.value(NETWORK.forward(w, x), y) for w in (SADDLE, nudged(-1, -1e-3), nudged(0, 0.01)))
        falls.append(float((bare - down) / bare))
        rises.append(float((up - bare) / bare))
    n = len(drawn)
    evidence.measure("signal", min(signals), error=1e-14, n=n)
    evidence.measure("stationarity", max(stationarity), error=0.0, n=n)
    evidence.measure("saddle_residual_gap", max(gaps), error=0.0, n=n)
    evidence.measure("saddle_loss_fall_min", min(falls), error=1e-14, n=n)
    evidence.measure("saddle_loss_rise_min", min(rises), error=1e-14, n=n)


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
    """Per normalisation and start: smallest, median and largest loss ratio, distance and gap to the maximum over seeds."""
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
                kept[f"overview_{start}_{name}_{group}"] = np.quantile(curves, [0.0, 0.5, 1.0], axis=0)
    return kept


if __name__ == "__main__":
    main(Parameters, cell, gather)
