"""Gradient descent on the population loss (spherical_data: Theorem 2, Lemmas 4, 5, 12, Eq. (8) and (10), Remarks 3, 6, 7).

The descent map is exact, so there is no integration error; what limits a comparison is rounding, about eight units in the last
place per step in 1 - cos θ, and that is what the errors below are. Bounds are compared as ratios of exponents,
ln((1 - cos θ(0)) / (1 - cos θ(n))) / (B S_n) - 1.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.descent import population_descent
from flowcheck.papers.spherical_data.population import law, law_gradient, planar_gradient
from flowcheck.papers.spherical_data.step_sums import late_slopes
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Positive = Annotated[float, Field(gt=0)]
ROUNDING = 8.0 * np.finfo(float).eps


class Parameters(ParametersModel):
    law: str
    constant_steps: list[Positive] = Field(min_length=2)
    power_steps: list[float]
    random_range: tuple[Positive, Positive]
    starts: list[tuple[Positive, Annotated[float, Field(gt=0, lt=math.pi)]]] = Field(min_length=1)
    steps: int = Field(ge=100)
    one_step_trials: int = Field(ge=100)
    identity_trials: int = Field(ge=10)
    largest_step: Positive


def schedules(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Step-size sequences by name, each of length `steps`, all positive and bounded; the last one is summable, for a control."""
    n = np.arange(1.0, p.steps + 1.0)
    low, high = p.random_range
    result = {f"constant {eta:g}": np.full(p.steps, eta) for eta in p.constant_steps}
    result |= {f"n^{alpha:g}": n**alpha for alpha in p.power_steps}
    result["random"] = context.rng("steps").uniform(low, high, p.steps)
    result["periodic"] = np.where(n % 2 == 0, low, high)
    return result


def cell(p: Parameters, context: Context) -> Evidence:
    which, plan = law(p.law), schedules(p, context)
    pairs = [(name, *start) for name in plan for start in p.starts]
    steps = np.stack([plan[name] for name, _, _ in pairs])
    norm0, angle0 = (np.array(column) for column in list(zip(*pairs, strict=True))[1:])
    path = population_descent(which, norm0, angle0, steps, lambda items: context.progress(items, what="steps"))
    rows = [follow(which.c0, name, path.along[i], path.across[i], steps[i]) for i, (name, _, _) in enumerate(pairs)]
    columns = pd.DataFrame(rows)
    arrays = {f"run/{key}": columns[key].to_numpy(dtype=float) for key in columns if key != "schedule"}
    arrays |= {"run/schedule": columns.schedule.to_numpy(dtype=str), "run/norm0": norm0, "run/angle0": angle0}
    shown = [i for i, (_, norm, angle) in enumerate(pairs) if (norm, angle) == tuple(p.starts[0])]
    kept = np.unique(np.geomspace(1, p.steps, 300).astype(int))
    arrays |= {"curve/n": kept, "curve/schedule": np.array([pairs[i][0] for i in shown])}
    arrays["curve/one_minus_cos"] = np.stack([path.one_minus_cos[i][kept] for i in shown])
    arrays["curve/bound"] = np.stack([theorem2_curve(which.c0, path, i, steps[i])[kept] for i in shown])
    return Evidence(arrays=arrays | one_step(p, which, context) | identities(p, which, context) | extremes(p, which))


