r"""Explicit bounds of spherical_data, as exponents.

All rates of the paper have the form $\cos\theta\ge 1-2/(e^{E}+1)$. The cosine saturates in float64 long before the bound does,
so every function returns $E$, to be compared with $2q=\ln\frac{1+\cos\theta}{1-\cos\theta}$. Times may be arrays; all arguments
broadcast against each other.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

Array = np.ndarray
Number = float | Array

GROWTH_CAP = 0.3
"""Lemma 3(i): g(w) <= 0.3. Twice this is the 0.6 of Theorems 1 and 3 and of Lemma 8."""


def angle_exponent(q: Number) -> Number:
    """ln((1 + cos θ) / (1 - cos θ)) from q = artanh(cos θ)."""
    return 2.0 * np.asarray(q)


def theorem1_first_phase(t: Number, q0: Number, norm0: Number, c0: float) -> Number:
    """Lower exponent A1 t + B1 of Theorem 1, claimed for t <= T: A1 = 2 c0 / (π ‖w(0)‖), B1 = -2 ln|tan(θ(0)/2)|."""
    return 2.0 * c0 / (math.pi * norm0) * t + angle_exponent(q0)


def theorem1_second_phase(elapsed: Number, q_start: Number, norm_start: Number, c0: float) -> Number:
    """Lower exponent of Theorem 1 after T, as its proof (A.7) has it; `elapsed` = t - T, start values at T.

    A2 sqrt(t - T + C2) + B2 with A2 = 4 c0 / (sqrt(0.6) π), C2 = ‖w(T)‖² / 0.6 and
    B2 = -2 ln|tan(θ(T)/2)| - 4 c0 ‖w(T)‖ / (0.6 π).
    By the second remark of A.7 it holds from any starting time.
    """
    cap = 2.0 * GROWTH_CAP
    return angle_exponent(q_start) + 4.0 * c0 / (cap * math.pi) * (np.sqrt(cap * elapsed + norm_start**2) - norm_start)


def theorem1_second_phase_printed(
    elapsed: Number, q_start: Number, norm_start: Number, c0: float, *, printed_a2: bool, printed_root: bool
) -> Number:
    """The second phase as the text prints it: A2 = 4 c0 / sqrt(0.6 π), and A2 sqrt(t - T) + C2 + B2, separately or together."""
    cap = 2.0 * GROWTH_CAP
    a2 = 4.0 * c0 / (math.sqrt(cap * math.pi) if printed_a2 else math.sqrt(cap) * math.pi)
    c2 = norm_start**2 / cap
    b2 = angle_exponent(q_start) - 4.0 * c0 * norm_start / (cap * math.pi)
    return (a2 * np.sqrt(elapsed) + c2 if printed_root else a2 * np.sqrt(elapsed + c2)) + b2


def theorem3_first_phase(t: Number, q0: Number, norm0: Number, c0: float, depth: int) -> Number:
    """Lower exponent of Theorem 3, Eq. (18): ln C1 + α ln(A1 t / B1 + 1), for all t >= 0. Raises ValueError if depth <= 2."""
    _needs_depth_above_two(depth)
    a1 = (depth - 2) * c0
    b1 = norm0 ** (2.0 / depth - 1.0)
    alpha = 2.0 / ((depth - 2) * math.pi)
    return angle_exponent(q0) + alpha * np.log1p(a1 * t / b1)


def theorem3_second_phase(elapsed: Number, q_start: Number, norm_start: Number, c0: float, depth: int) -> Number:
    """Lower exponent of Theorem 3 after T: A2 (t - T) + B2. Raises ValueError if depth <= 2."""
    _needs_depth_above_two(depth)
    return angle_exponent(q_start) + 2.0 * c0 / math.pi * norm_start ** (1.0 - 2.0 / depth) * elapsed


def theorem3_upper(t: Number, norm0: Number, start_exponent: Number, c0: float, depth: int) -> Number:
    """Upper exponent of Theorem 3: F((0.6 t + D)^{N/2} - D^{N/2}) + E, E = `start_exponent`.

    Raises ValueError if depth <= 2.
    """
    _needs_depth_above_two(depth)
    cap = 2.0 * GROWTH_CAP
    f = 4.0 * c0 / (cap * depth * math.pi)
    d = norm0 ** (2.0 / depth)
    return f * ((cap * t + d) ** (depth / 2.0) - d ** (depth / 2.0)) + start_exponent


def theorem3_printed_start_exponent(angle: Number) -> Number:
    """E = -2 ln|tan(θ(0)) / 2| as the text prints it; the proof has -2 ln|tan(θ(0) / 2)| = 2 q(0)."""
    return -2.0 * np.log(np.abs(np.tan(angle) / 2.0))


def proposition4_exponent(t: Number, q0: Number, c0: float) -> Number:
    """Exponent of Proposition 4 (depth 2, an equality): ln C1 + 2 c0 t / π."""
    return angle_exponent(q0) + 2.0 * c0 / math.pi * t


def lemma8_log_norm_bounds(t: Number, norm0: Number, c0: float, depth: int) -> tuple[Number, Number]:
    """Logarithms of the lower and upper bound (17) on ‖w_e(t)‖. Raises ValueError if depth <= 2."""
    _needs_depth_above_two(depth)
    power = 2.0 / depth
    lower = -depth / (depth - 2.0) * np.log(norm0 ** (power - 1.0) + (depth - 2) * c0 * t)
    upper = 0.5 * depth * np.log(norm0**power + 2.0 * GROWTH_CAP * t)
    return lower, upper


def lemma4_sum(step_sizes: Float[Array, " n"], norm0: float, c0: float) -> Float[Array, " n"]:
    """S_n^- of Lemma 4 for n = 1, 2, ...: sum of η_k / sqrt(A + Σ_{i<=k} η_i²), A = ‖w(0)‖² / c0²."""
    return np.cumsum(step_sizes / np.sqrt((norm0 / c0) ** 2 + np.cumsum(step_sizes**2, axis=-1)), axis=-1)


def lemma5_sum(step_sizes: Float[Array, " n"], norm0: float, c0: float) -> Float[Array, " n"]:
    """S_n^+ of Lemma 5 for n = 1, 2, ...: sum of η_k / sqrt(A + Σ_{i<=k} (η_i² + C η_i)), C = 0.6 / c0²."""
    inner = np.cumsum(step_sizes**2 + 2.0 * GROWTH_CAP / c0**2 * step_sizes, axis=-1)
    return np.cumsum(step_sizes / np.sqrt((norm0 / c0) ** 2 + inner), axis=-1)


def lemma4_rate(cos0: float) -> float:
    """B of Lemma 4: (1 + cos θ(0)) / π."""
    return (1.0 + cos0) / math.pi


def lemma5_rate(cos0: float, delta: float) -> float:
    """B of Lemma 5: δ (1 + cos θ(0)) / ((1 + δ) π). Raises ValueError unless δ > 0."""
    if delta <= 0:
        raise ValueError(f"Lemma 5 needs a positive delta, got {delta}")
    return delta * (1.0 + cos0) / ((1.0 + delta) * math.pi)


def theorem2_entry_radius(largest_step: Number, c0: float) -> Number:
    """R1 of Theorem 2: v·w(n1) >= η₊ c0 + η₊ c0 / π ensures Eq. (11) with δ = 1 from n1 on."""
    return largest_step * c0 * (1.0 + 1.0 / math.pi)


def _needs_depth_above_two(depth: int) -> None:
    if depth <= 2:
        raise ValueError(f"the bound is stated for depth > 2, got {depth}")
