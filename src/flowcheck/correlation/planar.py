r"""The neural correlation function of one squared-ReLU neuron in the plane, exactly (two_homogeneous, Figures 3 and 4):
$N(\theta)=\sum_iz_i\max(0,\hat u^\top x_i)^2$ with $\hat u=(\cos\theta,\sin\theta)$.

Inputs switch on and off at 2n angles. On each arc between them $N=a+b\cos2\theta+c\sin2\theta$, so its critical points, which are
the KKT points on the circle, have closed forms: none is missed, and none depends on a grid. Where b = c = 0 the function is flat.

Along the NCF flow of a neuron the angle moves with velocity $N'(\theta)$: it runs to the next critical point uphill.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

TURN = 2.0 * np.pi
RESOLUTION = 1e-12
"""Angles closer than this are one angle: rounding of the arctangent and of the breakpoints, with a factor 1e3."""
FLAT = 1e-14
"""Amplitude below which an arc is flat, as a share of the sum of |z_i| |x_i|^2: rounding of a sum of 50 terms."""


@dataclass(frozen=True)
class CriticalPoints:
    """KKT points in the order of their angle in (-π, π]. Flat arcs are listed apart.

    Attributes:
        angle, value: [m].
        turn: [m]; -1 at a maximum, +1 at a minimum, 0 where N' keeps its sign or a flat arc begins next to it.
        flat: [f, 2], start and end of each arc on which N is constant; the end may lie beyond π.
    """

    angle: Float[np.ndarray, " m"]
    value: Float[np.ndarray, " m"]
    turn: Float[np.ndarray, " m"]
    flat: Float[np.ndarray, "f 2"]

    @property
    def maxima(self) -> Float[np.ndarray, " p"]:
        """Angles of the local maxima."""
        return self.angle[self.turn < 0]

    @property
    def minima(self) -> Float[np.ndarray, " q"]:
        """Angles of the local minima that are points, not arcs."""
        return self.angle[self.turn > 0]


@dataclass(frozen=True)
class PlanarCorrelation:
    """The NCF of one neuron for inputs x [n, 2] and the vector z [n]."""

    x: Float[np.ndarray, "n 2"]
    z: Float[np.ndarray, " n"]

    def value(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        """N on the unit circle."""
        along = self._positive_part(theta)
        return (along**2) @ self.z

    def slope(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        r"""$N'(\theta)=2\sum_iz_i\max(0,\hat u^\top x_i)\,\hat u_\perp^\top x_i$: the tangential part of the gradient."""
        across = np.stack([-np.sin(theta), np.cos(theta)], axis=-1) @ self.x.T
        return 2.0 * (self._positive_part(theta) * across) @ self.z

    def kkt_residual(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        r"""$\|(I-\hat u\hat u^\top)\nabla N\|/\|\nabla N\|$ as $\nabla N=2N\hat u+N'\hat u_\perp$; 0 if both vanish."""
        tangential, size = np.abs(self.slope(theta)), np.hypot(self.slope(theta), 2.0 * self.value(theta))
        return np.divide(tangential, size, out=np.zeros_like(size), where=size > 0)

    @functools.cached_property
    def critical(self) -> CriticalPoints:
        """All KKT points on the circle, arc by arc in closed form."""
        flat = self._flat_arcs
        points = self._roots[~_covered(self._roots, flat)]
        items = _ends(points, flat)
        following = items[np.searchsorted(items, points, side="right") % len(items)]
        preceding = items[np.searchsorted(items, points, side="left") - 1]
        after = np.sign(self.slope(points + 0.5 * _ahead(points, following)))
        before = np.sign(self.slope(points - 0.5 * _ahead(preceding, points)))
        return CriticalPoints(points, self.value(points), 0.5 * (after - before), flat)

    def in_flat(self, theta: Float[np.ndarray, "*t"]) -> Bool[np.ndarray, "*t"]:
        """Whether the angle lies on an arc where N is constant."""
        return _covered(theta, self.critical.flat)

    def limit(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        """Where the NCF flow from each angle ends: the next critical point, or edge of a flat arc, uphill; itself if flat."""
        items = _ends(self.critical.angle, self.critical.flat)
        start = wrap(theta)
        rank = np.searchsorted(items, start)
        uphill = np.where(self.slope(start) > 0, items[rank % len(items)], items[rank - 1])
        return np.where(self.distance_to_critical(start) <= RESOLUTION, start, uphill)

    @property
    def maximum(self) -> float:
        """Largest value on the circle."""
        return float(max(self.critical.value.max(initial=-np.inf), self.value(self._breakpoints).max()))

    def distance_to_maximum(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        """Angle to the nearest local maximum; π where there is none."""
        return _nearest(theta, self.critical.maxima)

    def distance_to_critical(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
        """Angle to the nearest KKT point; 0 on a flat arc."""
        return np.where(self.in_flat(theta), 0.0, _nearest(theta, self.critical.angle))

    def _positive_part(self, theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t n"]:
        return np.maximum(np.stack([np.cos(theta), np.sin(theta)], axis=-1) @ self.x.T, 0.0)

    @functools.cached_property
    def _breakpoints(self) -> Float[np.ndarray, " b"]:
        """Angles in (-π, π] at which an input with z ≠ 0 switches, without repetition."""
        phase = np.arctan2(self.x[:, 1], self.x[:, 0])[self.z != 0]
        if len(phase) == 0:
            return np.array([np.pi])
        return _distinct(np.concatenate([phase - 0.5 * np.pi, phase + 0.5 * np.pi]), RESOLUTION)

    @functools.cached_property
    def _arcs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Start and length of each arc, and b and c of $N=a+b\\cos2\\theta+c\\sin2\\theta$ there."""
        start = self._breakpoints
        length = _ahead(start, np.roll(start, -1))
        active = (self._positive_part(start + 0.5 * length) > 0) * self.z
        b = active @ (0.5 * (self.x[:, 0] ** 2 - self.x[:, 1] ** 2))
        c = active @ (self.x[:, 0] * self.x[:, 1])
        return start, length, b, c

    @functools.cached_property
    def _flat(self) -> Bool[np.ndarray, " b"]:
        _, _, b, c = self._arcs
        return np.hypot(b, c) <= FLAT * float(np.abs(self.z) @ (self.x**2).sum(axis=1))

    @functools.cached_property
    def _roots(self) -> Float[np.ndarray, " m"]:
        """Angles in (-π, π] with N' = 0 on the arcs that are not flat; one that two arcs share is listed once."""
        start, length, b, c = (part[~self._flat] for part in self._arcs)
        first = 0.5 * np.arctan2(c, b)
        ahead = (first[:, None] + 0.5 * np.pi * np.arange(4) - start[:, None] + RESOLUTION) % TURN - RESOLUTION
        inside = ahead <= length[:, None] + RESOLUTION
        return _distinct((start[:, None] + ahead)[inside], 10.0 * RESOLUTION)

    @functools.cached_property
    def _flat_arcs(self) -> Float[np.ndarray, "f 2"]:
        """Neighbouring flat arcs joined."""
        start, length, _, _ = self._arcs
        if self._flat.all():
            return np.array([[-np.pi, np.pi]])
        begins = np.flatnonzero(self._flat & ~np.roll(self._flat, 1))
        joined = []
        for begin in begins:
            total, arc = 0.0, int(begin)
            while self._flat[arc % len(start)]:
                total, arc = total + length[arc % len(start)], arc + 1
            joined.append((start[begin], start[begin] + total))
        return np.array(joined).reshape(-1, 2)


def wrap(theta: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
    """The same angle in (-π, π]."""
    return np.pi - (np.pi - theta) % TURN


def angular_distance(a: Float[np.ndarray, "*#t"], b: Float[np.ndarray, "*#t"] | float) -> Float[np.ndarray, "*#t"]:
    """Distance of two angles on the circle, in [0, π]."""
    return np.abs(wrap(a - b))


def _ahead(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far b lies ahead of a, counter-clockwise, in (0, 2π]."""
    return TURN - (a - b) % TURN


def _distinct(angles: np.ndarray, resolution: float) -> np.ndarray:
    """Sorted angles in (-π, π], one of each set that lies within the resolution."""
    angles = np.sort(wrap(angles))
    keep = (angles - np.roll(angles, 1)) % TURN > resolution
    return angles[keep] if keep.any() else angles[:1]


def _ends(points: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Sorted angles in (-π, π] between which N' keeps its sign: critical points and edges of flat arcs."""
    return np.sort(np.concatenate([points, wrap(flat.ravel())]))


def _covered(theta: np.ndarray, arcs: np.ndarray) -> np.ndarray:
    """Whether each angle lies in one of the arcs [f, 2], ends included."""
    offset = (np.asarray(theta)[..., None] - arcs[:, 0] + RESOLUTION) % TURN
    return (offset <= arcs[:, 1] - arcs[:, 0] + 2.0 * RESOLUTION).any(axis=-1)


def _nearest(theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.abs(wrap(np.asarray(theta)[..., None] - points)).min(axis=-1, initial=np.pi)
