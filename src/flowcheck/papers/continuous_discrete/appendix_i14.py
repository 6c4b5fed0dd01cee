"""Lemmas 66 to 87: the proof of Proposition 20, step by step, on pairs of a flow and a descent.

Closed forms of the flow are held against times that quadrature finds, closed forms of descent against iterates that the gradient
alone makes. Everything that the lemmas compare is compared in extended precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from mpmath import mp, mpf

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.proposition_20 import DOUBLE, ray_distance, separation
from flowcheck.papers.continuous_discrete.worst_case import DIGITS, Even
from flowcheck.papers.continuous_discrete.worst_case_paths import Descent, Flow
from flowcheck.papers.continuous_discrete.worst_case_runs import Pair, Stepped, admitted_times, step_by_step, without_anisotropy
from flowcheck.pipeline.evidence import Found, Measurement

EXACT = 1e-30
"""Relative: what is left of numbers with `DIGITS` digits after a difference of two that agree in twelve, with room to spare."""
QUADRATURE = 1e-25
"""Of a time by quadrature over intervals on which the integrand varies by a factor of ten at most."""
PER_STEP = 4 * float(np.finfo(np.float64).eps)
"""Relative rounding of one step of descent in double precision."""


def _smallest(values: Sequence[mpf], error: float = DOUBLE) -> Measurement:
    numbers = np.array([float(value) for value in values])
    return readings.smallest(numbers, error * np.maximum(np.abs(numbers), 1e-30))


def _largest(values: Sequence[mpf], error: float) -> Measurement:
    return readings.largest(np.array([float(abs(value)) for value in values]), error)


def flow_times(flows: Sequence[Flow]) -> Found:
    """Lemmas 67, 68, 70, 75 and 80: when the flow is where, by its closed forms and by quadrature of dz / velocity."""
    gaps: dict[str, list[mpf]] = {"lemma68": [], "lemma70": [], "lemma75": [], "lemma80": []}
    broken: dict[str, list[mpf]] = {name: [] for name in gaps}
    slack: dict[str, list[mpf]] = {"lower": [], "upper": [], "ratio": [], "lower_broken": []}
    velocities = []
    with mp.workdps(DIGITS):
        for flow in flows:
            o, s, rho = flow.objective, flow.start, flow.objective.width
            _, last = admitted_times(flow)
            x, _, _ = flow.at(last)
            edge, one = 1 - rho, mpf(1)
            entered = _time(o.second, o.second.axis + s.from_axis, edge)
            passed = _time(o.second, edge, one)
            left = _time(o.second, one, o.second_cut)
            first = _time(o.first, s.first, x)
            gaps["lemma68"].append(first / last - 1)
            gaps["lemma70"].append(entered / flow.enters_transition - 1)
            gaps["lemma75"].append(passed / (flow.enters_isotropic - flow.enters_transition) - 1)
            gaps["lemma80"].append(left / (flow.leaves - flow.enters_isotropic) - 1)
            broken["lemma68"].append(first / (2 * last) - 1)
            broken["lemma70"].append(entered / (flow.enters_transition / 2) - 1)
            broken["lemma75"].append(passed / (2 * rho / o.a) - 1)
            broken["lemma80"].append(left / (mp.log(o.b) / o.a) - 1)
            # of second order in rho, all three
            slack["lower"].append((o.a * passed - mp.log((4 + rho) / (4 - 3 * rho))) / rho**2)
            slack["upper"].append((mp.log(1 / edge) - o.a * passed) / rho**2)
            slack["lower_broken"].append((o.a * passed - mp.log((4 + rho) / (4 - 4 * rho))) / rho**2)
            bound = ((s.from_axis) / (2 - 3 * rho / 2)) ** 2 / s.first
            slope_at_entry = 1 / (s.first * mp.exp(o.a * (entered + passed)))
            slack["ratio"].append((bound / slope_at_entry - 1) / rho)
            near = [o.second.axis + s.from_axis * mpf(10) ** k for k in range(6)]
            samples = [*near, edge, one, o.second_cut, o.second_cut + mpf("0.5")]
            velocities += [-o.second.derivative(z, 1) for z in samples]
            velocities += [-o.first.derivative(z, 1) for z in (s.first, x, o.first_cut)]
    return {
        **{f"{name}_flow_gap_max": _largest(found, QUADRATURE) for name, found in gaps.items()},
        **{f"{name}_flow_gap_broken_min": _smallest(list(map(abs, found))) for name, found in broken.items()},
        "lemma67_velocity_min": _smallest(velocities),
        "lemma75_lower_slack_min": _smallest(slack["lower"], 1e-10),
        "lemma75_upper_slack_min": _smallest(slack["upper"], 1e-10),
        "lemma75_ratio_slack_min": _smallest(slack["ratio"], 1e-10),
        "lemma75_lower_slack_broken_max": readings.largest(np.array([float(v) for v in slack["lower_broken"]]), 1e-3),
    }


def _time(function: Even, start: mpf, end: mpf) -> mpf:
    """How long the flow takes from start to end: the integral of dz / velocity, over ten-fold distances from the axis."""
    low, high = start - function.axis, end - function.axis
    cuts = [low]
    while cuts[-1] * 10 < high:
        cuts.append(cuts[-1] * 10)
    inside = [piece.right - function.axis for piece in function.pieces if low < piece.right - function.axis < high]
    marks = sorted({*cuts, *inside, high})
    return mp.quad(lambda z: -1 / function.derivative(function.axis + z, 1), marks)


def descent_counts(pairs: Sequence[Pair], stepped: Stepped) -> Found:
    """Lemmas 67, 68, 72, 73, 77, 78, 82, 83 and 84: iterates by the gradient against closed forms, regions and rays."""
    o = [pair.objective for pair in pairs]
    steps, first, second = np.arange(len(stepped.first))[:, None], stepped.first, stepped.from_axis
    with mp.workdps(DIGITS):
        descents = [pair.descent() for pair in pairs]
        entered = _column(descents, lambda d: d.enters_transition).astype(int)
        isotropic = _column(descents, lambda d: d.enters_isotropic).astype(int)
        left = _column(descents, lambda d: d.leaves).astype(int)
        bound = entered + _column(descents, _transition_bound).astype(int)
        full_rate = _column(descents, _entry_at_full_rate).astype(int)
        halved = _column(descents, lambda d: _first_at_half_rate(d) / d.first(d.enters_isotropic))
        closed = _closed_forms(descents, steps, entered, isotropic, left)
        axis, far = _column(descents, lambda d: d.objective.second.axis), _column(descents, lambda d: d.objective.first_cut)
        edge = _column(descents, lambda d: 2 - 3 * d.objective.width / 2)
        one, cut = 1.0 - axis, _column(descents, lambda d: d.objective.second_cut) - axis
    alive = ~np.isnan(second)
    slope = first / (second + axis)
    on_ray = (steps >= isotropic) & (steps <= left) & alive
    rays = np.where(on_ray, slope / slope[isotropic, np.arange(len(o))] - 1.0, np.nan)
    before = np.where((steps < entered) & alive, slope / slope[0] - 1.0, np.nan)
    rounding = PER_STEP * np.broadcast_to(steps + 1.0, first.shape)
    inner, outer = (steps < entered) & alive, (steps >= isotropic) & (steps < left)
    middle = (steps >= entered) & (steps < isotropic) & alive

    def outside(
        where: Bool[np.ndarray, "k p"], low: Float[np.ndarray, " p"] | float, high: Float[np.ndarray, " p"]
    ) -> Measurement:
        inside = (second >= low) & (second < high) & (first >= 0) & (first < far)
        return readings.count((where & ~inside)[where])

    counts = {
        "lemma72": entered != (second >= edge).argmax(axis=0),
        "lemma77": isotropic != (second >= one).argmax(axis=0),
        "lemma82": left != (second >= cut).argmax(axis=0),
    }
    falls = np.diff(first, axis=0) < 0, np.diff(second, axis=0) < 0
    turned = np.nanmax(np.abs(before), axis=0)
    return {
        "lemma67_descent_decreases": readings.count(np.stack(falls)[:, alive[1:]]),
        "lemma67_descent_decreases_mirrored": _mirrored_decreases(pairs),
        "lemma68_descent_gap_max": readings.largest(np.abs(first / closed[0] - 1.0), rounding),
        "lemma68_descent_gap_half_rate_min": readings.smallest(np.abs(halved - 1.0), DOUBLE),
        "lemma72_descent_gap_max": readings.largest(np.abs(second / closed[1] - 1.0), rounding, inner),
        "lemma82_descent_gap_max": readings.largest(np.abs(second / closed[1] - 1.0), rounding, outer),
        "lemma84_ray_gap_max": readings.largest(np.abs(rays), rounding),
        "lemma84_ray_gap_before_min": readings.smallest(turned, float(rounding.max()) * (1 + turned)),
        "lemma73_outside": outside(inner, 0.0, edge),
        "lemma78_outside": outside(middle, edge, one),
        "lemma83_outside": outside(outer, one, cut),
        "lemma73_outside_one_later": outside(steps == entered, 0.0, edge),
        "lemma83_outside_one_later": outside(steps == left, one, cut),
        "lemma78_outside_one_later": outside(steps == isotropic, edge, one),
        "lemma77_steps_beyond_bound": readings.count(isotropic > bound),
        **{f"{name}_count_mismatches": readings.count(wrong) for name, wrong in counts.items()},
        "lemma72_count_mismatches_full_rate": readings.count(full_rate != entered),
        "lemma82_count_mismatches_half_rate": readings.count(
            isotropic + 2 * (left - isotropic) != (second >= cut).argmax(axis=0)
        ),
    }


def _column(descents: Sequence[Descent], read: Callable[[Descent], mpf | int]) -> Float[np.ndarray, " p"]:
    return np.array([float(read(d)) for d in descents])


def _first_at_half_rate(d: Descent) -> mpf:
    """What the first coordinate of the first isotropic iterate would be with the rate a / 2."""
    return d.start.first * (1 + d.objective.a * d.step_size / 2) ** d.enters_isotropic


def _entry_at_full_rate(d: Descent) -> mpf:
    """k_{1-rho} of Lemma 72 (i) with the rate a in place of a / 2."""
    return mp.ceil(mp.log((2 - 3 * d.objective.width / 2) / d.start.from_axis) / mp.log1p(d.objective.a * d.step_size))


def _transition_bound(d: Descent) -> mpf:
    """How many steps Lemma 77 (i) allows for the transition."""
    return mp.ceil(max(mpf(0), -mp.log(d.transition[0]) / mp.log1p(d.objective.a * d.step_size)))


def _closed_forms(
    descents: Sequence[Descent],
    steps: Int[np.ndarray, "k 1"],
    entered: Int[np.ndarray, " p"],
    isotropic: Int[np.ndarray, " p"],
    left: Int[np.ndarray, " p"],
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, "k p"]]:
    """First coordinate and distance from the axis at these steps, NaN beyond the cut point, from logarithms in double precision.

    Growth factors are rounded once, to 1e-16 of the logarithm, so that the result is as good as the iterates it is held against.
    """
    inside, k = steps <= left, np.minimum(steps, left)
    rate = _column(descents, lambda d: mp.log1p(d.objective.a * d.step_size))
    inner_rate = _column(descents, lambda d: mp.log1p(d.objective.a * d.step_size / 2))
    first = _column(descents, lambda d: d.start.first) * np.exp(rate * k)
    inner = _column(descents, lambda d: d.start.from_axis) * np.exp(inner_rate * np.minimum(k, entered))
    outer = _column(descents, lambda d: d.transition[-1]) * np.exp(rate * np.maximum(k - isotropic, 0))
    outer = outer - _column(descents, lambda d: d.objective.second.axis)
    second = np.where(k <= entered, inner, np.where(k >= isotropic, outer, np.nan))
    return np.where(inside, first, np.nan), np.where(inside, second, np.nan)


def _mirrored_decreases(pairs: Sequence[Pair]) -> Measurement:
    """How often the second coordinate falls if it starts on the other side of the axis: the control of Lemma 67."""
    falls = []
    with mp.workdps(DIGITS):
        for pair in pairs:
            function = pair.objective.second
            z = function.axis - pair.flow.start.from_axis
            falls.append(-pair.step_size * function.derivative(z, 1) < 0)
    return readings.count(np.array([bool(fall) for fall in falls]))


def inequalities(pairs: Sequence[Pair]) -> Found:
    """Lemmas 66, 77 (ii), 85, 86 and 87, and the two inequalities on the way, at the smallest slack over all pairs."""
    growth, early, late, ray, finer, gap, isotropic_gap, width, horizon = ([] for _ in range(9))
    early_broken, late_broken, isotropic_ray = [], [], []
    with mp.workdps(DIGITS):
        for pair in pairs:
            o, s, flow = pair.objective, pair.flow.start, pair.flow
            scaled = o.a * pair.step_size
            if not pair.is_small:
                growth.append(abs(1 - 12 * scaled))
                continue
            d, (_, y, _) = pair.descent(), flow.at(pair.time)
            early.append(y - d.at(d.enters_isotropic - 1)[1])
            late.append(d.at(d.leaves)[1] - y)
            soon, end = flow.enters_isotropic + mp.log(mpf("1.5")) / o.a, flow.leaves
            early_broken.append(flow.at(soon)[1] - d.at(d.enters_isotropic - 1)[1])
            late_broken.append(o.second_cut - flow.at(end)[1])
            distance = ray_distance(pair, d)
            ray.append(distance / (mpf(10) ** -14 * scaled * mp.exp(o.a * pair.time)))
            finer.append(distance / ((2 * s.from_axis / (4 - 3 * o.width)) ** 2 * scaled * mp.exp(o.a * pair.time) / 20))
            bound = (s.from_axis / (2 - 3 * o.width / 2)) ** 2 / s.first
            gap.append((1 - bound * d.first(d.enters_isotropic) / d.transition[-1]) / scaled)
            broken = without_anisotropy(pair)
            isotropic_gap.append(separation(broken, broken.descent()))
            isotropic_ray.append(ray_distance(broken, broken.descent()) / (scaled * mp.exp(o.a * pair.time)))
            width.append(10 * o.width / scaled)
            horizon.append(30 + mp.log(o.b) - o.a * pair.time)
    return {
        "lemma66_growth_min": _smallest(growth),
        "lemma85_distance_min": _smallest(early),
        "lemma85_distance_too_early_max": _largest(early_broken, DOUBLE),
        "lemma87_distance_min": _smallest(late),
        "lemma87_distance_too_late_max": _largest(late_broken, EXACT),
        "lemma86_over_bound_min": _smallest(ray),
        "lemma86_over_finer_bound_min": _smallest(finer),
        "lemma86_over_bound_isotropic_max": _largest([mpf(10) ** 14 * value for value in isotropic_ray], 1e-20),
        "lemma77_separation_min": _smallest(gap),
        "lemma77_separation_isotropic_max": _largest(isotropic_gap, 1e-20),
        "lemma77_width_max": readings.largest(np.array([float(value) for value in width]), DOUBLE),
        "equation81_slack_min": _smallest(horizon),
    }


def topsoe(points: int) -> Found:
    """2z / (2 + z) <= ln(1 + z) <= z (2 + z) / 2 (1 + z), which Lemma 77 quotes, in units of z^3 where both are sharp."""
    with mp.workdps(DIGITS):
        z = [mpf(10) ** (mpf(8 * i) / (points - 1) - 6) for i in range(points)]
        unit = [value**3 / (1 + value) ** 2 for value in z]
        lower = [(mp.log1p(v) - 2 * v / (2 + v)) / u for v, u in zip(z, unit, strict=True)]
        upper = [(v * (2 + v) / (2 * (1 + v)) - mp.log1p(v)) / u for v, u in zip(z, unit, strict=True)]
        broken = [(mp.log1p(v) - 2 * v / (2 + mpf("0.9") * v)) / u for v, u in zip(z, unit, strict=True)]
    return {
        "topsoe_lower_slack_min": _smallest(lower, 1e-12),
        "topsoe_upper_slack_min": _smallest(upper, 1e-12),
        "topsoe_lower_slack_broken_min": _smallest(broken, 1e-12),
    }


def appendix_i14(flows: Sequence[Flow], pairs: Sequence[Pair], smallest_stepped: float, stepped: int) -> Found:
    """All of it. Step by step go `stepped` descents with a eta of at least `smallest_stepped`, evenly chosen of all of them."""
    slow_enough = [pair for pair in pairs if pair.is_small and pair.scaled_step >= smallest_stepped]
    followed = [slow_enough[i] for i in np.unique(np.linspace(0, len(slow_enough) - 1, stepped).astype(int))]
    counted = descent_counts(followed, step_by_step(followed))
    return {**flow_times(flows), **inequalities(pairs), **topsoe(81), **counted}
