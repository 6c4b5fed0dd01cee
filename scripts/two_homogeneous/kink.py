"""Kinks (two_homogeneous): u1|u2| and its branching point, the escape from (u1|u2| - 1)^2, and what both say about Assumption 3.

Figure 2; Definition 4.1; Lemmas E.1, E.2, I.1, I.2, C.1 and J.1; Eq. (15). Closed forms against event-driven integration.
"""

import math

import numpy as np
import pandas as pd
import sympy as sp
import torch
from pydantic import Field

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.flows import flow
from flowcheck.measures.statistics import slope_interval
from flowcheck.networks import zoo
from flowcheck.networks.hypotheses import require_scale
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

RTOL, COARSE = 1e-12, 1e-10
NETWORK_RTOL, NETWORK_COARSE = 1e-10, 1e-8
LENGTH = 2.0
LATE = 5.0
"""A time at which the direction of a solution that left at once is within 1e-4 of its limit."""
LIMIT = np.array([1.0, 1.0]) / math.sqrt(2.0)
KINK, CORNER = np.array([1.0, 0.0]), np.array([1.0, 1.0])
# critical points of (f - target)^2: the paper's two, and a kink that attracts because the residual there is negative
EXAMPLES = {"leaving": (KINK, 1.0), "smooth": (CORNER, 1.0), "attracting": (KINK, -1.0)}


class Parameters(ParametersModel):
    starts: int = Field(ge=5, description="random starts in each case of Lemma E.2")
    euler_steps: int = Field(ge=100)
    points: int = Field(ge=40, description="directions around a critical point, for Eq. (15)")
    smallest_delta: float = Field(gt=0, lt=1e-3)


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([p.smallest_delta])
    parts = (figure_2, lemma_e1, symbolic, lemma_e2, absorption, definition_41, lemma_c1, lemma_i, equation_15, lemma_j1)
    evidence = Evidence.of(part(p, context) for part in context.progress(parts, what="parts"))
    cases = np.repeat(["|z2| > |z1|", "|z2| <= |z1|, z1 > 0", "|z2| < |z1|, z1 < 0", "|z2| = |z1|, z1 < 0"], p.starts)
    a = evidence.arrays
    z = a["starts"]
    evidence.runs = pd.DataFrame({"case": cases, "z1": z[:, 0], "z2": z[:, 1], "hit_time": a["hits"], "gap": a["gaps"]})
    return evidence


def figure_2(p: Parameters, context: Context) -> Found:
    """The field of Figure 2 against differences of f; its symmetries; the one-sided limits at [1, 0]."""
    axis, h = np.linspace(-2.0, 2.0, 20), 1e-6
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    field = kink_example.subdifferential(grid)[:, 0]
    differences = [(kink_example.value(grid + h * e) - kink_example.value(grid - h * e)) / (2 * h) for e in np.eye(2)]
    unsigned = np.stack([field[:, 0], grid[:, 0]], axis=-1)
    mirrored = kink_example.subdifferential(grid * [1, -1])[:, 0]
    outwards = np.sign(grid[:, 1] * field[:, 1])
    sides = kink_example.subdifferential(np.array([[1.0, 1e-12], [1.0, -1e-12]]))[:, 0]
    off = kink_example.subdifferential(np.array([[1.0, 0.1]]))[0]
    origin, n = np.zeros((1, 2)), len(grid)
    rounding = 1e-16 * 4 / h  # f is bilinear off the kink: the difference quotient errs by rounding only
    return {
        "grid": grid,
        "field": field,
        "figure2_field_error": Measurement(np.abs(field - np.transpose(differences)).max(), rounding, n=n),
        "figure2_field_error_without_sign": Measurement(np.abs(unsigned - np.transpose(differences)).max(), rounding, n=n),
        "figure2_symmetry_defect": Measurement(np.abs(field - mirrored * [1, -1]).max(), 1e-16, n=n),
        "figure2_symmetry_defect_second_even": Measurement(np.abs(field - mirrored).max(), 1e-16, n=n),
        "figure2_wrong_side_points": Measurement.count((outwards != np.sign(grid[:, 0])).sum(), n),
        "figure2_wrong_side_points_descent": Measurement.count((-outwards != np.sign(grid[:, 0])).sum(), n),
        "figure2_first_component_min": Measurement(field[:, 0].min(), 1e-16, n=n),
        "figure2_hull_distance": Measurement(clarke.hull_distance(origin, sides)[0], 1e-14, n=1),
        "figure2_hull_distance_off_kink": Measurement(clarke.hull_distance(origin, off)[0], 1e-14, n=1),
    }


