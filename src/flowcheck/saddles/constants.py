r"""Explicit constants near a saddle: Lemma D.1 of two_homogeneous, Theorem 5.3 of deep_homogeneous.

Upper bounds throughout, so that an inequality which holds with the true constant is never reported as violated. Logarithms
where the papers multiply exponentials of hundreds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units


def output_bound(units: Units) -> float:
    r"""$\beta\le\|X\|_2\max_i\|x_i\|^{p-1}$ times $\max_j|v_j|$, or where v is trained $\max_{s^2+r^2=1}s\,r^p$.

    $\|(\phi(u^\top x_i))_i\|\le\max_i|u^\top x_i|^{p-1}\|Xu\|$; units add up to at most their maximum on the sphere, as L >= 2.
    """
    p = units.power
    readout = (p / (p + 1)) ** (p / 2) / math.sqrt(p + 1) if units.signs is None else float(np.abs(units.signs).max())
    return readout * _inputs(units)


def jacobian_bound(units: Units) -> float:
    r"""$\alpha\le p\max_j|v_j|\,\|X\|_2\max_i\|x_i\|^{p-1}$, v fixed; 1 in the place of $p\max_j|v_j|$ for trained ReLU units."""
    return _fixed_factor(units, units.power) * _inputs(units)


def jacobian_lipschitz_bound(units: Units, radius: float) -> float:
    r"""$p(p-1)\max_j|v_j|\,\text{radius}^{p-2}\|X\|_2\max_i\|x_i\|^{p-1}$, v fixed; $\|X\|_2$ for ReLU units within one piece."""
    p = units.power
    return _fixed_factor(units, p * (p - 1)) * radius ** max(p - 2, 0) * _inputs(units)


def piece_radius(units: Units, w: np.ndarray) -> float:
    r"""Half of $\min_{ij}|u_j^\top x_i|/\max_i\|x_i\|$: within it no unit changes its piece."""
    margins = np.abs(units.preactivations(w))
    return 0.5 * float(margins.min() / np.linalg.norm(units.x, axis=1).max())


@dataclass(frozen=True)
class Growth:
    r"""Constants of the proof of Lemma D.1 on $Z=\|w_n-\bar w_n\|^2+\|w_z\|^2\le\text{radius}^2$, L = 2.

    mu1, mu2, mu3 of Eqs. (62), (65), (66); m2 is $M_2$, the rate in $\tfrac12\dot Z\le M_2Z$.
    """

    radius: float
    mu1: float
    mu2: float
    mu3: float
    m2: float


SMOOTH_RADIUS = 0.1
"""min(1, gamma) of Lemma D.1 for a Lipschitz gradient, where every gamma satisfies Eq. (15): small gives sharper constants."""


def growth(saddle: Saddle) -> Growth:
    r"""$M_2=\max(\mu_2+\mu_1\mu_3,\beta(2M_1+\mu_3))$, $M_1=\|\bar y\|+\mu_1+\beta$; second case of the proof for ReLU.

    There gamma is the radius within which no unit of H_n changes its piece, and kappa = mu2 + mu1 mu3. Raises ValueError unless
    L = 2.
    """
    if saddle.degree != 2:
        raise ValueError(f"Lemma D.1 is for degree 2, not {saddle.degree}")
    fitted, z = saddle.fitted, saddle.residual
    smooth = fitted.network.has_lipschitz_gradient
    radius = SMOOTH_RADIUS if smooth else min(1.0, piece_radius(fitted, saddle.weights))
    beta = output_bound(saddle.idle)
    # the segment from the saddle stays in the ball, so the largest Jacobian is the Lipschitz constant of the outputs too
    slope = float(np.linalg.norm(fitted.jacobian(saddle.weights), 2)) + jacobian_lipschitz_bound(fitted, radius) * radius
    if smooth:
        bend = _fixed_factor(fitted, 2) * float(np.linalg.norm((fitted.x.T * np.abs(z)) @ fitted.x, 2))
    else:
        bend = float(np.linalg.norm(fitted.curvature(saddle.weights, z), 2))
    reach = slope if smooth else slope * math.sqrt(len(z))
    rate = largest_rate(bend + slope**2, slope, reach, beta, float(np.linalg.norm(z)))
    return Growth(radius, slope, bend, slope, rate)


def largest_rate(kappa: float, mu1: float, reach: float, beta: float, residual: float) -> float:
    r"""$M_2=\max(\kappa,\beta(2M_1+\text{reach}))$ with $M_1=\|\bar y\|+\mu_1+\beta$.

    Where the gradient is Lipschitz, kappa is $\mu_2+\mu_1\mu_3$ and reach $\mu_3$; else that of Eq. (15), and $\mu_3\sqrt n$.
    """
    return max(kappa, beta * (2 * (residual + mu1 + beta) + reach))


def _fixed_factor(units: Units, factor: float) -> float:
    if units.signs is not None:
        return factor * float(np.abs(units.signs).max())
    if units.power != 1:
        raise ValueError(f"{units.network.name}: no closed bound for trained readouts of power {units.power}")
    return 1.0


def _inputs(units: Units) -> float:
    largest = float(np.linalg.norm(units.x, axis=1).max())
    return float(np.linalg.norm(units.x, 2)) * largest ** (units.power - 1)


@dataclass(frozen=True)
class Reach:
    r"""Constants of the proof of Theorem 5.3 (Section C.1) for one epsilon.

    `norm_z` is $\tilde B_\epsilon$, `norm_n` $\tilde W_\epsilon$, `c` $C_\epsilon$, `k1` and `k2` those of Eqs. (63) and (64).
    """

    epsilon: float
    time: float
    degree: int
    alpha: float
    beta: float
    norm_z: float
    norm_n: float
    c: float
    k1: float
    k2: float
    residual: float

    def log_deviations(
        self, log_deltas: Float[np.ndarray, " s"], times: Float[np.ndarray, " p"], *, printed: bool
    ) -> Float[np.ndarray, "s p"]:
        r"""Logarithm of the bound (72) on $\|s_z-u\|^2$.

        Corrected: $2\alpha\epsilon\tilde B^{L-1}(K^2\sqrt C\,\delta+\beta\tilde B^L\delta^L)t\,e^{2tK^1\|\bar y\|}$. The text has
        $(K^2C+\beta\tilde B^L)\delta^2$ in the place of the bracket.
        """
        feedback = math.log(self.beta) + self.degree * math.log(self.norm_z)
        if printed:
            bracket = np.logaddexp(math.log(self.k2 * self.c), feedback) + 2 * log_deltas
        else:
            bracket = np.logaddexp(math.log(self.k2) + 0.5 * math.log(self.c) + log_deltas, feedback + self.degree * log_deltas)
        return (self._log_front + bracket)[:, None] + np.log(2 * times) + 2 * times * self.k1 * self.residual

    def log_deviation(self, log_delta: float, time: float, *, printed: bool) -> float:
        """The same for one delta and one time."""
        return float(self.log_deviations(np.array([log_delta]), np.array([time]), printed=printed)[0, 0])

    @property
    def log_delta_printed(self) -> float:
        """Logarithm of delta-bar in Eq. (65), its parenthesis as printed."""
        feedback = math.log(self.beta) + self.degree * math.log(self.norm_z)
        inside = np.logaddexp(math.log(self.k2 * self.c), feedback + math.log(self.time) + self.exponent)
        last = math.log(self.epsilon / 4) - self._log_front + math.log(self.epsilon) - inside
        return 0.5 * min(self._log_stay, float(last))

    @property
    def log_delta_parenthesis(self) -> float:
        r"""The same with $T_\epsilon e^{\dots}$ multiplying the whole bracket, as (72) as printed needs it."""
        last = 2 * math.log(self.epsilon) - math.log(2) - self.log_deviation(0.0, self.time, printed=True)
        return 0.5 * min(self._log_stay, last)

    @property
    def log_delta(self) -> float:
        r"""Sufficient with the corrected (72): $\delta\le1$; $C\delta^2$ and the bound at $T_\epsilon$ at most $\epsilon^2/2$.

        $\delta^L\le\delta$ makes the last condition linear in delta.
        """
        last = 2 * math.log(self.epsilon) - math.log(2) - self.log_deviation(0.0, self.time, printed=False)
        return min(0.5 * self._log_stay, last)

    @property
    def _log_front(self) -> float:
        return math.log(self.alpha * self.epsilon) + (self.degree - 1) * math.log(self.norm_z)

    @property
    def _log_stay(self) -> float:
        return min(0.0, 2 * math.log(self.epsilon), 2 * math.log(self.epsilon) - math.log(2 * self.c))

    @property
    def exponent(self) -> float:
        r"""$2T_\epsilon K^1_\epsilon\|\bar y\|$: what Gronwall's inequality multiplies by, as a logarithm."""
        return 2 * self.time * self.k1 * self.residual


def reach(saddle: Saddle, epsilon: float, time: float, largest: float) -> Reach:
    r"""$\tilde B=$ `largest` + epsilon, $\tilde W=\|\bar w_n\|+\epsilon$, $C=1+2\epsilon\alpha\tilde W^{L-1}\beta\tilde B^LT$."""
    degree, parts = saddle.degree, (saddle.fitted, saddle.idle)
    alpha, beta = max(jacobian_bound(part) for part in parts), max(output_bound(part) for part in parts)
    norm_z, norm_n = largest + epsilon, float(np.linalg.norm(saddle.weights)) + epsilon
    c = 1 + 2 * epsilon * alpha * norm_n ** (degree - 1) * beta * norm_z**degree * time
    k1, k2 = jacobian_lipschitz_bound(saddle.idle, norm_z), alpha * norm_n ** (degree - 1)
    return Reach(epsilon, time, degree, alpha, beta, norm_z, norm_n, c, k1, k2, float(np.linalg.norm(saddle.residual)))
