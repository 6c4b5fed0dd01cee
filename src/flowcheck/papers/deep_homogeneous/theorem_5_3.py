r"""Theorem 5.3 of deep_homogeneous: for a time of order $\delta^{-(L-2)}$ w_n stays near a saddle, and w_z aligns or shrinks.

With the constants of the proof. Every delta is judged: the bounds (16) and the two alternatives at the two smallest ones,
whatever happens there, and delta-bar is the largest from which on all of that holds. Eq. (72) is asked of those that keep
$w_z/\delta$ within epsilon of u, and w_n within epsilon of the saddle, which is what it presupposes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.measures.readings import fraction, smallest_setting
from flowcheck.measures.refinement import change
from flowcheck.measures.table import Row, Table, at_two_tolerances
from flowcheck.papers.deep_homogeneous import bounds, equation_65, equation_72, saddle_rates
from flowcheck.papers.homogeneous.near_saddles import coarser_flow, kkt_point, limit_for_labels
from flowcheck.papers.homogeneous.theorem_5_1 import from_here_on
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Reach, reach
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle

DECOY_SINE = 1e-3
"""Up to which sine the NCF flow of the labels is followed; the cosine to its limit is known no better."""


@dataclass(frozen=True)
class Constants:
    """Those of one start: eta, and those of the proof for each epsilon, largest epsilon first."""

    eta: float
    proof: list[Reach]

    @classmethod
    def of(cls, saddle: Saddle, u: ResidualFlow, gamma: float, epsilons: Sequence[float]) -> Constants:
        """Gamma is a radius of Eq. (15)."""
        eta = min(2.0 if u.target is None else min(u.smallest, 1.0), 2 * gamma)
        return cls(eta, [reach(saddle, *values) for values in zip(epsilons, u.times, u.largest, strict=True)])


def recorded_times(u: ResidualFlow) -> Float[np.ndarray, " p"]:
    """Logarithmic, for the fast approach of w_n, and even, for the alignment of w_z."""
    last = float(u.times[-1])
    return np.unique(np.concatenate([[0.0], np.geomspace(1e-14 * last, last, 120), np.linspace(0, last, 80), u.times]))


LAST = slice(-2, None)
"""The two smallest deltas: nothing has chosen them."""


def judge(path: Departure, u: ResidualFlow, constants: Constants) -> dict[str, float]:
    """The flows from one start, deltas decreasing: smallest margins and largest ratios over all epsilons.

    NaN where no epsilon is asked. Epsilons for which the bound on the cosine says nothing are left out. `bar` and `close_bar` are
    logarithms to base 10 of the delta from which on the theorem holds, and from which on w_z / delta stays within epsilon of u.
    """
    low: dict[str, list[float]] = {key: [] for key in ("margin", "cosine", "norm", "bar", "close_bar", "sufficient")}
    high: dict[str, list[float]] = {
        key: [] for key in ("within", "missing", "stay", "size", "collapse", "collapse_printed", "eq72")
    }
    eta, distance, a_norm, b_norm = constants.eta, path.deviation, path.a_norm, path.b_norm
    apart = np.full_like(b_norm, 2.0) if u.target is None else 1 - path.cosine(u.target)
    for c, time in zip(constants.proof, u.times, strict=True):
        at, epsilon = int(np.searchsorted(path.tau, time)), c.epsilon
        if bounds.cosine_bound(eta, epsilon) <= 0:
            continue
        deviation, a, b = (part[:, : at + 1].max(axis=1) for part in (distance, a_norm, b_norm))
        margin = np.asarray(bounds.dichotomy_margin(b_norm[:, at], apart[:, at], eta, epsilon))
        holds = (margin >= 0) & (a <= math.sqrt(c.c)) & (b <= c.norm_z)
        close = (deviation <= epsilon) & (path.delta * a <= epsilon)
        held, stays = (from_here_on(each[None])[0] for each in (holds, close))
        low["margin"].append(margin[LAST].min())
        low["cosine"].append((1 - apart[LAST, at] - bounds.cosine_bound(eta, epsilon)).min())
        low["norm"].append(b_norm[LAST, at].min() - eta / 2)
        low["bar"].append(_log10_largest(path.delta, held))
        low["close_bar"].append(_log10_largest(path.delta, stays))
        high["missing"].append(float(not held.any()))
        high["within"].append(deviation[LAST].max() / epsilon)
        high["stay"].append(a[LAST].max() / math.sqrt(c.c))
        high["size"].append(b[LAST].max() / c.norm_z)
        high["collapse"].append(b_norm[LAST, at].max() / (2 * epsilon))
        high["collapse_printed"].append(b[LAST].max() / (2 * epsilon))
        if close.any():
            low["sufficient"].append(low["close_bar"][-1] * math.log(10) - c.log_delta)
            high["eq72"].append(equation_72.log_ratio(path, close, at, c))
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    found |= {key: float(np.max(values)) if values else math.nan for key, values in high.items()}
    return found | {"asked": float(len(high["within"]))}


def _log10_largest(delta: Float[np.ndarray, " s"], chosen: Bool[np.ndarray, " s"]) -> float:
    return float(np.log10(delta[chosen].max())) if chosen.any() else -math.inf


def run(
    saddle: Saddle, start: Start, *, gamma: float, epsilons: Sequence[float], delta: Float[np.ndarray, " s"]
) -> tuple[Row, dict[str, np.ndarray]]:
    """What is found from one start, numbers at the second tolerance as `..._coarse`, and the paths for the figures.

    Epsilons and `delta` decrease. Raises RuntimeError if a flow does not get to its end.
    """
    u, tau = start.u, recorded_times(start.u)
    constants = Constants.of(saddle, u, gamma, epsilons)
    coarser = Constants.of(saddle, coarser_flow(saddle, start, np.array(epsilons)), gamma, epsilons)
    sufficient = [c.proof[0].log_delta / math.log(10) for c in (constants, coarser)]
    row: Row = {
        "degree": saddle.degree,
        "eta": Measurement(constants.eta, float(change(constants.eta, coarser.eta))),
        "collapses": u.target is None,
        "log10_sufficient": Measurement(sufficient[0], float(change(*map(np.array, sufficient)))),
    }
    row |= equation_65.excesses(constants.proof)
    decoy = None
    if u.target is not None:
        row |= kkt_point(saddle, u.target)
        decoy = limit_for_labels(saddle, start, DECOY_SINE)

    def judged(path: Departure, constants: Constants) -> dict[str, float]:
        found = judge(path, u, constants)
        if decoy is not None:
            found["decoy"] = float(path.cosine(decoy)[-1, -1]) - 1 + (1 + 3 / constants.eta) * epsilons[-1]
        return found

    fine, coarse = (
        departure.depart(saddle, delta, start.n, start.z, tau, u.curve, coarser=factor) for factor in (1.0, departure.COARSER)
    )
    numbers, moved = judged(fine, constants), judged(fine, coarser)
    besides = {name: float(change(np.array(value), np.array(moved[name]))) for name, value in numbers.items()}
    if decoy is not None:
        besides["decoy"] += DECOY_SINE
    row |= at_two_tolerances(
        numbers | saddle_rates.sizes(fine, u.times[0]),
        judged(coarse, constants) | saddle_rates.sizes(coarse, u.times[0]),
        besides,
    )
    row |= equation_72.increments(saddle, start, delta[-1], constants.proof[0], coarser.proof[0])
    shown = {"tau": tau, "delta": delta, "a": fine.a_norm, "b": fine.b_norm, "times": u.times, "deviation": fine.deviation}
    return row, shown if u.target is None else shown | {"cosine": fine.cosine(u.target)}


def readings_of(runs: Table) -> Found:
    """What the claims on Theorem 5.3 and its equations ask of all starts."""
    aligned, collapsed = runs.where(~runs["collapses"]), runs.where(runs["collapses"])
    return {
        "runs": Measurement.count(len(runs)),
        "dichotomy_margin_min": runs.smallest("margin"),
        "starts_without_delta_bar": Measurement.count(int(np.nansum(runs["missing"])), len(runs)),
        "unasked_share": fraction(runs["asked"] == 0),
        "delta_bar_log10_min": smallest_setting(runs["bar"]),
        "close_delta_log10_min": smallest_setting(runs["close_bar"]),
        "cosine_margin_min": aligned.smallest("cosine"),
        "cosine_margin_wrong_residual": aligned.smallest("decoy"),
        "norm_margin_min": aligned.smallest("norm"),
        "stay_bound_ratio_max": runs.largest("stay"),
        "size_bound_ratio_max": runs.largest("size"),
        "collapse_ratio_max": collapsed.largest("collapse"),
        "collapse_norm_ratio_printed": collapsed.largest("collapse_printed"),
        "deviation_over_epsilon_max": runs.largest("within"),
        "kkt_residual_max": aligned.largest("kkt_residual"),
        "kkt_value_min": aligned.smallest("kkt_value"),
        "eq65_log_excess_max": runs.largest("eq65"),
        "eq65_printed_log_excess_max": runs.largest("eq65_printed"),
        "eq65_slip_log_excess_max": runs.largest("eq65_slip"),
        "sufficient_log10_delta_max": runs.largest("log10_sufficient"),
        "sufficient_log_gap_min": runs.smallest("sufficient"),
        "equation_72_log_ratio_max": runs.largest("eq72"),
        "increment_ratio_max": runs.largest("eq72_step"),
        "increment_ratio_printed_max": runs.largest("eq72_step_printed"),
    }
