r"""Sums of units on fixed inputs, $\sum_jv_j\phi(u_j^\top x_i)$, and their exact difference quotients; numpy.

$\phi(z)=\max(z,0)^p$ or $z^p$ with a whole p; the $v_j$ are fixed or trained. The quotient
$(F(w+\varepsilon s)-F(w))/\varepsilon$ of outputs and Jacobians is evaluated without cancellation: $\varepsilon$ may be 1e-100,
and 0 gives the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.network import Network
from flowcheck.networks.sums import Separable


@dataclass(frozen=True)
class Increment:
    r"""Quotients from w to the end $w+\varepsilon s$, one row per pair, and what the end is needed for.

    Attributes:
        outputs: $(\mathcal H(X;w+\varepsilon s)-\mathcal H(X;w))/\varepsilon$.
        pulled: $(\mathcal J(X;w+\varepsilon s)-\mathcal J(X;w))^\top z/\varepsilon$ for the given z.
        end_outputs: $\mathcal H(X;w+\varepsilon s)$.
        end_pull: $r\mapsto\mathcal J(X;w+\varepsilon s)^\top r$.
    """

    outputs: Float[np.ndarray, "s n"]
    pulled: Float[np.ndarray, "s k"]
    end_outputs: Float[np.ndarray, "s n"]
    end_pull: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Units:
    """A `power_net` or a `two_layer` on inputs x. `signs` are the fixed v_j, None where they are trained; weights as there."""

    network: Network
    x: Float[np.ndarray, "n d"]
    power: int
    polynomial: bool
    signs: Float[np.ndarray, " h"] | None

    @classmethod
    def of(cls, network: Network, x: Float[np.ndarray, "n d"]) -> Units:
        """Raises ValueError for any other network, several outputs, a slope besides 0 and 1, or a power that is not whole."""
        if network.outputs_per_sample > 1:
            raise ValueError(f"{network.name}: units are known for one output, not {network.outputs_per_sample}")
        trained = isinstance(network, Separable)
        first = network.parts[0] if isinstance(network, Separable) else network
        shape = [] if not isinstance(first, FeedForward) else [layer.fixed is None for layer in first.layers]
        linear_readout = isinstance(first, FeedForward) and all(layer.activation.is_identity for layer in first.layers[1:])
        if not linear_readout or shape not in ([[True, True]] if trained else [[True], [True, False]]):
            raise ValueError(f"{network.name}: not a sum of units with one readout each")
        assert isinstance(first, FeedForward)
        activation = first.layers[0].activation
        if activation.slope not in (0, 1) or activation.power != int(activation.power):
            raise ValueError(f"{network.name}: units need slope 0 or 1 and a whole power")
        signs = None
        if not trained:
            readout = first.layers[1].fixed if len(first.layers) > 1 else None
            signs = np.ones(first.layers[0].rows) if readout is None else np.array(readout[0])
        return cls(network, x, int(activation.power), activation.slope == 1, signs)

    @property
    def size(self) -> int:
        return self.network.size

    @property
    def degree(self) -> int:
        return self.power + (self.signs is None)

    def preactivations(self, w: Float[np.ndarray, "*s k"]) -> Float[np.ndarray, "*s h n"]:
        """u_j . x_i."""
        return self._unpack(w)[0] @ self.x.T

    def outputs(self, w: Float[np.ndarray, "*s k"]) -> Float[np.ndarray, "*s n"]:
        u, v = self._unpack(w)
        return np.asarray((v[..., None] * self._phi(u @ self.x.T)).sum(-2))

    def with_positive_readouts(self, w: Float[np.ndarray, "*s k"]) -> Float[np.ndarray, "*s k"]:
        """The weights with |v_j| in the place of v_j. Raises ValueError where the readouts are fixed."""
        if self.signs is not None:
            raise ValueError(f"{self.network.name}: the readouts are fixed")
        u, v = self._unpack(w)
        return self._pack(u, np.abs(v))

    def pull(self, w: Float[np.ndarray, "*s k"], r: Float[np.ndarray, "*s n"]) -> Float[np.ndarray, "*s k"]:
        r"""$\mathcal J(X;w)^\top r$."""
        u, v = self._unpack(w)
        z, r = u @ self.x.T, r[..., None, :]
        return self._pack((v[..., None] * self._phi(z, 1) * r) @ self.x, (self._phi(z) * r).sum(-1))

    def jacobian(self, w: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n k"]:
        """Rows: gradients of the outputs."""
        return self.pull(np.broadcast_to(w, (len(self.x), len(w))), np.eye(len(self.x)))

    def curvature(self, w: Float[np.ndarray, " k"], r: Float[np.ndarray, " n"]) -> Float[np.ndarray, "k k"]:
        r"""$\sum_ir_i\nabla^2\mathcal H(x_i;w)$, where it exists."""
        u, v = self._unpack(w)
        z, (units, inputs) = u @ self.x.T, u.shape
        width = inputs + (self.signs is None)
        blocks = np.zeros((units, width, units, width))
        for j in range(units):
            blocks[j, :inputs, j, :inputs] = (self.x.T * (r * v[j] * self._phi(z[j], 2))) @ self.x
            if self.signs is None:
                cross = (r * self._phi(z[j], 1)) @ self.x
                blocks[j, :inputs, j, inputs] = blocks[j, inputs, j, :inputs] = cross
        return blocks.reshape(units * width, units * width)

    def increment(
        self,
        w: Float[np.ndarray, " k"],
        step: Float[np.ndarray, "s k"],
        epsilon: Float[np.ndarray, " s"],
        z: Float[np.ndarray, " n"],
    ) -> Increment:
        r"""The exact quotients: $A^p-B^p=(A-B)\sum_{k<p}A^kB^{p-1-k}$, and $(A-B)/\varepsilon$ has no cancellation."""
        (u, v), (du, dv), size = self._unpack(w), self._unpack(step), epsilon[:, None]
        before, along = u.dot(self.x.T), du.dot(self.x.T)  # for small arrays dot takes half the time of @
        after = before + size[..., None] * along
        jump = 0.0
        if not self.polynomial:
            was, comes = before > 0, after > 0
            before, after, along = np.maximum(before, 0), np.maximum(after, 0), along * (was & comes)
            if np.count_nonzero(crosses := was ^ comes):
                inverse = 1.0 / np.where(size > 0, size, 1.0)[..., None]
                along = np.where(crosses, (after - before) * inverse, along)
                jump = (comes * 1.0 - was) * inverse if self.power == 1 else 0.0
        if self.power == 1:
            rise, end, steeper, end_slope = along, after, jump, self._phi(after, 1)
        else:
            lower, mean, power = 1.0, after + before, after
            for _ in range(2, self.power):
                power = power * after
                lower, mean = mean, power + before * mean
            rise, end = along * mean, power * after
            steeper, end_slope = self.power * along * lower, self.power * power
        if self.signs is not None:
            outer, shape = v[:, None], step.shape
            return Increment(
                v.dot(rise),
                (outer * steeper * z).dot(self.x).reshape(shape),
                v.dot(end),
                lambda r: (outer * end_slope * r[:, None]).dot(self.x).reshape(shape),
            )
        end_outer, dv = v[:, None] + (size * dv)[..., None], dv[..., None]
        inner = v[:, None] * steeper + dv * end_slope
        return Increment(
            (v[:, None] * rise + dv * end).sum(-2),
            self._pack((inner * z) @ self.x, rise @ z),
            (end_outer * end).sum(-2),
            lambda r: self._pack((end_outer * end_slope * r[:, None]) @ self.x, (end @ r[..., None])[..., 0]),
        )

    def _phi(self, z: np.ndarray, derivative: int = 0) -> np.ndarray:
        """The derivative of that order; of max(z, 0)^p it is 0 at z <= 0."""
        power = self.power - derivative
        if power < 0:
            return np.zeros_like(z)
        factor = math.perm(self.power, derivative)
        if self.polynomial:
            return np.asarray(factor * z**power)
        return np.asarray(factor * (np.where(z > 0, 1.0, 0.0) if power == 0 else np.maximum(z, 0) ** power))

    def _unpack(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows u_j [..., h, d] and v [..., h], or [h] where it is fixed."""
        inputs = self.x.shape[1]
        if self.signs is not None:
            return w.reshape(*w.shape[:-1], -1, inputs), self.signs
        rows = w.reshape(*w.shape[:-1], -1, inputs + 1)
        return rows[..., :inputs], rows[..., inputs]

    def _pack(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        rows = u if self.signs is not None else np.concatenate([u, v[..., None]], axis=-1)
        return rows.reshape(*rows.shape[:-2], -1)
