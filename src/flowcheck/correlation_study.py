r"""NCF flows of many random problems on one network, followed to their end and measured.

A flow $\dot u=\nabla\mathcal N(u)$ is sampled at the accepted steps of a coarse run (the mesh) and at Gauss nodes between them,
in a second run with a finer tolerance. What the lemmas say about it (Lemma 5.3 and Appendix C of two_homogeneous, Lemma 5.2
and Appendix B of deep_homogeneous) is read off these samples. With $u=e^\rho\theta$, $\|\theta\|=1$, $ds=\|u\|^{L-2}dt$:

$\theta'=(I-\theta\theta^\top)\nabla\mathcal N(\theta)$, $\rho'=L\mathcal N(\theta)$, $\mathcal N(\theta)'=\|\theta'\|^2$, and
$\tilde{\mathcal N}(u)=\mathcal N(u)/\|u\|^L=\mathcal N(\theta)$.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck import networks
from flowcheck.correlation import Correlation, unit
from flowcheck.data import gaussian, sphere_inputs, unit_vectors
from flowcheck.flow import Event, FlowStates, Problem, blow_up_time, correlation_flow, log_norm_above
from flowcheck.hypotheses import require_degree
from flowcheck.networks import Network
from flowcheck.piecewise_flow import UnitPath, follow_unit

GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(5)
EFOLDS = 2.0
"""Largest change of L ln|u| between mesh points: Gauss quadrature of degree 9 then errs by less than 1e-10."""
ON_MESH = ("arc", "time", "log_norm", "value", "speed", "direction")
LONGEST = 1e7
"""Largest arc, times the bound of the NCF. Near a degenerate rest point the gradient falls like a small power of the arc, while
the steps stay limited by stability: what has not come to rest by then may take a hundred times as long."""
EXACT = 1e-9
"""Error of what is read off the closed form of a two-layer net: rounding of some dozen pieces, and the quadrature over them."""
MOST_SPACINGS = 1e5

Kind = Literal["power", "polynomial", "squared", "linear", "two_relu", "two_layer"]
Labels = Literal["mixed", "negative", "positive", "alternating"]
Inputs = Literal["sphere", "half_space"]
Starts = Literal["sphere", "zero", "positive"]


@dataclass(frozen=True)
class Family:
    r"""Random NCF problems on one network: a data set, a vector z and a start for each row.

    Attributes:
        bound: $\beta\|z\|$ of each row, beta the closed upper bound on its inputs.
    """

    name: str
    kind: Kind
    network: Network
    x: Float[Tensor, "s n d"]
    z: Float[Tensor, "s n"]
    starts: Float[Tensor, "s k"]

    @property
    def correlation(self) -> Correlation:
        return Correlation(self.network, self.x, self.z)

    @property
    def degree(self) -> float:
        return float(self.network.degree)

    @functools.cached_property
    def bound(self) -> Float[Tensor, " s"]:
        return torch.stack([self.network.output_bound(x) * z.norm() for x, z in zip(self.x, self.z, strict=True)])


def network_of(kind: Kind, degree: int, dimension: int, units: int, slope: float = 0.0) -> Network:
    """The test systems of both papers. Raises ValueError for a degree that the kind does not have.

    `slope` is that of the two-layer leaky ReLU net.
    """
    if kind in ("power", "polynomial"):
        return networks.power_net(units, dimension, degree, slope=float(kind == "polynomial"))
    if kind == "linear":
        return networks.deep_linear((units,) * (degree - 1), dimension)
    network: Network
    if kind == "two_layer":
        network = networks.two_layer(units, dimension, slope=slope)
    elif kind == "two_relu":
        network = networks.relu_two_trainable((units, units), dimension, (1.0,) * units)
    else:
        network = networks.squared_relu((units, units), dimension)
    if network.degree != degree:
        raise ValueError(f"a {kind} network has degree {network.degree:g}, not {degree}")
    return network


def draw_family(
    name: str,
    kind: Kind,
    network: Network,
    rng: np.random.Generator,
    runs: int,
    *,
    points: int,
    labels: Labels = "mixed",
    inputs: Inputs = "sphere",
    starts: Starts = "sphere",
) -> Family:
    """`runs` problems with `points` inputs on the unit sphere each, Gaussian z, starts on the unit sphere.

    labels: signs of z, random, of one kind or alternating. inputs: "half_space" turns them until the first coordinate is
    positive. starts: "zero" moves them along a great circle to N = 0; "positive" makes their entries positive, where with z > 0
    no kink of a ReLU net attracts.
    """
    x = sphere_inputs(rng, runs * points, network.inputs).view(runs, points, -1)
    if inputs == "half_space":
        x = torch.where(x[..., :1] < 0, -x, x)
    z = _signed(gaussian(rng, runs, points), labels)
    directions = unit_vectors(rng, runs, network.size)
    if starts == "positive":
        directions = directions.abs()
    if starts == "zero":
        directions = _to_zero_set(Correlation(network, x, z), directions, unit_vectors(rng, 64, network.size))
    return Family(name, kind, network, x, z, directions)


def _signed(z: Float[Tensor, "s n"], labels: Labels) -> Float[Tensor, "s n"]:
    alternating = torch.where(torch.arange(z.shape[1]) % 2 == 0, 1.0, -1.0).to(z)
    signs = {"mixed": z.sign(), "negative": -alternating.abs(), "positive": alternating.abs(), "alternating": alternating}
    return z.abs() * signs[labels]


def _to_zero_set(correlation: Correlation, starts: Float[Tensor, "s k"], others: Float[Tensor, "m k"]) -> Float[Tensor, "s k"]:
    """Points with N = 0 between each start and the first of `others` at which N has the other sign. ValueError if none has."""
    sign = correlation.value(starts).sign()
    opposite = torch.stack([correlation.value(other.expand_as(starts)).sign() == -sign for other in others])
    if not bool(opposite.any(dim=0).all()):
        raise ValueError("the NCF of some row has one sign on all of the starts")
    near, far = starts, others[opposite.to(torch.int64).argmax(dim=0)]
    for _ in range(80):
        middle = unit(near + far)
        same = (correlation.value(middle).sign() == sign)[:, None]
        near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    return near


@dataclass(frozen=True)
class Samples:
    r"""Flows on a mesh [S, M] and at Gauss nodes between neighbouring mesh points [S, M-1, G]; a flow that ended stays put.

    Attributes:
        arc, time, log_norm: s, t and $\rho$ on the mesh.
        value, speed: $\mathcal N(\theta)$ and $\|\theta'\|=\|(I-\theta\theta^\top)\nabla\mathcal N(\theta)\|$ on the mesh.
        direction: $\theta$ on the mesh.
        weights: quadrature weights in s, 0 beyond the end.
        node_log_norm, node_value, node_speed: the same at the nodes.
        degree: L.
    """

    arc: Float[np.ndarray, "s m"]
    time: Float[np.ndarray, "s m"]
    log_norm: Float[np.ndarray, "s m"]
    value: Float[np.ndarray, "s m"]
    speed: Float[np.ndarray, "s m"]
    direction: Float[np.ndarray, "s m k"]
    weights: Float[np.ndarray, "s j g"]
    node_log_norm: Float[np.ndarray, "s j g"]
    node_value: Float[np.ndarray, "s j g"]
    node_speed: Float[np.ndarray, "s j g"]
    degree: float

    def integral(self, integrand: Float[np.ndarray, "s j g"]) -> Float[np.ndarray, "s m"]:
        """Running integral over s from the start to each mesh point."""
        pieces = (self.weights * integrand).sum(axis=-1)
        return np.concatenate([np.zeros((len(pieces), 1)), np.cumsum(pieces, axis=-1)], axis=-1)

    def remaining(self, integrand: Float[np.ndarray, "s j g"]) -> Float[np.ndarray, "s m"]:
        """Integral over s from each mesh point to the end, summed from the end: small values keep their digits."""
        pieces = (self.weights * integrand).sum(axis=-1)[:, ::-1]
        return np.concatenate([np.zeros((len(pieces), 1)), np.cumsum(pieces, axis=-1)], axis=-1)[:, ::-1]

    @property
    def length(self) -> Float[np.ndarray, "s m"]:
        r"""Length of the curve $\theta$ up to each mesh point, $\int\|\theta'\|ds$."""
        return self.integral(self.node_speed)


