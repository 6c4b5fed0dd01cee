"""Rates of the population flow (spherical_data: Theorems 1 and 3, Proposition 4, Lemmas 1, 6, 7, 8 and 9, Propositions 2 and 3).

One cell per depth. Every start of the grid (law, norm, angle) is integrated by the exact two-variable reduction, at two
tolerances; a few starts are also integrated as full weight matrices with the gradient of Eq. (2) by direct quadrature, which
presupposes none of the identities. Bounds are compared as growth of the exponent, (2q(t) - 2q(t0)) / (bound(t) - bound(t0)) - 1,
from the moment the clock q has advanced by `resolved_from`: there bound and flow agree to first order, and the difference is
still well above the integrator's error.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.integrate import solve_ivp

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import bounds, reduced_flow
from flowcheck.papers.spherical_data.population import law, law_gradient, planar_gradient
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Positive = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(gt=0, lt=math.pi)]
REFERENCE_START = np.array([0.6, -0.8])
V = np.array([0.0, 1.0])
REFERENCE_CLOCK = float(reduced_flow.clock(2.0 * math.atan(3.0)))  # tan(θ(0)/2) = 3
ELLIPSE = np.diag([1.0, 3.0])
# Full weights are integrated to 1e-11 per step; a hundred times that bounds what gathers on the way to the horizon.
FULL_FLOW_ERROR = 1e-9
FLOW_PANELS = 7  # the integrand bends on the scale 1/‖w‖ >= 1/20 here; panels down to 2^-7 leave an error of 1e-13


class Parameters(ParametersModel):
    depth: int = Field(ge=1)
    laws: list[str] = Field(min_length=1)
    norms: list[Positive] = Field(min_length=1)
    angles: list[Angle] = Field(min_length=1)
    clock_advance: Positive
    clock_points: int = Field(ge=50)
    resolved_from: Positive
    full_dimension_law: str
    full_horizon: Positive
    width: int = Field(ge=1)


def cell(p: Parameters, context: Context) -> Evidence:
    advances = np.concatenate([[0.0], np.geomspace(0.1 * p.resolved_from, p.clock_advance, p.clock_points)])
    angle, norm = (axis.ravel() for axis in np.meshgrid(p.angles, p.norms, indexing="ij"))
    arrays: dict[str, np.ndarray] = {"angle": angle, "norm": norm}
    for name in context.progress(p.laws, what="laws"):
        fine, coarse = (
            reduced_flow.integrate(law(name), p.depth, reduced_flow.clock(angle), np.log(norm), advances, rtol=rtol)
            for rtol in (reduced_flow.RTOL, reduced_flow.COARSE_RTOL)
        )
        for key, value in measure_batch(p, fine, norm).items():
            arrays[f"{name}/{key}"] = value
        for key, value in measure_batch(p, coarse, norm).items():
            arrays[f"{name}/{key}/coarse"] = value
    return Evidence(
        arrays=arrays
        | reference(p, advances)
        | full_network(p, context)
        | broken_hypotheses(p, context)
        | opposite_start(p, context)
    )


def measure_batch(p: Parameters, path: reduced_flow.Path, norm0: np.ndarray) -> dict[str, np.ndarray]:
    """Per flow: transition, sign changes of g, the excess of each bound, Lemma 8's ratios, progress along v."""
    q0, tr, c0, depth = path.q[:, :1], path.transition, path.law.c0, path.depth
    r0, q_t, t_t, r_t = norm0[:, None], tr.q[:, None], tr.t[:, None], np.exp(tr.s)[:, None]
    early = (path.q - q0 >= p.resolved_from) & (path.q <= q_t)
    late = path.q - q_t >= p.resolved_from
    anywhere = path.q - q0 >= p.resolved_from
    gain, gain_late, elapsed = 2.0 * (path.q - q0), 2.0 * (path.q - q_t), np.maximum(path.t - t_t, 0.0)

    def excess(numerator: np.ndarray, bound: np.ndarray, where: np.ndarray, best: str = "min") -> np.ndarray:
        ratio = np.divide(numerator, bound, out=np.full_like(path.q, np.nan), where=where & (bound > 0)) - 1.0
        blank = np.where(np.isnan(ratio), np.inf if best == "min" else -np.inf, ratio)
        return blank.min(axis=1) if best == "min" else blank.max(axis=1)

    growing = path.growth >= 0
    along_v = np.exp(path.s) * np.tanh(path.q)
    result = {
        "T": tr.t,
        "qT": tr.q,
        "sT": tr.s,
        "t_end": path.t[:, -1],
        "sign_changes": (growing[:, 1:] != growing[:, :-1]).sum(axis=1),
        "ends_growing": growing[:, -1],
        "progress_min": np.diff(along_v, axis=1).min(axis=1),
        "growth_slope_at_T": growth_slope(path),
    }
    if depth == 1:
        first = bounds.theorem1_first_phase(path.t, q0, r0, c0) - 2.0 * q0
        second = bounds.theorem1_second_phase(elapsed, q_t, r_t, c0) - 2.0 * q_t
        start = bounds.theorem1_second_phase(path.t, q0, r0, c0) - 2.0 * q0
        result |= {
            "first": excess(gain, first, early),
            "first_beyond": excess(gain, first, late),
            "second": excess(gain_late, second, late),
            "second_from_start": excess(gain, start, anywhere),
        }
        for key in ("a2", "root", "a2_root"):
            printed = bounds.theorem1_second_phase_printed(
                elapsed, q_t, r_t, c0, printed_a2="a2" in key, printed_root="root" in key
            )
            result[f"printed_{key}"] = np.where(late, 2.0 * path.q - printed, np.inf).min(axis=1)
    if depth > 2:
        first = bounds.theorem3_first_phase(path.t, q0, r0, c0, depth) - 2.0 * q0
        second = bounds.theorem3_second_phase(elapsed, q_t, r_t, c0, depth) - 2.0 * q_t
        upper = bounds.theorem3_upper(path.t, r0, 0.0, c0, depth)
        power, r = 2.0 / depth, np.exp(path.s)
        result |= {
            "first": excess(gain, first, anywhere),
            "second": excess(gain_late, second, late),
            "upper": excess(gain, upper, anywhere, best="max"),
            "lemma8_lower": 1 + excess(r ** (power - 1) - r0 ** (power - 1), (depth - 2) * c0 * path.t, anywhere, best="max"),
            "lemma8_upper": 1 + excess(r**power - r0**power, 2 * bounds.GROWTH_CAP * path.t, anywhere, best="max"),
            "printed_upper": (
                bounds.theorem3_upper(
                    path.t, r0, bounds.theorem3_printed_start_exponent(np.pi - 2 * np.arctan(np.exp(q0))), c0, depth
                )
                - 2.0 * path.q
            ).min(axis=1),
        }
    return result


