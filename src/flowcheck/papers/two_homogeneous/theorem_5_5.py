r"""Theorem 5.5 of two_homogeneous, and Lemma D.1 on the way: near a saddle w_n stays, and $w_z/\delta$ follows the NCF flow u.

With the constants of the proof. Judged is every delta that keeps $w_z/\delta$ within epsilon of u; that the smallest does is a
predicate of its own. The delta that the proof asks for is among them, where float64 has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import count, largest, log_rate
from flowcheck.measures.refinement import change
from flowcheck.measures.table import Row, Table, at_two_tolerances
from flowcheck.papers.homogeneous.near_saddles import coarser_flow, kkt_point, labels, limit_for_labels
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.constants import Growth, growth
from flowcheck.saddles.departure import Departure, ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle

POINTS = 120
"""Recorded times, besides those at which epsilons are met."""
DECOY_SINE, DECOY_RTOL = 0.02, 1e-8
"""The NCF flow of the labels: up to which sine its limit is waited for, small against the claim's bound, and its tolerance."""
SMALLEST_DELTA = 1e-280
"""In the place of a delta of the proof that leaves float64."""
RESOLVED = 0.01
"""Points whose two tolerances differ by more leave a fit, and are counted."""


def judge(path: Departure, u: ResidualFlow, smallest: float, constants: Growth, epsilons: Sequence[float]) -> dict[str, float]:
    """The flows from one start: the smallest margins, and the largest ratios to a bound, over all epsilons.

    `smallest` is that of the norm of u; the largest epsilon stands first.
    """
    eta = 1.0 if u.target is None else 0.5 * smallest
    a_norm, b_norm, distance = path.a_norm, path.b_norm, path.deviation
    cosine = np.ones_like(b_norm) if u.target is None else path.cosine(u.target)
    low: dict[str, list[float]] = {key: [] for key in ("cosine", "norm", "bound")}
    high: dict[str, list[float]] = {key: [] for key in ("within", "again", "collapse")}
    for epsilon, time in zip(epsilons, u.times, strict=True):
        at = int(np.searchsorted(path.tau, time))
        deviation = distance[:, : at + 1].max(axis=1)
        close, bound = deviation <= epsilon, 1 - (1 + 1.5 / eta) * epsilon
        high["within"].append(deviation[-1] / epsilon)
        high["again"].append(np.sum(~close[np.argmax(close) :]))
        low["bound"].append(bound)
        if close.any():  # otherwise within > 1 contradicts the claim
            high["collapse"].append(b_norm[close, at].max() / (2 * epsilon))
            low["cosine"].append(cosine[close, at].min() - bound)
            low["norm"].append(b_norm[close, at].min() - eta)
    exponent = 2 * constants.m2 * path.tau[1:]
    claimed = math.log(2) + 2 * np.log(path.delta[:, None]) + exponent <= 2 * math.log(constants.radius)
    growth_ratio = np.log((a_norm**2 + b_norm**2)[:, 1:] / 2) / exponent
    found = {key: float(np.min(values)) if values else math.nan for key, values in low.items()}
    found |= {key: float(np.max(values)) if values else math.nan for key, values in high.items()}
    return found | {"rate_ratio": float(growth_ratio[claimed].max())}


def literal_delta(constants: Growth, last: float) -> float:
    r"""The largest delta with $2C\delta^2\le\min(1,\gamma^2)$, $C=e^{2M_2T}$, as Lemma D.1 needs it up to T = `last`."""
    return max(math.exp(-constants.m2 * last) * constants.radius / math.sqrt(2), SMALLEST_DELTA)


def run(
    system: str, saddle: Saddle, start: Start, *, epsilons: Sequence[float], scales: Sequence[float], control: bool
) -> tuple[Row, dict[str, np.ndarray]]:
    """What is found from one start, numbers at the second tolerance as `..._coarse`, and the paths for the figures.

    Epsilons and `scales` decrease. With `control` the NCF flow of the labels is followed, and compared in the place of u. Raises
    RuntimeError if a flow does not get to its end.
    """
    u, constants, coarser = start.u, growth(saddle), coarser_flow(saddle, start, np.array(epsilons))
    literal, moved = (literal_delta(constants, float(flow.times[-1])) for flow in (u, coarser))
    delta = np.array([*scales, literal])
    tau = np.unique(np.concatenate([np.linspace(0, u.times[-1], POINTS), u.times]))
    row: Row = {
        "system": system,
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
        for k, scale in enumerate(scales):
            found[f"deviation_{k}"] = float(deviation[k].max())
            if wrong is not None:
                found[f"astray_{k}"] = float(np.linalg.norm(b[k] - wrong, axis=-1).max())
            found[f"stay_{k}"] = float(scale * np.sqrt((a_norm[k] ** 2 + b_norm[k] ** 2).max()))
        return found

    fine, coarse = (
        departure.depart(saddle, delta, start.n, start.z, tau, u.curve, coarser=factor) for factor in (1.0, departure.COARSER)
    )
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
    collapses = runs["system"] == "collapsing"
    aligned, collapsed = runs.where(~collapses), runs.where(collapses)
    literal, error = runs["literal_delta"], runs.errors["literal_delta"].to_numpy()
    return {
        "runs": Measurement.count(len(runs)),
        "cosine_margin_min": aligned.smallest("cosine"),
        "cosine_margin_wrong_residual": aligned.smallest("decoy"),
        "norm_margin_min": aligned.smallest("norm"),
        "cosine_bound_min": aligned.smallest("bound"),
        "collapse_ratio_max": collapsed.largest("collapse"),
        "deviation_over_epsilon_max": runs.largest("within"),
        "growth_rate_ratio_max": runs.largest("rate_ratio"),
        "reappearing_deviations": Measurement.count(int(runs["again"].sum()), len(runs)),
        "kkt_residual_max": aligned.largest("kkt_residual"),
        "kkt_value_min": aligned.smallest("kkt_value"),
        "literal_log10_delta_max": largest(np.log10(literal), error / literal / math.log(10)),
    }


def slopes(runs: Table, scales: Float[np.ndarray, " d"], between: tuple[float, float]) -> Found:
    """How the deviation from u, the distance from the saddle and that from the control's flow shrink with delta."""
    fitted = np.flatnonzero((scales >= between[0]) & (scales <= between[1])).tolist()
    found: dict[str, Measurement] = {}
    for name in ("deviation", "stay", "astray"):
        some = runs.where(~np.isnan(runs[f"{name}_0"]))
        columns = [f"{name}_{k}" for k in fitted]
        fine, coarse = (some.values[[column + end for column in columns]].to_numpy() for end in ("", "_coarse"))
        moved = np.abs(np.log(coarse / fine))
        keep = moved <= RESOLVED
        found[f"{name}_slope"] = log_rate(scales[fitted], fine, some.errors[columns].to_numpy(), keep)
        found[f"{name}_points_dropped"] = count(~keep)
    return found