def follow(c0: float, name: str, along: np.ndarray, across: np.ndarray, eta: np.ndarray) -> dict[str, float | str]:
    """One run against Lemma 4 (until the half-space is left), Lemma 5 (where its condition holds) and Theorem 2 (from n1)."""
    norm, gap = np.hypot(along, across), 2.0 * np.sin(0.5 * np.arctan2(np.abs(across), along)) ** 2
    cosine, row = along / norm, {"schedule": name}
    n0 = int(np.argmax(cosine >= 0))
    radius = bounds.theorem2_entry_radius(eta.max(), c0)
    reached = np.flatnonzero(along >= radius)
    n1 = max(int(reached[0]), n0) if len(reached) else -1
    row |= {"n0": float(n0) if np.any(cosine >= 0) else math.nan, "n1": float(n1), "final_gap": gap[-1]}
    row |= {"progress_min": float((np.diff(along) / eta).min()), "along_final_over_start": along[-1] / norm[0]}
    if cosine[0] < 0 and n0 > 0:
        row |= excess("lemma4", gap[: n0 + 1], bounds.lemma4_rate(cosine[0]) * bounds.lemma4_sum(eta[:n0], norm[0], c0))
    delta = descent_condition(c0, along, across, eta).min()
    row["delta"] = delta
    if 0 < delta < math.inf:
        row |= excess("lemma5", gap, bounds.lemma5_rate(cosine[0], delta) * bounds.lemma5_sum(eta, norm[0], c0))
    if 0 <= n1 < len(eta):
        exponent = bounds.lemma5_rate(cosine[n1], 1.0) * bounds.lemma5_sum(eta[n1:], norm[n1], c0)
        row |= excess("theorem2", gap[n1:], exponent)
    return row


def excess(name: str, gap: np.ndarray, exponent: np.ndarray) -> dict[str, float]:
    """Smallest excess of the measured exponent over the bound's, with its rounding error; stops where 1 - cos underflows."""
    measured = np.log(gap[0] / np.maximum(gap[1:], 1e-300))
    seen = gap[1:] > 1e-280
    ratio = measured[seen] / exponent[seen] - 1.0
    error = ROUNDING * np.arange(1, len(gap))[seen] / exponent[seen]
    worst = int(np.argmin(ratio))
    return {f"{name}_excess": float(ratio[worst]), f"{name}_error": float(error[worst]), f"{name}_steps": float(seen.sum())}


