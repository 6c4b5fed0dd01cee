r"""NCF flow of one two-layer (leaky) ReLU unit, piece by piece in closed form, sliding along kinks included.

$\mathcal N(u,v)=v\,q(u)$ with $q(u)=\sum_iz_i\sigma(x_i^\top u)$, $\sigma(a)=\max(a,\alpha a)$, $\alpha<1$. Between kinks q is
linear, $q=g^\top u$, and $\dot u=vg$, $\dot v=g^\top u$ is solved by cosh and sinh. Where both sides push onto a kink
$x_i^\top u=0$ the solution of the inclusion slides along it, with the shortest $g=\sum_iz_i\sigma_i'x_i$ over
$\sigma_i'\in[\alpha,1]$ at the kinks it is on (two_homogeneous, Lemma A.3): a linear piece again. A network of such units is
followed unit by unit; no step size, exact up to rounding, where explicit integrators chatter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import lsq_linear, nnls

from flowcheck.correlation.clarke import neuron_kkt_points

IN_HULL = 1e-9
"""Distance of 0 to the hull of slopes, over the largest entry, at which it lies in it."""
ON_KINK = 1e-9
"""Distance of a unit vector to a kink below which it lies on it."""
NOTHING = 1e-13
"""Slopes g below this times the sum of |z_i x_i| are 0: the unit rests."""


@dataclass(frozen=True)
class Piece:
    r"""$\dot u=vg$, $\dot v=g^\top u$ from (u, v) at time `begin`, $g=\sum_i\sigma_i'z_ix_i$. `on_kink`: what it slides along."""

    begin: float
    u: Float[np.ndarray, " d"]
    v: float
    g: Float[np.ndarray, " d"]
    sigma: Float[np.ndarray, " n"]
    on_kink: Bool[np.ndarray, " n"]

    def at(self, t: Float[np.ndarray, " p"], exponent: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p k"]:
        r"""(u, v) $e^{-\text{exponent}}$ at times t; the exponent keeps late times within float64."""
        rate = float(np.linalg.norm(self.g))
        if rate == 0:
            return np.append(self.u, self.v) * np.exp(-exponent)[:, None]
        axis = self.g / rate
        a = float(axis @ self.u)
        grown = 0.5 * (a + self.v) * np.exp(rate * (t - self.begin) - exponent)
        faded = 0.5 * (a - self.v) * np.exp(-rate * (t - self.begin) - exponent)
        across = (self.u - a * axis) * np.exp(-exponent)[:, None]
        return np.column_stack([across + (grown + faded)[:, None] * axis, grown - faded])


@dataclass(frozen=True)
class UnitPath:
    """The pieces of one unit, in order; the last one has no end."""

    pieces: tuple[Piece, ...]

    @property
    def begins(self) -> Float[np.ndarray, " p"]:
        return np.array([piece.begin for piece in self.pieces])

    def most_growth(self, t: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """The integral of |g| up to t, which bounds the growth of ln|(u, v)|; an exponent for `at`."""
        rates, begins = np.array([np.linalg.norm(piece.g) for piece in self.pieces]), self.begins
        grown = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(begins))])
        piece_of = np.searchsorted(begins, t, side="right") - 1
        return grown[piece_of] + rates[piece_of] * (t - begins[piece_of])

    def at(self, t: Float[np.ndarray, " p"], exponent: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p k"]:
        r"""(u, v) $e^{-\text{exponent}}$ at times t."""
        return self._evaluate(t, exponent, velocity=False)

    def velocity_at(self, t: Float[np.ndarray, " p"], exponent: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p k"]:
        r"""The element (v g, gᵀu) of the subdifferential along which the unit moves, times $e^{-\text{exponent}}$."""
        return self._evaluate(t, exponent, velocity=True)

    def _evaluate(self, t: np.ndarray, exponent: np.ndarray, *, velocity: bool) -> np.ndarray:
        piece_of = np.searchsorted(self.begins, t, side="right") - 1
        values = np.empty((len(t), len(self.pieces[0].u) + 1))
        for number in np.unique(piece_of):
            piece, rows = self.pieces[number], piece_of == number
            state = piece.at(t[rows], exponent[rows])
            if velocity:
                state = np.column_stack([state[:, -1:] * piece.g, state[:, :-1] @ piece.g])
            values[rows] = state
        return values


@dataclass
class _Unit:
    """A unit on its way. Each kink is in one of three states: on a side, slid along, or just left (`fresh`: still at 0)."""

    x: Float[np.ndarray, "n d"]
    z: Float[np.ndarray, " n"]
    slope: float
    u: Float[np.ndarray, " d"]
    v: float

    def __post_init__(self) -> None:
        a = self.x @ self.u
        self.side = np.where(a > 0, 1.0, self.slope)
        self.sliding, self.fresh = a == 0, np.zeros(len(a), dtype=bool)
        self.sigma = self.side.copy()

    def choose(self, reached: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " d"]:
        """The slope g of the next piece; `reached` are the kinks at which the last one ended.

        Where v z_i > 0 both sides push away from kink i: it is crossed. Where v z_i < 0 it is slid along, unless one side pushes
        through, which shows as a minimum-norm element with sigma' at the end of its interval.
        """
        heading = float(np.sign(self.v) or np.sign(self._q(self.x[None] @ self.u)[0]))
        crossed = reached & (heading * self.z > 0)
        self.side[crossed] = 1.0 + self.slope - self.side[crossed]
        self.sliding, self.fresh = self.sliding | (reached & ~crossed), crossed
        if np.linalg.matrix_rank(self.x[self.sliding]) < self.sliding.sum() or (self.sliding | self.fresh).all():
            return self._at_origin(heading)
        while True:
            g, inside = self._minimum_norm()
            left = self.sliding & ~inside
            if not left.any():
                return g
            self.side[left] = np.where(heading * (self.x[left] @ g) > 0, 1.0, self.slope)
            self.sliding, self.fresh = self.sliding & ~left, self.fresh | left

    def _at_origin(self, heading: float) -> Float[np.ndarray, " d"]:
        """The slope at u = 0, where all kinks meet and the subdifferential is the hull of the cells' slopes.

        If that hull holds 0 the unit rests. Else it leaves along the KKT point with the largest value of sign(v) q, which then is
        positive: one solution of several.
        """
        directions = np.random.Generator(np.random.PCG64(0)).standard_normal((2000, self.x.shape[1]))
        slopes = np.unique(np.where(directions @ self.x.T > 0, 1.0, self.slope), axis=0) @ (self.z[:, None] * self.x)
        hull = np.vstack([slopes.T, np.ones(len(slopes))])
        if nnls(hull, np.append(np.zeros(self.x.shape[1]), 1.0))[1] <= IN_HULL * np.abs(slopes).max():
            self.sliding[:], self.fresh[:] = True, False
            return np.zeros(self.x.shape[1])
        if self.x.shape[1] != 3:
            raise RuntimeError("the unit passes through u = 0; where it goes from there is known in three dimensions only")
        points = neuron_kkt_points(self.x, self.z, self.slope)
        best = self.x @ points[np.argmax(heading * self._q(points @ self.x.T))]
        self.side, self.sliding = np.where(best > 0, 1.0, self.slope), np.abs(best) <= ON_KINK
        self.fresh = ~self.sliding
        return self._minimum_norm()[0]

    def _q(self, preactivations: Float[np.ndarray, "p n"]) -> Float[np.ndarray, " p"]:
        return np.maximum(preactivations, self.slope * preactivations) @ self.z

    def _minimum_norm(self) -> tuple[Float[np.ndarray, " d"], Bool[np.ndarray, " n"]]:
        """The shortest g over sigma' in [slope, 1] on the kinks that are slid along, and which sigma' are inside."""
        steepness = self.z[:, None] * self.x
        fixed = (self.side * ~self.sliding) @ steepness
        self.sigma, inside = self.side.copy(), np.zeros(len(self.z), dtype=bool)
        if not self.sliding.any():
            return fixed, inside
        solution = lsq_linear(steepness[self.sliding].T, -fixed, bounds=(self.slope, 1.0), method="bvls", tol=1e-15)
        self.sigma[self.sliding] = solution.x
        g = fixed + solution.x @ steepness[self.sliding]
        if np.linalg.norm(g) <= NOTHING * np.linalg.norm(steepness, axis=1).sum():
            return np.zeros_like(g), self.sliding
        inside[self.sliding] = solution.active_mask == 0
        return g, inside

    def advance(self, piece: Piece) -> tuple[float, Bool[np.ndarray, " n"]]:
        """Move to the end of the piece; its length, inf if it has none, and the kinks reached there."""
        nothing, rate = np.zeros(len(self.z), dtype=bool), float(np.linalg.norm(piece.g))
        if rate == 0:
            return math.inf, nothing
        axis = piece.g / rate
        a, towards = float(axis @ self.u), self.x @ axis
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.where(self.fresh, 0.0, -(self.x @ self.u) / towards)
        growth = np.array(
            [_first_growth(a, self.v, c, fresh) for c, fresh in zip(moved.tolist(), self.fresh.tolist(), strict=True)]
        )
        growth[self.sliding | (towards == 0)] = math.inf
        turn = _first_growth(self.v, a, -self.v, False) if self.v != 0 else math.inf
        first = min(growth.min(), turn)
        if not math.isfinite(first):
            return math.inf, nothing
        length = math.log(first) / rate
        state = piece.at(np.array([piece.begin + length]), np.zeros(1))[0]
        self.u, self.v = state[:-1], 0.0 if turn == first else float(state[-1])
        return length, growth <= first * (1 + 1e-11)


def _first_growth(a: float, v: float, c: float, from_zero: bool) -> float:
    r"""The smallest $e=e^{Gt}>1$ with $a(\cosh Gt-1)+v\sinh Gt=c$; inf if there is none. `from_zero`: c = 0, e = 1 is left out.

    $(a+v)e^2-2(a+c)e+(a-v)=0$.
    """
    if not math.isfinite(c):
        return math.inf
    if from_zero:
        roots = [(a - v) / (a + v)] if a + v != 0 else []
    elif a + v == 0:
        roots = [(a - v) / (2 * (a + c))] if a + c != 0 else []
    else:
        squared = (a + c) ** 2 - (a + v) * (a - v)
        if squared < 0:
            return math.inf
        larger = (a + c) + math.copysign(math.sqrt(squared), a + c)
        roots = [larger / (a + v), *([(a - v) / larger] if larger != 0 else [])]
    return min((root for root in roots if root > 1 + 1e-13), default=math.inf)


def follow_unit(
    x: Float[np.ndarray, "n d"],
    z: Float[np.ndarray, " n"],
    slope: float,
    u: Float[np.ndarray, " d"],
    v: float,
    *,
    max_pieces: int = 1000,
) -> UnitPath:
    """The flow from (u, v) for all times.

    A kink that starts at exactly 0, or from which both sides push away once v has changed sign, is slid along as long as the
    minimum-norm element allows it: one solution of several.

    Raises ValueError for a slope of at least 1, RuntimeError after `max_pieces` pieces, or where the unit passes through u = 0
    in other than three dimensions.
    """
    if slope >= 1:
        raise ValueError(f"the kinks need a slope below 1, got {slope:g}")
    unit = _Unit(x, z, slope, np.asarray(u, dtype=float), float(v))
    pieces: list[Piece] = []
    begin, reached = 0.0, np.zeros(len(x), dtype=bool)
    while len(pieces) < max_pieces:
        g = unit.choose(reached)
        pieces.append(Piece(begin, unit.u, unit.v, g, unit.sigma, unit.sliding.copy()))
        length, reached = unit.advance(pieces[-1])
        if not math.isfinite(length):
            return UnitPath(tuple(pieces))
        begin += length
    raise RuntimeError(f"more than {max_pieces} pieces by t = {begin:g}")


def chain_rule_gap(
    path: UnitPath, x: Float[np.ndarray, "n d"], z: Float[np.ndarray, " n"], slope: float, *, one_sided: bool = False
) -> float:
    r"""Largest $|\langle w-w',\dot u\rangle|/\|\dot u\|^2$ over w, w' in the subdifferential while the unit slides (Lemma A.3).

    0 along a solution; `one_sided`: for the velocity with the slope of one side in place of the minimum-norm element. NaN if the
    unit does not slide, or only rests.
    """
    gaps = [math.nan]
    for piece in path.pieces:
        velocity = piece.g
        if one_sided:
            velocity = np.where(piece.on_kink, 1.0, piece.sigma) @ (z[:, None] * x)
        squared = piece.v**2 * float(velocity @ velocity) + float(velocity @ piece.u) ** 2
        if piece.on_kink.any() and float(np.linalg.norm(piece.g)) > 0:
            widths = piece.v**2 * (1 - slope) * np.abs(z * (x @ velocity))[piece.on_kink]
            gaps.append(float(widths.sum()) / squared)
    return float(np.nanmax(gaps)) if len(gaps) > 1 else math.nan


def kkt_residual(
    x: Float[np.ndarray, "n d"], z: Float[np.ndarray, " n"], slope: float, unit: Float[np.ndarray, " k"], multiplier: float
) -> float:
    r"""Distance of $\lambda(u,v)$ from the subdifferential of $v\,q(u)$ at (u, v): the smallest over $\sigma'$ at its kinks.

    A certificate that knows nothing of the path (two_homogeneous, Eq. (36) for one unit). A kink is met below 1e-9 |(u, v)|.
    """
    u, v = unit[:-1], float(unit[-1])
    a, steepness = x @ u, v * z[:, None] * x
    met = np.abs(a) <= ON_KINK * np.linalg.norm(unit)
    rest = np.where(a > 0, 1.0, slope)[~met] @ steepness[~met] - multiplier * u
    if met.any():
        rest = rest + lsq_linear(steepness[met].T, -rest, bounds=(slope, 1.0), tol=1e-15).x @ steepness[met]
    return math.hypot(float(np.linalg.norm(rest)), float(z @ np.maximum(a, slope * a)) - multiplier * v)
