r"""Lemmas 4 and 5: from small starts in one stable set the flow leaves the origin along one path p, and idle neurons stay small.

From $\delta w_*$ the escape takes $\ln(1/\delta)/(2\mathcal N(w_*))$, or $\delta^{-(L-2)}/(L(L-2)\mathcal N(w_*))$ for L > 2,
plus a time that converges. Paths are compared from where the loss has fallen by a hundredth: $T_\delta$ is some function of
delta.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.alignment.reference import reference
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.flows.ending import Ending
from flowcheck.flows.events import Event, loss_ratio_below
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.problem import Objective
from flowcheck.papers.neuron_pursuit.lemma_3 import neuron_norms
from flowcheck.pipeline.evidence import Found, Measurement

SAMPLES, NOISE = 10, 0.3
LEFT = 0.99
"""Of the loss: here the escape is over, and paths are compared from here on."""
IDLE = 1e-6
"""Norm of the weights of a neuron below which it is zero at w_*."""
WINDOW, MOMENTS = 4.0, 9
"""Times the time that the path needs from this loss to 0.9 of its start: so long paths are compared."""
RTOL, COARSER = 1e-10, 10.0
LARGE = 0.3
"""Of the value at w_*: that of the KKT point to which the other start goes, so that it leaves the origin in comparable time."""
NEAR = 0.1
"""Of the norm of the saddle: the epsilon of Eq. (9)."""


@dataclass(frozen=True)
class Escape:
    """One network on data of each case: labels [S, n], w_* [S, k], starts in its stable set and outside [S, k]."""

    network: FeedForward
    x: Float[Tensor, "n d"]
    y: Float[Tensor, "s n"]
    limit: Float[Tensor, "s k"]
    inside: Float[Tensor, "s k"]
    outside: Float[Tensor, "s k"]

    @functools.cached_property
    def value(self) -> Float[Tensor, " s"]:
        r"""$\mathcal N(w_*)$."""
        return Correlation(self.network, self.x, self.y).value(self.limit)

    def residual(self) -> Float[np.ndarray, " s"]:
        """KKT residuals of w_*."""
        return Correlation(self.network, self.x, self.y).kkt_residual(self.limit).numpy()

    def idle(self) -> Bool[Tensor, "s k"]:
        """The weights w_z: of neurons whose incoming and outgoing weights vanish at w_*."""
        return _idle(self.network, self.limit)

    def leave(
        self, starts: Float[Tensor, "s k"], deltas: Sequence[float], rtol: float, ratio: float = LEFT
    ) -> tuple[Float[Tensor, "s d"], Float[Tensor, "s d k"]]:
        """The time in which the loss falls to `ratio` of its start, and the weights there."""
        rows = torch.arange(len(starts)).repeat_interleave(len(deltas))
        scales = torch.tensor(deltas, dtype=starts.dtype).repeat(len(starts))
        problem = Objective(self.network, self.x, self.y[rows], HALF_SUM)
        path = gradient_flow(problem, starts[rows], scales, rtol=rtol, until=[loss_ratio_below(ratio)])
        shape = (len(starts), len(deltas))
        return path.plain_time().view(shape), path.weights().view(*shape, -1)

    def follow(self, weights: Float[Tensor, "s d k"], times: Float[Tensor, "s p"], rtol: float) -> Float[Tensor, "s d p k"]:
        """Weights at times after these."""
        cases, deltas, size = weights.shape
        rows = torch.arange(cases).repeat_interleave(deltas)
        problem = Objective(self.network, self.x, self.y[rows], HALF_SUM)
        path = gradient_flow(
            problem, weights.reshape(-1, size), rtol=rtol, length=times[rows, -1], clock="time", save=Save(at=times[rows])
        )
        assert path.recorded is not None
        return path.recorded.weights().view(cases, deltas, -1, size)

    def shift(self, deltas: Sequence[float]) -> Float[np.ndarray, "s d"]:
        """The stated time of the escape from delta w_*."""
        scales, degree, value = np.array(deltas), self.network.degree, self.value.numpy()[:, None]
        if degree == 2:
            return np.asarray(np.log(1 / scales) / (2 * value))
        return np.asarray(scales ** -(degree - 2) / (degree * (degree - 2) * value))


def draw(network: FeedForward, rng: np.random.Generator, cases: int) -> Escape:
    """Cases whose NCF flow grows to a KKT point, at which a neuron is idle unless they are linear; each
    with a start that goes elsewhere.

    w_* is the end of the NCF flow, ascended further; weights of idle neurons are put to zero.
    """
    x, linear = sphere_inputs(rng, SAMPLES, network.inputs), all(layer.activation.power == 1 for layer in network.layers)
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    while len(found) < cases:
        y = noisy_teacher_labels(rng, network, x, 1, NOISE)
        starts = unit_vectors(rng, 12, network.size)
        labels = y.expand(len(starts), -1)
        ends = reference(network, x, labels, starts, smallest_epsilon=0.01)
        grows = (ends.branch == Ending.GROWS).nonzero()[:, 0]
        if not len(grows):
            continue
        points = ascend(Correlation(network, x, y[0]), ends.limit[grows], tolerance=1e-12, iterations=3000)
        first = int(points.value.argmax())
        limit = _cleaned(network, points.points[first])
        apart = (ends.limit[grows] - limit).norm(dim=1)
        if not bool(points.converged[first]) or float(apart[first]) > 1e-3:
            continue
        asleep = _idle(network, limit[None])[0]
        if not (linear or bool(asleep.any())):
            continue
        elsewhere = apart if linear else (ends.limit[grows] * asleep).norm(dim=1)
        elsewhere = torch.where(points.value >= LARGE * points.value[first], elsewhere, 0.0)
        if float(elsewhere.max()) < 0.3:
            continue
        found.append((y[0], limit, starts[grows[first]], starts[grows[int(elsewhere.argmax())]]))
    y, limit, inside, outside = (torch.stack(parts) for parts in zip(*found, strict=True))
    return Escape(network, x, y, limit, inside, outside)


def _idle(network: FeedForward, w: Float[Tensor, "s k"]) -> Bool[Tensor, "s k"]:
    """Which weights are those of neurons that have none above `IDLE`."""
    into, out = neuron_norms(network, w)
    asleep, marks, begin = ((into < IDLE) & (out < IDLE)).to(w), torch.zeros_like(w), 0
    layers = network.unpack(marks)
    for below, above in itertools.pairwise(layers):
        own = asleep[:, begin : begin + below.shape[1]]
        below += own[:, :, None]
        above += own[:, None, :]
        begin += below.shape[1]
    return marks > 0


def _cleaned(network: FeedForward, w: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """A unit vector in which neurons whose weights are below `IDLE` have none."""
    kept = torch.where(_idle(network, w[None])[0], 0.0, w)
    return kept / kept.norm()


@dataclass(frozen=True)
class Studied:
    """What is read of one network: cases [S], deltas [D], the last of which belongs to the path p.

    Attributes:
        times: of the escape from delta w_*, less the stated ones [S, D].
        slope, slope_inside, slope_outside: of times on the stated ones, between the last two deltas, less one [S]: from w_*, and
            from starts in the stable set and outside.
        distance, outside: largest distance from p in the window, over its norm [S, D], from starts in the stable set and outside.
        idle, idle_outside: largest norm of w_z in the window likewise; 0 without idle neurons.
        path_idle: the same of p [S].
        gradient: of the loss at the end of p, over that at the start of the window [S].
        saddle, saddle_outside: distance from that end when p is within half of `NEAR` of it, over `NEAR`, at the last delta [S].
    """

    times: Refined
    slope: Refined
    slope_inside: Refined
    slope_outside: Refined
    distance: Refined
    outside: Refined
    idle: Refined
    idle_outside: Refined
    path_idle: Float[np.ndarray, " s"]
    gradient: Refined
    saddle: Refined
    saddle_outside: Refined


def study(escape: Escape, deltas: Sequence[float]) -> Studied:
    """At two tolerances."""
    fine, coarse = _study(escape, deltas, RTOL), _study(escape, deltas, COARSER * RTOL)
    refined = {name: Refined.of(fine[name], coarse[name]) for name in fine if name != "path_idle"}
    return Studied(**refined, path_idle=fine["path_idle"])


def _study(escape: Escape, deltas: Sequence[float], rtol: float) -> dict[str, np.ndarray]:
    time, weights = escape.leave(escape.limit, deltas, rtol)
    later, _ = escape.leave(escape.limit, deltas[-1:], rtol, 0.9)
    stated = escape.shift(deltas)
    begin = weights[:, -1:]
    moments = torch.linspace(0, 1, MOMENTS, dtype=time.dtype) * WINDOW * (later - time[:, -1:])
    path = escape.follow(begin, moments, rtol)
    asleep = escape.idle()[:, None, None]
    found = {
        "times": time.numpy() - stated,
        "slope": np.diff(time.numpy()[:, -2:])[:, 0] / np.diff(stated[:, -2:])[:, 0] - 1,
        "path_idle": (path * asleep).norm(dim=-1).amax(dim=(1, 2)).numpy(),
    }
    size = path.norm(dim=-1)
    for name, starts in (("", escape.inside), ("_outside", escape.outside)):
        left, away = escape.leave(starts, deltas, rtol)
        found[f"slope{name or '_inside'}"] = np.diff(left.numpy()[:, -2:])[:, 0] / np.diff(stated[:, -2:])[:, 0] - 1
        states = escape.follow(away, moments, rtol)
        label = "outside" if name else "distance"
        found[label] = ((states - path).norm(dim=-1) / size).amax(dim=-1).numpy()
        found[f"idle{name}"] = ((states * asleep).norm(dim=-1) / size).amax(dim=-1).numpy()
    saddle, until, rest = _end(escape, begin[:, 0], rtol)
    for name, starts in (("saddle", escape.inside), ("saddle_outside", escape.outside)):
        there = escape.follow(escape.leave(starts, deltas[-1:], rtol)[1], until[:, None], rtol)[:, 0, 0]
        found[name] = ((there - saddle).norm(dim=-1) / (NEAR * saddle.norm(dim=-1))).numpy()
    return found | {"gradient": rest.numpy()}


def _end(escape: Escape, begin: Float[Tensor, "s k"], rtol: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where p ends, when it is within half of `NEAR` of it, and its gradient there over that at the start."""
    problem, degree = Objective(escape.network, escape.x, escape.y, HALF_SUM), escape.network.degree
    first = problem.pull(begin).norm(dim=-1)

    def margin(now: object) -> Tensor:
        steep = torch.exp((degree - 1) * now.log_norm) * now.pull.norm(dim=-1)  # type: ignore[attr-defined]
        return torch.as_tensor(1e-6 * first[now.index] - steep)  # type: ignore[attr-defined]

    path = gradient_flow(problem, begin, rtol=rtol, until=[Event("at rest", margin)], length=1e5, save=Save(steps=True))
    assert path.every_step is not None
    end = path.weights()
    steps = torch.exp(path.every_step.log_norm())[..., None] * path.every_step.direction
    close = (steps - end[:, None]).norm(dim=-1) <= 0.5 * NEAR * end.norm(dim=-1, keepdim=True)
    at = close.to(torch.int64).argmax(dim=1)
    until = path.every_step.plain_time()[torch.arange(len(at)), at]
    return end, until, problem.pull(end).norm(dim=-1) / first


