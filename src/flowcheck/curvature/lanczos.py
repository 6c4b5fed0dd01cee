r"""Both ends of the spectrum of a symmetric operator that is known by its products: what is certain of them, what is probable.

Lanczos's method with all vectors kept and every new one made orthogonal to all: no product is spent on restarts, which cost
ARPACK (`scipy.sparse.linalg.eigsh`) two to ten times as many for the Hessians of networks (`make bench BENCH=B6`). For a unit
vector v and $\theta=v^\top Hv$ with the residual $r=\|Hv-\theta v\|$ it is certain, up to the rounding of a product, that an
eigenvalue lies within r of $\theta$, and that $\lambda_{\min}\le\theta\le\lambda_{\max}$. That no eigenvalue lies farther out
than this one is probable only, for a start that was drawn at random: `Spectrum.probable` says how far out with which risk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, SHARE, instance, number, one_of, whole
from flowcheck.tensors import Numbers, finite, tensors

ENDS = ("smallest", "largest")
LOOKS = 30
"""Ritz values are looked at after every step in the beginning, and so many times while the Krylov space doubles later."""
ROUNDING = 1e-13
"""Of the spread of the spectrum: eigenvalues are not known better than products are."""
ASYMMETRY = 1e-6
"""Of the length of a product: what rounding in single precision leaves of symmetry is less."""


@dataclass(frozen=True)
class RitzPair:
    """One end of the spectrum.

    Attributes:
        value: of the quadratic form at `vector`, which is as long as one. The end itself is as far out or farther.
        residual: an eigenvalue lies within this distance of the value. This is certain.
        estimate: of the distance to the end: r²/gap, or the residual r where that is smaller. The gap is that to the next Ritz
            value less its own residual, and the estimate is certain only if the gap to the next eigenvalue is as large.
    """

    value: float
    residual: float
    estimate: float
    vector: Float[Tensor, " k"]


@dataclass(frozen=True)
class Spectrum:
    """What was asked for of both ends.

    Attributes:
        size: dimension of the space.
        steps: dimension of the Krylov space, from which both ends come.
        products: of the operator, two for residuals among them.
        low, high: smallest and largest Ritz value.
        exhausted: the Krylov space is invariant, and holds the ends of the spectrum with probability one.
    """

    smallest: RitzPair | None
    largest: RitzPair | None
    size: int
    steps: int
    products: int
    low: float
    high: float
    exhausted: bool

    def probable(self, risk: float = 1e-6) -> tuple[float, float]:
        r"""Numbers between which the whole spectrum lies, with probability 1 - risk at least over the draw of the start.

        If $\lambda_{\max}-\theta>\epsilon(\lambda_{\max}-\lambda_{\min})$ after k steps, the start has a component of less than
        $1/\cosh((2k-1)\operatorname{artanh}\sqrt\epsilon)$ along the eigenvector: insert the polynomial p of degree k - 1 with
        $\sqrt{1-x}\,p(x)\propto T_{2k-1}(\sqrt{1-x})$ in Rayleigh's quotient, where x is the distance from the other end over
        $(1-\epsilon)(\lambda_{\max}-\lambda_{\min})$. The square of that component has the distribution Beta(1/2, (size - 1)/2).
        Kuczynski and Wozniakowski (SIAM J. Matrix Anal. Appl. 13, 1992) have the same rate, $\sqrt n e^{-(2k-1)\sqrt\epsilon}$.
        The risk is shared by the two ends.

        >>> Spectrum(None, None, 100, 40, 41, 0.0, 1.0, False).probable(1e-3)[1] < 1.1
        True
        """
        share = number("risk", risk, SHARE) / 2
        if self.exhausted or self.size == 1:
            return self.low, self.high
        component = math.sqrt(scipy.stats.beta.ppf(share, 0.5, (self.size - 1) / 2))
        epsilon = math.tanh(math.acosh(1 / component) / (2 * self.steps - 1)) ** 2
        if epsilon >= 0.5:
            return -math.inf, math.inf
        beyond = epsilon * (self.high - self.low) / (1 - 2 * epsilon)
        return self.low - beyond, self.high + beyond


def spectrum_ends(
    multiply: Callable[[Tensor], Tensor],
    start: Numbers,
    *,
    ends: Sequence[str] = ENDS,
    rtol: float = 1e-6,
    atol: float = 0.0,
    least_products: int = 1,
    most_products: int = 1000,
) -> Spectrum:
    """The ends of the spectrum of a symmetric operator on vectors as long as `start`, in double precision.

    Args:
        multiply: v -> H v; `HessianProducts`, say.
        start: drawn from a Gaussian, without regard to the operator: what is probable is so over this draw.
        ends: which to wait for.
        rtol, atol: an end is there when its `estimate` is at most rtol times its size, or atol, or rounding of the spread.
        least_products: to go on for, as what `Spectrum.probable` adds to the spectrum falls with their square.

    Raises ValueError if the operator is not symmetric, gives numbers that are not finite or no vectors, and RuntimeError with
    what is known by then if `most_products` do not suffice.

    >>> diagonal = torch.tensor([-1.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    >>> found = spectrum_ends(lambda v: diagonal * v, [0.3, 1.0, -0.5, 0.7])
    >>> round(found.smallest.value, 6), round(found.largest.value, 6)
    (-1.0, 3.0)
    """
    (first,) = tensors(start=start)
    if first.ndim != 1 or not bool((first != 0).any()):
        raise ValueError(f"start is one vector that is not zero, got shape {tuple(first.shape)}")
    instance("ends", ends, list, tuple)
    for end in ends:
        one_of("each of ends", end, ENDS)
    relative, absolute = number("rtol", rtol, FINITE_NOT_NEGATIVE), number("atol", atol, FINITE_NOT_NEGATIVE)
    least, most = whole("least_products", least_products, 1), whole("most_products", most_products, 1 + len(ends))
    krylov = _Krylov(multiply, first)
    while True:
        krylov.extend()
        last = krylov.exhausted or krylov.steps == most - len(ends)
        if not last and (krylov.steps < least or krylov.steps % (1 + krylov.steps // LOOKS)):
            continue
        settled = max(absolute, ROUNDING * krylov.scale)
        off = [one for one in map(krylov.ritz, ends) if one.estimate > max(settled, relative * abs(one.value))]
        if krylov.exhausted or not off:
            break
        if last:
            raise RuntimeError(
                f"after {krylov.steps} products the {off[0].end} eigenvalue is not settled: "
                f"{off[0].value:.6g}, known to {off[0].estimate:.1e} (residual {off[0].residual:.1e})"
            )
    ritz = {end: krylov.ritz(end) for end in ENDS}
    pairs = {end: krylov.pair(ritz[end]) if end in ends else None for end in ENDS}
    low, high = (
        pick(ritz[end].value, pair.value if pair else ritz[end].value)
        for pick, (end, pair) in zip((min, max), pairs.items(), strict=True)
    )
    products = krylov.steps + len(set(ends))
    return Spectrum(pairs["smallest"], pairs["largest"], krylov.size, krylov.steps, products, low, high, krylov.exhausted)


@dataclass(frozen=True)
class _Ritz:
    """An extreme Ritz value, what the recurrence says of its residual and error, and its vector in the basis."""

    end: str
    value: float
    residual: float
    estimate: float
    gap: float
    coordinates: Float[np.ndarray, " j"]


class _Krylov:
    """An orthonormal basis of the Krylov space, in rows, and the tridiagonal matrix of the operator in it."""

    def __init__(self, multiply: Callable[[Tensor], Tensor], start: Float[Tensor, " k"]) -> None:
        self.multiply, self.size, self.steps, self.exhausted = multiply, len(start), 0, False
        self.rows = start.new_zeros((min(64, self.size + 1), self.size))
        self.rows[0] = start / torch.linalg.vector_norm(start)
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.scale = 0.0

    def product(self, v: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        """One product, checked."""
        found = self.multiply(v)
        if not isinstance(found, Tensor) or found.shape != v.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"multiply must give a tensor of {self.size} numbers, got {shape}")
        return finite("the product", found.detach().to(v.dtype))

    def extend(self) -> None:
        """One more vector."""
        j = self.steps
        now = self.product(self.rows[j])
        length = float(torch.linalg.vector_norm(now))
        self.diagonal.append(float(now @ self.rows[j]))
        if j:
            defect = abs(float(now @ self.rows[j - 1]) - self.beside[-1])
            if defect > ASYMMETRY * length:
                raise ValueError(f"multiply is not symmetric: u·Hv and v·Hu differ by {defect / length:.1e} of the length of Hv")
            now = now - self.beside[-1] * self.rows[j - 1]
        now = now - self.diagonal[-1] * self.rows[j]
        before, basis = math.inf, self.rows[: j + 1]
        left = float(torch.linalg.vector_norm(now))
        while left < 0.7 * before and left:  # once, and again where that took away much
            before = left
            now = torch.addmv(now, basis.mT, basis @ now, alpha=-1)
            left = float(torch.linalg.vector_norm(now))
        self.steps += 1
        self.scale = max(self.scale, abs(self.diagonal[-1]), left)
        if left <= ROUNDING * self.scale or self.steps == self.size:
            self.exhausted, left = True, 0.0
        self.beside.append(left)
        if not self.exhausted:
            if self.steps == len(self.rows):
                self.rows = torch.cat([self.rows, torch.zeros_like(self.rows)])
            self.rows[self.steps] = now / left

    def ritz(self, end: str) -> _Ritz:
        """The extreme Ritz value of one end, as far as the recurrence tells."""
        j, sign = self.steps, 1.0 if end == "smallest" else -1.0
        diagonal, beside = sign * np.array(self.diagonal), sign * np.array(self.beside[:-1])
        values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside, select="i", select_range=(0, min(1, j - 1)))
        residuals = self.beside[-1] * np.abs(vectors[-1])
        gap = float(values[1] - residuals[1] - values[0]) if j > 1 else 0.0
        estimate = _estimate(float(residuals[0]), gap)
        return _Ritz(end, sign * float(values[0]), float(residuals[0]), estimate, gap, vectors[:, 0])

    def pair(self, ritz: _Ritz) -> RitzPair:
        """The end with the residual of its vector, by a product of its own."""
        vector = torch.from_numpy(ritz.coordinates).to(self.rows) @ self.rows[: self.steps]
        vector = vector / torch.linalg.vector_norm(vector)
        image = self.product(vector)
        value = float(vector @ image)
        residual = float(torch.linalg.vector_norm(image - value * vector))
        return RitzPair(value, residual, _estimate(residual, ritz.gap), vector)


def _estimate(residual: float, gap: float) -> float:
    """Kato and Temple's bound for this gap, which holds if the gap of the eigenvalues is as large."""
    return min(residual, residual**2 / gap) if gap > 0 else residual