def growth_slope(path: reduced_flow.Path) -> np.ndarray:
    """dg/dt at T by central differences along the flow, over its predicted value c0² ‖w‖^{2-2/N} sin²θ / π² (Lemma 8(ii))."""
    tr, step = path.transition, np.full(len(path.q), 1e-4)
    sides = [reduced_flow.advance(path.law, path.depth, tr.q, tr.s, tr.t, sign * step) for sign in (1.0, -1.0)]
    g = [reduced_flow.norm_growth(path.law, q, s) for q, s, _ in sides]
    predicted = (path.law.c0 / math.pi) ** 2 * np.exp((2 - 2 / path.depth) * tr.s) / np.cosh(np.minimum(tr.q, 300)) ** 2
    slope = (g[0] - g[1]) / (sides[0][2] - sides[1][2]) / predicted
    return np.where(tr.t > 0, slope, 1.0)


def reference(p: Parameters, advances: np.ndarray) -> dict[str, np.ndarray]:
    """The paper's own start on the circle: transition by two integrations, cosine and norm at given times by two clocks."""
    circle, zero = law("circle"), np.zeros(1)
    start = np.array([REFERENCE_CLOCK])
    paths = [
        reduced_flow.integrate(circle, p.depth, start, zero, advances, rtol=rtol)
        for rtol in (reduced_flow.RTOL, reduced_flow.COARSE_RTOL)
    ]
    times = np.linspace(0.0, 30.0, 301)
    in_time = [reduced_flow.integrate_in_time(circle, p.depth, REFERENCE_CLOCK, 0.0, times, rtol=rtol) for rtol in (1e-13, 1e-11)]
    result = {f"reference/{key}": getattr(paths[0], key)[0] for key in ("q", "s", "t")}
    result |= {"reference/times": times, "reference/q_in_time": in_time[0][0], "reference/s_in_time": in_time[0][1]}
    for at in (10.0, 20.0):
        index = int(np.argmin(abs(times - at)))
        exact = [
            reduced_flow.integrate_in_time(circle, p.depth, REFERENCE_CLOCK, 0.0, np.array([0.0, at]), rtol=x)
            for x in (1e-13, 1e-11)
        ]
        ends = [float(reduced_flow.one_minus_cos(q[-1])) for q, _ in exact]
        ends.append(float(reduced_flow.one_minus_cos(in_time[1][0][index])))
        result[f"reference/one_minus_cos_t{at:.0f}"] = np.array([ends[0], max(abs(e - ends[0]) for e in ends)])
    for key in ("t", "s", "q"):
        value, coarse = (float(getattr(path.transition, key)[0]) for path in paths)
        result[f"reference/transition_{key}"] = np.array([value, abs(value - coarse)])
    return result