def lemma_e1(p: Parameters, context: Context) -> Found:
    """u_T solves the inclusion for every T, to both sides; at a fixed time its direction is far from the limit if T is late."""
    t, h, departures = np.linspace(0.0, LATE, 251)[1:], 1e-5, (0.0, 0.5, 1.3, 3.1, 4.7)
    residual, doubled, curves = [], [], []
    for departure, side in [(T, side) for T in departures for side in (1.0, -1.0)]:
        curve, smooth = kink_example.branch(departure, t, side), np.abs(t - departure) > 2 * h
        velocity = (kink_example.branch(departure, t + h, side) - kink_example.branch(departure, t - h, side)) / (2 * h)
        residual.append(kink_example.distance_to_segment(velocity, kink_example.subdifferential(curve))[smooth].max())
        doubled.append(kink_example.distance_to_segment(2 * velocity, kink_example.subdifferential(curve))[smooth].max())
        curves.append(curve)
    late = np.array([LATE])
    distances = [np.linalg.norm(unit(kink_example.branch(T, late)) - LIMIT) for T in (LATE, 2 * LATE, 100 * LATE)]
    at_once = np.linalg.norm(unit(kink_example.branch(0.0, late)) - LIMIT)
    largest = math.sqrt(2.0 - math.sqrt(2.0))
    difference = 2e-9 * math.cosh(LATE) / 10  # h^2 / 6 and 1e-16 / h, times the size of the curve
    return {
        "branch_times": t,
        "branch_curves": np.array(curves),
        "branch_departures": np.repeat(departures, 2),
        "e1_inclusion_residual": Measurement(max(residual), difference, n=len(curves)),
        "e1_inclusion_residual_rate_doubled": Measurement(min(doubled), difference, n=len(curves)),
        "e1_late_distance": Measurement(min(distances), 1e-15, n=len(distances)),
        "e1_late_distance_gap": Measurement(max(abs(d - largest) for d in distances), 1e-15, n=len(distances)),
        "e1_late_distance_gap_left_at_once": Measurement(abs(at_once - largest), 1e-15, n=1),
    }


def symbolic(p: Parameters, context: Context) -> Found:
    """Off the kink the closed forms of Lemmas E.1 and E.2 satisfy the equations for all times and starts; by computer algebra."""
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
    failures = {name: sum(sp.simplify(r.rewrite(sp.exp)) != 0 for r in group) for name, group in identities.items()}
    return {f"{name}_symbolic_failures": Measurement.count(count, len(identities[name])) for name, count in failures.items()}


