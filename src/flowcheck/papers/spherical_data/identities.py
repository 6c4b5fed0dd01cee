"""Identities behind the proofs, by computer algebra: each is a residual that must reduce to zero.

Its control is the same residual with the printed or a changed constant.
"""

from __future__ import annotations

import sympy as sp


def statements() -> dict[str, tuple[sp.Expr, sp.Expr, sp.Expr]]:
    """Name -> (left side, right side, right side of a broken statement).

    Lemmas 2, 7, 11, 12, Theorems 1 and 3, Proposition 4, Eq. (39), (41), and the equations of the reduced flow.
    """
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


def equation_41_factor() -> float:
    """The factor by which (41) and (44) miss d‖w_e‖²/dt = 2 w_e · dw_e/dt, exactly."""
    r, n, g = sp.symbols("r N g", positive=True)
    printed, right = n * r ** (2 - 2 / n) * g, 2 * r * (n * r ** (1 - 2 / n) * g)
    return float(sp.simplify(right / printed))
