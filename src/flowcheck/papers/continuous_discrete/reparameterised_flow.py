r"""The flow of a balanced deep linear network with one output, whitened inputs and square loss, on the clock of Eq. (59).

There the end-to-end vector $u$ stays in the plane of its start and the target $\lambda$, which has length one, and two numbers
say all. $\nu=\cos\angle(u,\lambda)$ obeys $\dot\nu=1-\nu^2$ (Lemma 44), and $s=\|u\|^{-1}-1$ the linear equation
$\dot s=n(1-\nu-\nu s)$, which is Lemma 40 divided by $-\|u\|^2$. Neither loses digits near the target, where $1-\nu$ and $s$ are
small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float

from flowcheck.errors import ConfigError
from flowcheck.pipeline.evidence import Found

PANEL, NODES = 0.05, 8
"""Length of a panel of Gauss quadrature and its nodes: integrands are smooth on lengths of 1 / 2n, and the rule has order 16."""


@cache
def _rule(nodes: int) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"], Float[np.ndarray, "q q"]]:
    """Gauss-Legendre on [0, 1]: nodes, weights, and the matrix that integrates from 0 to each node."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    c = (x + 1) / 2
    powers = np.arange(nodes)
    monomials = c[:, None] ** powers
    integrals = c[:, None] ** (powers + 1) / (powers + 1)
    return c, weights / 2, np.linalg.solve(monomials.T, integrals.T).T