def lemma_e2(p: Parameters, context: Context) -> Found:
    """All four cases: closed form against events, the invariant (82), and perturbed starts."""
    rng, times = context.rng("lemma-e2"), np.linspace(0.0, LENGTH, 81)
    size, side = rng.uniform(0.2, 1.0, (4, p.starts)), rng.choice([-1.0, 1.0], (4, p.starts))
    share = rng.uniform(0.02, 0.95, (4, p.starts))
    share[2, 0] = 0.0  # on the half-line that absorbs
    starts = np.concatenate(
        [
            np.stack([rng.choice([-1.0, 1.0], p.starts) * share[0] * size[0], side[0] * size[0]], axis=-1),
            np.stack([size[1], side[1] * share[1] * size[1]], axis=-1),
            np.stack([-size[2], side[2] * share[2] * size[2]], axis=-1),
            np.stack([-size[3], side[3] * size[3]], axis=-1),
        ]
    )
    exact, exact_hits = kink_example.solution(starts, times), kink_example.hit_time(starts)
    (found, hits), (coarse, coarse_hits) = (kink_example.event_driven(starts, times, rtol=rtol) for rtol in (RTOL, COARSE))
    within = np.where(exact_hits <= LENGTH, exact_hits, np.inf)
    both, n = np.isfinite(hits) & np.isfinite(within), len(starts)
    invariant = [states[..., 0] ** 2 - states[..., 1] ** 2 - (starts**2 @ [1.0, -1.0])[:, None] for states in (found, coarse)]
    ratio, ratio_error = separation(starts, times, 1e-5)
    apart, apart_error = separation(starts, times, 1e-10)
    branching = kink_example.event_driven(np.array([[1.0, 1e-10], [1.0, -1e-10]]), times)[0]
    return {
        "starts": starts,
        "paths": exact,
        "path_times": times,
        "hits": exact_hits,
        "gaps": np.abs(exact - found).max(axis=(1, 2)),
        "e2_event_gap": Measurement(np.abs(exact - found).max(), np.abs(found - coarse).max(), n=n),
        "e2_event_gap_sign_flipped": Measurement(np.abs(exact * [1, -1] - found).max(), np.abs(found - coarse).max(), n=n),
        "e2_hit_time_gap": Measurement(
            np.abs(hits[both] - within[both]).max(), np.abs(hits[both] - coarse_hits[both]).max(), n=both.sum()
        ),
        "e2_hit_mismatches": Measurement.count((np.isfinite(hits) != np.isfinite(within)).sum(), n),
        "e2_invariant_defect": Measurement(np.abs(invariant[0]).max(), np.abs(invariant[0] - invariant[1]).max(), n=n),
        "e2_separation": Measurement(apart.max(), apart_error, n=n),
        "e2_separation_over_bound": Measurement((ratio / (1e-5 * np.exp(times))).max(), ratio_error / 1e-5, n=n),
        "e2_separation_branching": Measurement(np.linalg.norm(branching[0] - branching[1], axis=-1).max(), 1e-9, n=1),
    }


