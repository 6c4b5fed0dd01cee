r"""Diagonal networks $x^\top(v\odot u)$ (Appendix D.5): pursuit, orthogonal matching pursuit (OMP) and the minimal l1 norm.

Samples are rows of X [n, d], as in D.5. Neuron j sees coordinate j alone, so its NCF is $v_ju_j\,X[:,j]^\top r$ with the residual
r, and its maximum on the circle is $|X[:,j]^\top r|/2$: pursuit takes the column that correlates best, not scaled to unit length.
Problems are a batch: X is [s, n, d].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linprog
from sklearn.linear_model import orthogonal_mp

from flowcheck.correlation.ascent import ascend
from flowcheck.data.synthetic import unit_vectors
from flowcheck.networks.activation import IDENTITY
from flowcheck.pursuit.candidates import neuron_correlation

X = np.array([[1.0, 0.0, -0.1], [0.0, 1.0, 1.0 + 0.2 / 3.0]])
B = np.array([1.0, 2.0])
"""The example of D.5."""
DELTA, STEP_SIZE = 0.01, 0.001
"""What D.5 starts new neurons with, and its step."""
PRINTED_PRODUCT = 1.876
"""Of the third neuron after the second iteration, as printed."""
REACHED = 1e-6
"""Relative distance from the least squares solution at which a descent counts as having reached it."""


class Pursued(NamedTuple):
    """What a pursuit found after each of its m iterations, and how far coefficients moved in the last half of its descent."""

    chosen: Int[np.ndarray, "s m"]
    coefficients: Float[np.ndarray, "s m d"]
    change: Float[np.ndarray, "s m"]
    gap: Float[np.ndarray, "s m"]

    @property
    def reached(self) -> Bool[np.ndarray, "s m"]:
        """Whether this descent and all before it reached the least squares solution on the chosen columns."""
        return np.logical_and.accumulate(self.gap <= REACHED, axis=1)


def pursue_diagonal(
    x: Float[np.ndarray, "s n d"],
    y: Float[np.ndarray, "s n"],
    iterations: int,
    steps: int,
    step_size: float = STEP_SIZE,
    delta: float = DELTA,
    columns: int | None = None,
) -> Pursued:
    r"""The iterations of D.5, each with so many steps of descent on $\tfrac12\|X(v\odot u)-y\|^2$.

    Only the first `columns` may be chosen.
    """
    count, _, size = x.shape
    runs, candidates = np.arange(count), x[:, :, :columns]
    chosen = np.zeros((count, 0), dtype=int)
    v, u = np.zeros((count, 0)), np.zeros((count, 0))
    coefficients, changes, gaps = [], [], []
    for _ in range(iterations):
        residual = y - np.einsum("snm,sm->sn", _columns(x, chosen), v * u)
        correlation = np.einsum("snd,sn->sd", candidates, residual)
        score = np.abs(correlation)
        score[runs[:, None], chosen] = -1.0  # neurons that are there are not added again
        best = score.argmax(axis=1)
        sign = np.sign(correlation[runs, best])
        chosen = np.column_stack([chosen, best])
        v = np.column_stack([v, np.full(count, delta / np.sqrt(2.0))])
        u = np.column_stack([u, delta / np.sqrt(2.0) * sign])
        some = _columns(x, chosen)
        v, u, before = descend(some, y, v, u, steps, step_size)
        product, fit = v * u, np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(some, y, strict=True)])
        changes.append(np.abs(product - before).max(axis=1))
        gaps.append(np.linalg.norm(product - fit, axis=1) / np.linalg.norm(fit, axis=1))
        whole = np.zeros((count, size))
        np.put_along_axis(whole, chosen, product, axis=1)
        coefficients.append(whole)
    return Pursued(chosen, np.stack(coefficients, axis=1), np.column_stack(changes), np.column_stack(gaps))


def descend(
    x: Float[np.ndarray, "s n m"],
    y: Float[np.ndarray, "s n"],
    v: Float[np.ndarray, "s m"],
    u: Float[np.ndarray, "s m"],
    steps: int,
    step_size: float,
) -> tuple[Float[np.ndarray, "s m"], Float[np.ndarray, "s m"], Float[np.ndarray, "s m"]]:
    """Weights after so many steps of gradient descent, and their product after half of them."""
    gram, target, half = np.einsum("snm,snk->smk", x, x), np.einsum("snm,sn->sm", x, y), v * u
    for step in range(steps):
        if step == steps // 2:
            half = v * u
        pull = step_size * (target - np.matmul(gram, (v * u)[:, :, None])[:, :, 0])
        v, u = v + pull * u, u + pull * v
    return v, u, half


def _columns(x: Float[np.ndarray, "s n d"], chosen: Int[np.ndarray, "s m"]) -> Float[np.ndarray, "s n m"]:
    return np.take_along_axis(x, chosen[:, None, :], axis=2)


def matching_pursuit(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], iterations: int) -> Float[np.ndarray, "m d"]:
    """The peer: coefficients after each iteration of scikit-learn's OMP, which takes columns as they are."""
    path = orthogonal_mp(x, y, n_nonzero_coefs=iterations, return_path=True)
    return np.asarray(path).reshape(x.shape[1], -1).T


