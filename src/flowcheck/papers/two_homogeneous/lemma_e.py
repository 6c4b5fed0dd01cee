r"""Lemmas E.1 and E.2 of two_homogeneous: all solutions of $\dot u\in\partial(u_1|u_2|)$, from the branching point and elsewhere.

Closed forms by computer algebra, by difference quotients, against integration with events, and against Euler polygons that know
nothing of the rule by which solutions rest on the kink.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import sympy as sp
from jaxtyping import Float

from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.papers.two_homogeneous.kink_example import Solutions
from flowcheck.pipeline.evidence import Found, Measurement

LATE = 5.0
"""A time at which the direction of a solution that left at once is within 1e-4 of its limit."""
LIMIT = np.array([1.0, 1.0]) / math.sqrt(2.0)
DEPARTURES = (0.0, 0.5, 1.3, 3.1, 4.7)
STEP = 1e-5
DIFFERENCES = math.sqrt(2) * math.cosh(LATE) * (STEP**2 / 6 + (LATE + 1) * sys.float_info.epsilon / STEP)
"""Error of a central difference of u_T, which and whose derivatives are at most sqrt 2 cosh 5 in norm: the term of third order,
and the rounding of two values over two steps. A value is off by an epsilon of its own and by that of its time, up to 5."""
DIRECTION = 4 * sys.float_info.epsilon
"""Rounding of the distance of two unit vectors: quotients, differences and a norm of numbers up to 1."""
CASES = ("|z2| > |z1|", "|z2| <= |z1|, z1 > 0", "|z2| < |z1|, z1 < 0", "|z2| = |z1|, z1 < 0")
LENGTH = 2.0
FAR, NEAR = 1e-5, 1e-10
"""How far the starts are shifted whose solutions must stay together."""
SHIFTS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def proofs() -> Found:
    """Off the kink the closed forms satisfy the equations for all times and starts; by computer algebra."""
    t, a, z = sp.symbols("t a z", positive=True)
    z1 = sp.symbols("z_1", real=True)
    first, second = z1 * sp.cosh(t) + a * sp.sinh(t), z1 * sp.sinh(t) + a * sp.cosh(t)
    # from u = (-z, a), a < z, the kink is hit at artanh(a / z), where u_1 = -sqrt(z^2 - a^2) by the invariant
    at_hit, too_late = {z1: -z, t: sp.atanh(a / z)}, {z1: -z, t: 2 * sp.atanh(a / z)}
    identities = {
        "e1": [
            sp.diff(sp.cosh(t), t) - sp.Abs(sp.sinh(t)),
            sp.diff(sp.sinh(t), t) - sp.cosh(t),
            (1 - 1 / sp.sqrt(2)) ** 2 + sp.Rational(1, 2) - (2 - sp.sqrt(2)),
        ],
        "e1_broken": [sp.diff(sp.cosh(2 * t), t) - sp.Abs(sp.sinh(2 * t))],
        "e2": [
            sp.diff(first, t) - second,
            sp.diff(second, t) - first,
            first**2 - second**2 - (z1**2 - a**2),
            second.subs(at_hit),
        ],
        "e2_broken": [first**2 + second**2 - (z1**2 + a**2), second.subs(too_late)],
    }
    failures = {name: sum(not is_zero(r) for r in group) for name, group in identities.items()}
    return {f"{name}_symbolic_failures": Measurement.count(count, len(identities[name])) for name, count in failures.items()}


def is_zero(residual: sp.Expr) -> bool:
    """Proved as a sum of exponentials, each of which then has the coefficient 0, or by simplification of that sum."""
    exponentials = sp.expand(residual.rewrite(sp.exp))
    return bool(exponentials == 0 or sp.simplify(exponentials) == 0)


def lemma_e1() -> Found:
    """u_T solves the inclusion for every T, to both sides; at a fixed time its direction is far from the limit if T is late."""
    t = np.linspace(0.0, LATE, 251)[1:]
    residual, doubled, curves = [], [], []
    for departure, side in [(T, side) for T in DEPARTURES for side in (1.0, -1.0)]:
        curve, smooth = kink_example.branch(departure, t, side), np.abs(t - departure) > 2 * STEP
        velocity = (kink_example.branch(departure, t + STEP, side) - kink_example.branch(departure, t - STEP, side)) / (2 * STEP)
        ends = kink_example.subdifferential(curve)
        residual.append(kink_example.distance_to_segment(velocity, ends)[smooth].max())
        doubled.append(kink_example.distance_to_segment(2 * velocity, ends)[smooth].max())
        curves.append(curve)
    distances = np.array([distance_from_limit(T) for T in (LATE, 2 * LATE, 100 * LATE)])
    farthest = math.sqrt(2.0 - math.sqrt(2.0))
    return {
        "branch_times": t,
        "branch_curves": np.array(curves),
        "branch_departures": np.repeat(DEPARTURES, 2),
        "e1_inclusion_residual": largest(np.array(residual), DIFFERENCES),
        "e1_inclusion_residual_rate_doubled": smallest(np.array(doubled), 2 * DIFFERENCES),
        "e1_late_distance": smallest(distances, DIRECTION),
        "e1_late_distance_gap": largest(np.abs(distances - farthest), DIRECTION),
        "e1_late_distance_gap_left_at_once": Measurement(abs(distance_from_limit(0.0) - farthest), DIRECTION, n=1),
    }


def distance_from_limit(departure: float) -> float:
    """Distance of the direction of u_T at time `LATE` from [1, 1] / sqrt 2, in which every u_T ends."""
    u = kink_example.branch(departure, np.array([LATE]))
    return float(np.linalg.norm(u / np.linalg.norm(u, axis=-1, keepdims=True) - LIMIT))


def random_starts(rng: np.random.Generator, count: int) -> Float[np.ndarray, "s 2"]:
    """`count` starts of each of the four `CASES`, in their order; one is on the half-line that absorbs."""
    size, side = rng.uniform(0.2, 1.0, (4, count)), rng.choice([-1.0, 1.0], (4, count))
    share = rng.uniform(0.02, 0.95, (4, count))
    share[2, 0] = 0.0
    cases = [
        np.stack([rng.choice([-1.0, 1.0], count) * share[0] * size[0], side[0] * size[0]], axis=-1),
        np.stack([size[1], side[1] * share[1] * size[1]], axis=-1),
        np.stack([-size[2], side[2] * share[2] * size[2]], axis=-1),
        np.stack([-size[3], side[3] * size[3]], axis=-1),
    ]
    return np.concatenate(cases)


def lemma_e2(starts: Float[np.ndarray, "s 2"]) -> Found:
    """All solutions from the starts over `LENGTH`: closed form against events, and whether they are the only ones.

    Raises ValueError for a start on the half-line where solutions branch.
    """
    times = np.linspace(0.0, LENGTH, 81)
    exact = Solutions(kink_example.solution(starts, times), kink_example.hit_time(starts))
    far, near = ((starts + size * SHIFTS[:, None]).reshape(-1, 2) for size in (FAR, NEAR))
    beside = np.array([[1.0, NEAR], [1.0, -NEAR]])
    own, at_far, at_near, branching = kink_example.at_two_tolerances([starts, far, near, beside], times)
    return {
        "starts": starts,
        "paths": exact.states,
        "path_times": times,
        "hits": exact.hits,
        "gaps": np.abs(exact.states - own[0].states).max(axis=(1, 2)),
        **against_events(starts, exact, *own),
        "e2_separation": apart(exact, *at_near).largest(),
        "e2_separation_over_bound": apart(exact, *at_far, FAR * np.exp(times)).largest(),
        "e2_separation_branching": between(*branching).largest(),
    }


def against_events(starts: Float[np.ndarray, "s 2"], exact: Solutions, fine: Solutions, coarse: Solutions) -> Found:
    """Closed form and integration: states, the time at which the kink is reached, and Eq. (82), u1^2 - u2^2 is constant."""
    found, less = fine.states, coarse.states
    within = np.where(exact.hits <= LENGTH, exact.hits, np.inf)
    both = np.isfinite(fine.hits) & np.isfinite(within)
    start = starts**2 @ [1.0, -1.0]

    def gap(states: np.ndarray, side: float) -> Float[np.ndarray, "s p"]:
        return np.abs(exact.states * [1.0, side] - states).max(axis=2)

    def drift(states: np.ndarray) -> Float[np.ndarray, "s p"]:
        return np.abs(states[..., 0] ** 2 - states[..., 1] ** 2 - start[:, None])

    return {
        "e2_event_gap": Refined.of(gap(found, 1.0), gap(less, 1.0)).worst(axis=1).largest(),
        "e2_event_gap_sign_flipped": Refined.of(gap(found, -1.0), gap(less, -1.0)).worst(axis=1).largest(),
        "e2_hit_time_gap": Refined.of(*(np.abs(hits[both] - within[both]) for hits in (fine.hits, coarse.hits))).largest(),
        "e2_hit_mismatches": Measurement.count((np.isfinite(fine.hits) != np.isfinite(within)).sum(), len(starts)),
        "e2_invariant_defect": Refined.of(drift(found), drift(less)).worst(axis=1).largest(),
    }


def apart(exact: Solutions, fine: Solutions, coarse: Solutions, scale: Float[np.ndarray, " p"] | float = 1.0) -> Refined:
    """Largest distance of each solution from the four whose starts are shifted, over `scale`; per start."""

    def distances(shifted: np.ndarray) -> Float[np.ndarray, "4 s p"]:
        return np.linalg.norm(shifted.reshape(4, *exact.states.shape) - exact.states, axis=-1) / scale

    return Refined.of(distances(fine.states), distances(coarse.states)).worst(axis=2).worst(axis=0)


def between(fine: Solutions, coarse: Solutions) -> Refined:
    """Largest distance of two solutions."""
    return Refined.of(*(np.linalg.norm(run.states[:1] - run.states[1:], axis=-1) for run in (fine, coarse))).worst(axis=1)


def polygons(rng: np.random.Generator, count: int, steps: int) -> Found:
    """Euler polygons from the kink, any element of the subdifferential chosen on it: the drift is of the size of the step.

    From the half-line that absorbs, and from the one where solutions branch, over half of `LENGTH`.
    """
    length, level = LENGTH / 2, np.linspace(0.1, 1.0, count)
    h, start = length / steps, np.stack([np.concatenate([-level, level]), np.zeros(2 * count)], axis=-1)
    u = start
    for _ in range(steps):
        ends, weight = kink_example.subdifferential(u), rng.random((len(u), 1))
        u = u + h * (weight * ends[:, 0] + (1 - weight) * ends[:, 1])
    drift = np.linalg.norm(u - start, axis=-1) / h
    # a step rounds by two epsilons of a state of at most e^t, and later steps let that grow to e^(length - t)
    rounding = 2 * sys.float_info.epsilon * math.exp(length) * steps / h
    return {
        "e2_euler_drift_over_step": largest(drift[:count], rounding),
        "e2_euler_drift_over_step_branching_side": smallest(drift[count:], rounding),
    }