def orders(distance: Refined, deltas: Sequence[float]) -> Refined:
    """Slope of ln of a distance on ln delta between the two smallest deltas, where other orders weigh least [S]."""
    span = float(np.log(deltas[-2] / deltas[-1]))
    value, error = distance.value[:, -2:], distance.error[:, -2:]
    return Refined(np.log(value[:, 0] / value[:, 1]) / span, (error / value).sum(axis=1) / span)


def curvature(escape: Escape) -> Refined:
    r"""Largest eigenvalue of $\nabla^2\mathcal N-\lambda I$ across w_*, over lambda [S]; known to the KKT residual."""
    found = []
    for y, limit, value in zip(escape.y, escape.limit, escape.value, strict=True):
        top = Correlation(escape.network, escape.x, y).tangent_curvature(limit)[-1]
        found.append(float(top / (escape.network.degree * value)))
    return Refined(np.array(found), np.full(len(found), 1e-9))


Studies = Mapping[str, tuple[Escape, Sequence[float], Studied]]


def readings(studies: Studies) -> Found:
    """The worst of all cases; idle neurons of networks that have them at w_*."""
    every = list(studies.values())
    idle = [(deltas, one) for escape, deltas, one in every if bool(escape.idle().any())]

    def joined(parts: Iterable[Refined]) -> Refined:
        return Refined.joined(list(parts))

    moved = [Refined(np.abs(np.diff(one.times.value)[:, -1]), one.times.error[:, -2:].sum(axis=1)) for _, _, one in every]
    return {
        "lemma4_residual_max": largest(np.concatenate([escape.residual() for escape, _, _ in every]), 1e-13),
        "lemma4_value_min": smallest(np.concatenate([escape.value.numpy() for escape, _, _ in every]), 1e-12),
        "lemma4_curvature_max": joined(curvature(escape) for escape, _, _ in every).largest(),
        "lemma4_rate_gap_max": joined(Refined(np.abs(one.slope.value), one.slope.error) for _, _, one in every).largest(),
        "lemma4_rate_gap_inside_median": joined(
            Refined(np.abs(one.slope_inside.value), one.slope_inside.error)
            for escape, _, one in every
            if escape.network.degree > 2
        ).median(),
        "lemma4_time_change_max": joined(moved).largest(),
        "lemma4_distance_order_min": joined(orders(one.distance, deltas) for _, deltas, one in every).smallest(),
        "lemma4_distance_order_outside_max": joined(orders(one.outside, deltas) for _, deltas, one in every).largest(),
        "lemma4_gradient_max": joined(one.gradient for _, _, one in every).largest(),
        "lemma4_saddle_max": joined(one.saddle for _, _, one in every).largest(),
        "lemma4_saddle_outside_min": joined(one.saddle_outside for _, _, one in every).smallest(),
        "lemma5_idle_order_min": joined(orders(one.idle, deltas) for deltas, one in idle).smallest(),
        "lemma5_idle_order_outside_max": joined(orders(one.idle_outside, deltas) for deltas, one in idle).largest(),
        "lemma5_path_idle_max": Measurement.exact(float(max(one.path_idle.max() for _, one in idle)), n=len(idle)),
    }


def curves(studies: Studies) -> dict[str, np.ndarray]:
    """For the figure, by network: deltas, times less the stated ones, distances and norms of idle neurons."""
    found: dict[str, np.ndarray] = {}
    for name, (_, deltas, one) in studies.items():
        found |= {f"{name}_deltas": np.array(deltas), f"{name}_times": one.times.value}
        found |= {f"{name}_{part}": getattr(one, part).value for part in ("distance", "outside", "idle")}
    return found
