r"""NCF flows of many random problems on one network, followed to their end and measured.

A flow $\dot u=\nabla\mathcal N(u)$ is sampled at the accepted steps of a coarse run (the mesh) and at Gauss nodes between them,
in a second run with a finer tolerance. What the lemmas say about it (Lemma 5.3 and Appendix C of two_homogeneous, Lemma 5.2
and Appendix B of deep_homogeneous) is read off these samples. With $u=e^\rho\theta$, $\|\theta\|=1$, $ds=\|u\|^{L-2}dt$:

$\theta'=(I-\theta\theta^\top)\nabla\mathcal N(\theta)$, $\rho'=L\mathcal N(\theta)$, $\mathcal N(\theta)'=\|\theta'\|^2$, and
$\tilde{\mathcal N}(u)=\mathcal N(u)/\|u\|^L=\mathcal N(\theta)$.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from flowcheck.flows.ending import Ends
from flowcheck.flows.flow import Save, blow_up_time, gradient_flow
from flowcheck.flows.rescaled import FlowStates
from flowcheck.papers.homogeneous.families import Family

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


def follow(family: Family, ends: Ends, *, rtol: float, coarser: float = 100.0) -> Followed:
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
        save=Save(steps=True),
    )
    assert scout.every_step is not None
    steps = scout.every_step
    # the end a rounding before the end, so that it is never missed
    arcs = torch.minimum(steps.arc, (scout.arc * (1 - 1e-14))[:, None])
    mesh, column = _refined(arcs.numpy(), family.degree * steps.log_norm().numpy())
    middle, half = 0.5 * (mesh[:, 1:] + mesh[:, :-1]), 0.5 * (mesh[:, 1:] - mesh[:, :-1])
    nodes = middle[..., None] + half[..., None] * GAUSS_NODES
    points = np.concatenate([nodes, mesh[:, 1:, None]], axis=-1).reshape(len(mesh), -1)
    record_at = torch.from_numpy(np.concatenate([mesh[:, :1], points], axis=-1))
    fine = gradient_flow(correlation, starts, rtol=rtol, length=scout.arc, save=Save(at=record_at))
    assert fine.recorded is not None
    found = _measure(family, fine.recorded)
    between = np.arange(1, record_at.shape[1]).reshape(mesh.shape[1] - 1, len(GAUSS_NODES) + 1)
    on_mesh = np.concatenate([[0], between[:, -1]])
    samples = Samples(
        **{name: held(values[:, on_mesh]) for name, values in found.items()},
        weights=np.nan_to_num(half[..., None] * GAUSS_WEIGHTS),
        **{f"node_{name}": np.nan_to_num(found[name][:, between[:, :-1]]) for name in ("log_norm", "value", "speed")},
        degree=family.degree,
    )
    coarse = _measure(family, steps)
    here = np.take_along_axis(samples.value, column, axis=1), np.take_along_axis(samples.log_norm, column, axis=1)
    times, errors = np.full(len(mesh), np.nan), np.full(len(mesh), np.nan)
    if family.degree > 2:
        (last, tail), (first, _) = (blow_up_time(path, correlation) for path in (fine, scout))
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


def stack(rows: list[np.ndarray], longest: int) -> np.ndarray:
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


def held(values: Float[np.ndarray, "s m *k"]) -> Float[np.ndarray, "s m *k"]:
    """The values, with the last number of each row kept up beyond its end."""
    absent = np.isnan(values).reshape(*values.shape[:2], -1).any(axis=-1)
    last = np.minimum(np.arange(values.shape[1]), (~absent).sum(axis=1, keepdims=True) - 1)
    return np.take_along_axis(values, last.reshape(*last.shape, *[1] * (values.ndim - 2)), axis=1)
