r"""Eq. (72) of deep_homogeneous: $\|w_z/\delta-u\|$ against the bound by Gronwall's inequality, and the step before it."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from flowcheck.measures.refinement import change
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.near_saddles import rounding_of_sums
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Reach, reach
from flowcheck.saddles.departure import Departure, Start
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units


def log_ratio(path: Departure, rows: Bool[np.ndarray, " s"], last: int, c: Reach) -> float:
    r"""Largest logarithm of $\|w_z/\delta-u\|^2$ over the corrected (72), at the recorded times up to number `last`."""
    with np.errstate(divide="ignore"):
        squared = 2 * np.log(path.deviation[rows, 1 : last + 1])
    return float((squared - c.log_deviations(np.log(path.delta[rows]), path.tau[1 : last + 1], printed=False)).max())


def increments(saddle: Saddle, start: Start, delta: float, c: Reach, coarse: Reach) -> dict[str, Measurement]:
    r"""The change of H_n over $K^2\sqrt C\,\delta$, and over the text's $K^2C\delta^2$, at the start, where it is largest.

    `coarse` holds the constants of a coarser u.
    """
    step = saddle.fitted.increment(saddle.weights, start.n[None], np.array([delta]), saddle.residual).outputs
    size = float(np.linalg.norm(step))

    def ratios(c: Reach) -> tuple[float, float]:
        return size / (c.k2 * math.sqrt(c.c)), size / (c.k2 * c.c * delta)

    found = {}
    for name, fine, other in zip(("eq72_step", "eq72_step_printed"), ratios(c), ratios(coarse), strict=True):
        moved = float(change(np.array(fine), np.array(other)))
        found[name] = Measurement(fine, moved + rounding_of_sums(saddle.fitted) * fine)
    return found


SHARP_EPSILON, SHARP_WEIGHT, SHARP_DECAYS, SHARP_LABEL, SHARP_POINTS = 0.01, 0.75, 1.5, 1e-3, 60
"""Of the nearly sharp case: epsilon; w_n^2 over epsilon; its length over the time in which w_n decays; the residual; times."""


FAR_START = 10.0
"""Norm of p_n in the control, where it should be 1: the bound on the square has a factor of about seven to spare."""


def nearly_sharp() -> Found:
    r"""(72) where it is nearly sharp, with `reach` and the flow as they are used elsewhere; `far`: from a start too far away.

    $\mathcal H_n=(w^3,0)$ and $\mathcal H_z=(v_1^3,v_2^3)$ on the inputs $e_1,e_2$, with $\bar y=(0,r)$ and small r: u stays at
    $(1,0)$, and all of $\mathcal J_z$ lies along the change of $\mathcal H_n$. A small w_n falls slowly, so that $v_1$ moves by
    nearly epsilon. What is left is that the proof takes epsilon for the deviation, a factor of two, and $\|w_n\|+\epsilon$ for
    w_n. The control runs the same flow from a start that the theorem does not allow, $\|p_n\|=10$.
    """
    found: dict[str, Measurement] = {}
    for name, start in (("sharp", 1.0), ("far", FAR_START)):
        for reading, fine, coarse in zip(
            ("log_ratio", "deviation"), _sharp(start, 1.0), _sharp(start, departure.COARSER), strict=True
        ):
            found[f"equation_72_{name}_{reading}"] = Measurement(fine, float(change(np.array(fine), np.array(coarse))))
    return found


def _sharp(start: float, coarser: float) -> tuple[float, float]:
    """Largest logarithm of the square over (72), and largest deviation over epsilon, from a distance of `start` times delta."""
    epsilon, inputs = SHARP_EPSILON, np.eye(2)
    fitted, idle = Units.of(power_net(1, 1, 3), inputs[:, :1]), Units.of(power_net(1, 2, 3), inputs)
    saddle = Saddle(fitted, idle, np.array([math.sqrt(SHARP_WEIGHT * epsilon)]), np.array([0.0, SHARP_LABEL]))
    delta, u = np.array([0.99 * epsilon]), np.array([1.0, 0.0])
    last = SHARP_DECAYS * epsilon / float(fitted.jacobian(saddle.weights)[0, 0]) ** 2
    tau = np.concatenate([[0.0], np.geomspace(1e-4 * last, last, SHARP_POINTS)])
    path = departure.depart(saddle, delta, np.full(1, start), u, tau, lambda _: u, coarser=coarser)
    ratio = log_ratio(path, np.array([True]), SHARP_POINTS, reach(saddle, epsilon, last, 1.0))
    return ratio, float(path.deviation.max()) / epsilon