@dataclass(frozen=True)
class Followed:
    """A family and what was seen of its flows, [S] each.

    Attributes:
        value_error, log_norm_error: largest change of N(θ) and of ln|u| between the two tolerances, over the mesh: bounds on the
            errors of the finer run, which is the one that was sampled.
        step_error: accepted steps times their tolerance: what local errors can add to an integral identity.
        blow_up_time, blow_up_error: T* for L > 2, NaN for L = 2, and its change between the tolerances plus its tail's error.
        evaluations: right-hand sides of the finer run.
    """

    family: Family
    samples: Samples
    value_error: Float[np.ndarray, " s"]
    log_norm_error: Float[np.ndarray, " s"]
    step_error: Float[np.ndarray, " s"]
    blow_up_time: Float[np.ndarray, " s"]
    blow_up_error: Float[np.ndarray, " s"]
    evaluations: Int[np.ndarray, " s"]


@dataclass(frozen=True)
class Ends:
    """When a flow counts as followed to its end.

    Attributes:
        settled: tangential part of the gradient over beta |z| at which a flow has found its KKT point. Below about ten times the
            tolerance of the integration it is never reached: that is where its noise lies.
        rest: gradient over beta |z| at which a flow rests.
        vanished, escaped: ln|u| below (above) which a flow whose direction has settled at N < 0 (N > 0) ends.
        grown: ln|u| at which a flow ends in any case.
        longest: arc at which it does.
    """

    settled: float
    rest: float
    vanished: float
    escaped: float = -math.inf
    grown: float = 2000.0
    longest: float = math.inf

    def event(self, bound: Float[Tensor, " s"]) -> Event:
        """The first three as one event: all of them look at the same gradient."""

        def margin(problem: Problem, state: Tensor, index: Tensor) -> Tensor:
            pull, direction, log_norm = problem.pull(state, index), state[:, :-2], state[:, -2]
            along, size = (pull * direction).sum(dim=-1), pull.norm(dim=-1)
            spare = self.settled * bound[index] - (pull - along[:, None] * direction).norm(dim=-1)
            over = torch.minimum(spare, torch.where(along > 0, log_norm - self.escaped, self.vanished - log_norm))
            return torch.maximum(over, self.rest * bound[index] - size)

        return Event("settled, vanished or at rest", margin)

    def met(self, value: float, speed: float, log_norm: float, bound: float) -> bool:
        """The same for one state, with the length `speed` of the gradient's tangential part, L = 2."""
        settled = speed <= self.settled * bound and (log_norm >= self.escaped if value > 0 else log_norm <= self.vanished)
        return settled or math.hypot(2 * value, speed) <= self.rest * bound or log_norm >= self.grown


