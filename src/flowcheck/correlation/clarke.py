r"""Clarke subdifferentials of (leaky) ReLU networks at kinks: their generators, minimum-norm elements, and KKT points there.

Where preactivations vanish, the gradient of $\mathcal N(w)=z^\top\mathcal H(X;w)$ has one limit for each combination of their
signs that nearby weights realise; $\partial\mathcal N(w)$ is the convex hull of these limits. All combinations together span
the larger set that the chain rule gives (two_homogeneous, Lemma A.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.geometry import directed, unit
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.network import Network
from flowcheck.networks.sums import Separable

ON_KINK, PIECES_SAMPLED = 1e-6, 500
"""Preactivations of a direction where a flow stopped that may vanish at its limit; directions that look for pieces there."""
LARGEST_COMBINATIONS = 12
"""Vanishing preactivations whose sign combinations are all listed: 2^12 pieces."""


def piece_forward(
    network: Network, w: Float[Tensor, "s k"], x: Float[Tensor, "n d"], signs: Float[Tensor, "s m"]
) -> Float[Tensor, "s o"]:
    """Outputs of the smooth piece on which `preactivations` have these signs (+1 or -1), continued to all weights.

    Raises ValueError for a network that is not made of layers, or whose kinks are not those of max(x, a x).
    """
    if isinstance(network, Separable):
        widths = [part.preactivations(w[:, where], x).shape[1] for part, where in _parts(network)]
        pieces = torch.split(signs, widths, dim=-1)
        outputs = [piece_forward(part, w[:, where], x, own) for (part, where), own in zip(_parts(network), pieces, strict=True)]
        return torch.stack(outputs).sum(dim=0)
    if not isinstance(network, FeedForward):
        raise ValueError(f"{network.name}: pieces are known for networks made of layers")
    trained, carried, used = iter(network.unpack(w)), x.mT.expand(w.shape[0], -1, -1), 0
    for layer in network.layers:
        matrix = next(trained) if layer.fixed is None else torch.tensor(layer.fixed, dtype=w.dtype, device=w.device)
        carried = matrix @ carried
        if layer.activation.has_lipschitz_gradient:
            carried = layer.activation(carried)
            continue
        if layer.activation.power != 1:
            raise ValueError(f"{network.name}: the kinks of a power {layer.activation.power:g} have no linear pieces")
        own = signs[:, used : used + layer.rows * x.shape[0]].view(w.shape[0], layer.rows, -1)
        high, low = max(1.0, layer.activation.slope), min(1.0, layer.activation.slope)
        factor = torch.where(own > 0, w.new_tensor(high), w.new_tensor(low))
        carried, used = factor * carried, used + own[0].numel()
    return network.read(carried)


def generators(correlation: Correlation, w: Float[Tensor, " k"], signs: Float[Tensor, "p m"]) -> Float[Tensor, "p k"]:
    """The gradient at w of each piece."""
    with torch.enable_grad():
        leaf = w.detach().expand(len(signs), -1).clone().requires_grad_(True)
        total = (piece_forward(correlation.network, leaf, correlation.x, signs) @ correlation.z).sum()
        return torch.autograd.grad(total, leaf)[0]


def nearby_signs(
    network: Network,
    w: Float[Tensor, " k"],
    x: Float[Tensor, "n d"],
    directions: Float[Tensor, "p k"],
    *,
    tolerance: float = 1e-9,
    radius: float = 1e-5,
) -> Float[Tensor, "c m"]:
    """The distinct signs of the preactivations at w + radius * directions, where those below `tolerance` at w may vary.

    With enough directions these are the pieces that meet at w, and their gradients generate the Clarke subdifferential.
    """
    at = network.preactivations(w[None], x)
    near = network.preactivations(w + radius * directions, x)
    vanishing = at.abs() <= tolerance
    if at.shape[1] == 0:  # a smooth network is one piece
        return at
    return torch.unique(torch.where(vanishing, _sign(near), _sign(at)), dim=0)


def all_signs(
    network: Network, w: Float[Tensor, " k"], x: Float[Tensor, "n d"], *, tolerance: float = 1e-9
) -> Float[Tensor, "c m"]:
    """Every combination of signs of the preactivations below `tolerance` at w: the set of the chain rule.

    Raises ValueError if more than `LARGEST_COMBINATIONS` preactivations vanish.
    """
    at = network.preactivations(w[None], x)[0]
    vanishing = (at.abs() <= tolerance).nonzero()[:, 0]
    if len(vanishing) > LARGEST_COMBINATIONS:
        raise ValueError(f"{len(vanishing)} preactivations vanish: their combinations are too many")
    signs = _sign(at).repeat(2 ** len(vanishing), 1)
    choices = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=len(vanishing))), dtype=w.dtype, device=w.device)
    signs[:, vanishing] = choices.view(len(signs), -1)
    return signs


def min_norm_point(points: Float[np.ndarray, "p k"]) -> Float[np.ndarray, " k"]:
    r"""The element of smallest norm of the convex hull of the rows.

    Minimises $\|G^\top\lambda\|^2+(1^\top\lambda-1)^2$ over $\lambda\ge0$; at the solution $\lambda/1^\top\lambda$ are the
    weights: for $\lambda=t\mu$ with $1^\top\mu=1$ the best t leaves $\|G^\top\mu\|^2/(1+\|G^\top\mu\|^2)$.
    """
    scale = float(np.linalg.norm(points, axis=1).max())
    if scale == 0:
        return np.zeros(points.shape[1])
    system, right = np.vstack([points.T / scale, np.ones(len(points))]), np.append(np.zeros(points.shape[1]), 1.0)
    weights, _ = nnls(system, right)
    support = np.flatnonzero(weights)
    # nnls works with normal equations; on the support found, a QR solution has full accuracy
    polished = np.linalg.lstsq(system[:, support], right, rcond=None)[0]
    weights[support] = np.where((polished >= 0).all(), polished, weights[support])
    return points.T @ (weights / weights.sum())


def hull_distance(targets: Float[np.ndarray, "t k"], points: Float[np.ndarray, "p k"]) -> Float[np.ndarray, " t"]:
    """Distance of each target from the convex hull of `points`; 0, up to rounding, for the members."""
    return enclosed_hull_distance(targets, points)[0]


def enclosed_hull_distance(
    targets: Float[np.ndarray, "t k"], points: Float[np.ndarray, "p k"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    r"""`hull_distance`, and by how much it can be wrong.

    The element p that was found lies in the hull of the differences g, so the true distance is at most $\|p\|$. The plane across
    p that touches the hull is a lower bound: $\min_g\langle p,g\rangle/\|p\|$, and at p = 0 it is 0. To the gap between them
    comes the rounding of p, a sum of as many vectors as there are points, and of the products.
    """
    operations = len(points) + points.shape[1]
    size = np.linalg.norm(points, axis=1).max() + np.linalg.norm(targets, axis=1)
    rounding = operations * np.finfo(np.float64).eps * size
    found = np.empty((2, len(targets)))
    for row, target in enumerate(targets):
        differences = points - target
        nearest = min_norm_point(differences)
        distance = np.linalg.norm(nearest)
        below = (differences @ nearest).min() / distance if distance > 0 else 0.0
        found[:, row] = distance, max(distance - max(below, 0.0), 0.0)
    return found[0], found[1] + rounding


def clarke_residual(correlation: Correlation, w: Float[Tensor, " k"], signs: Float[Tensor, "p m"]) -> float:
    r"""$\min_s\|(I-\hat w\hat w^\top)s\|$ over $s\in\partial\mathcal N(\hat w)$, relative to the largest generator.

    `signs` name the generators. 0 exactly at KKT points, on kinks too; the minimum is at the minimum-norm element (Lemma C.6).
    0 if all generators are 0.
    """
    return enclosed_clarke_residual(correlation, w, signs)[0]


def enclosed_clarke_residual(
    correlation: Correlation, w: Float[Tensor, " k"], signs: Float[Tensor, "p m"]
) -> tuple[float, float]:
    """`clarke_residual`, and by how much it can be wrong: as `enclosed_hull_distance`, and by the rounding of the projection.

    Raises ValueError if w is zero.
    """
    direction = directed("w", w[None])[0] / w.norm()
    gradients = generators(correlation, direction, signs)
    size = float(gradients.norm(dim=-1).max())
    if size == 0:
        return 0.0, 0.0
    tangential = (gradients - (gradients @ direction)[:, None] * direction).cpu().numpy()
    (distance,), (error,) = enclosed_hull_distance(np.zeros((1, tangential.shape[1])), tangential)
    projection = (tangential.shape[1] + 2) * float(np.finfo(np.float64).eps)
    return float(distance) / size, float(error) / size + projection


def residual_nearby(correlation: Correlation, w: Float[Tensor, " k"]) -> tuple[float, float]:
    """`enclosed_clarke_residual` from the pieces that meet within `ON_KINK` of w, as far as sampled directions find them."""
    sampled = np.random.Generator(np.random.PCG64(0)).standard_normal((PIECES_SAMPLED, len(w)))
    signs = nearby_signs(correlation.network, w, correlation.x, unit(torch.from_numpy(sampled)).to(w), tolerance=ON_KINK)
    return enclosed_clarke_residual(correlation, w, signs)


def neuron_kkt_points(x: Float[np.ndarray, "n 3"], z: Float[np.ndarray, " n"], slope: float) -> Float[np.ndarray, "p 3"]:
    r"""All KKT points of $\max_{\|u\|=1}\sum_iz_i\max(x_i^\top u,\ a\,x_i^\top u)$ in three dimensions, kinks included.

    The great circles $x_i^\top u=0$ cut the sphere into cells on which the function is linear. A cell holds a KKT point where
    its gradient points to it (or away); an arc or a crossing of circles where a convex combination of the adjacent gradients
    does. Cells on which the function vanishes are left out. For data in general position: raises ValueError if two inputs are
    parallel.
    """
    low, high = min(1.0, slope), max(1.0, slope)
    found: list[np.ndarray] = []
    for signs in _faces(x):
        on = np.flatnonzero(signs == 0)
        fixed = (z * np.where(signs > 0, high, low) * (signs != 0)) @ x  # the part of the gradient that all neighbours share
        normals = z[on, None] * x[on]
        basis = np.linalg.qr(x[on].T, mode="complete")[0][:, len(on) :]  # the face spans these directions
        along = basis @ (basis.T @ fixed) if len(on) < 2 else basis[:, 0]
        if np.linalg.norm(along) <= 1e-12 * np.linalg.norm(x, axis=1).max() * np.abs(z).max():
            continue
        for u in (along / np.linalg.norm(along), -along / np.linalg.norm(along)):
            branches = np.linalg.lstsq(normals.T, (fixed @ u) * u - fixed, rcond=None)[0]
            inside = np.array_equal(np.sign(x @ u) * (signs != 0), signs)
            if inside and bool(((branches >= low) & (branches <= high)).all()):
                found.append(u)
    return np.array(found).reshape(-1, 3)


def _faces(x: Float[np.ndarray, "n 3"]) -> list[np.ndarray]:
    """Signs of $x_i^\top u$ on every crossing, arc and cell that the great circles make, each once."""
    faces = {}
    for i, j in itertools.combinations(range(len(x)), 2):
        normal = np.cross(x[i], x[j])
        if np.linalg.norm(normal) <= 1e-12 * np.linalg.norm(x[i]) * np.linalg.norm(x[j]):
            raise ValueError(f"inputs {i} and {j} are parallel")
        for u in (normal, -normal):
            signs = np.sign(x @ u)
            for signs[i], signs[j] in itertools.product((-1.0, 0.0, 1.0), repeat=2):
                faces[tuple(signs)] = signs.copy()
    return list(faces.values())


def _parts(network: Separable) -> Iterator[tuple[Network, slice]]:
    return zip(network.parts, network.part_slices, strict=True)


def _sign(values: Tensor) -> Tensor:
    """+1 or -1; -1 at 0, as the derivative of ReLU at 0 is 0."""
    return torch.where(values > 0, 1.0, -1.0).to(values.dtype)