def separation(starts: np.ndarray, times: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    """Distance of four perturbed solutions to the unperturbed one, [4 S, P], and its error from a second tolerance."""
    shifts = size * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    shifted = (starts[None] + shifts[:, None]).reshape(-1, 2)
    apart = [
        np.linalg.norm(
            kink_example.event_driven(shifted, times, rtol=rtol)[0] - np.tile(kink_example.solution(starts, times), (4, 1, 1)),
            axis=-1,
        )
        for rtol in (RTOL, COARSE)
    ]
    return apart[0], float(np.abs(apart[0] - apart[1]).max())


def absorption(p: Parameters, context: Context) -> Found:
    """Euler polygons from the kink, any element of the subdifferential chosen on it: the drift is of the size of the step."""
    rng, h = context.rng("euler"), LENGTH / 2 / p.euler_steps
    level = np.linspace(0.1, 1.0, p.starts)
    start = np.stack([np.concatenate([-level, level]), np.zeros(2 * p.starts)], axis=-1)
    u = start.copy()
    for _ in range(p.euler_steps):
        ends, weight = kink_example.subdifferential(u), rng.random((len(u), 1))
        u = u + h * (weight * ends[:, 0] + (1 - weight) * ends[:, 1])
    drift = np.linalg.norm(u - start, axis=-1) / h
    return {
        "e2_euler_drift_over_step": Measurement(drift[: p.starts].max(), 1e-9, n=p.starts),
        "e2_euler_drift_over_step_branching_side": Measurement(drift[p.starts :].min(), 1e-9, n=p.starts),
    }


def definition_41(p: Parameters, context: Context) -> Found:
    """A locally Lipschitz gradient makes every start non-branching: squared ReLU, perturbed by 1e-4, against e^{Kt}."""
    rng, times, size = context.rng("definition-4-1"), np.linspace(0.05, 0.5, 10), 1e-4
    network = zoo.power_net(4, 3, 2.0, (1.0, 1.0, -1.0, 1.0))
    x = synthetic.sphere_inputs(rng, 10, 3)
    z = synthetic.gaussian(rng, 10)
    starts = synthetic.unit_vectors(rng, p.starts, network.size)
    shifted = starts + size * synthetic.unit_vectors(rng, p.starts, network.size)
    lipschitz = 2.0 * float((z.abs() * x.norm(dim=1) ** 2).sum())

    def apart(rtol: float) -> torch.Tensor:
        path = flow.gradient_flow(
            Correlation(network, x, z),
            torch.cat([starts, shifted]),
            length=0.5,
            clock="time",
            rtol=rtol,
            save=flow.Save(at=torch.from_numpy(times)),
        )
        a, b = path.recorded.weights_over_delta().chunk(2)
        return (a - b).norm(dim=-1)

    fine, coarse = apart(NETWORK_RTOL), apart(NETWORK_COARSE)
    excess = (fine / size).log() - lipschitz * torch.from_numpy(times)
    sides = kink_example.event_driven(np.array([[1.0, size / 2], [1.0, -size / 2]]), times)[0]
    branching = np.log(np.linalg.norm(sides[0] - sides[1], axis=-1) / size) - times
    return {
        **measure([Presupposed(network, x, z[None], 2)]),
        "nonbranching_excess": Measurement(excess.max(), float(((fine - coarse) / fine).abs().max()), n=p.starts),
        "nonbranching_excess_branching": Measurement(branching.min(), 1e-9, n=1),
    }


def lemma_c1(p: Parameters, context: Context) -> Found:
    """Multipliers z + f(t), |f| <= delta, piecewise constant at random: a smooth network, the kink, and the branching point."""
    rng, pieces, length = context.rng("lemma-c1"), 10, 0.6
    network = zoo.power_net(3, 3, 2.0, (1.0, -1.0, 1.0))
    x, z = synthetic.sphere_inputs(rng, 8, 3), synthetic.gaussian(rng, 8)
    deltas = np.geomspace(1e-1, p.smallest_delta, 9)
    start = synthetic.unit_vectors(rng, 1, network.size).expand(len(deltas) + 1, -1)
    noise = rng.uniform(-1.0, 1.0, (pieces, len(z)))
    size = torch.tensor([0.0, *deltas])[:, None]

    def gaps(rtol: float) -> np.ndarray:
        w, largest = start, torch.zeros(len(start), dtype=torch.float64)
        for f in torch.from_numpy(noise):
            w = flow.gradient_flow(
                Correlation(network, x, z + size * f), w, length=length / pieces, clock="time", rtol=rtol
            ).weights_over_delta()
            largest = torch.maximum(largest, (w - w[0]).norm(dim=-1))
        return largest[1:].numpy()

    smooth, coarse = gaps(NETWORK_RTOL), gaps(NETWORK_COARSE)
    slope, interval = slope_interval(np.log(deltas), np.log(smooth))
    # with one sample the multiplier only changes the clock: u(t) solves (19) at the time tau(t)
    times = np.linspace(0.0, LENGTH, pieces + 1)
    clocks = [np.append(0.0, np.cumsum(np.diff(times) * (1 + delta * noise[:, 0]))) for delta in deltas]
    kinds = np.array([[0.3, 0.8], [1.0, 0.2], [-1.0, 0.5], [-1.0, 1.0], [-1.0, 0.0]])
    kink = [np.abs(kink_example.solution(kinds, tau) - kink_example.solution(kinds, times)).max() for tau in clocks]
    waits = (0.0, 0.7, 1.4)
    perturbed = [[kink_example.branch(T, tau, side) for T in waits for side in (1.0, -1.0)] for tau in clocks]
    own = np.array([kink_example.branch(T, times, side) for T in waits for side in (1.0, -1.0)])
    nearest = [np.abs(np.array(curves) - own).max() for curves in perturbed]
    fixed = [np.abs(np.array(curves) - own[0]).max() for curves in perturbed]
    error = np.abs(smooth - coarse)
    return {
        "c1_deltas": deltas,
        "c1_smooth": smooth,
        "c1_kink": np.array(kink),
        "c1_nearest": np.array(nearest),
        "c1_fixed": np.array(fixed),
        "c1_error_smallest": Measurement(smooth[-1], error[-1], n=1),
        "c1_slope": Measurement(slope, 2 * (error / smooth).max() / math.log(deltas[0] / deltas[-1]), interval, len(deltas)),
        "c1_kink_error_smallest": Measurement(kink[-1], 1e-14, n=len(kinds)),
        "c1_branching_nearest_smallest": Measurement(nearest[-1], 1e-14, n=len(own)),
        "c1_branching_fixed_smallest": Measurement(fixed[-1], 1e-14, n=len(own)),
    }


def lemma_i(p: Parameters, context: Context) -> Found:
    """Lemmas I.1 and I.2: the gradient of g = (f - 1)^2 near [1, 0] is large, and the flow leaves; control: [1, 1]."""
    deltas = np.append(np.geomspace(1e-12, 0.05, 24), [0.08, 0.0999])
    around, smooth = KINK + deltas[:, None], CORNER + deltas[deltas <= 0.01, None]
    norms = [
        np.linalg.norm(2 * (kink_example.value(u) - 1)[:, None] * kink_example.subdifferential(u)[:, 0], axis=-1)
        for u in (around, smooth)
    ]
    critical = -2.0 * kink_example.subdifferential(KINK)  # g' = 2 (f - 1) f', and f = 0 on the kink
    times, moving = np.linspace(0.0, 0.3, 301), deltas >= 1e-9
    starts = around[moving]
    fine, coarse = (kink_example.event_driven(starts, times, kink_example.descent_to(1.0), rtol)[0] for rtol in (RTOL, COARSE))
    at = np.argmin(np.abs(times - 0.1))
    moved, moved_coarse = (np.linalg.norm(path[:, at] - KINK, axis=-1) for path in (fine, coarse))
    away = np.linalg.norm(kink_example.event_driven(smooth, times, kink_example.descent_to(1.0))[0][:, at] - CORNER, axis=-1)
    box = np.stack(np.meshgrid(np.linspace(0.8, 1.2, 41), np.linspace(0.0, 1.0, 41)), axis=-1).reshape(1, -1, 2)
    low = 0.5 * deltas[moving][:, None]
    u1, u2 = box[..., 0], low + box[..., 1] * (0.35 - low)
    velocity = (-2 * u2 * (u1 * u2 - 1), -2 * u1 * (u1 * u2 - 1))
    inside = (np.abs(fine[..., 0] - 1) <= 0.2) & (fine[..., 1] <= 0.35) & (fine[..., 1] >= low)
    exits = np.where(inside.all(axis=1), np.inf, times[np.argmin(inside, axis=1)])
    n = len(deltas)
    return {
        "i_deltas": deltas[moving],
        "i_moved": moved,
        "i_smooth_deltas": deltas[deltas <= 0.01],
        "i_moved_smooth": away,
        "i1_zero_distance": Measurement(kink_example.distance_to_segment(np.zeros(2), critical), 1e-15, n=1),
        "i1_zero_distance_off_kink": Measurement(
            kink_example.distance_to_segment(np.zeros(2), -2 * kink_example.subdifferential(around[-1])), 1e-15, n=1
        ),
        "i1_norm_min": Measurement(norms[0].min(), 1e-15, n=n),
        "i1_norm_min_smooth_saddle": Measurement(norms[1].min(), 1e-15, n=len(norms[1])),
        "i2_displacement_min": Measurement(moved.min(), np.abs(moved - moved_coarse).max(), n=len(starts)),
        "i2_displacement_max_smooth_saddle": Measurement(away.max(), 1e-10, n=len(away)),
        "i2_exit_time_min": Measurement(exits.min(), times[1], n=len(starts)),
        "i2_first_velocity_ratio_min": Measurement((velocity[0] / low).min(), 1e-14, n=len(starts)),
        "i2_first_velocity_max": Measurement(velocity[0].max(), 1e-15, n=len(starts)),
        "i2_second_velocity_min": Measurement(velocity[1].min(), 1e-15, n=len(starts)),
        "i2_second_velocity_max": Measurement(velocity[1].max(), 1e-15, n=len(starts)),
    }


def equation_15(p: Parameters, context: Context) -> Found:
    r"""The smallest kappa of Eq. (15) in either sign, and how far flows go: $\|w(t)-\bar w\|\le\|w(0)-\bar w\|e^{\kappa t}$."""
    rng, times = context.rng("equation-15"), np.linspace(0.0, 1.0, 21)
    angle = 2 * math.pi * np.arange(p.points) / p.points  # holds both directions along the kink
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    circle[[0, p.points // 2], 1] = 0.0
    radii, numbers = np.geomspace(1e-6, 0.1, 11), {}
    for name, (centre, target) in EXAMPLES.items():
        shift = radii[:, None, None] * circle
        u = centre + shift
        gradient = 2 * (kink_example.value(u) - target)[..., None, None] * kink_example.subdifferential(u)
        products = (gradient * shift[..., None, :]).sum(axis=-1) / (radii**2)[:, None, None]
        required, printed = -products.min(axis=(1, 2)), products.max(axis=(1, 2))
        starts = centre + 1e-6 * circle[(np.abs(circle[:, 1]) > 0.3) & (rng.random(p.points) < 0.5)]
        paths = kink_example.event_driven(starts, times, kink_example.descent_to(target))[0]
        growth = np.log(np.linalg.norm(paths - centre, axis=-1) / 1e-6)[:, 1:].max(axis=0)
        numbers |= {
            f"kappa_curve_{name}": required,
            f"kappa_printed_curve_{name}": printed,
            f"growth_{name}": growth,
            f"kappa_{name}": Measurement(required.max(), 1e-9, n=p.points),
            f"kappa_printed_{name}": Measurement(printed.max(), 1e-9, n=p.points),
            f"stay_excess_{name}": Measurement((growth - 7 * times[1:]).max(), 1e-5, n=len(starts)),
        }
    return {"kappa_radii": radii, "growth_times": times[1:], **numbers}


def lemma_j1(p: Parameters, context: Context) -> Found:
    """Functions that switch ever faster between three velocities: the limit's velocity is in their hull and not among them."""
    velocities, h = np.array([[1.0, 0.0], [-0.6, 0.9], [-0.2, -1.1]]), 1e-3
    phases = 2 * math.pi * np.arange(3) / 3

    def share(t: np.ndarray) -> np.ndarray:
        return (1 + 0.5 * np.cos(2 * math.pi * t[:, None] + phases)) / 3

    def limit(t: np.ndarray) -> np.ndarray:
        integral = (t[:, None] + (np.sin(2 * math.pi * t[:, None] + phases) - np.sin(phases)) / (4 * math.pi)) / 3
        return integral @ velocities

    counts, gaps = np.array([10, 100, 1000, 10000]), []
    for count in counts:
        spent = (share(np.arange(count) / count) / count).ravel()
        knots = np.append(0.0, np.cumsum(spent))
        chattering = np.vstack([np.zeros(2), np.cumsum(spent[:, None] * np.tile(velocities, (count, 1)), axis=0)])
        gaps.append(np.linalg.norm(chattering - limit(knots), axis=-1).max())
    t = np.linspace(0.0, 1.0 - h, 400)
    quotient = (limit(t + h) - limit(t)) / h
    hull = clarke.hull_distance(quotient, velocities)
    among = np.linalg.norm(quotient[:, None] - velocities, axis=-1).min(axis=1)
    # velocities 0, and k on an interval of length 1/k: unbounded in k, and the limit jumps
    jump = np.diff(np.clip(1e12 * (np.append(t, 1.0) - 0.5), 0.0, 1.0)) / np.diff(np.append(t, 1.0))
    speed = float(np.linalg.norm(velocities, axis=1).max())
    return {
        "j1_counts": counts,
        "j1_gaps": np.array(gaps),
        "j1_convergence": Measurement(gaps[-1], 1e-12, n=len(counts)),
        "j1_hull_distance": Measurement(hull.max(), 1e-12, n=len(t)),
        "j1_set_distance": Measurement(among.min(), 1e-12, n=len(t)),
        "j1_hull_distance_of_two": Measurement(clarke.hull_distance(quotient, velocities[:2]).max(), 1e-12, n=len(t)),
        "j1_lipschitz_ratio": Measurement(np.linalg.norm(quotient, axis=-1).max() / speed, 1e-12, n=len(t)),
        "j1_lipschitz_ratio_unbounded": Measurement(jump.max() / speed, 1e-12, n=1),
    }


def unit(path: np.ndarray) -> np.ndarray:
    return path / np.linalg.norm(path, axis=-1, keepdims=True)


if __name__ == "__main__":
    main(Parameters, cell)
