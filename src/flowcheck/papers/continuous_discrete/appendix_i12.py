"""Lemmas 40 to 59 and 65: what Proposition 14 says along the exact flow of Eq. (59), over a grid of depths, angles and lengths.

A slack is ln of the bound over what is bounded (the other way round for a lower bound), so that it is a factor and compares
between rows; a negative one is a violation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.measures.refinement import refined
from flowcheck.papers.continuous_discrete import deep_linear_bounds as bounds
from flowcheck.papers.continuous_discrete.reparameterised_flow import PANEL, ReparameterisedFlow
from flowcheck.pipeline.evidence import Found, Measurement

END = 60.0
"""Of the clock. t_a + t_c + t of accuracy 1e-8 is below 45 for all flows with 1 + nu above 1e-3 and a length above 1e-3."""
SATURATED = 1e-10
"""Slacks are judged where |u - target| is above this: nearer, both sides are equal to rounding."""
BISECTIONS = 60
RADII = (1e-1, 1e-3, 1e-6)
"""Of neighbourhoods, in units of the largest that Proposition 14 admits, 1 / 2n."""
COUNTS = ("lemma46_wrong_turns", "loss_rises")
Column = Float[np.ndarray, " f"]


def flows_of(depths: Sequence[int], nus: Sequence[float], norms: Sequence[float], panel: float = PANEL) -> ReparameterisedFlow:
    """Flows from every combination."""
    n, nu, norm = (axis.ravel() for axis in np.meshgrid(np.array(depths, float), nus, norms, indexing="ij"))
    return ReparameterisedFlow(n, nu, norm, END, panel)


def turn(flow: ReparameterisedFlow) -> tuple[Column, Column, Column]:
    """t_m of Definition 45, by bisection, and nu and |u| there."""
    above = (1 - flow.one_minus_nu(flow.times)) >= flow.norm
    k = above.argmax(axis=1)
    low, high = flow.times[np.maximum(k - 1, 0)], flow.times[k]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        away, s = flow.at(middle)
        later = (1 - away) < 1 / (1 + s)
        low, high = np.where(later, middle, low), np.where(later, high, middle)
    away, s = flow.at(high)
    return high, 1 - away, 1 / (1 + s)


def along(flow: ReparameterisedFlow, accuracies: Sequence[float]) -> dict[str, Float[np.ndarray, "*f"]]:
    """Slacks of Lemmas 41 to 58 for each flow, the smallest over time where it is a statement about all times."""
    n, u, gap, t = flow.depth, flow.norm, flow.gradient, flow.times
    near = gap <= SATURATED
    t_m, nu_m, u_min = turn(flow)
    t_a = bounds.alignment_time(flow.nu0)
    t_c = bounds.growth_time(n, u_min)
    log_u, log_start = np.log(u), np.log(flow.norm0)[:, None]
    falling, rising = t[None, 1:] <= t_m[:, None], t[None, :-1] >= t_m[:, None]
    change = np.diff(log_u, axis=1)
    moving = ~near[:, 1:]
    after_a, after_c = (t - t_a[:, None]), (t - (t_a + t_c)[:, None])

    def least(slack: Float[np.ndarray, "f p"], where: np.ndarray) -> Column:
        return np.where(where & ~near, slack, np.inf).min(axis=1)

    aligned = flow.at(t_a)[0]
    escape = bounds.escape_bound(n[:, None], u_min[:, None], np.maximum(after_a, 0.0))
    approach = bounds.near_bound(n[:, None], np.maximum(after_c, 0.0))
    at_c = 1 / (1 + flow.at(t_a + t_c)[1])
    found = {
        "turn_time": t_m,
        "smallest_norm": u_min,
        "lemma41_lower": least(log_u - (log_start - 2 * n[:, None] * t), t >= 0),
        "lemma41_upper": least(log_start + n[:, None] * t - log_u, t >= 0),
        "lemma46_wrong_turns": (falling & moving & (change >= 0)).sum(axis=1) + (rising & moving & (change < 0)).sum(axis=1),
        "loss_rises": ((np.diff(gap, axis=1) > 0) & moving).sum(axis=1),
        "lemma46_below_one": least(flow.excess, t >= 0),
        "lemma47_smallest": log_u.min(axis=1) - np.log(u_min),
        "lemma47_cosine": np.where(flow.nu0 <= flow.norm0, np.abs(nu_m / u_min - 1), np.nan),
        "lemma48": np.log(u_min) - bounds.log_smallest_norm(n, flow.nu0, flow.norm0),
        "lemma50": np.log((1 - aligned) / (2 / 3)),
        "lemma51": least(log_u - np.log(escape), after_a >= 0),
        "lemma53": np.log(at_c / (2 * n / (3 * (n + 1)))),
        "lemma54": least(np.log(approach) - np.log(gap.clip(1e-300)), after_c >= 0),
    }
    integral = flow.gradient_integral()
    found["lemma65_gradient"] = np.log((1.2 * (t_a + t_c) + 3) / integral[:, -1])
    for accuracy in accuracies:
        found |= _accurate(flow, accuracy, t_a + t_c)
    for share in RADII:
        found |= _integrals(flow, share, integral, u_min)
    return found


def _accurate(flow: ReparameterisedFlow, accuracy: float, grown: Column) -> dict[str, Float[np.ndarray, " f"]]:
    """Lemmas 56 and 58 and Proposition 14 for one accuracy; `grown` is the time by which the flow is aligned and has grown."""
    n, t = flow.depth, flow.times
    t_e = bounds.accuracy_time(n, np.full_like(n, accuracy))
    away, s = flow.at(np.minimum(grown + t_e, flow.end))
    loss = flow.distance(away, s) ** 2 / 2
    clock = np.array([np.interp(x, t, row) for x, row in zip(grown + t_e, flow.clock, strict=True)])
    bound = bounds.log_time(n, flow.nu0, flow.norm0, np.full_like(n, accuracy))
    hit = (flow.gradient**2 / 2 <= accuracy).argmax(axis=1)
    # later than the horizon the loss is smaller still
    stop = np.array([np.interp(np.exp(b), row, t) for b, row in zip(bound, flow.clock, strict=True)])
    final = flow.distance(*flow.at(stop)) ** 2 / 2
    reached = np.take_along_axis(flow.clock, hit[:, None], axis=1)[:, 0]
    return {
        f"lemma56_{accuracy:g}": np.log(accuracy / loss),
        f"proposition14_loss_{accuracy:g}": np.log(accuracy / final.clip(1e-30)),
        f"lemma58_{accuracy:g}": bound - np.log(clock),
        # a start may be accurate enough already
        f"proposition14_time_{accuracy:g}": np.where(hit > 0, bound - np.log(reached.clip(1e-300)), np.nan),
    }


def _integrals(
    flow: ReparameterisedFlow, share: float, integral: Float[np.ndarray, "f p"], u_min: Column
) -> dict[str, Float[np.ndarray, " f"]]:
    """Eq. (22) and (72) for a radius that is this share of the largest."""
    n, epsilon = flow.depth, share / (2 * flow.depth)
    m = flow.m_integral(epsilon)[:, 1:]
    bound_m = bounds.m_integral_bound(n[:, None], flow.nu0[:, None], flow.norm0[:, None], flow.clock[:, 1:], epsilon[:, None])
    middle = (n - 1)[:, None] * integral[:, 1:] + 12 * (n**3 * epsilon / u_min)[:, None] * flow.clock[:, 1:]
    return {
        f"equation22_{share:g}": np.log(bound_m / m).min(axis=1),
        f"equation72_{share:g}": np.log(middle / m).min(axis=1),
    }


def appendix_i12(
    depths: Sequence[int], nus: Sequence[float], norms: Sequence[float], accuracies: Sequence[float]
) -> tuple[Found, dict[str, Float[np.ndarray, " f"]]]:
    """The smallest slack of each statement over the grid, with its change on halved panels, and the table of all."""

    def measured(panel: float) -> dict[str, Float[np.ndarray, " f"]]:
        return along(flows_of(depths, nus, norms, panel), accuracies)

    columns = refined(measured, PANEL / 2, PANEL)
    found: dict[str, Measurement | np.ndarray] = {}
    for name, values in columns.items():
        if name in COUNTS:
            found[name] = Measurement.count(int(values.value.sum()), values.value.size)
        elif name == "lemma47_cosine":
            found[f"{name}_max"] = values.largest(np.isfinite(values.value))
        elif name not in ("turn_time", "smallest_norm"):
            found[f"{name}_min"] = values.smallest(np.isfinite(values.value))
    flow = flows_of(depths, nus, norms)
    table = {"depth": flow.depth, "nu": flow.nu0, "norm": flow.norm0} | {name: values.value for name, values in columns.items()}
    return {**found, **broken(flow, columns["smallest_norm"].value)}, table


def broken(flow: ReparameterisedFlow, smallest: Column) -> Found:
    """What the checks say of changed statements and of starts outside the hypotheses: each must come out violated."""
    n, t = flow.depth, flow.times
    t_a, t_c = bounds.alignment_time(flow.nu0), bounds.growth_time(n, smallest)
    away, _ = flow.at(t_a * 0.8)
    late = flow.at(t_a + 0.5 * t_c)[1]
    later = np.maximum(t - (t_a + t_c)[:, None], 0.0)
    fast = 1.2 * np.exp(-2 * n[:, None] * later)
    far = (later > 0) & (flow.gradient > SATURATED)
    t_m, _, _ = turn(flow)
    late_turns = (np.diff(flow.norm, axis=1) > 0) & (t[None, 1:] <= (t_m + 1.0)[:, None])
    long = ReparameterisedFlow(np.array([2.0, 3.0]), np.array([0.5, 0.5]), np.array([3.0, 3.0]), 20.0)
    raised = np.log(smallest) - (np.log(flow.norm0) - n * np.maximum(0.0, np.log(bounds.x_of(flow.nu0).clip(1e-300)) / 4))
    accuracy = np.full_like(n, 0.05)
    without_growth = flow.distance(*flow.at(t_a + bounds.accuracy_time(n, accuracy))) ** 2 / 2
    t_e = t_a + t_c + bounds.accuracy_time(n, accuracy)
    clock = np.array([np.interp(x, t, row) for x, row in zip(t_e, flow.clock, strict=True)])
    uninflated = bounds.log_time(n, flow.nu0, flow.norm0, accuracy) - bounds.log_inflation(n, flow.nu0)
    epsilon = RADII[-1] / (2 * n)
    first_term = 15 * n**3 * np.exp(bounds.log_inflation(n, flow.nu0)) * epsilon / flow.norm0
    only_first = np.log(first_term[:, None] * flow.clock[:, 1:] / flow.m_integral(epsilon)[:, 1:])
    return {
        "lemma41_lower_half_rate_min": readings.smallest(
            (np.log(flow.norm) - np.log(flow.norm0)[:, None] + n[:, None] * t / 4).min(axis=1), 1e-9
        ),
        "lemma46_wrong_turns_one_later": readings.count(np.asarray(late_turns.any(axis=1))),
        "lemma47_one_later_max": readings.largest(np.log(flow.norm).min(axis=1) + np.log1p(flow.at(t_m + 1.0)[1]), 1e-9),
        "lemma46_below_one_long_start_min": readings.smallest(long.excess[:, 0], 1e-15),
        "lemma48_quarter_power_min": readings.smallest(raised, 1e-9),
        "lemma50_too_early_min": readings.smallest(np.log((1 - away).clip(1e-9) / (2 / 3)), 1e-9, flow.nu0 < 2 / 3),
        "lemma56_without_growth_min": readings.smallest(np.log(0.05 / without_growth), 1e-9),
        "lemma58_without_inflation_min": readings.smallest(uninflated - np.log(clock), 1e-3),
        "equation22_first_term_min": readings.smallest(only_first.min(axis=1), 1e-6),
        "lemma53_too_early_min": readings.smallest(np.log((1 / (1 + late)) / (2 * n / (3 * (n + 1)))), 1e-9),
        "lemma54_fast_rate_min": readings.smallest(
            np.where(far, np.log(fast.clip(1e-300)) - np.log(flow.gradient.clip(1e-300)), np.inf).min(axis=1), 1e-9
        ),
    }
