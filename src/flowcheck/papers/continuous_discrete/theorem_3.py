r"""Theorem 3: descent with the step of Eq. (7) stays within epsilon of the flow.

Instances with constants in closed form: deep linear networks with $\beta$, $\gamma$ and $m$ of Lemmas 63 and 64, and functions of
one or two numbers whose flows are known. Each is run at the admitted step and far beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float

from flowcheck.integration import initial_value
from flowcheck.integration.discrepancy import deviation_bound
from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.beside_the_flow import ADMITTED, Flow, Gradient, Instance, cosine_flow, log_cosh_flow
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-12, 1e-10
SMOOTHNESS, LIPSCHITZ = 16, 6
"""Of Lemma 63: beta = 16 n and gamma = 6 sqrt(n)."""
CLOCK_END, PANEL = 6.0, 0.0125
BEYOND = (10.0, 1e2, 1e3, 1e4, 1e5)
"""Multiples of the admitted step."""
LARGEST_STEP = 0.5
"""No descent here is looked at beyond it: with curvatures up to 2 it would oscillate."""
GRID = 2001
"""Times at which closed flows are cut."""
ROUNDING = 2.0**-53


def deep_linear(depth: int, nu: float, norm: float, radius: float, until: float, push: float = 0.0) -> Instance:
    """A balanced start with this cosine and length; `push` moves descent off it, as a share of what the radius leaves for it.

    In the coordinates (sqrt(n - 1) s, v) of `reduced_descent`, in which distances are those of all weights. Raises ValueError if
    the flow's clock ends before the time.
    """
    n = np.array([float(depth)])
    exact = ReparameterisedFlow(n, np.array([nu]), np.array([norm]), CLOCK_END, PANEL)
    clock = exact.clock[0]
    if clock[-1] < until:
        raise ValueError(f"the flow is known up to {clock[-1]:g}, which is before {until:g}")
    last = int(np.searchsorted(clock, until))
    reach = 2 * depth * radius
    # the gradient's length falls, and the vector's falls at first and then grows: the worse end holds on an interval
    length = np.maximum(exact.norm[0, :-1], exact.norm[0, 1:])[:last]
    growth = (depth - 1) * (exact.gradient[0, :last] + reach) * (length + reach) ** (1 - 2 / depth)
    root = norm ** (1 / depth)
    start = root * np.array([np.sqrt(depth - 1), nu, np.sqrt(1 - nu**2)])
    times = np.append(clock[:last], until)
    found = Instance(
        f"deep linear, {depth} layers",
        partial(_deep_linear_gradient, depth),
        integrated(partial(_deep_linear_gradient, depth), start, RTOL),
        times,
        growth,
        SMOOTHNESS * depth,
        LIPSCHITZ * depth**0.5,
        radius,
        np.zeros(3),
    )
    return pushed(found, push)


def _deep_linear_gradient(depth: int, w: Float[np.ndarray, "r 3"]) -> Float[np.ndarray, "r 3"]:
    share = (depth - 1) ** 0.5
    s = w[:, 0] / share
    power = s ** (depth - 2)
    product = power * s
    away, across = product * w[:, 1] - 1, product * w[:, 2]
    return np.stack([share * power * (w[:, 1] * away + w[:, 2] * across), product * away, product * across], axis=1)


def integrated(gradient: Gradient, start: Float[np.ndarray, " d"], rtol: float) -> Flow:
    """The flow by an integrator: from 0 to the last time that is asked for."""

    def flow(times: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p d"]:
        if not times[-1] > 0:
            return np.broadcast_to(start, (len(times), len(start)))
        rates = lambda _, w: -gradient(w[None])[0]  # noqa: E731
        return np.asarray(initial_value.solve(rates, times[-1], start, "DOP853", times, rtol=rtol, atol=1e-3 * rtol).y.T)

    return flow


def pushed(instance: Instance, share: float) -> Instance:
    """Descent starts off the flow by this share of what may grow to the radius, behind it: its steps lag too."""
    if not share:
        return instance
    direction = instance.gradient(instance.flow(np.zeros(1)))[0]
    direction /= np.linalg.norm(direction)
    growth = np.cumsum(instance.growth * np.diff(instance.times))
    return replace(instance, push=share * instance.radius * np.exp(-max(0.0, growth.max())) * direction)


def closed(name: str, start: float, radius: float, until: float, push: float = 0.0) -> Instance:
    """Flows of one number in closed form, beside one that rests: a saddle, a bowl, a hill of cosines, log cosh."""
    times = np.linspace(0.0, until, GRID)
    gradients: dict[str, Gradient] = {
        "saddle": lambda w: w * np.array([-1.0, 1.0]),
        "bowl": lambda w: w * np.array([0.5, 1.5]),
        "cosine": lambda w: -np.sin(w),
        "log cosh": np.tanh,
    }
    flows: dict[str, Flow] = {
        "saddle": lambda t: np.stack([start * np.exp(t), start * np.exp(-t)], axis=1),
        "bowl": lambda t: np.stack([start * np.exp(-0.5 * t), start * np.exp(-1.5 * t)], axis=1),
        "cosine": lambda t: np.stack([cosine_flow(start, t), np.full_like(t, np.pi)], axis=1),
        "log cosh": lambda t: np.stack([log_cosh_flow(start, t), np.zeros_like(t)], axis=1),
    }
    path = flows[name](times)
    size, one = float(np.linalg.norm(path, axis=1).max()) + radius, np.ones(GRID - 1)
    near, far = np.maximum(np.abs(path[:-1, 0]) - radius, 0), np.abs(path[:-1, 0]) + radius
    # the coordinate that rests has curvature one, which is never the smallest; the other moves one way, so its left end is worse
    growth = {"saddle": one, "bowl": -0.5 * one, "cosine": np.cos(near), "log cosh": -1 / np.cosh(far) ** 2}
    smoothness = {"saddle": 1.0, "bowl": 1.5, "cosine": 1.0, "log cosh": 1.0}
    slope = {"saddle": size, "bowl": 1.5 * size, "cosine": 1.0 + radius, "log cosh": float(np.tanh(start)) + radius}
    found = Instance(name, gradients[name], flows[name], times, growth[name], smoothness[name], slope[name], radius, np.zeros(2))
    return pushed(found, push)


def instances(depths: Sequence[int], long_depth: int, cosines: Sequence[float], norm: float, radius: float) -> list[Instance]:
    """Deep linear networks up to time 1, those of at most `long_depth` layers up to 2 too; closed flows; offsets."""
    found = []
    for depth in depths:
        for nu in cosines:
            found.append(deep_linear(depth, nu, norm, radius, 1.0))
            if depth <= long_depth:
                found.append(deep_linear(depth, nu, norm, radius, 2.0))
        found.append(deep_linear(depth, cosines[-1], norm, radius, 1.0, push=0.5))
    for push in (0.0, 0.5, 0.9):
        found += [
            closed("saddle", 0.1, 0.02, 3.0, push),
            closed("bowl", 1.0, 0.02, 10.0, push),
            closed("cosine", 0.1, 0.02, 8.0, push),
            closed("log cosh", 1.5, 0.02, 6.0, push),
        ]
    return found


def short_instances() -> list[Instance]:
    """A time so short that a few admitted steps fill it: there the constants are tried."""
    return [closed(name, 1.0, radius, 0.05) for name in ("saddle", "bowl", "log cosh") for radius in (5e-4, 3e-3)]


def step_condition(depths: Sequence[int], long_depth: int, cosines: Sequence[float], norm: float, radius: float) -> Found:
    """Distances over the radius at the admitted step and beyond, over all instances, and of broken conditions."""
    chosen = instances(depths, long_depth, cosines, norm, radius)
    sizes = np.array([one.admitted for one in chosen])
    multiples = np.array([ADMITTED, *BEYOND])
    far = np.full((len(chosen), len(multiples)), np.nan)
    for i, one in enumerate(chosen):
        used = (multiples * sizes[i] <= LARGEST_STEP) & (multiples * sizes[i] <= one.until)
        far[i, used] = one.deviations(multiples[used] * sizes[i]) / one.radius
    following = np.array([one.following(LARGEST_STEP) for one in chosen])
    short = np.array([one.deviations(np.array([ADMITTED * one.admitted]))[0] / one.radius for one in short_instances()])
    one_step = np.array([one.deviations(np.array([one.until]))[0] / one.radius for one in chosen])
    deep = np.array([one.name.startswith("deep") for one in chosen])
    plain = deep & np.array([one.offset == 0 for one in chosen])
    rounding, looseness = _rounding(chosen, sizes), (following / sizes)[deep]
    first_order = plain[:, None] & (far < 1)
    return {
        "theorem3_ratio_max": readings.largest(far[:, 0], rounding),
        "theorem3_short_ratio_max": readings.largest(short, 1e-9),
        "theorem3_one_step_ratio_min": readings.smallest(one_step, 1e-6),
        "theorem3_order": readings.log_rate(
            multiples, np.where(first_order, far, 1.0), np.broadcast_to(rounding[:, None], far.shape), first_order
        ),
        "theorem3_looseness_min": readings.smallest(looseness, 1e-3 * looseness),
        "theorem3_looseness_max": readings.largest(looseness, 1e-3 * looseness),
        "theorem3_flat_curvature_ratio": _with_less_curvature(closed("saddle", 0.1, 0.02, 3.0, 0.9)),
        "theorem3_mean_curvature_ratio": _with_less_curvature(closed("cosine", 0.1, 0.02, 8.0, 0.9)),
        **_extracted(),
        "theorem3_instances": np.array([one.name for one in chosen]),
        "theorem3_until": np.array([one.until for one in chosen]),
        "theorem3_has_offset": np.array([one.offset > 0 for one in chosen]),
        "theorem3_multiples": multiples,
        "theorem3_ratios": far,
        "theorem3_admitted": sizes,
        "theorem3_following": following,
    }


def _rounding(chosen: Sequence[Instance], sizes: Float[np.ndarray, " i"]) -> Float[np.ndarray, " i"]:
    """What float64 and the integrator may have added to the ratios at the admitted step: additions, and a coarser tolerance."""
    additions = np.array([one.until / size for one, size in zip(chosen, sizes, strict=True)]) * ROUNDING
    return (additions + 10 * COARSE_RTOL) / np.array([one.radius for one in chosen])


def _ratio_at(instance: Instance, admitted: float) -> Measurement:
    """The largest distance over the radius at a step that a broken condition admits."""
    return Measurement(float(instance.deviations(np.array([ADMITTED * admitted]))[0]) / instance.radius, 1e-8)


def _with_less_curvature(instance: Instance) -> Measurement:
    """The same instance, taken for one whose m is smaller by one all along."""
    return _ratio_at(instance, replace(instance, growth=instance.growth - 1.0).admitted)


def extracted_step(instance: Instance) -> float:
    r"""Eq. (7) as the text we read has it: the inner integral goes on from t to the last time, $\int_{t'}^{\tilde t}m$."""
    advance = instance.growth * np.diff(instance.times)
    total = np.concatenate([[0.0], np.cumsum(advance)])
    stretched = deviation_bound(instance.times, instance.growth, np.ones((len(advance), 2)))
    later = np.exp(total[-1] - total) * stretched
    left = instance.radius - np.exp(total) * instance.offset
    return float((left[1:] / (instance.smoothness * instance.slope * later[1:])).min())


HILL_START, HILL_RADIUS, HILL_TIME = 0.01, 0.02, 12.0
"""From close to the top of a hill into the valley: m is one at first and minus one at last."""


def _extracted() -> Found:
    """Descent from the hill at the step that Eq. (7) admits, and at the one that it admits as extracted."""
    hill = closed("cosine", HILL_START, HILL_RADIUS, HILL_TIME)
    rising = closed("saddle", 0.1, 0.02, 3.0)
    return {
        "equation7_hill_ratio": _ratio_at(hill, hill.admitted),
        "equation7_extracted_hill_ratio": _ratio_at(hill, extracted_step(hill)),
        "equation7_extracted_saddle_ratio": _ratio_at(rising, extracted_step(rising)),
    }
