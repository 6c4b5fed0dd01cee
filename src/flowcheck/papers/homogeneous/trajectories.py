r"""NCF flows of many random problems on one network, followed to their end and sampled.

A flow $\dot u=\nabla\mathcal N(u)$ is sampled at the accepted steps of a coarse run (the mesh) and at Gauss nodes between them,
in a second run with a finer tolerance. What the lemmas say about it (Lemma 5.3 and Appendix C of two_homogeneous, Lemma 5.2
and Appendix B of deep_homogeneous) is read off these samples. With $u=e^\rho\theta$, $\|\theta\|=1$, $ds=\|u\|^{L-2}dt$:

$\theta'=(I-\theta\theta^\top)\nabla\mathcal N(\theta)$, $\rho'=L\mathcal N(\theta)$, $\mathcal N(\theta)'=\|\theta'\|^2$, and
$\tilde{\mathcal N}(u)=\mathcal N(u)/\|u\|^L=\mathcal N(\theta)$.

Everything can be read a second time, off the coarse run on the same mesh with twice as many nodes: the change is the error, of
the integration and of the quadrature.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from flowcheck.flows.ending import Ends
from flowcheck.flows.flow import Save, blow_up_time, gradient_flow
from flowcheck.flows.rescaled import FlowStates
from flowcheck.papers.homogeneous.families import Family

EFOLDS = 2.0
"""Largest change of L ln|u| between mesh points: Gauss quadrature of degree 9 then errs by less than 1e-10."""
BLOCK = 100_000
"""States that are read at a time: of 10 weights with data of 24 numbers, 30 MB."""
LONGEST = 1e7
"""Largest arc, times the bound of the NCF. Near a degenerate rest point the gradient falls like a small power of the arc, while
the steps stay limited by stability: what has not come to rest by then may take a hundred times as long."""


@dataclass(frozen=True)
class Quadrature:
    """Gauss-Legendre rule of so many nodes on [-1, 1]."""

    count: int

    @functools.cached_property
    def rule(self) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
        """Nodes and weights."""
        return np.polynomial.legendre.leggauss(self.count)

    def nodes(self, mesh: Float[np.ndarray, "*s m"]) -> Float[np.ndarray, "*s j g"]:
        """Between neighbouring mesh points."""
        middle, half = 0.5 * (mesh[..., 1:] + mesh[..., :-1]), 0.5 * (mesh[..., 1:] - mesh[..., :-1])
        return middle[..., None] + half[..., None] * self.rule[0]

    def weights(self, mesh: Float[np.ndarray, "*s m"]) -> Float[np.ndarray, "*s j g"]:
        return 0.5 * (mesh[..., 1:] - mesh[..., :-1])[..., None] * self.rule[1]


FIRST, SECOND = Quadrature(5), Quadrature(10)
"""The rules of the two readings."""


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

    @functools.cached_property
    def length(self) -> Float[np.ndarray, "s m"]:
        r"""Length of the curve $\theta$ up to each mesh point, $\int\|\theta'\|ds$."""
        return self.integral(self.node_speed)


@dataclass(frozen=True)
class Followed:
    """What was seen of the flows of a family, once.

    Attributes:
        blow_up_time: T* [S] for L > 2, NaN for L = 2.
    """

    family: Family
    samples: Samples
    blow_up_time: Float[np.ndarray, " s"]

    @functools.cached_property
    def bound(self) -> Float[np.ndarray, " s"]:
        return self.family.bound.cpu().numpy()


@dataclass(frozen=True)
class Flows:
    """A family that was followed twice, and read twice.

    Attributes:
        fine, coarse: the run with the finer tolerance, whose numbers count, and the other one.
        blow_up_error: change of T* plus the error of its tail.
        evaluations: right-hand sides of the finer run.
    """

    fine: Followed
    coarse: Followed
    blow_up_error: Float[np.ndarray, " s"]
    evaluations: Int[np.ndarray, " s"]

    @property
    def value_error(self) -> Float[np.ndarray, " s"]:
        """Largest change of N(θ) on the mesh of each flow."""
        return np.abs(self.fine.samples.value - self.coarse.samples.value).max(axis=1)

    @property
    def log_norm_error(self) -> Float[np.ndarray, " s"]:
        """Largest change of ln|u|."""
        return np.abs(self.fine.samples.log_norm - self.coarse.samples.log_norm).max(axis=1)


