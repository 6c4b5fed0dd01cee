"""The settings of `descent`, and how Figures 1-5 (deep_homogeneous) are read on its runs: numbers, and yes or no."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from flowcheck.losses import HALF_MEAN, HALF_SUM, MEAN, Loss
from flowcheck.measures.statistics import clopper_pearson, mean_interval
from flowcheck.networks.zoo import deep_relu, squared_relu
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel

LOSSES: dict[str, Loss] = {"half_sum": HALF_SUM, "half_mean": HALF_MEAN, "mean": MEAN}
NETWORKS = {
    "squared_relu": (squared_relu([20, 20], 10), squared_relu([2, 3], 10)),
    "relu": (deep_relu([20, 20, 20], 10), deep_relu([2, 3, 3], 10)),
}
Positive = Annotated[float, Field(gt=0)]
Range = tuple[float, float]


class Recipe(ParametersModel):
    """What the paper prints, and which start of which draw is displayed."""

    delta: float
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
    control_delta: float
    control_seeds: int = Field(ge=2)
    control_steps: int = Field(ge=1)
    deltas: list[float]
    recipes: dict[str, Recipe]
    efforts: dict[str, Effort]
    criteria: dict[str, Criteria]

    @model_validator(mode="after")
    def _trend_has_the_printed_scales(self) -> Parameters:
        missing = [recipe.delta for recipe in self.recipes.values() if recipe.delta not in self.deltas]
        if missing:
            raise ValueError(f"the printed scales must be among deltas: {missing} missing")
        return self


def rate(loss: Loss, points: int) -> float:
    """How much faster than under the half sum the weights move."""
    return loss.factor(points) / HALF_SUM.factor(points)


ANATOMY = ("norm", "cosine", "cosine_permuted", "cosine_over_degree", "rows", "strong_rows", "shares", "singular", "invariants")
"""What is measured of weights: see `anatomy` of the script."""


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


def per_layer(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """[runs, layers] -> name_W1, name_W2, ..."""
    return {f"{name}_W{layer}": column for layer, column in enumerate(values.T, 1)}


class Cell(NamedTuple):
    """The arrays of one network."""

    network: str
    arrays: dict[str, np.ndarray]

    def at(self, stage: str) -> dict[str, np.ndarray]:
        """What `anatomy` measured of the weights at one stage."""
        return {name: self.arrays[f"{stage}_{name}"] for name in ANATOMY}


def fraction(evidence: Evidence, name: str, met: np.ndarray) -> None:
    """Share of the runs, with its Clopper-Pearson interval."""
    evidence.measure(name, met.mean(), error=0.0, interval=clopper_pearson(int(met.sum()), len(met)), n=len(met))


def measure_criteria(p: Parameters, evidence: Evidence, cell: Cell) -> None:
    """Fractions of seeds that meet each criterion at the escape; the same at the start, and from weights that are not small."""
    criteria, start, large = p.criteria[cell.network], cell.at("start"), cell.at("large")
    few = {name: value[: len(large["norm"])] for name, value in start.items()}
    few["norm"] = np.full_like(few["norm"], p.control_delta)
    at_stop = meets(criteria, start, cell.at("stop")) | {"monotone": monotone(p, cell)}
    for name, met in at_stop.items():
        fraction(evidence, f"{name}_fraction_{cell.network}", met)
    for where, found in (("start", meets(criteria, start, start)), ("large", meets(criteria, few, large))):
        for name in found.keys() - {"rise", "random_start", "aligned_permuted"}:
            fraction(evidence, f"{name}_fraction_{where}_{cell.network}", found[name])


def monotone(p: Parameters, cell: Cell) -> np.ndarray:
    """Whether the loss of each run never rises, between recorded iterations, before it escapes."""
    iterations, loss = cell.arrays["iterations"], cell.arrays["loss"]
    before = iterations[None, 1:] < cell.arrays["crossing"][:, None]
    return np.where(before, loss[:, 1:] / loss[:, :-1] - 1.0, -1.0).max(axis=1) <= p.loss_rise


def measure_steps(p: Parameters, evidence: Evidence, cell: Cell) -> None:
    """Medians with the effect of four times longer steps as their error; Euler's identity; drift of the invariants."""
    network, start, stop, coarse = cell.network, cell.at("start"), cell.at("stop"), cell.at("coarse")
    for name, fine in curves(start, stop).items():
        median, other = np.median(fine), np.median(curves(start, coarse)[name])
        evidence.measure(f"{name}_median_{network}", median, error=abs(median - other), n=len(fine))
    degree = NETWORKS[network][0].degree
    for suffix, factor, worst in (("", degree, np.max), ("_wrong_degree", degree + 1, np.min)):
        defect = np.abs(stop["cosine"] - factor * stop["cosine_over_degree"])
        evidence.measure(f"euler_defect{suffix}_{network}", worst(defect), error=1e-14, n=len(defect))
    # a drift is a millionth of the weights' squares, so that rounding shows in its fifth digit
    evidence.measure(f"drift_ratio_{network}", np.median(drift(start, stop) / drift(start, coarse)), error=1e-5, n=len(defect))
    gap = np.abs(cell.arrays["crossing"] / cell.arrays["steps"] - 1.0)
    evidence.measure(f"escape_prediction_gap_{network}", gap.max(), error=flow_error(p, cell), n=len(gap))


