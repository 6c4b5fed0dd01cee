"""Near a saddle, degree above two: w_n stays for a time of order delta^-(L-2), w_z aligns (deep_homogeneous, Section 5.2).

One power unit fits a teacher of three as well as it can, found by Newton; three idle units are at zero. Theorem 5.3 with the
constants of its proof, Lemma 5.4, the rates behind them, and what happens where a hypothesis fails.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import unit_vectors
from flowcheck.flows.events import tangential_below
from flowcheck.flows.flow import blow_up_time, gradient_flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.statistics import common_slope
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.papers.deep_homogeneous.broken_hypotheses import (
    chain_ratios,
    strict_saddle_ratios,
    symbolic_failures,
    valley_inward_rates,
)
from flowcheck.papers.deep_homogeneous.power_saddles import RADII, collapsing_saddle, inward_radius, stable_saddle, strict_saddle
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Reach, reach
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle

DEGREES = (3, 4)
Arrays = dict[str, np.ndarray]


class Parameters(ParametersModel):
    draws: Annotated[int, Field(ge=1)]
    epsilons: list[float]
    scales: list[float]
    fitted_scales: list[float]
    escape_scales: list[float]
    escape_share: float
    largest_growth: float
    displacement: float
    directions: Annotated[int, Field(ge=100)]
    unstable_scales: list[float]


def judge_path(p: Parameters, path: Departure, u: ResidualFlow, constants: list[Reach], eta: float) -> dict[str, float]:
    """Theorem 5.3 on the flows from one start: smallest margins and largest ratios to a bound.

    Over all epsilons, for each over the deltas that keep w_z / delta within epsilon of u and w_n within epsilon of the saddle.
    """
    low: dict[str, list[float]] = {key: [] for key in ("cosine", "norm", "bound", "sufficient")}
    high: dict[str, list[float]] = {
        key: [] for key in ("within", "again", "stay", "size", "collapse", "collapse_printed", "eq72")
    }
    with np.errstate(divide="ignore"):
        log_squared = 2 * np.log(path.deviation)
    for k, (epsilon, time) in enumerate(zip(p.epsilons, u.times, strict=True)):
        at, c = int(np.searchsorted(path.tau, time)), constants[k]
        deviation, a, b = (part[:, : at + 1].max(axis=1) for part in (path.deviation, path.a_norm, path.b_norm))
        close = (deviation <= epsilon) & (path.delta * a <= epsilon)
        high["within"].append(deviation[-1] / epsilon)
        high["again"].append(np.sum(~close[np.argmax(close) :]))
        low["bound"].append(1 - (1 + 3 / eta) * epsilon)
        if not close.any():  # within > 1 then contradicts the claim
            continue
        high["stay"].append(a[close].max() / math.sqrt(c.c))
        high["size"].append(b[close].max() / c.norm_z)
        high["collapse"].append(path.b_norm[close, at].max() / (2 * epsilon))
        high["collapse_printed"].append(b[close].max() / (2 * epsilon))
        low["norm"].append(path.b_norm[close, at].min() - eta / 2)
        low["sufficient"].append(np.log(path.delta[close].max()) - c.log_delta)
        limits = [[c.log_deviation(math.log(d), t, printed=False) for t in path.tau[1 : at + 1]] for d in path.delta[close]]
        high["eq72"].append((log_squared[close, 1 : at + 1] - np.array(limits)).max())
        if u.target is not None:
            low["cosine"].append(path.cosine(u.target)[close, at].min() - low["bound"][-1])
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    return found | {key: float(np.max(values)) if values else math.nan for key, values in high.items()}


def grid(u: ResidualFlow) -> np.ndarray:
    """Recorded times: logarithmic, for the fast approach of w_n, and even, for the alignment of w_z."""
    last = float(u.times[-1])
    return np.unique(np.concatenate([[0.0], np.geomspace(1e-14 * last, last, 120), np.linspace(0, last, 80), u.times]))


def run(p: Parameters, saddle: Saddle, gamma: float, start: Start) -> tuple[dict[str, Any], Arrays]:
    """One row of the table of runs, at the second tolerance as `..._coarse`, and the paths for the figures."""
    u, delta, tau = start.u, np.array(sorted(p.scales, reverse=True)), grid(start.u)
    eta = min(2.0 if u.target is None else min(u.smallest, 1.0), 2 * gamma)
    constants = [reach(saddle, *values) for values in zip(p.epsilons, u.times, u.largest, strict=True)]
    row: dict[str, Any] = {"degree": saddle.degree, "gamma": gamma, "eta": eta, "collapses": u.target is None}
    row["log10_sufficient"] = constants[0].log_delta / math.log(10)
    row |= equation_65(constants)
    decoy = None
    if u.target is not None:
        correlation = Correlation(saddle.idle.network, torch.from_numpy(saddle.idle.x), torch.from_numpy(saddle.residual))
        target = torch.from_numpy(u.target)[None]
        row |= {"kkt_residual": float(correlation.kkt_residual(target)), "kkt_value": float(correlation.value(target))}
        y = saddle.residual + saddle.fitted.outputs(saddle.weights)
        decoy = departure.limit_directions(saddle.idle, y, start.z[None], 1e-3)[0]
    for suffix, coarser in (("_coarse", departure.COARSER), ("", 1.0)):
        path = departure.depart(saddle, delta, start.n, start.z, tau, u.curve, coarser=coarser)
        row |= {key + suffix: value for key, value in judge_path(p, path, u, constants, eta).items()}
        if decoy is not None:
            row["decoy" + suffix] = float(path.cosine(decoy)[-1, -1]) - 1 + (1 + 3 / eta) * p.epsilons[-1]
        for k in range(len(delta)):
            row[f"deviation_{k}{suffix}"] = path.deviation[k, : np.searchsorted(tau, u.times[0]) + 1].max()
            row[f"end_{k}{suffix}"] = delta[k] * path.a_norm[k, -1]
            row[f"farthest_{k}{suffix}"] = path.a_norm[k].max()
    step = saddle.fitted.increment(saddle.weights, start.n[None], delta[-1:], saddle.residual).outputs
    row["eq72_step"] = float(np.linalg.norm(step)) / (constants[0].k2 * math.sqrt(constants[0].c))
    row["eq72_step_printed"] = float(np.linalg.norm(step)) / (constants[0].k2 * constants[0].c * delta[-1])
    shown = {"tau": tau, "delta": delta, "a": path.a_norm, "b": path.b_norm, "times": u.times, "deviation": path.deviation}
    return row, shown if u.target is None else shown | {"cosine": path.cosine(u.target)}


def still(p: Parameters, saddle: Saddle, start: Start) -> dict[str, float]:
    """The deviation from u, up to the first of the times, of flows that leave along w_z alone: p_n = 0. At the fitted scales."""
    scales, row = np.array(sorted(p.scales, reverse=True)), {}
    fitted = np.flatnonzero(is_fitted(p, scales))
    tau = grid(start.u)
    tau = tau[tau <= start.u.times[0]]
    for suffix, coarser in (("", 1.0), ("_coarse", departure.COARSER)):
        path = departure.depart(saddle, scales[fitted], 0 * start.n, start.z, tau, start.u.curve, coarser=coarser)
        row |= {f"still_{k}{suffix}": path.deviation[i].max() for i, k in enumerate(fitted)}
    return row


def is_fitted(p: Parameters, scales: np.ndarray) -> np.ndarray:
    return (scales >= p.fitted_scales[0]) & (scales <= p.fitted_scales[1])


def equation_65(constants: list[Reach]) -> dict[str, float]:
    """How far the last inequality of the proof, bound (72) <= epsilon^2 / 2, is met at half of delta-bar; logarithms, largest."""
    found: dict[str, list[float]] = {"eq65": [], "eq65_printed": [], "eq65_slip": []}
    for c in constants:
        level, half = 2 * math.log(c.epsilon) - math.log(2), math.log(0.5)
        found["eq65"].append(c.log_deviation(c.log_delta + half, c.time, printed=False) - level)
        found["eq65_printed"].append(c.log_deviation(c.log_delta_printed + half, c.time, printed=True) - level)
        found["eq65_slip"].append(c.log_deviation(c.log_delta_parenthesis + half, c.time, printed=False) - level)
    return {key: max(values) for key, values in found.items()}


def escapes(p: Parameters, saddle: Saddle, start: Start) -> dict[str, float]:
    """Rescaled times at which a share of what the KKT direction can take from the loss is gone, and T* of the NCF flow."""
    x, z, direction = (torch.from_numpy(array) for array in (saddle.idle.x, saddle.residual, start.z[None]))
    ncf = Correlation(saddle.idle.network, x, z)
    path = gradient_flow(ncf, direction, until=[tangential_below(1e-6)])
    blow_up = float(blow_up_time(path, ncf)[0])
    row, scales = {"blow_up": blow_up}, sorted(p.escape_scales, reverse=True)
    assert start.u.target is not None
    ratio = 1 - p.escape_share * departure.largest_fall(saddle, start.u.target)
    for k, delta in enumerate(scales):
        # the second tolerance at the smallest delta, where the flow is stiffest
        for suffix, coarser in (("", 1.0), ("_coarse", departure.COARSER))[: 1 + (k == len(scales) - 1)]:
            margin = departure.loss_below(saddle, delta, ratio)
            time, *_ = departure.depart_until(saddle, delta, start.n, start.z, margin, 3 * blow_up, coarser=coarser)
            row[f"escape_{k}{suffix}"] = time * delta ** (2 - saddle.degree)
    return row


def lemma_5_4(p: Parameters, saddle: Saddle, gamma: float, rates: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """(i) critical for the restricted loss; (ii) lowest loss in the ball of (15); (iii) inward rate at the smallest radius."""
    directions = unit_vectors(rng, p.directions, saddle.fitted.size).numpy()
    excess = []
    for radius in gamma * np.geomspace(1e-3, 1.0, 13):
        rise = saddle.fitted.increment(saddle.weights, directions, np.full(len(directions), radius), saddle.residual).outputs
        excess.append((-(rise @ saddle.residual) / radius + 0.5 * (rise**2).sum(-1)).min())
    eigenvalue = float(np.linalg.eigvalsh(saddle.hessian)[0])
    gradient = float(np.linalg.norm(saddle.fitted.pull(saddle.weights, saddle.residual)) / np.linalg.norm(saddle.residual))
    return {
        "restricted_gradient": gradient,
        "excess": float(min(excess)),
        "inward": float(rates[: np.searchsorted(RADII, gamma) + 1].min()),
        "inward_over_eigenvalue": float(rates[0]) / eigenvalue,
        "eigenvalue": eigenvalue,
    }


def equation_66(saddle: Saddle, rng: np.random.Generator) -> dict[str, float]:
    """The right-hand side of (66) with either sign of H_z, against minus the gradient of (13) by autograd; relative."""
    x, w = torch.from_numpy(saddle.fitted.x), torch.from_numpy(rng.standard_normal((1, saddle.network.size))).requires_grad_()
    y = saddle.residual + saddle.fitted.outputs(saddle.weights)
    HALF_SUM.value(saddle.network.forward(w, x), torch.from_numpy(y)).sum().backward()
    assert w.grad is not None
    flow, split = -w.grad[0].numpy(), saddle.fitted.size
    w_n, w_z = w.detach()[0, :split].numpy(), w.detach()[0, split:].numpy()
    found = {}
    for name, sign in (("eq66", -1.0), ("eq66_printed", 1.0)):
        rest = y - saddle.fitted.outputs(w_n) + sign * saddle.idle.outputs(w_z)
        field = np.concatenate([saddle.fitted.pull(w_n, rest), saddle.idle.pull(w_z, rest)])
        found[name] = float(np.linalg.norm(field - flow) / np.linalg.norm(flow))
    return found


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale(p.scales)
    table, shown, hypotheses, rejected = [], {}, [], 0
    epsilons = np.array(p.epsilons)
    problems = [(degree, draw) for degree in DEGREES for draw in range(p.draws)] + [(0, 0)]
    for degree, draw in context.progress(problems, what="saddles"):
        rng = context.rng(degree, draw)
        directions = unit_vectors(rng, p.directions, 3).numpy()
        if degree:
            saddle, gamma, rates = stable_saddle(degree, directions, max(p.epsilons), rng)
        else:
            saddle = collapsing_saddle(rng)
            gamma, rates = inward_radius(saddle, directions)
        saddle = dataclasses.replace(saddle, weights=saddle.weights + p.displacement)
        x, residual = torch.from_numpy(saddle.idle.x), torch.from_numpy(saddle.residual)
        hypotheses.append(
            [require_degree(saddle.network, x), saddle.stationarity(), require_signal(saddle.idle.network, x, residual)]
        )
        (start,), refused = departure.draw_starts(saddle, 1, epsilons, p.largest_growth, rng)
        rejected += refused
        row, paths = run(p, saddle, gamma, start)
        row |= lemma_5_4(p, saddle, gamma, rates, rng) | equation_66(saddle, rng)
        if degree:
            row |= still(p, saddle, start) | escapes(p, saddle, start)
            shown |= {f"L{degree}_{key}": value for key, value in paths.items()}  # those of the last draw
            shown[f"L{degree}_inward"] = rates
        table.append(row)
    split = strict_saddle(4, context.rng("split"))
    directions = unit_vectors(context.rng("split directions"), p.directions, split.fitted.size).numpy()
    arrays = {f"run_{key}": column.to_numpy() for key, column in pd.DataFrame(table).items()}
    epsilon, scales = p.epsilons[0], p.unstable_scales
    unstable = [strict_saddle_ratios(degree, epsilon, scales, p.largest_growth, context.rng("unstable")) for degree in DEGREES]
    arrays |= {"unstable_ratio": np.concatenate(unstable), "chain_ratio": chain_ratios(epsilon, scales, context.rng("chain"))}
    arrays |= shown | {key: np.array(value) for key, value in symbolic_failures().items()}
    arrays |= {"valley_inward": valley_inward_rates()}
    arrays |= {"split_inward": inward_radius(split, directions)[1], "radii": RADII}
    return Evidence(arrays=arrays | {"hypotheses": np.array(hypotheses), "rejected": np.array(rejected)})


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, arrays = Evidence(), cells["all"].arrays
    frame = pd.DataFrame({key.removeprefix("run_"): value for key, value in arrays.items() if key.startswith("run_")})
    aligned, collapsed = frame[~frame.collapses], frame[frame.collapses]

    def extreme(name: str, runs: pd.DataFrame, column: str, pick: Callable[[pd.Series], float]) -> None:
        error = (runs[column] - runs[column + "_coarse"]).abs().max()
        evidence.measure(name, pick(runs[column]), error=error, n=len(runs))

    def closed_form(name: str, value: float, runs: pd.DataFrame, relative: float = 1e-12) -> None:
        evidence.measure(name, value, error=relative * abs(value), n=len(runs))

    for name, pick, column in zip(
        ("degree_defect", "stationarity", "signal"), (max, max, min), arrays["hypotheses"].T, strict=True
    ):
        evidence.measure(name, pick(column), error=0.0, n=len(frame))
    evidence.measure("scale_min", min(p.scales), error=0.0)
    evidence.measure("gamma_min", frame.gamma.min(), error=0.0, n=len(frame))
    evidence.measure("rejected_starts", float(arrays["rejected"]), error=0.0, n=len(frame) + int(arrays["rejected"]))
    for name, runs, column, pick in (
        ("cosine_margin_min", aligned, "cosine", min),
        ("cosine_margin_wrong_residual", aligned.dropna(subset="decoy"), "decoy", min),
        ("norm_margin_min", aligned, "norm", min),
        ("cosine_bound_min", aligned, "bound", min),
        ("stay_bound_ratio_max", frame, "stay", max),
        ("size_bound_ratio_max", frame, "size", max),
        ("collapse_ratio_max", collapsed, "collapse", max),
        ("collapse_norm_ratio_printed", collapsed, "collapse_printed", max),
        ("deviation_over_epsilon_max", frame, "within", max),
        ("equation_72_log_ratio_max", frame, "eq72", max),
    ):
        extreme(name, runs, column, pick)
    evidence.measure("reappearing_deviations", float(frame.again.sum()), error=0.0, n=len(frame))
    evidence.measure("kkt_residual_max", aligned.kkt_residual.max(), error=0.0, n=len(aligned))
    evidence.measure("kkt_value_min", aligned.kkt_value.min(), error=1e-12, n=len(aligned))
    for name in ("unstable", "chain"):
        # stopped where the ratio is 10, up to the interpolation of the solver
        smallest = arrays[f"{name}_ratio"].min()
        evidence.measure(f"{name}_ratio_min", smallest, error=max(abs(smallest - 10), 1e-3), n=len(arrays[f"{name}_ratio"]))
    for name in ("eq65", "eq65_printed", "eq65_slip"):
        closed_form(f"{name}_log_excess_max", frame[name].max(), frame)
    evidence.measure("sufficient_log10_delta_max", frame.log10_sufficient.max(), error=0.0, n=len(frame))
    closed_form("sufficient_log_gap_min", frame.sufficient.min(), frame)
    closed_form("increment_ratio_max", frame.eq72_step.max(), frame)
    closed_form("increment_ratio_printed_max", frame.eq72_step_printed.max(), frame)
    evidence.measure("field_error_max", frame.eq66.max(), error=0.0, n=len(frame))
    closed_form("field_error_printed_min", frame.eq66_printed.min(), frame)
    measure_lemma_5_4(evidence, arrays, frame)
    rates(p, evidence, aligned)
    keep = ("L3_", "L4_", "valley_inward", "split_inward", "radii")
    evidence.arrays["fitted"] = is_fitted(p, np.array(sorted(p.scales, reverse=True)))
    evidence.arrays |= {key: value for key, value in arrays.items() if key.startswith(keep)}
    evidence.arrays |= {
        "scales": np.array(sorted(p.scales, reverse=True)),
        "escape_scales": np.array(sorted(p.escape_scales, reverse=True)),
    }
    evidence.runs = frame
    return evidence


def measure_lemma_5_4(evidence: Evidence, arrays: Arrays, frame: pd.DataFrame) -> None:
    """(15) at definite minima, at a split unit and in a valley of minima."""
    n = len(frame)
    evidence.measure("restricted_gradient_max", frame.restricted_gradient.max(), error=0.0, n=n)
    evidence.measure("loss_excess_min", frame.excess.min(), error=1e-6, n=n)
    evidence.measure("inward_min", frame.inward.min(), error=1e-6, n=n)
    evidence.measure("inward_eigenvalue_gap_max", (frame.inward_over_eigenvalue - 1).abs().max(), error=1e-6, n=n)
    evidence.measure("hessian_eigenvalue_min", frame.eigenvalue.min(), error=1e-10, n=n)
    near = arrays["split_inward"][RADII <= 0.1]
    evidence.measure("inward_split_max", near.max(), error=1e-6, n=len(near))
    evidence.measure("inward_valley_max", arrays["valley_inward"].max(), error=1e-3, n=len(arrays["valley_inward"]))
    for name in ("", "_definite"):
        evidence.measure(f"symbolic_failures{name}", float(arrays[f"symbolic_failures{name}"]), error=0.0, n=3)


def rates(p: Parameters, evidence: Evidence, aligned: pd.DataFrame) -> None:
    """Slopes against delta, per degree, pooled over draws with one offset each."""
    scales, escape = np.array(sorted(p.scales, reverse=True)), np.array(sorted(p.escape_scales, reverse=True))
    fitted = np.flatnonzero(is_fitted(p, scales)).tolist()
    for degree in DEGREES:
        runs = aligned[aligned.degree == degree]
        for name, column, grid_of, chosen in (
            ("deviation_slope", "deviation", scales, fitted),
            ("still_deviation_slope", "still", scales, fitted),
            ("end_slope", "end", scales, fitted),
            ("escape_time_slope", "escape", escape, list(range(len(escape)))),
        ):
            x, fine = np.log(grid_of[chosen]), np.log(runs[[f"{column}_{k}" for k in chosen]].to_numpy())
            slope, interval, _ = common_slope(np.broadcast_to(x, fine.shape), fine, np.isfinite(fine))
            moved = [
                np.log(runs[f"{column}_{k}_coarse"] / runs[f"{column}_{k}"]) for k in chosen if f"{column}_{k}_coarse" in runs
            ]
            error = 2 * np.abs(moved).max() / np.ptp(x)
            evidence.measure(f"{name}_L{degree}", slope, error=error, interval=interval, n=fine.size)
        evidence.measure(f"farthest_L{degree}", runs[f"farthest_{len(scales) - 1}"].max(), error=1e-7, n=len(runs))
        last = runs[f"escape_{len(escape) - 1}"] * escape[-1] ** (degree - 2) / runs.blow_up
        coarse_last = runs[f"escape_{len(escape) - 1}_coarse"] * escape[-1] ** (degree - 2) / runs.blow_up
        evidence.measure(
            f"escape_over_blow_up_gap_L{degree}", (last - 1).abs().max(), error=(last - coarse_last).abs().max(), n=len(runs)
        )


if __name__ == "__main__":
    main(Parameters, cell, gather)