def follow(family: Family, ends: Ends, *, rtol: float, coarser: float = 100.0) -> Followed:
    r"""Follow every flow of a family until it has grown, vanished or come to rest; one that does not in `LONGEST` stays open.

    Args:
        rtol, coarser: tolerance of the samples; the mesh comes from a run with `coarser` times that.

    Raises HypothesisError for a network without its degree or rows without signal, RuntimeError as `integrate` does.
    """
    network, x, z, starts = family.network, family.x, family.z, family.starts
    require_degree(network, x[0])
    until = [ends.event(family.bound), log_norm_above(ends.grown)]
    length = (LONGEST / family.bound).clamp_max(ends.longest)
    scout = correlation_flow(network, x, z, starts, rtol=coarser * rtol, length=length, until=until, keep_steps=True)
    assert scout.every_step is not None
    steps = scout.every_step
    # the end a rounding before the end, so that it is never missed
    arcs = torch.minimum(steps.arc, (scout.arc * (1 - 1e-14))[:, None])
    mesh, column = _refined(arcs.numpy(), family.degree * steps.log_norm().numpy())
    middle, half = 0.5 * (mesh[:, 1:] + mesh[:, :-1]), 0.5 * (mesh[:, 1:] - mesh[:, :-1])
    nodes = middle[..., None] + half[..., None] * GAUSS_NODES
    points = np.concatenate([nodes, mesh[:, 1:, None]], axis=-1).reshape(len(mesh), -1)
    record_at = torch.from_numpy(np.concatenate([mesh[:, :1], points], axis=-1))
    fine = correlation_flow(network, x, z, starts, rtol=rtol, length=scout.arc, record_at=record_at)
    assert fine.recorded is not None
    found = _measure(family, fine.recorded)
    between = np.arange(1, record_at.shape[1]).reshape(mesh.shape[1] - 1, len(GAUSS_NODES) + 1)
    on_mesh = np.concatenate([[0], between[:, -1]])
    samples = Samples(
        **{name: _held(values[:, on_mesh]) for name, values in found.items()},
        weights=np.nan_to_num(half[..., None] * GAUSS_WEIGHTS),
        **{f"node_{name}": np.nan_to_num(found[name][:, between[:, :-1]]) for name in ("log_norm", "value", "speed")},
        degree=family.degree,
    )
    coarse = _measure(family, steps)
    here = np.take_along_axis(samples.value, column, axis=1), np.take_along_axis(samples.log_norm, column, axis=1)
    times, errors = np.full(len(mesh), np.nan), np.full(len(mesh), np.nan)
    if family.degree > 2:
        (last, tail), (first, _) = (blow_up_time(path, network, x, z) for path in (fine, scout))
        times, errors = last.numpy(), ((last - first).abs() + tail).numpy()
    return Followed(
        family,
        samples,
        value_error=np.nanmax(np.abs(here[0] - coarse["value"]), axis=1),
        log_norm_error=np.nanmax(np.abs(here[1] - coarse["log_norm"]), axis=1),
        step_error=rtol * fine.steps.numpy(),
        blow_up_time=times,
        blow_up_error=errors,
        evaluations=fine.evaluations.numpy(),
    )


