r"""Theorem 5.5 of two_homogeneous, and Lemma D.1 on the way: near a saddle w_n stays, and $w_z/\delta$ follows the NCF flow u.

With the constants of the proof. Every delta is judged: the two alternatives at the two smallest ones, whatever happens there, and
delta-bar is the largest from which on one of them holds. The delta that the proof asks for is among them, where float64 has it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import NOTHING, count, fraction, largest, log_rate, smallest_setting
from flowcheck.measures.refinement import change
from flowcheck.measures.table import Row, Table, at_two_tolerances
from flowcheck.papers.homogeneous.near_saddles import coarser_flow, kkt_point, labels, limit_for_labels
from flowcheck.papers.homogeneous.theorem_5_1 import from_here_on
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.papers.two_homogeneous.kinked_saddle import KinkedSaddle
from flowcheck.papers.two_homogeneous.theorem_5_1 import largest_epsilon
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Growth, growth
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle

LAST = slice(-2, None)
"""The two smallest deltas: nothing has chosen them."""
POINTS = 120
"""Recorded times, besides those at which epsilons are met."""
DECOY_SINE, DECOY_RTOL = 1e-3, 1e-8
"""The NCF flow of the labels: up to which sine its limit is waited for, small against the claim's bound, and its tolerance."""
SMALLEST_DELTA = 1e-280
"""In the place of a delta of the proof that leaves float64."""
RESOLVED = 0.01
"""Points whose two tolerances differ by more leave a fit, and are counted."""


def judge(path: Departure, u: ResidualFlow, smallest: float, constants: Growth, epsilons: Sequence[float]) -> dict[str, float]:
    """The flows from one start, deltas decreasing: the smallest margins, and the largest ratios to a bound, over all epsilons.

    `smallest` is that of the norm of u; the largest epsilon stands first. Epsilons for which the bound on the cosine says nothing
    are left out; NaN where that leaves none.
    """
    eta = 1.0 if u.target is None else 0.5 * smallest
    a_norm, b_norm, distance = path.a_norm, path.b_norm, path.deviation
    apart = np.full_like(b_norm, 2.0) if u.target is None else 1 - path.cosine(u.target)
    low: dict[str, list[float]] = {key: [] for key in ("margin", "cosine", "norm", "bar", "close_bar")}
    high: dict[str, list[float]] = {key: [] for key in ("within", "missing", "collapse")}
    for epsilon, time in zip(epsilons, u.times, strict=True):
        if epsilon >= largest_epsilon(np.array([eta]))[0]:
            continue
        at = int(np.searchsorted(path.tau, time))
        margin = np.asarray(bounds.dichotomy_margin(b_norm[:, at], apart[:, at], eta, epsilon))
        deviation = distance[:, : at + 1].max(axis=1)
        held, close = (from_here_on(holds[None])[0] for holds in (margin >= 0, deviation <= epsilon))
        low["margin"].append(margin[LAST].min())
        low["cosine"].append((1 - apart[LAST, at] - bounds.cosine_bound(eta, epsilon)).min())
        low["norm"].append((b_norm[LAST, at] - eta).min())
        low["bar"].append(np.log10(path.delta[held].max(initial=0.0)) if held.any() else -math.inf)
        low["close_bar"].append(np.log10(path.delta[close].max(initial=0.0)) if close.any() else -math.inf)
        high["within"].append(deviation[LAST].max() / epsilon)
        high["missing"].append(float(not held.any()))
        high["collapse"].append(b_norm[LAST, at].max() / (2 * epsilon))
    exponent = 2 * constants.m2 * path.tau[1:]
    claimed = math.log(2) + 2 * np.log(path.delta[:, None]) + exponent <= 2 * math.log(constants.radius)
    growth_ratio = np.log((a_norm**2 + b_norm**2)[:, 1:] / 2) / exponent
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    found |= {key: float(np.max(values)) if values else math.nan for key, values in high.items()}
    return found | {"asked": float(len(high["within"])), "rate_ratio": float(growth_ratio[claimed].max())}


