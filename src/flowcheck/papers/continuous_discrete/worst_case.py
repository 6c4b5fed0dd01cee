r"""The objective of Appendix B: $f(q)=\varphi(q_1)+\bar\varphi(q_2)+6aq_3^2$, Eq. (25)-(27), as polynomials piece by piece.

Its cut points lie near 1e13 and its transitions are 1e-6 wide, so pieces are kept in extended precision and everything that
compares them is computed there. What the paper calls $\varphi$ is `first` here, and $\bar\varphi$ is `second`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from mpmath import mp, mpf

from flowcheck.errors import ConfigError

DIGITS = 60
"""Of every number here: cut points have 14 digits before the point, and what is told apart lies 12 digits behind it."""
ROUNDING = 1e-35
"""Relative: what a few thousand operations with `DIGITS` digits leave of them, with twenty digits to spare."""


@dataclass(frozen=True)
class Piece:
    """A polynomial sum_j c_j (z - centre)^j on [left, right]."""

    left: mpf
    right: mpf
    centre: mpf
    coefficients: tuple[mpf, ...]

    def derivative(self, z: mpf, order: int = 0) -> mpf:
        """The derivative of that order at z."""
        terms = (
            coefficient * mp.ff(power, order) * (z - self.centre) ** (power - order)
            for power, coefficient in enumerate(self.coefficients)
            if power >= order
        )
        return mp.fsum(terms)

    def slope(self, power: int) -> float:
        """What (z - centre)^(power - 1) is multiplied by in the first derivative."""
        return float(power * self.coefficients[power]) if power < len(self.coefficients) else 0.0


@dataclass(frozen=True)
class Even:
    """A function that is even about `axis`, given by its pieces to the right of it; zero beyond the last of them."""

    axis: mpf
    pieces: tuple[Piece, ...]

    def derivative(self, z: mpf, order: int = 0) -> mpf:
        """The derivative of that order; where two pieces meet, of the one that is farther from the axis."""
        distance = abs(z - self.axis)
        mirrored = self.axis + distance
        inside = [piece for piece in self.pieces if mirrored < piece.right]
        value = inside[0].derivative(mirrored, order) if inside else mpf(0)
        return -value if z < self.axis and order % 2 else value


class Slopes:
    """First derivatives of many such functions at once, in double precision.

    Points are given by their distances to the right of the axes: one of 1e-6 keeps its digits, which a coordinate near -1 loses.
    """

    def __init__(self, functions: Sequence[Even]) -> None:
        rows = list(zip(*(f.pieces for f in functions), strict=True))
        self.ends = np.array([[float(piece.right - f.axis) for piece, f in zip(row, functions, strict=True)] for row in rows])
        self.shifts = np.array([[float(f.axis - piece.centre) for piece, f in zip(row, functions, strict=True)] for row in rows])
        degree = max(len(piece.coefficients) for row in rows for piece in row) - 1
        self.coefficients = [np.array([[piece.slope(k) for piece in row] for row in rows]) for k in range(degree, 0, -1)]

    def at(self, distances: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
        """One point for each function."""
        shifted, total = distances + self.shifts, np.zeros_like(self.shifts)
        for coefficient in self.coefficients:
            total = total * shifted + coefficient
        inside = distances < self.ends
        return np.where(inside.any(axis=0), np.take_along_axis(total, inside.argmax(axis=0)[None], axis=0)[0], 0.0)


@dataclass(frozen=True)
class WorstCase:
    """The objective of Appendix B.

    Attributes:
        a: its largest negative curvature, 1 / time.
        reach: z_c - 1, up to where the first coordinate is pushed away; b e^30 in the paper.
        b: one less than the second cut point; at least 3 in the paper.
        epsilon: the distance that Proposition 20 is about.
        width: of the transition; min(e^-12 / 2, epsilon / 2b) in the paper.
        anisotropic: as in the paper. Otherwise the second function has the curvature -a from its axis on, as the first has, and
            nothing can tell descent from the flow: the broken system of the controls.
    """

    a: mpf
    reach: mpf
    b: mpf
    epsilon: mpf
    width: mpf
    anisotropic: bool = True

    @classmethod
    def of(cls, a: float, b: float, epsilon: float, anisotropic: bool = True) -> WorstCase:
        """With the paper's cut points. Raises ConfigError unless a > 0, b >= 3 and 0 < epsilon < 1."""
        if not (a > 0 and b >= 3 and 0 < epsilon < 1):
            raise ConfigError(
                f"Appendix B takes a > 0, b >= 3 and 0 < epsilon < 1, not a = {a:g}, b = {b:g}, epsilon = {epsilon:g}"
            )
        with mp.workdps(DIGITS):
            width = min(mp.exp(-12) / 2, mpf(epsilon) / (2 * mpf(b)))
            return cls(mpf(a), mpf(b) * mp.exp(30), mpf(b), mpf(epsilon), width, anisotropic)

    @property
    def first_cut(self) -> mpf:
        """z_c."""
        return self.reach + 1

    @property
    def second_cut(self) -> mpf:
        """z_c with a bar."""
        return self.b + 1

    @property
    def inner_curvature(self) -> mpf:
        """Of the second function near its axis, in units of -a."""
        return mpf(1) / 2 if self.anisotropic else mpf(1)

    @cached_property
    def first(self) -> Even:
        """Eq. (25)."""
        with mp.workdps(DIGITS):
            a, cut, zero = self.a, self.first_cut, mpf(0)
            top = a * (cut + 1) ** 2 / 2 - 5 * a / 12 - a * cut / 2
            return Even(zero, (Piece(zero, cut, zero, (top, zero, -a / 2)), _to_zero(a, cut, top)))

    @cached_property
    def second(self) -> Even:
        """Eq. (26), or its isotropic counterpart, which is Eq. (25) with the second cut point."""
        with mp.workdps(DIGITS):
            a, cut, rho, zero, one = self.a, self.second_cut, self.width, mpf(0), mpf(1)
            if not self.anisotropic:
                top = a * (cut + 1) ** 2 / 2 - 5 * a / 12 - a * cut / 2
                return Even(zero, (Piece(zero, cut, zero, (top, zero, -a / 2)), _to_zero(a, cut, top)))
            step = a * (rho / 2 - 7 * rho**2 / 48)
            top = a * (cut + 1) ** 2 / 2 + a / 12 - a * cut / 2 - step
            level, axis = top - a / 2 + step, rho / 2 - 1
            inner = Piece(axis, one - rho, axis, (top, zero, -a / 4))
            # - a z^2 / 2 about 1
            transition = Piece(one - rho, one, one, (level - a / 2, -a, -a / 2, -a / (12 * rho)))
            return Even(axis, (inner, transition, Piece(one, cut, zero, (level, zero, -a / 2)), _to_zero(a, cut, level)))


def _to_zero(a: mpf, cut: mpf, level: mpf) -> Piece:
    """The last pieces of Eq. (25) and (26): level - a z^2 / 2 brought to zero from the cut point on, within one."""
    cubic, quartic = a * (mpf(2) / 3 + cut), -a * (mpf(1) / 4 + cut / 2)
    return Piece(cut, cut + 1, cut, (level - a * cut**2 / 2, -a * cut, -a / 2, cubic, quartic))