def follow_exactly(family: Family, ends: Ends) -> Followed:
    """The same for a two-layer (leaky) ReLU net, unit by unit in closed form, sliding along kinks included.

    The direction's velocity is the one of the pieces, an element of the Clarke subdifferential; values come from the network.
    """
    slope, width = unit_of(family.network)
    rows = []
    for x, z, start, bound in zip(family.x, family.z, family.starts, family.bound.tolist(), strict=True):
        units = start.view(-1, width).numpy()
        paths = [follow_unit(x.numpy(), z.numpy(), slope, unit[:-1], unit[-1]) for unit in units]
        rows.append(_exact_row(paths, Correlation(family.network, x, z), ends, bound))
    longest = max(row["arc"].shape[0] for row in rows)
    stacked = {name: _stack([row[name] for row in rows], longest - (name not in ON_MESH)) for name in rows[0]}
    samples = Samples(**{name: _held(v) if name in ON_MESH else np.nan_to_num(v) for name, v in stacked.items()}, degree=2.0)
    exact, undefined = np.full(len(rows), EXACT), np.full(len(rows), np.nan)
    return Followed(family, samples, exact, exact, exact, undefined, undefined, np.zeros(len(rows), dtype=np.int64))


def unit_of(network: Network) -> tuple[float, int]:
    """Slope and number of weights of the units of a two-layer net. Raises ValueError for another network."""
    if not isinstance(network, networks.Separable) or not isinstance(network.parts[0], networks.FeedForward):
        raise ValueError(f"{network.name} is not a two-layer net")
    return network.parts[0].layers[0].activation.slope, network.parts[0].size