def growth_and_departure(saddle: Saddle) -> tuple[Growth, Callable[..., Departure]]:
    """The constants of the proof's first or second case, and how flows near the saddle are followed."""
    if isinstance(saddle, KinkedSaddle):
        return saddle.growth, saddle.depart
    return growth(saddle), functools.partial(departure.depart, saddle)


def literal_delta(constants: Growth, last: float) -> float:
    r"""The largest delta with $2C\delta^2\le\min(1,\gamma^2)$, $C=e^{2M_2T}$, as Lemma D.1 needs it up to T = `last`."""
    return max(math.exp(-constants.m2 * last) * constants.radius / math.sqrt(2), SMALLEST_DELTA)


def run(
    system: str,
    saddle: Saddle,
    start: Start,
    *,
    epsilons: Sequence[float],
    scales: Sequence[float],
    largest_scale: float,
    control: bool,
) -> tuple[Row, dict[str, np.ndarray]]:
    """What is found from one start, numbers at the second tolerance as `..._coarse`, and the paths for the figures.

    Epsilons and `scales` decrease; those beyond `largest_scale` are left out. With `control` the NCF flow of the labels is
    followed, and compared in the place of u. Raises RuntimeError if a flow does not get to its end.
    """
    u, coarser = start.u, coarser_flow(saddle, start, np.array(epsilons))
    constants, depart = growth_and_departure(saddle)
    literal, moved = (literal_delta(constants, float(flow.times[-1])) for flow in (u, coarser))
    tried = {k: scale for k, scale in enumerate(scales) if scale <= largest_scale}
    delta = np.sort([*tried.values(), literal])[::-1]
    rows = {k: int(np.argmax(delta == scale)) for k, scale in tried.items()}
    tau = np.unique(np.concatenate([np.linspace(0, u.times[-1], POINTS), u.times]))
    row: Row = {
        "system": system,
        "collapses": int(u.target is None),
        "m2": Measurement.exact(constants.m2),  # an upper bound, whatever its last digit
        "literal_delta": Measurement(literal, float(change(np.array(literal), np.array(moved)))),
        "growth": Measurement(u.largest[-1], float(change(u.largest[-1:], coarser.largest[-1:])[0])),
    }
    if u.target is not None:
        row |= kkt_point(saddle, u.target)
    decoy, wrong, wrong_moved = None, None, 0.0
    if control:
        decoy = limit_for_labels(saddle, start, DECOY_SINE)
        wrong, other = (flow_of_labels(saddle, start, tau, rtol) for rtol in (DECOY_RTOL, departure.COARSER * DECOY_RTOL))
        wrong_moved = float(np.linalg.norm(wrong - other, axis=-1).max())

    def judged(path: Departure, smallest: float) -> dict[str, float]:
        found = judge(path, u, smallest, constants, epsilons)
        if decoy is not None:
            found["decoy"] = float(path.cosine(decoy)[-1, -1]) - 1 + (1 + 3 / smallest) * epsilons[-1]
        return found

    def distances(path: Departure) -> dict[str, float]:
        a_norm, b_norm, deviation, b, found = path.a_norm, path.b_norm, path.deviation, path.b, {}
        for k, row in rows.items():
            found[f"deviation_{k}"] = float(deviation[row].max())
            if wrong is not None:
                found[f"astray_{k}"] = float(np.linalg.norm(b[row] - wrong, axis=-1).max())
            found[f"stay_{k}"] = float(delta[row] * np.sqrt((a_norm[row] ** 2 + b_norm[row] ** 2).max()))
        return found

    fine, coarse = (depart(delta, start.n, start.z, tau, u.curve, coarser=factor) for factor in (1.0, departure.COARSER))
    numbers, other_u = judged(fine, u.smallest), judged(fine, coarser.smallest)
    besides = {name: float(change(np.array(value), np.array(other_u[name]))) for name, value in numbers.items()}
    if decoy is not None:
        besides["decoy"] += DECOY_SINE
    apart = distances(fine)
    besides |= {name: wrong_moved for name in apart if name.startswith("astray")}
    row |= at_two_tolerances(numbers | apart, judged(coarse, u.smallest) | distances(coarse), besides)
    shown = {"tau": tau, "delta": delta, "a": fine.a_norm, "b": fine.b_norm, "times": u.times}
    return row, shown if u.target is None else shown | {"cosine": fine.cosine(u.target)}


