"""NCF flows of two-layer units in closed form, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.ending import Ends
from flowcheck.flows.two_layer_unit import UnitPath, follow_unit
from flowcheck.networks import feed_forward, sums
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.trajectories import EFOLDS, FIRST, SECOND, Flows, Followed, Quadrature, Samples, held

ON_MESH = ("arc", "time", "log_norm", "value", "speed", "direction")
MOST_SPACINGS = 1e5
SCALE = 3.0
"""What starts are multiplied with for the second reading: the flow of degree two keeps its directions and its times, while all
numbers of its pieces are rounded otherwise."""


def follow_exactly(family: Family, ends: Ends) -> Flows:
    """The same for a two-layer (leaky) ReLU net, unit by unit in closed form, sliding along kinks included.

    The direction's velocity is the one of the pieces, an element of the Clarke subdifferential; values come from the network.
    There is no tolerance: the second reading is that of another quadrature, and of starts on another scale.
    """
    family = family.on(torch.device("cpu"))
    slope, width = unit_of(family.network)
    rows: tuple[list[dict[str, np.ndarray]], ...] = ([], [])
    for x, z, start, bound in zip(family.x, family.z, family.starts, family.bound.tolist(), strict=True):
        correlation = Correlation(family.network, x, z)
        first, second = (unit_paths(x.numpy(), z.numpy(), slope, c * start.view(-1, width).numpy()) for c in (1.0, SCALE))
        grid = _grid(first, correlation, ends, bound)
        rows[0].append(_sampled(first, correlation, grid, FIRST))
        rows[1].append(_sampled(second, correlation, grid, SECOND, shift=-math.log(SCALE)))
    undefined = np.full(len(rows[0]), np.nan)
    fine, coarse = (Followed(family, _stacked(each), undefined) for each in rows)
    return Flows(fine, coarse, undefined, np.zeros(len(undefined), dtype=np.int64))


def states_at(
    family: Family, rows: Int[np.ndarray, " a"], times: Float[np.ndarray, "a p"], scale: Float[np.ndarray, " a"]
) -> tuple[Float[np.ndarray, "a p"], Float[np.ndarray, "a p k"]]:
    """ln|u| and direction of some rows at their times, of the flow from the start times `scale`, but for the scale."""
    slope, width = unit_of(family.network)
    found = []
    for x, z, start, own, c in zip(family.x[rows], family.z[rows], family.starts[rows], times, scale.tolist(), strict=True):
        paths = unit_paths(x.numpy(), z.numpy(), slope, c * start.view(-1, width).numpy())
        found.append(_states(paths, Correlation(family.network, x, z), own))
    shifted = np.stack([each["log_norm"] - math.log(c) for each, c in zip(found, scale.tolist(), strict=True)])
    return shifted, np.stack([each["direction"] for each in found])


def unit_paths(
    x: Float[np.ndarray, "n d"], z: Float[np.ndarray, " n"], slope: float, units: Float[np.ndarray, "h k"]
) -> list[UnitPath]:
    """The flow of each of the units (u, v) of a two-layer net."""
    return [follow_unit(x, z, slope, unit[:-1], unit[-1]) for unit in units]


def unit_of(network: Network) -> tuple[float, int]:
    """Slope and number of weights of the units of a two-layer net. Raises ValueError for another network."""
    if not isinstance(network, sums.Separable) or not isinstance(network.parts[0], feed_forward.FeedForward):
        raise ValueError(f"{network.name} is not a two-layer net")
    return network.parts[0].layers[0].activation.slope, network.parts[0].size


def _states(paths: Sequence[UnitPath], correlation: Correlation, t: Float[np.ndarray, " p"]) -> dict[str, np.ndarray]:
    exponent = np.max([path.most_growth(t) for path in paths], axis=0)
    u = np.concatenate([path.at(t, exponent) for path in paths], axis=1)
    velocity = np.concatenate([path.velocity_at(t, exponent) for path in paths], axis=1)
    norm = np.linalg.norm(u, axis=1, keepdims=True)
    direction, velocity = u / norm, velocity / norm
    speed = np.linalg.norm(velocity - (velocity * direction).sum(axis=1, keepdims=True) * direction, axis=1)
    value = correlation.value(torch.from_numpy(direction)).numpy()
    return {"log_norm": np.log(norm[:, 0]) + exponent, "value": value, "speed": speed, "direction": direction}


def _grid(paths: Sequence[UnitPath], correlation: Correlation, ends: Ends, bound: float) -> Float[np.ndarray, " m"]:
    """The mesh of one network of exact units; followed to twice the time until it has settled."""
    fastest = max(float(np.linalg.norm(piece.g)) for path in paths for piece in path.pieces)
    spacing = EFOLDS / (2 * max(fastest, 1e-3 * bound))
    events = np.unique(np.concatenate([path.begins for path in paths]))
    end = max(2 * events[-1], 30 * spacing)
    while end < MOST_SPACINGS * spacing:
        last = _states(paths, correlation, np.array([end]))
        value, speed, log_norm = (float(last[name][0]) for name in ("value", "speed", "log_norm"))
        if ends.met(value, speed, log_norm, bound):
            break
        end *= 2
    early = np.arange(0.0, min(end, events[-1] + 20 * spacing), 0.25 * spacing)
    return np.unique(np.concatenate([events[events < end], early, np.arange(early[-1], end, spacing), [end]]))


def _sampled(
    paths: Sequence[UnitPath],
    correlation: Correlation,
    grid: Float[np.ndarray, " m"],
    rule: Quadrature,
    shift: float = 0.0,
) -> dict[str, np.ndarray]:
    """What Samples wants of one network of exact units; `shift` is added to ln|u|."""
    on_mesh, nodes = _states(paths, correlation, grid), rule.nodes(grid)
    between = _states(paths, correlation, nodes.ravel())
    for found in (on_mesh, between):
        found["log_norm"] += shift
    at_nodes = {f"node_{name}": between[name].reshape(nodes.shape) for name in ("log_norm", "value", "speed")}
    return {"arc": grid, "time": grid, **on_mesh, "weights": rule.weights(grid), **at_nodes}


def _stacked(rows: Sequence[dict[str, np.ndarray]]) -> Samples:
    """Rows of different length in one batch, each part of them let go once it has its place: no two copies of all."""
    longest = max(len(row["arc"]) for row in rows)
    found: dict[str, np.ndarray] = {}
    for name in list(rows[0]):
        parts = [row.pop(name) for row in rows]
        if name in ON_MESH:
            found[name] = held(_padded(parts, longest))
        else:
            found[name] = np.nan_to_num(_padded(parts, longest - 1), copy=False)
    return Samples(**found, degree=2.0)


def _padded(rows: list[np.ndarray], longest: int) -> np.ndarray:
    """By NaN."""
    found = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found