def curves(start: dict[str, np.ndarray], at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the figures show, one number per run."""
    shown = {"growth": at["norm"] / start["norm"], "cosine": at["cosine"], "cosine_permuted": at["cosine_permuted"]}
    return shown | per_layer("rows", at["rows"]) | per_layer("ratio", second_ratio(at["singular"]))


def drift(start: dict[str, np.ndarray], at: dict[str, np.ndarray]) -> np.ndarray:
    """Change of the flow's invariants, over the squared norm of the weights."""
    return np.linalg.norm(at["invariants"] - start["invariants"], axis=1) / at["norm"] ** 2


def flow_error(p: Parameters, cell: Cell) -> float:
    """Relative error of a predicted escape: what ten times the tolerance changes at the scale of the figures."""
    row = p.deltas.index(p.recipes[cell.network].delta)
    return float(np.abs(cell.arrays["trend_coarse_time"][row] / cell.arrays["trend_time"][row] - 1.0).max())


def measure_normalisations(p: Parameters, evidence: Evidence, cell: Cell) -> None:
    """When each loss would leave the plateau, for all draws that are not degenerate; what descent with the printed loss does."""
    network, c, recipe, error = cell.network, cell.arrays, p.recipes[cell.network], flow_error(p, cell)
    half_sum = c["time"] / recipe.step_size
    for name, loss in LOSSES.items():
        escape = half_sum[c["accepted"]] / rate(loss, p.points)
        evidence.measure(f"escape_median_{name}_{network}", np.median(escape), error=np.median(escape) * error, n=len(escape))
        fraction(evidence, f"plateau_at_end_fraction_{name}_{network}", escape > recipe.iterations)
        fraction(evidence, f"within_two_fraction_{name}_{network}", within_two(escape, recipe))
    silent = np.zeros(len(c["label_mean"]) - len(half_sum), dtype=bool)
    fraction(evidence, f"within_two_fraction_any_label_{network}", np.append(within_two(half_sum, recipe), silent))
    fraction(evidence, f"degenerate_fraction_{network}", c["label_mean"] <= p.degenerate_label)
    escaped = c["printed_crossing"] >= 0
    ratio = c["printed_crossing"][escaped] / half_sum[c["chosen"]][c["printed_rows"]][escaped]
    gap, gap_as_mean = np.abs(ratio - 1.0), np.abs(ratio * rate(MEAN, p.points) - 1.0)
    evidence.measure(f"printed_prediction_gap_{network}", gap.max(), error=error, n=len(gap))
    evidence.measure(f"printed_prediction_gap_as_mean_{network}", gap_as_mean.min(), error=error, n=len(gap))
    fraction(evidence, f"printed_diverged_fraction_{network}", c["printed_diverged"][escaped] >= 0)
    distance = c["normalisation_distance"]
    evidence.measure(f"normalisation_distance_{network}", distance.max(), error=distance.max(), n=distance.size)


def within_two(iterations: np.ndarray, recipe: Recipe) -> np.ndarray:
    return between(iterations / recipe.iterations, (0.5, 2.0))


def measure_displayed(p: Parameters, evidence: Evidence, cell: Cell) -> None:
    """The displayed run at the printed iteration; whether the rule of its choice was followed; the other normalisations."""
    network, c, recipe = cell.network, cell.arrays, p.recipes[cell.network]
    start, at, end = cell.at("displayed_start"), cell.at("displayed"), int(c["displayed_end"])
    last = int(c["displayed_iterations"][end])
    numbers = {
        "loss_ratio": c["displayed_loss"][-1, end],
        "norm": at["norm"],
        "initial_cosine": start["cosine"],
        "initial_rows_max": start["rows"].max(),
        "initial_ratio_min": second_ratio(start["singular"]).min(),
        "rows_min": at["rows"].min(),
        "ratio_max": second_ratio(at["singular"]).max(),
        "drift": drift(start, at) * last / recipe.iterations,
        **{name: value for name, value in curves(start, at).items() if not name.startswith(("rows", "cosine_"))},
    }
    # rounding grows with the number of steps; it was measured over `control_steps` of them, a factor ten is for the amplification
    rounding = 10.0 * float(c["normalisation_distance"].max()) * last / p.control_steps
    for name, number in numbers.items():
        value = float(np.squeeze(number))
        evidence.measure(f"displayed_{name}_{network}", value, error=max(rounding * abs(value), 1e-14), n=1)
    evidence.measure(f"displayed_rule_violations_{network}", rule_violations(p, cell), error=0.0)
    evidence.measure(f"displayed_escape_{network}", c["displayed_crossing"][-1] / last, error=0.0, n=1)
    for name, escape in zip(LOSSES, c["displayed_crossing"], strict=True):
        evidence.measure(f"displayed_plateau_{name}_{network}", float(not 0 <= escape <= last), error=0.0, n=1)


def rule_violations(p: Parameters, cell: Cell) -> int:
    """0 if the displayed draw and the displayed start are the first whose predicted escape, under the mean, is in the windows."""
    c, recipe = cell.arrays, p.recipes[cell.network]
    scale = rate(MEAN, p.points) * recipe.step_size * recipe.iterations
    draws = c["number"][c["accepted"]][between(c["time"][c["accepted"]] / scale, p.draw_window)]
    starts = c["start_number"][between(c["start_time"] / scale, p.start_window)]
    return int(draws[:1].tolist() != [recipe.displayed_draw]) + int(starts[:1].tolist() != [recipe.displayed_start])


def measure_trend(p: Parameters, evidence: Evidence, cell: Cell) -> None:
    """How alignment, rank and escape of the flow change with the scale of the start."""
    network, c, deltas = cell.network, cell.arrays, np.array(p.deltas)
    n = c["trend_time"].shape[1]
    median, coarse_median = (np.median(c[f"{name}_misalignment"], axis=1) for name in ("trend", "trend_coarse"))
    error, falls = np.abs(coarse_median / median - 1.0).max(), median[:-1] / median[1:]
    evidence.measure(f"misalignment_fall_min_{network}", falls.min(), error=2 * error * falls.min(), n=n)
    for delta, value in zip(p.deltas, median, strict=True):
        evidence.measure(f"misalignment_median_delta_{delta:g}_{network}", value, error=error * value, n=n)
    ratio, coarse_ratio = (c[name] / c[name][-1] for name in ("trend_time", "trend_coarse_time"))
    for row, delta in enumerate(p.deltas[:-1]):
        error = np.abs(ratio[row] - coarse_ratio[row]).max()
        evidence.measure(f"escape_time_gap_delta_{delta:g}_{network}", np.abs(ratio[row] - 1).max(), error=error, n=n)
        wrong = np.abs(ratio[row] * deltas[-1] / delta - 1).min()  # the exponent L - 3 in place of L - 2
        evidence.measure(f"escape_time_gap_wrong_exponent_delta_{delta:g}_{network}", wrong, error=error, n=n)
    for layer in range(c["trend_ratio"].shape[-1]):
        slopes, coarse = (ratio_slopes(deltas, c[f"{name}_ratio"][..., layer]) for name in ("trend", "trend_coarse"))
        for suffix, values in (("", slopes), ("_over_delta", slopes - 1.0)):
            mean, interval = mean_interval(values)
            name = f"ratio_slope{suffix}_W{layer + 1}_{network}"
            evidence.measure(name, mean, error=abs(float(np.mean(slopes - coarse))), interval=interval, n=n)


def ratio_slopes(deltas: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Slope of log(s_2 / s_1) on log(delta) of each seed."""
    return np.polyfit(np.log(deltas), np.log(ratio), 1)[0]


def run_table(p: Parameters, cell: Cell) -> pd.DataFrame:
    """One row per seed."""
    start, stop, chosen = cell.at("start"), cell.at("stop"), cell.arrays["chosen"]
    predicted = cell.arrays["time"][chosen] / p.recipes[cell.network].step_size
    columns = {
        "network": cell.network,
        "draw": cell.arrays["number"][chosen],
        **{f"predicted_escape_{name}": predicted / rate(loss, p.points) for name, loss in LOSSES.items()},
        "escape": cell.arrays["crossing"],
        "norm": stop["norm"],
        "initial_cosine": start["cosine"],
    }
    met = meets(p.criteria[cell.network], start, stop) | {"monotone": monotone(p, cell)}
    return pd.DataFrame(columns | curves(start, stop) | {f"{name}_ok": value for name, value in met.items()})