@dataclass(frozen=True)
class ReparameterisedFlow:
    """Many flows at once, from time 0 of the clock to `end`, at the ends of panels.

    Attributes:
        depth, nu0, norm0: n, the cosine and the length of u at the start, shape [f]. nu0 = -1 is refused.
        end: of the clock, the same for all.
        panel: length of a panel.

    Raises ConfigError if a start is outside what the paper speaks of: nu0 in (-1, 1], a positive length, n >= 2.
    """

    depth: Float[np.ndarray, " f"]
    nu0: Float[np.ndarray, " f"]
    norm0: Float[np.ndarray, " f"]
    end: float
    panel: float = PANEL

    def __post_init__(self) -> None:
        """Refuses what has no such flow."""
        if not (np.all(self.nu0 > -1) and np.all(self.nu0 <= 1) and np.all(self.norm0 > 0) and np.all(self.depth >= 2)):
            raise ConfigError("a flow of Eq. (59) needs nu0 in (-1, 1], a positive length and depth 2 or more")

    @cached_property
    def times(self) -> Float[np.ndarray, " p"]:
        """Of the clock, at the ends of panels, the first one 0."""
        return np.linspace(0.0, self.end, max(1, round(self.end / self.panel)) + 1)

    @property
    def x0(self) -> Float[np.ndarray, "f 1"]:
        """(1 - nu) / (1 + nu) at the start."""
        return ((1 - self.nu0) / (1 + self.nu0))[:, None]

    def one_minus_nu(self, t: Float[np.ndarray, "*#f s"]) -> Float[np.ndarray, "f s"]:
        """1 - nu at times t (Lemma 44 (iii)), the same for all flows or [f, s]."""
        return 2 * self.x0 / (self.x0 + np.exp(2 * t))

    def exponent(self, t: Float[np.ndarray, "*#f s"]) -> Float[np.ndarray, "f s"]:
        """N times the integral of nu from 0 to t."""
        return self.depth[:, None] * (t - np.log1p(self.x0) + np.log1p(self.x0 * np.exp(-2 * t)))

    @cached_property
    def excess(self) -> Float[np.ndarray, "f p"]:
        """S = 1 / |u| - 1 at the ends of panels."""
        return self._solved[0]

    @cached_property
    def _solved(self) -> tuple[Float[np.ndarray, "f p"], Float[np.ndarray, "c q"], Float[np.ndarray, "f c q"]]:
        """S at the ends of panels, and times and s at the nodes between them."""
        c, weights, inner = _rule(NODES)
        h = self.times[1] - self.times[0]
        nodes = self.times[:-1, None] + h * c
        n, s = self.depth[:, None], 1 / self.norm0[:, None] - 1
        ends, between = [s], []
        for t0, t1, at in zip(self.times[:-1], self.times[1:], nodes, strict=True):
            start = self.exponent(np.array([t0]))
            growth = np.exp(self.exponent(at) - start)
            source = n * growth * self.one_minus_nu(at)
            between.append((s + h * source @ inner.T) / growth)
            s = (s + h * (source @ weights)[:, None]) * np.exp(start - self.exponent(np.array([t1])))
            ends.append(s)
        return np.concatenate(ends, axis=1), nodes, np.stack(between, axis=1)

    def at(self, t: Float[np.ndarray, " f"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
        """1 - nu and s at a time of its own for each flow, which is not beyond `end`."""
        c, weights, _ = _rule(NODES)
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        begin, h = self.times[k][:, None], (t - self.times[k])[:, None]
        nodes = begin + h * c
        start, finish = self.exponent(begin), self.exponent(t[:, None])
        source = self.depth[:, None] * np.exp(self.exponent(nodes) - start) * self.one_minus_nu(nodes)
        s = np.take_along_axis(self.excess, k[:, None], axis=1) + h * (source @ weights)[:, None]
        return self.one_minus_nu(t[:, None])[:, 0], (s * np.exp(start - finish))[:, 0]

    @property
    def norm(self) -> Float[np.ndarray, "f p"]:
        """|u| at the ends of panels."""
        return 1 / (1 + self.excess)

    def distance(self, t: Float[np.ndarray, "*s"], s: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
        """|u - target|, the length of the gradient of phi, without a difference of equal numbers."""
        u = 1 / (1 + s)
        return np.sqrt((s * u) ** 2 + 2 * u * t)

    @property
    def gradient(self) -> Float[np.ndarray, "f p"]:
        """|u - target| at the ends of panels; half its square is the loss above its minimum."""
        return self.distance(self.one_minus_nu(self.times), self.excess)

    def integral(
        self, integrand: Callable[[Float[np.ndarray, "f c q"], Float[np.ndarray, "f c q"]], Float[np.ndarray, "f c q"]]
    ) -> Float[np.ndarray, "f p"]:
        """The integral from 0 to the ends of panels of a function of |u| and |u - target| over the clock."""
        _, nodes, s = self._solved
        _, weights, _ = _rule(NODES)
        nearness = self.one_minus_nu(nodes.ravel()).reshape(s.shape)
        values = integrand(1 / (1 + s), self.distance(nearness, s)) @ weights * (self.times[1] - self.times[0])
        return np.concatenate([np.zeros((len(self.depth), 1)), np.cumsum(values, axis=1)], axis=1)

    @cached_property
    def clock(self) -> Float[np.ndarray, "f p"]:
        """xi, the time of the flow at the ends of panels (Lemma 43)."""
        n = self.depth[:, None, None]
        return self.integral(lambda u, _: u ** (2 / n - 1))

    def m_integral(self, epsilon: Float[np.ndarray, " f"]) -> Float[np.ndarray, "f p"]:
        """The integral of m, Eq. (71), over the time of the flow, at the ends of panels."""
        n, reach = self.depth[:, None, None], (2 * self.depth * epsilon)[:, None, None]
        return self.integral(lambda u, g: (n - 1) * (g + reach) * ((u + reach) / u) ** (1 - 2 / n))

    def gradient_integral(self) -> Float[np.ndarray, "f p"]:
        """The integral of |u - target| over the clock."""
        return self.integral(lambda _, g: g)


def displayed(depths: Sequence[int], norm: float) -> Found:
    """Loss of flows from this length against their time, for each depth and three cosines: what the figure shows."""
    cosines = np.array([0.5, -0.5, -0.9])
    curves = {}
    for depth in depths:
        flow = ReparameterisedFlow(np.full(3, float(depth)), cosines, np.full(3, norm), 20.0)
        curves[f"displayed_time_n{depth}"] = flow.clock
        curves[f"displayed_loss_n{depth}"] = flow.gradient**2 / 2
    return {"displayed_cosines": cosines, "displayed_depths": np.array(depths), **curves}