def order(path: Float[np.ndarray, "m d"]) -> Int[np.ndarray, " m"]:
    """Which column each iteration added.

    >>> order(np.array([[0.0, 0.0, 1.7], [1.2, 0.0, 1.8]])).tolist()
    [2, 0]
    """
    there = np.vstack([np.zeros(path.shape[1], dtype=bool), path != 0])
    return np.array([int(np.flatnonzero(now & ~before)[0]) for before, now in itertools.pairwise(there)])


def smallest_l1(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " d"]:
    r"""$\arg\min\|z\|_1$ subject to $Xz=y$, as a linear programme in the positive and the negative part of z."""
    size = x.shape[1]
    found = linprog(np.ones(2 * size), A_eq=np.hstack([x, -x]), b_eq=y, bounds=(0, None), method="highs")
    return np.asarray(found.x[:size] - found.x[size:])


def ncf_maxima(
    x: Float[np.ndarray, "n d"], residual: Float[np.ndarray, " n"], rng: np.random.Generator, starts: int = 8
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    r"""The highest $v_ju_jX[:,j]^\top r$ that ascents on the circle find, for each j, and the largest KKT residual there."""
    values, residuals = [], []
    back = torch.from_numpy(residual)[:, None]
    for column in torch.from_numpy(x).mT:
        ends = ascend(neuron_correlation(IDENTITY, column[:, None], back), unit_vectors(rng, starts, 2), tolerance=1e-12)
        best = int(ends.value.argmax())
        values.append(float(ends.value[best]))
        residuals.append(float(ends.residual[best]))
    return np.array(values), np.array(residuals)


def random_problems(
    rng: np.random.Generator, count: int, samples: int = 15, size: int = 30, support: int = 3, noise: float = 0.05
) -> tuple[Float[np.ndarray, "s n d"], Float[np.ndarray, "s n"]]:
    """Gaussian columns of length about one, labels from three coefficients of size 1 to 2 and either sign, and noise."""
    x = rng.standard_normal((count, samples, size)) / np.sqrt(samples)
    z = np.zeros((count, size))
    for row in z:
        row[rng.choice(size, support, replace=False)] = rng.uniform(1.0, 2.0, support) * rng.choice([-1.0, 1.0], support)
    return x, np.einsum("snd,sd->sn", x, z) + noise * rng.standard_normal((count, samples))


def sign_change() -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Two columns; the coefficient of the one that is chosen first, 0.3, has to become -0.5 when the other joins.

    With v = u it is a square, descent ends where it is zero, and that is no minimum.
    """
    return np.array([[3.0, 0.8], [0.0, 0.6]]), np.array([0.9, 1.8])


def small_starts(
    rng: np.random.Generator, deltas: Sequence[float], starts: int, steps: int, step_size: float
) -> tuple[Float[np.ndarray, "s p d"], Float[np.ndarray, "s p"]]:
    """Where descent of all weights ends on the example from u = 0 and v of either sign and size delta/2 to 3/2 delta.

    Also how far it moved in the last half. With u = 0 products may grow either way, as in the theorem of Woodworth et al. (2020).
    """
    shapes = rng.uniform(0.5, 1.5, (starts, 1, 3)) * rng.choice([-1.0, 1.0], (starts, 1, 3))
    begin = (np.array(deltas)[:, None] * shapes).reshape(-1, 3)
    x, y = (np.broadcast_to(part, (len(begin), *part.shape)) for part in (X, B))
    v, u, half = descend(x, y, begin, np.zeros_like(begin), steps, step_size)
    shape = (starts, len(deltas), 3)
    return (v * u).reshape(shape), np.abs(v * u - half).max(axis=1).reshape(shape[:2])


def example_path(steps: int, looks: int = 200) -> Float[np.ndarray, "p 3"]:
    """Products of the three neurons along both descents of the example, `steps` each, at so many looks."""
    chosen, v, u, found = np.array([[2]]), np.full((1, 1), DELTA / np.sqrt(2.0)), np.full((1, 1), DELTA / np.sqrt(2.0)), []
    for more in (None, 0):
        if more is not None:
            chosen, v, u = (
                np.array([[2, more]]),
                np.append(v, [[DELTA / np.sqrt(2.0)]], 1),
                np.append(u, [[DELTA / np.sqrt(2.0)]], 1),
            )
        for _ in range(looks):
            row = np.zeros(3)
            row[chosen[0]] = (v * u)[0]
            found.append(row)
            v, u, _ = descend(_columns(X[None], chosen), B[None], v, u, steps // looks, STEP_SIZE)
    return np.array(found)


def printed_maximum(column: int) -> tuple[float, float]:
    r"""The largest $v_ju_jX[:,j]^\top r$ on the circle in the second iteration of the example, and $|X[:,j]^\top r|/\sqrt2$."""
    residual = B - X @ matching_pursuit(X, B, 1)[0]
    values, _ = ncf_maxima(X, residual, np.random.default_rng(0))
    return float(values[column - 1]), float(abs(X[:, column - 1] @ residual) / np.sqrt(2.0))


def printed_range(columns: int) -> tuple[float, float]:
    """The column of the example, from 1, that correlates best among the first so many, and among all."""
    score = np.abs(X.T @ B)
    return float(score[:columns].argmax() + 1), float(score.argmax() + 1)


def printed_product(steps: int) -> tuple[float, float]:
    """What the product of the third neuron converges to in the second iteration, and the least that rounds to what D.5 prints."""
    return float(pursue_diagonal(X[None], B[None], 2, steps).coefficients[0, 1, 2]), PRINTED_PRODUCT - 0.0005