def follow(family: Family, ends: Ends, *, rtol: float, coarser: float = 100.0) -> Flows:
    r"""Follow every flow of a family until it has grown, vanished or come to rest; one that does not in `LONGEST` stays open.

    Args:
        rtol, coarser: tolerance of the samples; the mesh comes from a run with `coarser` times that.

    Raises HypothesisError for a network without its degree or rows without signal, RuntimeError as `integrate` does.
    """
    correlation, starts = family.correlation, family.starts
    _ = correlation.degree_defect  # asked before the bound, which a network without its degree has not
    length = (LONGEST / family.bound).clamp_max(ends.longest)
    scout = gradient_flow(
        correlation,
        starts,
        rtol=coarser * rtol,
        length=length,
        until=ends.events(family.bound),
        save=Save(steps=True, dense=True),
    )
    assert scout.every_step is not None
    assert scout.between is not None
    steps = scout.every_step
    # the end a rounding before the end, so that it is never missed
    arcs = torch.minimum(steps.arc, (scout.arc * (1 - 1e-14))[:, None]).cpu().numpy()
    mesh = _refined(arcs, family.degree * steps.log_norm().cpu().numpy())
    fine = gradient_flow(correlation, starts, rtol=rtol, length=scout.arc, save=Save(at=_points(family, mesh, FIRST)))
    assert fine.recorded is not None
    time, error = np.full((2, len(mesh)), np.nan), np.full(len(mesh), np.nan)
    if family.degree > 2:
        (last, tail), (first, _) = (blow_up_time(path, correlation) for path in (fine, scout))
        time, error = torch.stack([last, first]).cpu().numpy(), ((last - first).abs() + tail).cpu().numpy()
    evaluations, between = fine.evaluations.cpu().numpy(), scout.between
    seen = _sampled(family, fine.recorded.of_trajectories, mesh, FIRST)
    del fine  # its states take more memory than all else
    points = _points(family, mesh, SECOND)
    again = _sampled(family, lambda rows: between(points[rows], rows), mesh, SECOND)
    return Flows(Followed(family, seen, time[0]), Followed(family, again, time[1]), error, evaluations)


def _points(family: Family, mesh: Float[np.ndarray, "s m"], rule: Quadrature) -> Float[torch.Tensor, "s p"]:
    """The first mesh point, and then nodes and mesh point in turn."""
    points = np.concatenate([rule.nodes(mesh), mesh[:, 1:, None]], axis=-1).reshape(len(mesh), -1)
    return torch.from_numpy(np.concatenate([mesh[:, :1], points], axis=-1)).to(family.starts)


def _sampled(
    family: Family, states: Callable[[Int[torch.Tensor, " a"]], FlowStates], mesh: Float[np.ndarray, "s m"], rule: Quadrature
) -> Samples:
    """From the states of some trajectories at `_points`; a block of them at a time, as nobody wants directions at nodes."""
    together = max(1, BLOCK // (mesh.shape[1] * (rule.count + 1)))
    every = torch.arange(len(mesh), device=family.starts.device)
    parts = []
    for begin in range(0, len(mesh), together):
        rows = every[begin : begin + together]
        parts.append(_sampled_block(family, rows, states(rows), mesh[begin : begin + together], rule))
    return Samples(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, degree=family.degree)


def _sampled_block(
    family: Family, rows: Int[torch.Tensor, " a"], states: FlowStates, mesh: Float[np.ndarray, "a m"], rule: Quadrature
) -> dict[str, np.ndarray]:
    found = _measure(family, rows, states)
    between = np.arange(1, states.time.shape[1]).reshape(mesh.shape[1] - 1, rule.count + 1)
    on_mesh = np.concatenate([[0], between[:, -1]])
    return {
        **{name: held(values[:, on_mesh]) for name, values in found.items()},
        "weights": np.nan_to_num(rule.weights(mesh)),
        **{f"node_{name}": np.nan_to_num(found[name][:, between[:, :-1]]) for name in ("log_norm", "value", "speed")},
    }


def _refined(arc: Float[np.ndarray, "s n"], exponent: Float[np.ndarray, "s n"]) -> Float[np.ndarray, "s m"]:
    """The mesh with steps divided until `exponent` moves by at most EFOLDS in each. Rows are padded by NaN."""
    parts = np.nan_to_num(np.ceil(np.abs(np.diff(exponent, axis=1)) / EFOLDS).clip(1), nan=0.0).astype(np.int64)
    column = np.concatenate([np.zeros((len(arc), 1), dtype=np.int64), np.cumsum(parts, axis=1)], axis=1)
    mesh = np.full((len(arc), int(column.max()) + 1), np.nan)
    for row, (points, columns) in enumerate(zip(arc, column, strict=True)):
        present = ~np.isnan(points)
        mesh[row, : columns[-1] + 1] = np.interp(np.arange(columns[-1] + 1), columns[present], points[present])
    return mesh


def _measure(family: Family, rows: Int[torch.Tensor, " a"], states: FlowStates) -> dict[str, np.ndarray]:
    """Arc, time, log-norm, direction, value and speed of states [A, P] of some rows; NaN where there is no state."""
    row, column = torch.nonzero(~torch.isnan(states.time), as_tuple=True)
    correlation = replace(family.correlation, x=family.x[rows[row]], z=family.z[rows[row]])
    direction = states.direction[row, column]
    value, speed = torch.full_like(states.time, torch.nan), torch.full_like(states.time, torch.nan)
    value[row, column] = correlation.value(direction)
    speed[row, column] = correlation.tangential(direction).norm(dim=-1)
    found = {"arc": states.arc, "time": states.time, "log_norm": states.log_norm(), "direction": states.direction}
    return {name: tensor.cpu().numpy() for name, tensor in {**found, "value": value, "speed": speed}.items()}


def held(values: Float[np.ndarray, "s m *k"]) -> Float[np.ndarray, "s m *k"]:
    """The values, with the last number of each row kept up beyond its end."""
    absent = np.isnan(values).reshape(*values.shape[:2], -1).any(axis=-1)
    last = np.minimum(np.arange(values.shape[1]), (~absent).sum(axis=1, keepdims=True) - 1)
    return np.take_along_axis(values, last.reshape(*last.shape, *[1] * (values.ndim - 2)), axis=1)
