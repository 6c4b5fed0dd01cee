"""Proposition 20: descent with a step of at least 1e14 e^{-at} epsilon / a stays more than epsilon away from the flow at time t.

Distances are those in the first two coordinates; the third only adds to them. The first coordinate is some 1e12 at that time,
and iterates are a share a eta of it apart, so the nearest one is far away for a reason that has nothing to do with the proof.
What the proof bounds is the distance of the flow from the ray on which descent moves; both are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from mpmath import mp, mpf

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.worst_case import DIGITS
from flowcheck.papers.continuous_discrete.worst_case_paths import Descent, Flow
from flowcheck.papers.continuous_discrete.worst_case_runs import (
    PRINTED_FACTOR,
    Pair,
    admitted_times,
    smallest_step,
    without_anisotropy,
)
from flowcheck.pipeline.evidence import Found, Measurement

DOUBLE = 1e-15
"""Relative rounding of numbers that are known to forty digits and written down with sixteen."""
WATCHED = 200
"""Iterates of the third coordinate with a large step, from which on it is beyond 1e20."""
SMALL_SCALED_STEP = 1e-2
"""Below which descent counts as slow: laws in eta are about small ones, and the next order is a share a eta."""
CRITICAL_ITERATIONS = 12


def ray_distance(pair: Pair, descent: Descent) -> mpf:
    """Of the flow at its time from the ray through the first iterate in the isotropic region (Lemma 86)."""
    x, y, _ = pair.flow.at(pair.time)
    p, q = descent.first(descent.enters_isotropic), descent.transition[-1]
    return abs(x * q - y * p) / mp.hypot(p, q)


def nearest(pair: Pair, descent: Descent) -> mpf:
    """The distance of the nearest iterate, of all that there are, in the first two coordinates.

    Before the isotropic region both coordinates grow towards the flow, beyond the cut point both grow away from it (Lemma 67), so
    the last iterate of the former and the first of the latter stand for all. In between they lie on a ray.
    """
    x, y, _ = pair.flow.at(pair.time)
    p, q = descent.first(descent.enters_isotropic), descent.transition[-1]
    along = (x * p + y * q) / (p * p + q * q)
    best = descent.enters_isotropic + int(mp.floor(mp.log(along) / mp.log1p(pair.objective.a * pair.step_size)))
    candidates = {descent.enters_isotropic - 1, descent.leaves, best, best + 1}
    inside = (max(0, min(k, descent.leaves)) for k in candidates)
    return min(mp.hypot(point[0] - x, point[1] - y) for point in map(descent.at, inside))


def separation(pair: Pair, descent: Descent) -> mpf:
    """One minus the ratio of descent's slope (first over second coordinate) to the flow's, in units of a eta."""
    x, y, _ = pair.flow.at(pair.flow.enters_isotropic)
    slope = descent.first(descent.enters_isotropic) / descent.transition[-1]
    return (1 - slope * y / x) / (pair.objective.a * pair.step_size)


def table(pairs: Sequence[Pair]) -> dict[str, Float[np.ndarray, " p"]]:
    """What Proposition 20 says of each pair, a column each; NaN where a column does not speak of a pair."""
    rows = []
    with mp.workdps(DIGITS):
        for pair in pairs:
            o = pair.objective
            row = {
                "a": o.a,
                "b": o.b,
                "epsilon": o.epsilon,
                "scaled_time": pair.scaled_time,
                "step_size": pair.step_size,
                "over_printed_step": pair.step_size / smallest_step(o, pair.time),
                "nearest_over_epsilon": mp.nan,
                "ray_over_epsilon": mp.nan,
                "separation": mp.nan,
                "third_distance": mp.nan,
            }
            if pair.is_small:
                descent = pair.descent()
                row["nearest_over_epsilon"] = nearest(pair, descent) / o.epsilon
                row["ray_over_epsilon"] = ray_distance(pair, descent) / o.epsilon
                row["separation"] = separation(pair, descent)
            else:
                row["third_distance"] = third_distance(pair)
            rows.append(row)
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def third_distance(pair: Pair) -> mpf:
    """The smallest distance of the first `WATCHED` iterates from the flow in the third coordinate (Lemma 66)."""
    _, _, flow = pair.flow.at(pair.time)
    factor = 1 - 12 * pair.objective.a * pair.step_size
    return min(abs(pair.flow.start.third * factor**k - flow) for k in range(WATCHED))


def proposition_20(pairs: Sequence[Pair], columns: dict[str, Float[np.ndarray, " p"]]) -> Found:
    """The statement over all pairs, and where it must fail: without anisotropy, and with a third coordinate that contracts."""
    with mp.workdps(DIGITS):
        broken = [without_anisotropy(pair) for pair in pairs if pair.is_small]
        isotropic = np.array([float(ray_distance(pair, pair.descent()) / pair.objective.epsilon) for pair in broken])
        contracting = [Pair(pair.flow, pair.time, 1 / (12 * pair.objective.a)) for pair in pairs if not pair.is_small]
        near = np.array([float(third_distance(pair)) for pair in contracting])
    small = ~np.isnan(columns["ray_over_epsilon"])
    smallest = {
        "proposition20_nearest_over_epsilon_min": columns["nearest_over_epsilon"],
        "proposition20_ray_over_epsilon_min": columns["ray_over_epsilon"],
        "proposition20_third_distance_min": columns["third_distance"],
    }
    found = {name: readings.smallest(values, DOUBLE * np.abs(values)) for name, values in smallest.items()}
    ray = columns["ray_over_epsilon"] / columns["over_printed_step"]
    return found | {
        "proposition20_ray_over_epsilon_isotropic_max": readings.largest(isotropic, 1e-20),
        "proposition20_third_distance_contracting_max": readings.largest(near, 1e-20),
        "proposition20_ray_at_printed_step_median": readings.median(ray, DOUBLE * np.abs(ray), small),
        "proposition20_small_steps": readings.count(small),
    }


def laws(flows: Sequence[Flow], times: int) -> Found:
    """How the distance from the ray grows with time at one step size, and with the step size at one time; the critical step."""
    shape = len(flows), times
    moments, far, critical, residual = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    steps, by_step = np.geomspace(SMALL_SCALED_STEP / 1000, SMALL_SCALED_STEP, times), np.zeros(shape)
    with mp.workdps(DIGITS):
        for i, flow in enumerate(flows):
            first, last = admitted_times(flow)
            for j, share in enumerate(np.linspace(0.0, 1.0, times)):
                time = first + (last - first) * mpf(float(share))
                moments[i, j] = float(flow.objective.a * time)
                far[i, j] = float(_distance(flow, time, mpf(SMALL_SCALED_STEP) / 10))
                by_step[i, j] = float(_distance(flow, last, mpf(float(steps[j]))))
                step, left = _critical_step(flow, time)
                critical[i, j], residual[i, j] = float(step), float(left)
    everywhere = np.ones(shape, dtype=bool)
    return {
        "ray_rate_in_time": readings.rate(moments, np.log(far), np.full(shape, DOUBLE), everywhere),
        "ray_exponent_in_step": readings.log_rate(steps, by_step, DOUBLE * by_step),
        "critical_step_rate_in_time": readings.rate(moments, np.log(critical), residual + DOUBLE, everywhere),
        # what they would be if time were counted by the rate of the inner region
        "ray_rate_inner_time": readings.rate(moments / 2, np.log(far), np.full(shape, DOUBLE), everywhere),
        "critical_step_rate_inner_time": readings.rate(moments / 2, np.log(critical), residual + DOUBLE, everywhere),
        "critical_scaled_time": moments,
        "critical_scaled_step": critical,
        "printed_scaled_step": PRINTED_FACTOR * np.exp(-moments) * np.array([[float(f.objective.epsilon)] for f in flows]),
    }


def _distance(flow: Flow, time: mpf, scaled_step: mpf) -> mpf:
    pair = Pair(flow, time, scaled_step / flow.objective.a)
    return ray_distance(pair, pair.descent())


def _critical_step(flow: Flow, time: mpf) -> tuple[mpf, mpf]:
    """A eta at which the flow is epsilon away from the ray, and how far ln of the distance is from ln epsilon there.

    The distance is nearly proportional to the step size, so the step is corrected by what the distance is off.
    """
    epsilon, step = flow.objective.epsilon, mpf(SMALL_SCALED_STEP) / 10
    for _ in range(CRITICAL_ITERATIONS):
        step *= epsilon / _distance(flow, time, step)
    return step, abs(mp.log(_distance(flow, time, step) / epsilon))


def displayed(flow: Flow, scaled_steps: Float[np.ndarray, " e"]) -> Found:
    """Distance of the flow from the ray, over epsilon, against the step size, at the first, a middle and the last time."""
    with mp.workdps(DIGITS):
        first, last = admitted_times(flow)
        times = [first + (last - first) * mpf(share) / 2 for share in range(3)]
        far = [
            [float(_distance(flow, time, mpf(float(step))) / flow.objective.epsilon) for step in scaled_steps] for time in times
        ]
        printed = [float(flow.objective.a * smallest_step(flow.objective, time)) for time in times]
        scaled = [float(flow.objective.a * time) for time in times]
    return {
        "displayed_scaled_steps": scaled_steps,
        "displayed_ray_over_epsilon": np.array(far),
        "displayed_printed_scaled_steps": np.array(printed),
        "displayed_scaled_times": np.array(scaled),
        "displayed_constants": np.array([float(flow.objective.b), float(flow.objective.epsilon)]),
    }


def admitted(b: Float[np.ndarray, " b"], epsilon: Float[np.ndarray, " e"]) -> Found:
    """Powers of ten of step sizes over which Proposition 20 says more than Lemma 66, at its last time, for constants b, epsilon.

    The start is in the middle of what is admitted. Where the number is negative, the printed step size is beyond 1 / 6a, and the
    statement is only that the third coordinate diverges.
    """
    rho = np.minimum(np.exp(-12.0) / 2, epsilon[:, None] / (2 * b[None]))
    last = 2 * np.log((2 - 1.5 * rho) / (0.75 * np.exp(-12.0) - rho / 2)) + np.log(b[None])
    decades = (last - np.log(6.0 * PRINTED_FACTOR * epsilon[:, None])) / np.log(10.0)
    # on a grid of constants, no sample: a share without an interval
    return {
        "admitted_b": b,
        "admitted_epsilon": epsilon,
        "admitted_decades": decades,
        "proposition20_empty_share": Measurement.exact(float((decades <= 0).mean()), decades.size),
        "proposition20_largest_decades": readings.largest(decades, 1e-12),
    }