def flow_of_labels(saddle: Saddle, start: Start, tau: Float[np.ndarray, " p"], rtol: float) -> Float[np.ndarray, "p kz"]:
    """Control: the NCF flow with y in the place of the residual. Raises RuntimeError if the solver gives up."""
    y = labels(saddle)
    what = "the NCF flow of the labels"
    solution = solve(lambda _, v: saddle.idle.pull(v, y), tau[-1], start.z, "DOP853", tau, what=what, rtol=rtol, atol=rtol)
    return np.asarray(solution.y.T)


def readings_of(runs: Table) -> Found:
    """What the claims on Theorem 5.5 and Lemma D.1 ask of all starts."""
    collapses = runs["collapses"] > 0
    aligned, collapsed = runs.where(~collapses), runs.where(collapses)
    literal, error = runs["literal_delta"], runs.errors["literal_delta"].to_numpy()
    return {
        "runs": Measurement.count(len(runs)),
        "dichotomy_margin_min": runs.smallest("margin"),
        "cosine_margin_min": aligned.smallest("cosine"),
        "cosine_margin_wrong_residual": aligned.smallest("decoy"),
        "norm_margin_min": aligned.smallest("norm"),
        "collapse_ratio_max": collapsed.largest("collapse"),
        "deviation_over_epsilon_max": runs.largest("within"),
        "growth_rate_ratio_max": runs.largest("rate_ratio"),
        "starts_without_delta_bar": Measurement.count(int(np.nansum(runs["missing"])), len(runs)),
        "unasked_share": fraction(runs["asked"] == 0),
        "delta_bar_log10_min": smallest_setting(runs["bar"]),
        "close_delta_log10_min": smallest_setting(runs["close_bar"]),
        "kkt_residual_max": aligned.largest("kkt_residual"),
        "kkt_value_min": aligned.smallest("kkt_value"),
        "literal_log10_delta_max": largest(np.log10(literal), error / literal / math.log(10)),
    }


def slopes(runs: Table, scales: Float[np.ndarray, " d"], between: tuple[float, float]) -> Found:
    """How the deviation from u, the distance from the saddle and that from the control's flow shrink with delta.

    The deviation of the start where it shrinks most slowly; one slope for all starts of the other two.
    """
    fitted = np.flatnonzero((scales >= between[0]) & (scales <= between[1])).tolist()
    found: dict[str, Measurement] = {}
    for name in ("deviation", "stay", "astray"):
        columns = [f"{name}_{k}" for k in fitted]
        some = runs.where(~np.isnan(runs[columns[0]]))
        fine, coarse = (some.values[[column + end for column in columns]].to_numpy() for end in ("", "_coarse"))
        keep = np.abs(np.log(coarse / fine)) <= RESOLVED
        errors = some.errors[columns].to_numpy()
        if name == "deviation":
            each = [log_rate(scales[fitted], *(part[[row]] for part in (fine, errors, keep))) for row in range(len(fine))]
            found["deviation_slope"] = smallest_slope(each)
        else:
            found[f"{name}_slope"] = log_rate(scales[fitted], fine, errors, keep)
        found[f"{name}_points_dropped"] = count(~keep)
    return found


def smallest_slope(slopes: Sequence[Measurement]) -> Measurement:
    """Of starts with points enough: a slope of one start has no chance in it, only the errors of its points."""
    known = [slope for slope in slopes if slope.n]
    if not known:
        return NOTHING
    least = min(known, key=lambda slope: slope.value)
    return Measurement(least.value, least.error, n=len(known))
