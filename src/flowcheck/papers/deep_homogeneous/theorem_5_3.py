r"""Theorem 5.3 of deep_homogeneous: for a time of order $\delta^{-(L-2)}$ w_n stays near a saddle, and w_z aligns or shrinks.

With the constants of the proof. Judged is every delta that keeps $w_z/\delta$ within epsilon of u, and w_n within epsilon of the
saddle; that the smallest delta does is a predicate of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import change
from flowcheck.measures.table import Row, Table, at_two_tolerances
from flowcheck.papers.deep_homogeneous import equation_65, equation_72, saddle_rates
from flowcheck.papers.homogeneous.near_saddles import coarser_flow, kkt_point, limit_for_labels
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


def judge(path: Departure, u: ResidualFlow, constants: Constants) -> dict[str, float]:
    """The flows from one start: smallest margins and largest ratios over all epsilons; NaN where nothing is judged."""
    low: dict[str, list[float]] = {key: [] for key in ("cosine", "norm", "bound", "sufficient")}
    high: dict[str, list[float]] = {
        key: [] for key in ("within", "again", "stay", "size", "collapse", "collapse_printed", "eq72")
    }
    eta, distance, a_norm, b_norm = constants.eta, path.deviation, path.a_norm, path.b_norm
    for c, time in zip(constants.proof, u.times, strict=True):
        at, epsilon = int(np.searchsorted(path.tau, time)), c.epsilon
        deviation, a, b = (part[:, : at + 1].max(axis=1) for part in (distance, a_norm, b_norm))
        close = (deviation <= epsilon) & (path.delta * a <= epsilon)
        high["within"].append(deviation[-1] / epsilon)
        high["again"].append(np.sum(~close[np.argmax(close) :]))
        low["bound"].append(1 - (1 + 3 / eta) * epsilon)
        if not close.any():  # within > 1 then contradicts the claim
            continue
        high["stay"].append(a[close].max() / math.sqrt(c.c))
        high["size"].append(b[close].max() / c.norm_z)
        high["collapse"].append(b_norm[close, at].max() / (2 * epsilon))
        high["collapse_printed"].append(b[close].max() / (2 * epsilon))
        low["norm"].append(b_norm[close, at].min() - eta / 2)
        low["sufficient"].append(np.log(path.delta[close].max()) - c.log_delta)
        high["eq72"].append(equation_72.log_ratio(path, close, at, c))
        if u.target is not None:
            low["cosine"].append(path.cosine(u.target)[close, at].min() - low["bound"][-1])
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    return found | {key: float(np.max(values)) if values else math.nan for key, values in high.items()}


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
        "gamma": Measurement.exact(gamma),  # a radius of the grid, chosen
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
        "gamma_min": runs.smallest("gamma"),
        "cosine_margin_min": aligned.smallest("cosine"),
        "cosine_margin_wrong_residual": aligned.smallest("decoy"),
        "norm_margin_min": aligned.smallest("norm"),
        "cosine_bound_min": aligned.smallest("bound"),
        "stay_bound_ratio_max": runs.largest("stay"),
        "size_bound_ratio_max": runs.largest("size"),
        "collapse_ratio_max": collapsed.largest("collapse"),
        "collapse_norm_ratio_printed": collapsed.largest("collapse_printed"),
        "deviation_over_epsilon_max": runs.largest("within"),
        "reappearing_deviations": Measurement.count(int(runs["again"].sum()), len(runs)),
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
        "field_error_max": runs.largest("eq66"),
        "field_error_printed_min": runs.smallest("eq66_printed"),
    }
