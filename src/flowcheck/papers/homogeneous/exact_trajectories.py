"""NCF flows of two-layer units in closed form, piece by piece."""

from __future__ import annotations

import numpy as np
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.ending import Ends
from flowcheck.flows.two_layer_unit import UnitPath, follow_unit
from flowcheck.networks import feed_forward, sums
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.trajectories import (
    EFOLDS,
    EXACT,
    GAUSS_NODES,
    GAUSS_WEIGHTS,
    MOST_SPACINGS,
    ON_MESH,
    Followed,
    Samples,
    held,
    stack,
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
    stacked = {name: stack([row[name] for row in rows], longest - (name not in ON_MESH)) for name in rows[0]}
    samples = Samples(**{name: held(v) if name in ON_MESH else np.nan_to_num(v) for name, v in stacked.items()}, degree=2.0)
    exact, undefined = np.full(len(rows), EXACT), np.full(len(rows), np.nan)
    return Followed(family, samples, exact, exact, exact, undefined, undefined, np.zeros(len(rows), dtype=np.int64))


def unit_of(network: Network) -> tuple[float, int]:
    """Slope and number of weights of the units of a two-layer net. Raises ValueError for another network."""
    if not isinstance(network, sums.Separable) or not isinstance(network.parts[0], feed_forward.FeedForward):
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