def full_network(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Full weight matrices with the quadrature gradient, in R^2 and in the dimension of `full_dimension_law`."""
    result = {}
    for name in ("circle", p.full_dimension_law):
        which = law(name)
        v, w0 = np.zeros(which.dimension), np.zeros(which.dimension)
        v[-1], w0[0], w0[-1] = 1.0, 0.6, -0.8
        weights = linear.balanced_weights(w0, [p.width] * (p.depth - 1), context.rng("full", name))
        times = np.linspace(0.0, p.full_horizon, 61)
        states = linear.flow(
            weights, lambda w, which=which, v=v: law_gradient(which, w, v, panels=FLOW_PANELS), times, rtol=1e-11
        )
        w_e = np.array([linear.end_to_end(state) for state in states])
        norm = np.linalg.norm(w_e, axis=1)
        q = np.arctanh(np.clip(w_e @ v / norm, -1 + 1e-15, 1 - 1e-15))
        reduced_q, reduced_s = reduced_flow.integrate_in_time(which, p.depth, REFERENCE_CLOCK, 0.0, times)
        seen = q < 6.0  # beyond, the arctanh of a rounded cosine is what limits the comparison
        identities = np.array([product_rule(which, state, v) for state in states])
        result |= {
            f"full/{name}/q": q,
            f"full/{name}/times": times,
            f"full/{name}/norm": norm,
            f"full/{name}/cosine_gap": np.abs(np.tanh(reduced_q) - w_e @ v / norm).max(),
            f"full/{name}/norm_gap": np.abs(np.log(norm) - reduced_s).max(),
            f"full/{name}/balancedness": max(linear.balancedness_defect(state) for state in states),
            f"full/{name}/identities": np.abs(identities).max(axis=0),
            f"full/{name}/proposition4": np.abs(2 * q - bounds.proposition4_exponent(times, REFERENCE_CLOCK, which.c0))[
                seen
            ].max(),
            f"full/{name}/wrong_c0": np.abs(2 * q - bounds.proposition4_exponent(times, REFERENCE_CLOCK, which.mean_norm))[
                seen
            ].max(),
        }
    return result


def product_rule(which, state, v) -> tuple[float, float]:
    """Relative residuals of Lemma 7, Eq. (16), and of Eq. (39), with the derivatives taken from the layers' own velocities."""
    depth, w_e = len(state), linear.end_to_end(state)
    gradient = law_gradient(which, w_e, v, panels=FLOW_PANELS)
    rate = linear.end_to_end_velocity(state, gradient)
    norm = np.linalg.norm(w_e)
    unit = w_e / norm
    cosine_rate = (v - (unit @ v) * unit) @ rate / norm
    sine_squared = float(np.sum((v - (unit @ v) * unit) ** 2))
    predicted = which.c0 / math.pi * sine_squared * norm ** (1 - 2 / depth)
    norm_rate = 2 / depth * norm ** (2 / depth - 1) * (unit @ rate)
    scale = which.c0 / math.pi * norm ** (1 - 2 / depth)
    return (cosine_rate - predicted) / scale, (norm_rate + 2 * w_e @ gradient) / (which.c0 * norm)


def broken_hypotheses(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """The same flows with one hypothesis broken: stretched data, unbalanced layers, flipped labels, θ(0) = π."""
    circle = law("circle")
    radii, weight = circle.radius_nodes, circle.radius_weights
    target = np.array([math.cos(0.7), math.sin(0.7)])
    turn = np.array([[math.cos(0.01), -math.sin(0.01)], [math.sin(0.01), math.cos(0.01)]])
    times = np.linspace(0.0, p.full_horizon, 121)
    stretched = linear.flow(
        linear.balanced_weights(0.1 * turn @ target, [p.width] * (p.depth - 1), context.rng("ellipse")),
        lambda w: planar_gradient(radii, weight, w, target, stretch=ELLIPSE, panels=FLOW_PANELS),
        times,
        rtol=1e-9,
    )
    w_e = np.array([linear.end_to_end(state) for state in stretched])
    cosine = w_e @ target / np.linalg.norm(w_e, axis=1)
    result = {
        "broken/ellipse_cosine": cosine,
        "broken/ellipse_drop": (np.maximum.accumulate(cosine) - cosine).max(),
        "broken/stretched_sign_changes": stretched_sign_changes(p, context),
        "broken/pi_growth_max": -1.0 - math.pi / circle.c0 * circle.kappa(np.geomspace(1e-12, 1e2, 200)).min(),
    }
    if p.depth > 1:
        weights = linear.balanced_weights(REFERENCE_START, [p.width] * (p.depth - 1), context.rng("unbalanced"))
        weights[0], weights[1] = 3.0 * weights[0], weights[1] / 3.0
        states = linear.flow(weights, lambda w: planar_gradient(radii, weight, w, V, panels=FLOW_PANELS), times, rtol=1e-9)
        w_e = np.array([linear.end_to_end(state) for state in states])
        q = np.arctanh(np.clip(w_e @ V / np.linalg.norm(w_e, axis=1), -1 + 1e-15, 1 - 1e-15))
        line = bounds.proposition4_exponent(times, REFERENCE_CLOCK, circle.c0)
        result["broken/unbalanced_proposition4"] = np.abs(2 * q - line)[q < 6.0].max()
        result["broken/unbalanced_identities"] = np.abs([product_rule(circle, state, V) for state in states]).max(axis=0)
        result["broken/unbalanced_cosine_gap"] = np.abs(
            np.tanh(reduced_flow.integrate_in_time(circle, p.depth, REFERENCE_CLOCK, 0.0, times)[0]) - np.tanh(q)
        ).max()
    if p.depth == 1:
        result |= flipped_labels(p)
    return result


def opposite_start(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """θ(0) = π, N > 2: the direction is kept, and the norm falls like t^{-N/(N-2)}, never to zero (after Theorem 3)."""
    if p.depth <= 2:
        return {}
    circle, power = law("circle"), 1.0 - 2.0 / p.depth
    u = np.linspace(0.0, math.log(1e8), 400)  # u = ln(1 + t)

    def rate(u: float, s: np.ndarray) -> np.ndarray:
        return -p.depth * np.exp(u + power * s) * (circle.c0 / math.pi + circle.kappa(np.exp(s)))

    s = solve_ivp(rate, (0.0, u[-1]), [0.0], "LSODA", u, rtol=1e-11, atol=1e-13).y[0]
    used = (np.exp((2.0 / p.depth - 1.0) * s[1:]) - 1.0) / ((p.depth - 2) * circle.c0 * np.expm1(u[1:]))
    weights = linear.balanced_weights(np.array([0.0, -1.0]), [p.width] * (p.depth - 1), context.rng("opposite"))
    states = linear.flow(
        weights, lambda w: law_gradient(circle, w, V, panels=FLOW_PANELS), np.linspace(0.0, 10.0, 21), rtol=1e-10
    )
    w_e = np.array([linear.end_to_end(state) for state in states])
    return {
        "opposite/log_norm_slope": (s[-1] - s[-40]) / (u[-1] - u[-40]),
        "opposite/lower_ratio": used.max(),
        "opposite/sine": np.abs(w_e[:, 0] / np.linalg.norm(w_e, axis=1)).max(),
    }


def stretched_sign_changes(p: Parameters, context: Context) -> int:
    """How often the norm turns on data stretched by ten: a start, found by search, that shrinks, grows and shrinks again."""
    circle, stretch = law("circle"), np.diag([1.0, 10.0])
    v, w0 = (np.array([math.cos(a), math.sin(a)]) for a in (0.47, 2.83))
    weights = linear.balanced_weights(w0, [p.width] * (p.depth - 1), context.rng("stretched"))
    states = linear.flow(
        weights,
        lambda w: planar_gradient(circle.radius_nodes, circle.radius_weights, w, v, stretch=stretch, panels=FLOW_PANELS),
        np.linspace(0.0, 4 * p.full_horizon, 241),
        rtol=1e-9,
    )
    norm = np.array([np.linalg.norm(linear.end_to_end(state)) for state in states])
    return np.count_nonzero(np.diff(np.diff(norm) > 0))


def flipped_labels(p: Parameters) -> dict[str, np.ndarray]:
    """10 % flipped labels pull with 0.8 c0: from a large norm the flow then only shrinks, to a finite minimiser."""
    circle = law("circle")
    radii, weight = circle.radius_nodes, circle.radius_weights
    times = np.geomspace(1.0, 1e3, 40)
    times[0] = 0.0
    result = {}
    for key, flip in (("flipped", 0.1), ("clean", 0.0)):
        states = linear.flow(
            [np.array([[0.0, 6.0]])],
            lambda w, flip=flip: planar_gradient(radii, weight, w, V, flip_probability=flip, panels=FLOW_PANELS),
            times,
            rtol=1e-9,
        )
        norm = np.array([np.linalg.norm(linear.end_to_end(state)) for state in states])
        result[f"broken/norm_{key}"] = norm
        result[f"broken/norm_slope_{key}"] = math.log(norm[-1] / norm[-10]) / math.log(times[-1] / times[-10])
    return result


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence = Evidence()
    by_depth = {int(name.removeprefix("depth-")): cell.arrays for name, cell in cells.items()}
    evidence.runs = runs = pd.concat([table(p, depth, arrays) for depth, arrays in by_depth.items()], ignore_index=True)
    for depth, a in by_depth.items():
        worst = max(float(a[f"full/{name}/{key}_gap"]) for name in ("circle", p.full_dimension_law) for key in ("cosine", "norm"))
        evidence.measure(f"full_network_gap_N{depth}", worst, error=FULL_FLOW_ERROR)
        for key in ("balancedness", "proposition4", "wrong_c0"):
            value = (min if key == "wrong_c0" else max)(float(a[f"full/{n}/{key}"]) for n in kinds(p, key))
            # the balancedness defect is itself the integration error; only its evaluation rounds
            evidence.measure(f"{key}_N{depth}", value, error=1e-13 if key == "balancedness" else FULL_FLOW_ERROR)
        identities = np.max([a[f"full/{n}/identities"] for n in ("circle", p.full_dimension_law)], axis=0)
        for index, key in enumerate(("lemma7", "equation39")):
            evidence.measure(f"{key}_residual_N{depth}", identities[index], error=1e-13)
            if depth > 1:
                evidence.measure(f"{key}_residual_unbalanced_N{depth}", a["broken/unbalanced_identities"][index], error=1e-8)
        evidence.measure(f"ellipse_cosine_drop_N{depth}", float(a["broken/ellipse_drop"]), error=1e-7)
        if depth in (1, 2, 4):
            time, norm = a["reference/transition_t"], np.exp(a["reference/transition_s"][0])
            evidence.measure(f"transition_time_N{depth}", time[0], error=time[1])
            evidence.measure(f"norm_at_transition_N{depth}", norm, error=norm * a["reference/transition_s"][1])
        for key in ("q", "s", "t", "times", "q_in_time", "s_in_time"):
            evidence.arrays[f"reference_{key}_N{depth}"] = a[f"reference/{key}"]
        evidence.arrays |= reference_bounds(depth, a)
        evidence.arrays[f"full_cosine_N{depth}"] = np.tanh(a["full/circle/q"])
        evidence.arrays[f"full_norm_N{depth}"] = a["full/circle/norm"]
        evidence.arrays[f"ellipse_cosine_N{depth}"] = a["broken/ellipse_cosine"]
    evidence.arrays["full_times"] = by_depth[1]["full/circle/times"]
    evidence.arrays["ellipse_times"] = np.linspace(0.0, p.full_horizon, 121)
    for key in ("flipped", "clean"):
        evidence.measure(f"norm_slope_{key}", float(by_depth[1][f"broken/norm_slope_{key}"]), error=1e-6)
        evidence.measure(f"runs_not_growing_{key}", float(by_depth[1][f"broken/norm_slope_{key}"] < 0), error=0.0)
    q, s, t = (by_depth[1][f"reference/{key}"] for key in ("q", "s", "t"))
    late = np.searchsorted(t, t[-1] / 10)
    along_v = np.log(np.tanh(q)) + s
    evidence.measure("along_v_slope", (along_v[-1] - along_v[late]) / math.log(t[-1] / t[late]), error=1e-8)
    for depth, at in ((1, 10), (4, 20)):
        value, error = by_depth[depth][f"reference/one_minus_cos_t{at}"]
        evidence.measure(f"one_minus_cos_N{depth}_t{at}", value, error=error)
    evidence.measure("unbalanced_proposition4", float(by_depth[2]["broken/unbalanced_proposition4"]), error=1e-7)
    evidence.measure("unbalanced_cosine_gap_N4", float(by_depth[4]["broken/unbalanced_cosine_gap"]), error=1e-7)
    deep = runs[runs.depth > 1]
    for lemma, chosen in (("lemma1", runs[runs.depth == 1]), ("lemma6", deep)):
        evidence.measure(f"{lemma}_sign_changes_max", chosen.sign_changes.max(), error=0.0, n=len(chosen))
        evidence.measure(f"{lemma}_runs_not_growing_at_end", (~chosen.ends_growing).sum(), error=0.0, n=len(chosen))
        evidence.measure(f"{lemma}_transition_time_max", chosen["T"].max(), error=chosen["T_error"].max(), n=len(chosen))
    turns = {depth: int(a["broken/stretched_sign_changes"]) for depth, a in by_depth.items()}
    evidence.measure("lemma1_sign_changes_stretched", turns[1], error=0.0)
    evidence.measure("lemma6_sign_changes_stretched", max(n for depth, n in turns.items() if depth > 1), error=0.0)
    evidence.measure("growth_max_at_pi", max(float(a["broken/pi_growth_max"]) for a in by_depth.values()), error=1e-14)
    evidence.measure(
        "progress_along_v_min", runs[runs.depth == 1].progress_min.min(), error=1e-15, n=int((runs.depth == 1).sum())
    )
    measure_opposite_start(evidence, {depth: a for depth, a in by_depth.items() if depth > 2})
    moving = runs[runs["T"] > 0]
    evidence.measure("lemma8_growth_slope_min", moving.growth_slope_at_T.min(), error=1e-5, n=len(moving))
    evidence.measure("lemma8_growth_slope_max", moving.growth_slope_at_T.max(), error=1e-5, n=len(moving))
    measure_bounds(evidence, runs)
    return evidence


def reference_bounds(depth: int, a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For the figures of the reference run: (t, log norm, q) at T, and the bounds of its depth at the recorded times."""
    times, c0 = a["reference/times"], law("circle").c0
    at_t, at_s, at_q = (float(a[f"reference/transition_{key}"][0]) for key in ("t", "s", "q"))
    after = np.maximum(times - at_t, 0.0)
    curves = {"transition": np.array([at_t, at_s, at_q])}
    if depth == 1:
        curves["first_bound"] = bounds.theorem1_first_phase(times, REFERENCE_CLOCK, 1.0, c0)
        second = bounds.theorem1_second_phase(after, at_q, math.exp(at_s), c0)
        curves["second_bound"] = np.where(times >= at_t, second, np.nan)
    if depth == 2:
        curves["proposition4"] = bounds.proposition4_exponent(times, REFERENCE_CLOCK, c0)
    if depth > 2:
        curves["first_bound"] = bounds.theorem3_first_phase(times, REFERENCE_CLOCK, 1.0, c0, depth)
        second = bounds.theorem3_second_phase(after, at_q, math.exp(at_s), c0, depth)
        curves["second_bound"] = np.where(times >= at_t, second, np.nan)
        curves["upper_bound"] = bounds.theorem3_upper(times, 1.0, 2.0 * REFERENCE_CLOCK, c0, depth)
        lower, upper = bounds.lemma8_log_norm_bounds(times, 1.0, c0, depth)
        curves |= {"lower_norm": np.exp(lower), "upper_norm": np.exp(upper)}
    return {f"reference_{key}_N{depth}": value for key, value in curves.items()}


def measure_opposite_start(evidence: Evidence, by_depth: dict[int, dict[str, np.ndarray]]) -> None:
    """The addendum of Theorem 3 on θ(0) = π, over depths 3 to 6."""
    slopes = {depth: float(a["opposite/log_norm_slope"]) for depth, a in by_depth.items()}
    for key, shift in (("", 0), ("_one_layer_more", 1)):
        gaps = [abs(slope + (depth + shift) / (depth + shift - 2)) for depth, slope in slopes.items()]
        # for the broken claim the depth that comes nearest counts
        evidence.measure(f"opposite_slope_gap{key}", (min if shift else max)(gaps), error=1e-6, n=len(gaps))
    ratio = max(float(a["opposite/lower_ratio"]) for a in by_depth.values())
    evidence.measure("opposite_lower_ratio_max", ratio, error=1e-8, n=len(slopes))
    evidence.measure("opposite_lower_ratio_third_of_c0", 3 * ratio, error=1e-8, n=len(slopes))
    evidence.measure("opposite_sine_max", max(float(a["opposite/sine"]) for a in by_depth.values()), error=1e-12, n=len(slopes))


def kinds(p: Parameters, key: str) -> list[str]:
    """Laws on which a full-network number is taken; the wrong c0 shows only where d > 2."""
    return [p.full_dimension_law] if key == "wrong_c0" else ["circle", p.full_dimension_law]


def table(p: Parameters, depth: int, arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per flow, with each number's distance to the coarse integration as its error."""
    parts = []
    for name in p.laws:
        columns = {"law": name, "depth": depth, "angle": arrays["angle"], "norm": arrays["norm"]}
        for key in (k.split("/", 1)[1] for k in arrays if k.startswith(f"{name}/") and not k.endswith("/coarse")):
            fine, coarse = arrays[f"{name}/{key}"], arrays[f"{name}/{key}/coarse"]
            columns[key] = fine
            if fine.dtype.kind == "f":
                both = np.isfinite(fine) & np.isfinite(coarse)
                columns[f"{key}_error"] = np.where(
                    both, np.abs(np.subtract(fine, coarse, where=both, out=np.zeros_like(fine))), 0.0
                )
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def measure_bounds(evidence: Evidence, runs: pd.DataFrame) -> None:
    """The tightest run of each bound, over all laws, norms, angles (and depths)."""

    def extreme(name: str, chosen: pd.DataFrame, column: str, pick: str = "min", transform=lambda x: x) -> None:
        finite = chosen[np.isfinite(chosen[column])]
        value = transform(getattr(finite[column], pick)()) if len(finite) else math.nan
        evidence.measure(name, value, error=finite[f"{column}_error"].max() if len(finite) else 0.0, n=len(finite))

    one, deep = runs[runs.depth == 1], runs[runs.depth > 2]
    extreme("theorem1_first_phase_excess_min", one, "first")
    extreme("theorem1_second_phase_excess_min", one, "second")
    extreme("theorem1_second_phase_from_start_excess_min", one, "second_from_start")
    extreme("theorem1_first_phase_excess_beyond_transition", one, "first_beyond")
    extreme("theorem1_second_phase_excess_rate_doubled", one, "second", transform=lambda x: (x - 1) / 2)
    extreme("theorem1_printed_a2_margin_min", one, "printed_a2")
    extreme("theorem1_printed_root_margin_min", one, "printed_root")
    extreme("theorem1_printed_margin_min", one, "printed_a2_root")
    extreme("theorem3_first_phase_excess_min", deep, "first")
    extreme("theorem3_first_phase_excess_rate_doubled", deep, "first", transform=lambda x: (x - 1) / 2)
    extreme("theorem3_second_phase_excess_min", deep, "second")
    extreme("theorem3_second_phase_excess_rate_doubled", deep, "second", transform=lambda x: (x - 1) / 2)
    extreme("theorem3_upper_excess_max", deep, "upper", pick="max")
    extreme("theorem3_upper_excess_rate_halved", deep, "upper", pick="max", transform=lambda x: 2 * x + 1)
    extreme("theorem3_printed_upper_margin_min", deep, "printed_upper")
    extreme("lemma8_lower_ratio_max", deep, "lemma8_lower", pick="max")
    extreme("lemma8_lower_ratio_c0_halved", deep, "lemma8_lower", pick="max", transform=lambda x: 2 * x)
    extreme("lemma8_upper_ratio_max", deep, "lemma8_upper", pick="max")
    extreme("lemma8_upper_ratio_cap_halved", deep, "lemma8_upper", pick="max", transform=lambda x: 2 * x)


if __name__ == "__main__":
    main(Parameters, cell, gather)
