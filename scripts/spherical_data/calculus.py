"""Calculus behind the proofs (spherical_data): computer algebra, one enclosure by interval arithmetic, Lemmas 10 and 11.

Each identity is a residual that sympy must reduce to zero; its control is the same residual with the printed or a
changed constant.
"""

import math

import numpy as np
import pandas as pd
import sympy as sp
from pydantic import Field
from scipy.integrate import quad, solve_ivp

from flowcheck.measures.enclosure import enclose_maximum
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

QUOTIENT = 1e-15
"""Rounding of one division, and of the decimal constant below the line."""
POSITIVE_PART = 1e-12
"""Rounding of the positive factor at its zero of h: ten operations on numbers up to 200, with a factor of fifty."""
INTEGRATED = 1e-12
"""Error of cos θ: the tolerance of the solver, 1e-12, over an interval in which errors contract; quadrature is at 1e-13."""


class Parameters(ParametersModel):
    functions: int = Field(ge=10)
    enclosure_width: float = Field(gt=0)


def statements() -> dict[str, tuple[sp.Expr, sp.Expr, sp.Expr]]:
    """Name -> (left side, right side, right side of a broken statement)."""
    r, c0, t, kappa, eta, n = sp.symbols("r c0 t kappa eta N", positive=True)
    r0, rt = sp.symbols("r0 r_T", positive=True)
    theta, start, z = sp.symbols("theta start z", real=True)
    cap, cos, sin = sp.Rational(3, 5), sp.cos(theta), sp.sin(theta)
    # the plane of w and v, first axis along w: w = (r, 0), v = (cos θ, sin θ), and the closed-form gradient
    v, bar = sp.Matrix([cos, sin]), sp.Matrix([1, 0])
    gradient = -c0 / sp.pi * v + kappa * bar
    flow14 = -(r ** (2 - 2 / n)) * (gradient + (n - 1) * bar.dot(gradient) * bar)
    across = v - v.dot(bar) * bar
    cosine_rate, norm_rate, growth = across.dot(flow14) / r, bar.dot(flow14), -r * bar.dot(gradient)
    turn, drift = c0 / sp.pi * sin**2, c0 / sp.pi * cos - kappa
    after = r * bar - eta * gradient
    phase2 = 4 * c0 / (cap * sp.pi) * (sp.sqrt(cap * t + rt**2) - rt)
    phase2_printed = 4 * c0 / sp.sqrt(cap * sp.pi) * sp.sqrt(t + rt**2 / cap)
    phase2_rate = 2 * c0 / (sp.pi * sp.sqrt(cap * t + rt**2))
    # the lower bound (17) to the power 1 - 2/N
    low_power = (r0 ** (2 / n - 1) + (n - 2) * c0 * t) ** sp.simplify(-n / (n - 2) * (1 - 2 / n))
    first = 2 / ((n - 2) * sp.pi) * sp.log((n - 2) * c0 * t / r0 ** (2 / n - 1) + 1)
    d = r0 ** (2 / n)
    upper = 4 * c0 / (cap * n * sp.pi) * ((cap * t + d) ** (n / 2) - d ** (n / 2))
    high_power = (cap * t + d) ** (n / 2 - 1)
    half4 = sp.log((1 + sp.tanh(start)) / (1 - sp.tanh(start))) / 2 + c0 * t / sp.pi
    f = sp.Function("f", positive=True)
    lemma11 = sp.tanh(start + sp.Integral(f(z), (z, 0, t)))
    tanh = sp.tanh(z / 2).rewrite(sp.exp)
    rate = 2 * c0 / sp.pi
    return {
        "logistic_tanh": (1 / (1 + sp.exp(z)), sp.Rational(1, 2) - tanh / 2, tanh),
        "lemma2": (-across.dot(gradient), turn, c0 / sp.pi * sin),
        "lemma7": (cosine_rate, turn * r ** (1 - 2 / n), turn * r ** (2 - 2 / n)),
        "reduced_norm": (norm_rate / r, n * r ** (1 - 2 / n) * drift, r ** (1 - 2 / n) * drift),
        "equation39": (2 / n * r ** (2 / n - 1) * norm_rate, 2 * growth, growth),
        "equation41": (2 * r * norm_rate, 2 * n * r ** (2 - 2 / n) * growth, n * r ** (2 - 2 / n) * growth),
        "lemma12": (
            after.dot(after) - bar.dot(after) ** 2,
            (c0 * eta / sp.pi) ** 2 * sin**2,
            2 * (c0 * eta / sp.pi) ** 2 * sin**2,
        ),
        "growth_slope": (sp.diff(growth, theta), -c0 / sp.pi * r * sin, -c0 / sp.pi * r),
        "theorem1_first": (sp.diff(rate * t / r0, t), rate / r0, 2 * rate / r0),
        "theorem1_second": (phase2_rate, sp.diff(phase2, t), sp.diff(phase2_printed, t)),
        "theorem3_first": (sp.diff(first, t), rate * low_power, rate / 2 * low_power),
        "theorem3_upper": (sp.diff(upper, t), rate * high_power, rate / 2 * high_power),
        "proposition4": (sp.diff(sp.tanh(half4), t), rate / 2 * (1 - sp.tanh(half4) ** 2), rate * (1 - sp.tanh(half4) ** 2)),
        "lemma11": (sp.diff(lemma11, t), f(t) * (1 - lemma11**2), 2 * f(t) * (1 - lemma11**2)),
    }


def is_zero(residual: sp.Expr) -> bool:
    """Proved by simplification; an expression that does not reduce to 0 counts as not zero."""
    flat = sp.powdenest(sp.simplify(residual), force=True)
    return sp.simplify(sp.powsimp(sp.expand(flat), force=True)) == 0


