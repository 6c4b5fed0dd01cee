r"""A ball around a critical point of one unit in which Eq. (15) of deep_homogeneous holds for certain, by branch and bound.

With $a_i=v^\top x_i$ the left side of (15) at $\bar w+rv$ is $r^2\sum_ia_i^2Q_i(ra_i)$, where $Q_i(t)$ is the mean of
$c_i=((\phi-y_i)\phi')'$ from $\bar z_i=\bar w^\top x_i$ to $\bar z_i+t$. Each term is a function of two numbers, and is
enclosed on boxes of directions and radii; boxes that leave the sign open are cut.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.saddles.saddle import Saddle

FIRST_CUTS = 4
"""Pieces of each axis of a face of the cube of directions, and of the radius, that the search begins with."""
ROUNDING = 1e-12
"""Relative to the sum of the sizes of all terms, which are sums of some ten products each."""
BLOCK = 20_000
"""Boxes that are enclosed at once: tens of megabytes."""


def holds_within(saddle: Saddle, radius: float, *, boxes: int = 300_000) -> bool:
    r"""Whether $\langle w-\bar w,\nabla_w\mathcal L(w,0)\rangle\ge0$ is proved for all $\|w-\bar w\|\le$ `radius`.

    False where a point violates it, and where `boxes` boxes do not decide. Raises ValueError unless H_n is one unit
    $\max(w^\top x,0)^p$ with p >= 3: below, its second derivative jumps.
    """
    terms, dimension = _Terms(saddle), saddle.fitted.x.shape[1]
    waiting, left = _first_boxes(dimension, radius), list[np.ndarray]()
    while len(waiting):
        boxes -= len(waiting)
        left.clear()
        for start in range(0, len(waiting), BLOCK):
            block = waiting[start : start + BLOCK]
            lower, violated = terms.enclose(block)
            if violated.any():
                return False
            left.append(block[lower < 0])
        if boxes < 2**dimension * sum(map(len, left)):
            return False
        waiting = _halves(np.concatenate(left))
    return True


class _Terms:
    """The terms of the sum, one for each input."""

    def __init__(self, saddle: Saddle) -> None:
        fitted = saddle.fitted
        if fitted.signs is None or len(fitted.signs) != 1 or fitted.signs[0] != 1 or fitted.polynomial or fitted.power < 3:
            raise ValueError(f"{fitted.network.name}: the ball is for one unit max(w.x, 0)^p with p of 3 or more")
        self.x, self.power = fitted.x, fitted.power
        self.sizes = np.linalg.norm(self.x, axis=1)
        self.z = self.x @ saddle.weights
        self.y = fitted.outputs(saddle.weights) + saddle.residual
        self.nodes, self.weights = np.polynomial.legendre.leggauss(self.power)  # exact: c has degree 2p - 2 on its piece

    def enclose(self, boxes: Float[np.ndarray, "b k"]) -> tuple[Float[np.ndarray, " b"], Bool[np.ndarray, " b"]]:
        """A lower bound of the sum on each box, and whether it is negative at the box's centre, rounding aside.

        A box has, after the number of its face, the centres and then the half widths of its coordinates, the radius last.
        """
        d = self.x.shape[1]
        face, centre, half = boxes[:, 0].astype(int), boxes[:, 1 : d + 1], boxes[:, d + 1 :]
        direction = np.insert(centre[:, : d - 1], 0, 1.0, axis=1)
        # the centre is scaled back onto the sphere, which moves no two points outside of it apart
        direction = _turned(direction / np.linalg.norm(direction, axis=1, keepdims=True), face)
        a = direction @ self.x.T
        reach = np.linalg.norm(half[:, : d - 1], axis=1)[:, None] * self.sizes
        r, r_reach = centre[:, d - 1 :], half[:, d - 1 :]
        t, t_reach = r * a, r * reach + r_reach * (np.abs(a) + reach)
        mean = self._mean(t)
        top = np.maximum(np.maximum(self.z, self.z + t + t_reach), 0.0)
        turn = 0.5 * self._steepest(top) * t_reach  # |Q'| is at most half of max |c'|
        squares = (np.abs(a) + reach) ** 2, np.maximum(np.abs(a) - reach, 0.0) ** 2
        least = mean - turn
        lower = np.where(least < 0, squares[0] * least, squares[1] * least).sum(axis=1)
        rounding = ROUNDING * (squares[0] * (np.abs(mean) + turn)).sum(axis=1)
        return lower - rounding, (a**2 * mean).sum(axis=1) < -rounding

    def _mean(self, t: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n"]:
        """Q: the mean of c over a segment, of which only the part with z > 0 counts."""
        low, high = np.minimum(self.z, self.z + t), np.maximum(self.z, self.z + t)
        share = np.where(high > low, (high - np.maximum(low, 0.0)) / np.where(high > low, high - low, 1.0), high > 0)
        low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        total = sum(0.5 * w * self._c(middle + half * node) for node, w in zip(self.nodes, self.weights, strict=True))
        return np.asarray(np.clip(share, 0.0, 1.0) * total)

    def _c(self, z: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n"]:
        p = self.power
        return np.asarray(p * (2 * p - 1) * z ** (2 * p - 2) - p * (p - 1) * self.y * z ** (p - 2))

    def _steepest(self, top: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n"]:
        """A bound of |c'| on 0 < z <= top."""
        p = self.power
        fourth, third = p * (2 * p - 1) * (2 * p - 2), p * (p - 1) * (p - 2)
        return np.asarray(fourth * top ** (2 * p - 3) + third * np.abs(self.y) * top ** (p - 3))


def _first_boxes(d: int, radius: float) -> Float[np.ndarray, "b k"]:
    """All directions, as the 2d faces of a cube, and radii up to `radius`."""
    axis = (2 * np.arange(FIRST_CUTS) + 1) / FIRST_CUTS - 1
    radii = radius * (2 * np.arange(FIRST_CUTS) + 1) / (2 * FIRST_CUTS)
    halves = [*[1 / FIRST_CUTS] * (d - 1), radius / (2 * FIRST_CUTS)]
    places = itertools.product(range(2 * d), *[axis] * (d - 1), radii)
    return np.array([[face, *place, *halves] for face, *place in places])


def _turned(direction: Float[np.ndarray, "b d"], face: np.ndarray) -> Float[np.ndarray, "b d"]:
    """Directions of the first face on the face that they belong to: the first coordinate takes its place and its sign."""
    d = direction.shape[1]
    order = np.array([np.roll(np.arange(d), axis) for axis in range(d)])[face // 2]
    return np.asarray(np.take_along_axis(direction, order, axis=1) * np.where(face % 2, -1.0, 1.0)[:, None])


def _halves(boxes: Float[np.ndarray, "b k"]) -> Float[np.ndarray, "c k"]:
    """Boxes cut in two along every axis."""
    d = (boxes.shape[1] - 1) // 2
    cut = boxes.copy()
    cut[:, d + 1 :] *= 0.5
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=d)))
    children = np.repeat(cut, len(signs), axis=0)
    children[:, 1 : d + 1] += np.tile(signs, (len(boxes), 1)) * children[:, d + 1 :]
    return children