def _exact_row(paths: list[UnitPath], correlation: Correlation, ends: Ends, bound: float) -> dict[str, np.ndarray]:
    """Mesh, nodes and what Samples wants of one network of exact units; followed to twice the time until it has settled."""
    fastest = max(float(np.linalg.norm(piece.g)) for path in paths for piece in path.pieces)
    spacing = EFOLDS / (2 * max(fastest, 1e-3 * bound))
    events = np.unique(np.concatenate([path.begins for path in paths]))
    end = max(2 * events[-1], 30 * spacing)

    def states(t: np.ndarray) -> dict[str, np.ndarray]:
        exponent = np.max([path.most_growth(t) for path in paths], axis=0)
        u = np.concatenate([path.at(t, exponent) for path in paths], axis=1)
        velocity = np.concatenate([path.velocity_at(t, exponent) for path in paths], axis=1)
        norm = np.linalg.norm(u, axis=1, keepdims=True)
        direction, velocity = u / norm, velocity / norm
        speed = np.linalg.norm(velocity - (velocity * direction).sum(axis=1, keepdims=True) * direction, axis=1)
        value = correlation.value(torch.from_numpy(direction)).numpy()
        return {"log_norm": np.log(norm[:, 0]) + exponent, "value": value, "speed": speed, "direction": direction}

    while end < MOST_SPACINGS * spacing:
        value, speed, log_norm = (float(states(np.array([end]))[name][0]) for name in ("value", "speed", "log_norm"))
        if ends.met(value, speed, log_norm, bound):
            break
        end *= 2
    early = np.arange(0.0, min(end, events[-1] + 20 * spacing), 0.25 * spacing)
    grid = np.unique(np.concatenate([events[events < end], early, np.arange(early[-1], end, spacing), [end]]))
    middle, half = 0.5 * (grid[1:] + grid[:-1]), 0.5 * np.diff(grid)
    between = states((middle[:, None] + half[:, None] * GAUSS_NODES).ravel())
    nodes = {f"node_{name}": between[name].reshape(len(half), -1) for name in ("log_norm", "value", "speed")}
    return {"arc": grid, "time": grid, **states(grid), "weights": half[:, None] * GAUSS_WEIGHTS, **nodes}


def _stack(rows: list[np.ndarray], longest: int) -> np.ndarray:
    """Rows of different length, padded by NaN."""
    return np.stack([np.pad(row, [(0, longest - len(row)), *[(0, 0)] * (row.ndim - 1)], constant_values=np.nan) for row in rows])


def _refined(
    arc: Float[np.ndarray, "s n"], exponent: Float[np.ndarray, "s n"]
) -> tuple[Float[np.ndarray, "s m"], Int[np.ndarray, "s n"]]:
    """The mesh with steps divided until `exponent` moves by at most EFOLDS in each; the column of each given point in it.

    Rows are padded by NaN in `arc`, and so is the result; the column of a padded point is 0.
    """
    parts = np.nan_to_num(np.ceil(np.abs(np.diff(exponent, axis=1)) / EFOLDS).clip(1), nan=0.0).astype(np.int64)
    column = np.concatenate([np.zeros((len(arc), 1), dtype=np.int64), np.cumsum(parts, axis=1)], axis=1)
    mesh = np.full((len(arc), int(column.max()) + 1), np.nan)
    for row, (points, columns) in enumerate(zip(arc, column, strict=True)):
        present = ~np.isnan(points)
        mesh[row, : columns[-1] + 1] = np.interp(np.arange(columns[-1] + 1), columns[present], points[present])
    return mesh, np.where(np.isnan(arc), 0, column)


def _measure(family: Family, states: FlowStates) -> dict[str, np.ndarray]:
    """Arc, time, log-norm, direction, value and speed of states [S, P]; NaN where there is no state."""
    row, column = torch.nonzero(~torch.isnan(states.time), as_tuple=True)
    correlation = replace(family.correlation, x=family.x[row], z=family.z[row])
    direction = states.direction[row, column]
    value, speed = torch.full_like(states.time, torch.nan), torch.full_like(states.time, torch.nan)
    value[row, column] = correlation.value(direction)
    speed[row, column] = correlation.tangential(direction).norm(dim=-1)
    found = {"arc": states.arc, "time": states.time, "log_norm": states.log_norm(), "direction": states.direction}
    return {name: tensor.numpy() for name, tensor in {**found, "value": value, "speed": speed}.items()}


def _held(values: Float[np.ndarray, "s m *k"]) -> Float[np.ndarray, "s m *k"]:
    """The values, with the last number of each row kept up beyond its end."""
    absent = np.isnan(values).reshape(*values.shape[:2], -1).any(axis=-1)
    last = np.minimum(np.arange(values.shape[1]), (~absent).sum(axis=1, keepdims=True) - 1)
    return np.take_along_axis(values, last.reshape(*last.shape, *[1] * (values.ndim - 2)), axis=1)