def cell(p: Parameters, context: Context) -> Evidence:
    proofs = [
        {"identity": name, "proved": is_zero(left - right), "broken_form_proved": is_zero(left - changed)}
        for name, (left, right, changed) in context.progress(statements().items(), what="identities")
    ]
    evidence = Evidence.of([growth_cap(p.enclosure_width), growth_slope(), equation44()], pd.DataFrame(proofs))
    for row in proofs:
        evidence.record(f"residual_is_nonzero_{row['identity']}", Measurement.count(not row["proved"], 1))
        evidence.record(f"residual_is_nonzero_{row['identity']}_broken", Measurement.count(not row["broken_form_proved"], 1))
    evidence.add(lemma10(context.rng("lemma10"), p.functions))
    evidence.add(lemma11(context.rng("lemma11"), p.functions // 5))
    return evidence


def growth_cap(width: float) -> Found:
    """The maximum of x / (1 + e^x), which Lemma 3(i) bounds by 0.3, enclosed by interval arithmetic."""
    (low, high), boxes = enclose_maximum(lambda x, exp: x / (1 + exp(x)), 0.0, 40.0, width)
    x = np.linspace(0.0, 6.0, 2401)
    return {
        # ends of an enclosure are exact: rounding is inside
        "growth_cap_upper_end": Measurement.exact(high),
        "growth_cap_lower_end": Measurement.exact(low),
        "growth_cap_over_paper": Measurement(high / GROWTH_CAP, QUOTIENT),
        "growth_cap_over_0.27": Measurement(low / 0.27, QUOTIENT),
        "growth_cap_boxes": Measurement.count(len(boxes)),
        "x": x,
        "share": x / (1.0 + np.exp(x)),
        "boxes": np.array(boxes),
    }


def growth_slope() -> Found:
    """The slope of cos θ at its ends, where the growth of the norm changes sign at most once between."""
    theta = sp.symbols("theta")
    slope = sp.diff(sp.cos(theta), theta)
    return {
        "growth_slope_at_zero_angle": Measurement.exact(float(slope.subs(theta, 0))),
        "growth_slope_at_right_angle": Measurement.exact(float(slope.subs(theta, sp.pi / 2))),
    }


def lemma10(rng: np.random.Generator, functions: int) -> Found:
    """Random h(t) = p(t)(t - a) with positive p: once above zero, never below. Controls: crossings from above."""
    t = np.linspace(0.0, 10.0, 4001)
    violations, smallest = 0, math.inf
    for _ in range(functions):
        a, c = rng.uniform(-2.0, 9.0), rng.uniform(0.05, 2.0, 4)
        positive = c[0] + c[1] * (t - 10 * c[2]) ** 2 + 0.9 * c[0] * np.sin(5 * c[3] * t)
        h = positive * (t - a)
        if a >= 0:
            value = c[0] + c[1] * (a - 10 * c[2]) ** 2 + 0.9 * c[0] * math.sin(5 * c[3] * a)
            smallest = min(smallest, value)  # h'(a) = p(a)
        violations += breaks_pattern(h)
    return {
        "lemma10_violations": Measurement.count(violations, functions),
        "lemma10_slope_min": Measurement(smallest, POSITIVE_PART, n=functions),
        "lemma10_violations_sine": Measurement.count(breaks_pattern(np.sin(t - 1.0)), 1),
    }


def breaks_pattern(h: np.ndarray) -> bool:
    """Whether h falls below zero again after T = inf{h >= 0}."""
    reached = np.flatnonzero(h >= 0)
    return bool(len(reached) and np.any(h[reached[0] :] < 0))


def lemma11(rng: np.random.Generator, functions: int) -> Found:
    """The scalar problem (38) for random positive f, integrated for cos θ itself and compared with the closed form."""
    gaps, rates, halved = [], [], []
    for _ in range(functions):
        a, b, w = rng.uniform(-1, 0.5), rng.uniform(0, 0.8), rng.uniform(0.5, 4.0)
        start = rng.uniform(0.05, math.pi - 0.05)

        def f(t: float, a: float = a, b: float = b, w: float = w) -> float:
            return math.exp(a + b * math.sin(w * t))

        times = np.linspace(0.0, 3.0, 31)
        solved = solve_ivp(
            lambda t, y, f=f: f(t) * (1 - y**2), (0.0, 3.0), [math.cos(start)], "DOP853", times, rtol=1e-12, atol=1e-14
        )
        primitive = np.array([quad(f, 0.0, t, epsabs=1e-13, epsrel=1e-13)[0] for t in times])
        q0 = -math.log(math.tan(0.5 * start))
        gaps.append(np.abs(solved.y[0] - np.tanh(q0 + primitive)).max())
        halved.append(np.abs(solved.y[0] - np.tanh(q0 + 0.5 * primitive)).max())
        rates.append(np.diff(solved.y[0]).min())
    return {
        "lemma11_gap_max": Measurement(max(gaps), INTEGRATED, n=functions),
        "lemma11_gap_half_rate_min": Measurement(min(halved), 10 * INTEGRATED, n=functions),
        "lemma11_cosine_increase_min": Measurement(min(rates), INTEGRATED, n=functions),
    }


def equation44() -> Found:
    """The factor by which (41) and (44) miss d‖w_e‖²/dt = 2 w_e · dw_e/dt, exactly."""
    r, n, g = sp.symbols("r N g", positive=True)
    printed, right = n * r ** (2 - 2 / n) * g, 2 * r * (n * r ** (1 - 2 / n) * g)
    return {"equation41_factor": Measurement.exact(float(sp.simplify(right / printed)))}


if __name__ == "__main__":
    main(Parameters, cell)