def descent_condition(c0: float, along: np.ndarray, across: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Per step, the delta with which Eq. (11) holds with equality; infinite where cos θ <= 0."""
    norm = np.hypot(along, across)
    projection = (along[:-1] * along[1:] + across[:-1] * across[1:]) / norm[:-1]
    right = c0 * eta * along[:-1] / norm[:-1] / math.pi
    return np.where(
        right > 0, np.divide(norm[1:] + projection, right, out=np.full_like(right, np.inf), where=right > 0) - 1.0, np.inf
    )


def theorem2_curve(c0: float, path, i: int, eta: np.ndarray) -> np.ndarray:
    """The bound of Theorem 2 on 1 - cos θ(n) from n1 on, NaN before."""
    along, gap, norm = path.along[i], path.one_minus_cos[i], path.norm[i]
    curve = np.full(len(gap), np.nan)
    reached = np.flatnonzero(along >= bounds.theorem2_entry_radius(eta.max(), c0))
    if len(reached) and reached[0] < len(eta):
        n1 = int(reached[0])
        rate = bounds.lemma5_rate(along[n1] / norm[n1], 1.0)
        curve[n1] = gap[n1]
        curve[n1 + 1 :] = gap[n1] * np.exp(-rate * bounds.lemma5_sum(eta[n1:], norm[n1], c0))
    return curve


def one_step(p: Parameters, which, context: Context) -> dict[str, np.ndarray]:
    """Random single steps: the cosine grows exactly when Eq. (11) holds with some delta > 0."""
    rng = context.rng("one step")
    norm, angle = 10 ** rng.uniform(-1, 2, p.one_step_trials), rng.uniform(0.01, 0.5 * math.pi, p.one_step_trials)
    eta = 10 ** rng.uniform(-1, 4, p.one_step_trials)
    path = population_descent(which, norm, angle, eta[:, None])
    delta = np.array([descent_condition(which.c0, path.along[i], path.across[i], eta[i : i + 1])[0] for i in range(len(eta))])
    change = -np.diff(path.one_minus_cos, axis=1)[:, 0]
    decided = (np.abs(delta) > 1e-9) & (np.abs(change) > 1e-13)
    return {
        "one/mismatches": np.sum(((change > 0) != (delta > 0)) & decided),
        "one/decided": decided.sum(),
        "one/decreases": np.sum((change < 0) & decided),
        "one/worst_change": change.min(),
    }


def identities(p: Parameters, which, context: Context) -> dict[str, np.ndarray]:
    """Eq. (8), Eq. (10) and the closed increment below it, in R^d with the gradient of Eq. (2) by quadrature."""
    rng, c0, d = context.rng("identities"), which.c0, which.dimension
    worst = dict.fromkeys(("lemma12", "equation8", "increment", "equation8_truncated"), 0.0)
    broken = 0.0
    for _ in range(p.identity_trials):
        v, w = (x / np.linalg.norm(x) for x in rng.standard_normal((2, d)))
        w, eta = w * 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-2, 1.5)
        after = w - eta * law_gradient(which, w, v)
        unit, norm = w / np.linalg.norm(w), np.linalg.norm(after)
        cosine, projection = unit @ v, unit @ after
        sine_squared = float(np.sum((v - cosine * unit) ** 2))
        change = after @ v / norm - cosine
        worst["lemma12"] = max(
            worst["lemma12"], abs(norm**2 - projection**2 - (c0 * eta / math.pi) ** 2 * sine_squared) / norm**2
        )
        closed = c0 * eta * sine_squared / math.pi - (c0 * eta / math.pi) ** 2 * sine_squared * cosine / (norm + projection)
        worst["increment"] = max(worst["increment"], abs(change - closed / norm))
        push = rng.standard_normal(d)  # Eq. (8) is geometry: it holds for any vector in the gradient's place
        moved = w - eta * push
        size = np.linalg.norm(moved)
        linear_part = -eta * (v - cosine * unit) @ push
        full = (linear_part - (size - unit @ moved) * cosine) / size
        change = moved @ v / size - cosine
        worst["equation8"] = max(worst["equation8"], abs(change - full))
        worst["equation8_truncated"] = max(worst["equation8_truncated"], abs(change - linear_part / size))
        plane_v, plane_w = v[:2] / np.linalg.norm(v[:2]), w[:2] / np.linalg.norm(w[:2])
        stretched = plane_w - eta * planar_gradient(np.ones(1), np.ones(1), plane_w, plane_v, stretch=np.diag([1.0, 3.0]))
        across = np.sum((plane_v - (plane_w @ plane_v) * plane_w) ** 2)
        left = stretched @ stretched - (plane_w @ stretched) ** 2
        broken = max(broken, abs(left - (eta / math.pi) ** 2 * across) / (stretched @ stretched))
    return {f"identity/{key}": value for key, value in worst.items()} | {"identity/lemma12_ellipse": broken}


def extremes(p: Parameters, which) -> dict[str, np.ndarray]:
    """Steps far beyond 2/β (Remark 3), summable steps (a hypothesis broken), and a step at which the cosine falls."""
    huge = population_descent(which, np.array([1.0]), np.array([2.4981]), np.full((1, p.steps), p.largest_step))
    loss = which.loss(huge.norm, huge.cosine)[0]
    halving = 0.5 ** np.arange(1.0, 61.0)[None, :]
    summable = population_descent(which, np.array([10.0]), np.array([2.4981]), halving)
    falling = population_descent(which, np.array([3.0]), np.array([0.3]), np.full((1, 2), 100.0))
    return {
        "extreme/loss_increases": np.sum(np.diff(loss) > 0),
        "extreme/final_loss": loss[-1],
        "extreme/final_gap": huge.one_minus_cos[0, -1],
        "extreme/summable_final_gap": summable.one_minus_cos[0, -1],
        "extreme/summable_without_n1": float(summable.along.max() < bounds.theorem2_entry_radius(halving.max(), which.c0)),
        "extreme/summable_along": summable.along[0, -1],
        "extreme/cosine_drop": np.diff(falling.one_minus_cos, axis=1).max(),
        "extreme/step_over_limit": p.largest_step * 0.25 * which.coordinate_second_moment / 2.0,
    }


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, tables = Evidence(), []
    for name, arrays in ((name, cell.arrays) for name, cell in cells.items()):
        columns = {key.removeprefix("run/"): value for key, value in arrays.items() if key.startswith("run/")}
        tables.append(pd.DataFrame({"law": name.removeprefix("law-")} | columns))
    evidence.runs = runs = pd.concat(tables, ignore_index=True)

    def over(key: str, pick) -> float:
        return float(pick(float(cell.arrays[key]) for cell in cells.values()))

    for bound in ("theorem2", "lemma4", "lemma5"):
        seen = runs[runs[f"{bound}_excess"].notna()]
        worst = seen.loc[seen[f"{bound}_excess"].idxmin()]
        value, error = worst[f"{bound}_excess"], seen[f"{bound}_error"].max()
        evidence.measure(f"{bound}_excess_min", value, error=error, n=len(seen))
        evidence.measure(f"{bound}_excess_rate_times_four", (value - 3.0) / 4.0, error=error, n=len(seen))
    left = runs[(runs.angle0 > 0.5 * math.pi)]
    evidence.measure("theorem2_runs_without_n0", left.n0.isna().sum(), error=0.0, n=len(left))
    evidence.measure("theorem2_runs_without_n1", (runs.n1 < 0).sum(), error=0.0, n=len(runs))
    evidence.measure("theorem2_final_gap_max", runs.final_gap.max(), error=1e-12, n=len(runs))
    evidence.measure("lemma5_runs_with_condition", (runs.delta > 0).sum(), error=0.0, n=len(runs))
    evidence.measure("descent_progress_along_v_min", runs.progress_min.min(), error=1e-14, n=len(runs))
    constant = runs[runs.schedule.str.startswith("constant")]
    grown = (constant.along_final_over_start > np.cos(constant.angle0)).mean()
    evidence.measure("descent_runs_advancing_fraction", grown, error=0.0, n=len(constant))
    evidence.measure("one_step_mismatches", over("one/mismatches", sum), error=0.0, n=int(over("one/decided", sum)))
    evidence.measure("one_step_decreases", over("one/decreases", sum), error=0.0, n=int(over("one/decided", sum)))
    for key in ("lemma12", "equation8", "increment"):
        evidence.measure(f"{key}_residual_max", over(f"identity/{key}", max), error=1e-14, n=p.identity_trials * len(cells))
    evidence.measure("equation8_residual_truncated", over("identity/equation8_truncated", max), error=1e-14)
    evidence.measure("lemma12_residual_ellipse", over("identity/lemma12_ellipse", max), error=1e-12)
    evidence.measure("huge_step_loss_increases", over("extreme/loss_increases", max), error=0.0, n=p.steps * len(cells))
    evidence.measure("huge_step_final_gap", over("extreme/final_gap", max), error=1e-12)
    evidence.measure("huge_step_over_smoothness_limit", over("extreme/step_over_limit", min), error=1e-12)
    evidence.measure("huge_step_cosine_drop", over("extreme/cosine_drop", max), error=1e-12)
    evidence.measure("summable_final_gap", over("extreme/summable_final_gap", min), error=1e-12)
    evidence.measure("summable_runs_without_n1", over("extreme/summable_without_n1", min), error=0.0)
    evidence.measure("summable_along_v", over("extreme/summable_along", max), error=1e-12)
    base = runs[(runs.norm0 == 1.0) & (runs.angle0 > 2.0) & runs.schedule.str.startswith("constant")]
    ordered = base.assign(step=base.schedule.str.split().str[1].astype(float)).sort_values(["law", "step"])
    change = ordered.groupby("law").n0.diff().dropna()
    evidence.measure("halfspace_steps_order_violations", (change > 0).sum(), error=0.0, n=len(change))
    evidence.measure("halfspace_steps_order_violations_reversed", (change < 0).sum(), error=0.0, n=len(change))
    slopes = late_slopes()
    for name, (slope, predicted, error) in slopes.items():
        evidence.measure(f"step_sum_slope_gap_{name}", abs(slope - predicted), error=error)
    evidence.measure("step_sum_slope_gap_remarks_exchanged", abs(slopes["plus_-0.25"][0] - slopes["minus_-0.25"][1]), error=1e-4)
    evidence.arrays["step_sum_names"] = np.array(list(slopes))
    evidence.arrays["step_sum_slopes"] = np.array([slopes[name] for name in slopes])
    first = next(iter(cells.values())).arrays
    evidence.arrays |= {key.removeprefix("curve/"): value for key, value in first.items() if key.startswith("curve/")}
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
