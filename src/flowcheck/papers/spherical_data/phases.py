r"""Reduced flows as Theorems 1 and 3 and Lemma 8 see them: from their start, and from the turn T of their norm.

A bound touches the flow where it starts, so growth is compared with growth,

$$\frac{2q(t)-2q(t_0)}{E(t)-E(t_0)}-1,$$

where E is the exponent of the bound. Near $t_0$ the two agree to first order: points count from the moment the clock q has
advanced by `resolved_from`, where their difference is well above the integrator's error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from flowcheck.measures import readings
from flowcheck.papers.spherical_data.population import Array
from flowcheck.papers.spherical_data.reduced_flow import ReducedPath
from flowcheck.pipeline.evidence import Measurement


@dataclass(frozen=True)
class Phases:
    """A batch of S flows on a grid of P clock advances. What belongs to a whole flow is a column [S, 1].

    Attributes:
        path: the flows, with their turns.
        norm0: ‖w_e(0)‖.
        resolved_from: the clock advance from which growth is compared.
    """

    path: ReducedPath
    norm0: Float[Array, "s 1"]
    resolved_from: float

    @property
    def q0(self) -> Float[Array, "s 1"]:
        return self.path.q[:, :1]

    @property
    def q_turn(self) -> Float[Array, "s 1"]:
        return self.path.transition.q[:, None]

    @property
    def norm_turn(self) -> Float[Array, "s 1"]:
        return np.exp(self.path.transition.s)[:, None]

    @functools.cached_property
    def elapsed(self) -> Float[Array, "s p"]:
        """T - T, and zero before T."""
        return np.maximum(self.path.t - self.path.transition.t[:, None], 0.0)

    @functools.cached_property
    def gain(self) -> Float[Array, "s p"]:
        """Growth of the exponent since the start."""
        return 2.0 * (self.path.q - self.q0)

    @functools.cached_property
    def gain_late(self) -> Float[Array, "s p"]:
        """Growth of the exponent since T."""
        return 2.0 * (self.path.q - self.q_turn)

    @property
    def rounding(self) -> Float[Array, " s"]:
        """Of an excess: eight operations on exponents of size 2|q|, over a growth of 2 `resolved_from` at least."""
        largest = np.maximum(np.abs(self.path.q[:, 0]), np.abs(self.path.transition.q))
        return 8 * np.finfo(np.float64).eps * (1.0 + largest / self.resolved_from)

    @functools.cached_property
    def anywhere(self) -> Bool[Array, "s p"]:
        """Resolved from the start on."""
        return self.path.q - self.q0 >= self.resolved_from

    @functools.cached_property
    def early(self) -> Bool[Array, "s p"]:
        """Resolved, up to T."""
        return self.anywhere & (self.path.q <= self.q_turn)

    @functools.cached_property
    def late(self) -> Bool[Array, "s p"]:
        """Resolved from T on."""
        return self.path.q - self.q_turn >= self.resolved_from


def lowest_excess(growth: Float[Array, "s p"], bound: Float[Array, "s p"], where: Bool[Array, "s p"]) -> Float[Array, " s"]:
    """Smallest growth / bound - 1 of each flow, over the points asked for at which the bound has grown; infinite without any."""
    return np.where(asked := where & (bound > 0), _excess(growth, bound, asked), np.inf).min(axis=1)


def highest_excess(growth: Float[Array, "s p"], bound: Float[Array, "s p"], where: Bool[Array, "s p"]) -> Float[Array, " s"]:
    """Largest growth / bound - 1 of each flow, likewise; minus infinity without any point."""
    return np.where(asked := where & (bound > 0), _excess(growth, bound, asked), -np.inf).max(axis=1)


def last_excess(growth: Float[Array, "s p"], bound: Float[Array, "s p"], where: Bool[Array, "s p"]) -> Float[Array, " s"]:
    """Growth / bound - 1 of each flow at the last of these points; infinite without any."""
    asked = where & (bound > 0)
    last = asked.shape[1] - 1 - asked[:, ::-1].argmax(axis=1)
    at_last = np.take_along_axis(_excess(growth, bound, asked), last[:, None], axis=1)[:, 0]
    return np.where(asked.any(axis=1), at_last, np.inf)


def _excess(growth: Array, bound: Array, where: Array) -> Array:
    return np.divide(growth, bound, out=np.zeros_like(growth), where=where) - 1.0


Reading = Callable[[Array, Array, Array], Measurement]


def over_runs(runs: pd.DataFrame, column: str, reading: Reading = readings.smallest) -> Measurement:
    """A reading of one column, over the flows on which it speaks; the column with `_error` behind its name holds the errors."""
    value, error = (runs[name].to_numpy(dtype=float) for name in (column, f"{column}_error"))
    return reading(value, error, np.isfinite(value))
