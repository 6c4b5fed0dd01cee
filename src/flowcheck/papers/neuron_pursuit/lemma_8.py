r"""Lemma 8: what added neurons change in the outputs, $\mathcal H(\cdot;w_n,0)+\mathcal H_1+\dots$, to which order in $\|w_z\|$.

Numpy on arrays of objects: numbers with 250 digits, where remainders are as small as $10^{-90}$, or polynomials in $\delta$ with
whole coefficients, where the decomposition is exact. Written out apart from `networks.leading_term`, against which it
is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from mpmath import mp, mpf

from flowcheck.measures import readings
from flowcheck.pipeline.evidence import Found, Measurement

Objects = Shaped[np.ndarray, "_ _"]
DIGITS, STEP = 250, 100
"""Central differences have steps of 10^-STEP: they are rounded by some 10^(STEP - DIGITS), and their own error is below that."""
FLOOR = -140 * float(np.log(10))
"""What has a smaller logarithm is rounding, or higher orders of neurons that are inactive: no slope is read from it."""
DIRECTIONS = 2
ROUNDING = 1e-15
"""Relative, of the logarithm of a number that is cut to float64 in the end."""
INPUTS = 2


class Setting(NamedTuple):
    """Depth, power and leak of a network whose hidden layers keep and add two neurons."""

    depth: int
    power: int
    slope: float


TECHNICAL = tuple(Setting(depth, power, slope) for depth in (3, 4) for power in (4, 5) for slope in (0.0, 0.5, -0.5))
"""Case (i): a leak other than one, p >= 4."""
LOW = (Setting(3, 1, 0.5), Setting(3, 2, 0.0), Setting(3, 3, -0.5), Setting(4, 2, 0.5))
"""Powers below 4, for which the lemma asks a leak of one."""
POLYNOMIAL = tuple(Setting(*some, 1.0) for some in ((3, 1), (3, 2), (3, 3), (4, 1), (4, 2)))
"""Case (ii)."""


@dataclass(frozen=True)
class Instance:
    """Weights W_1 to W_L and inputs [d, n]; the first `kept` neurons of each hidden layer are kept.

    `factor` False drops the derivative of the outputs from the leading term; `outgoing` False leaves the outgoing weights of
    added neurons as they are where w_z shrinks.
    """

    weights: tuple[Objects, ...]
    x: Objects
    kept: tuple[int, ...]
    power: int
    slope: float
    factor: bool = True
    outgoing: bool = True

    def sigma(self, z: Any) -> Any:
        """max(z, a z)^p."""
        return (z if self.slope == 1 else np.maximum(z, self.slope * z)) ** self.power

    def slopes(self, z: Any) -> Any:
        """Its derivative, min(1, a) at 0."""
        if self.slope == 1:
            return self.power * z ** (self.power - 1)
        branch = np.where(z > 0, mpf(max(1.0, self.slope)), mpf(min(1.0, self.slope)))
        return self.power * np.maximum(z, self.slope * z) ** (self.power - 1) * branch

    def forward(self, weights: Sequence[Objects]) -> Objects:
        """W_L σ(W_{L-1} ... σ(W_1 x)), [1, n]."""
        carried = self.x
        for matrix in weights[:-1]:
            carried = self.sigma(matrix @ carried)
        return np.asarray(weights[-1] @ carried)

    def edges(self) -> list[tuple[int, int]]:
        """Rows and columns of N_1 to N_L."""
        return list(zip((*self.kept, 1), (len(self.x), *self.kept), strict=True))

    def fitted(self, weights: Sequence[Objects]) -> list[Objects]:
        """N_1 to N_L."""
        return [matrix[:rows, :columns] for matrix, (rows, columns) in zip(weights, self.edges(), strict=True)]

    def scaled(self, delta: Any) -> list[Objects]:
        """All weights where w_z is multiplied by delta."""
        found = []
        for matrix, (rows, columns) in zip(self.weights, self.edges(), strict=True):
            whole = matrix.copy()
            whole[rows:] = whole[rows:] * delta
            if self.outgoing:
                whole[:rows, columns:] = whole[:rows, columns:] * delta
            found.append(whole)
        return found

    def leading(self, weights: Sequence[Objects]) -> Objects:
        """Eq. (21), [1, n]."""
        fitted, below, inner = self.fitted(weights), [self.x], []
        for matrix in fitted[:-1]:
            inner.append(matrix @ below[-1])
            below.append(self.sigma(inner[-1]))
        total, derivative = 0, np.ones((1, 1), dtype=object)
        for layer in range(len(fitted) - 2, -1, -1):
            (rows, _), (above, columns) = self.edges()[layer], self.edges()[layer + 1]
            into, out = weights[layer][rows:, : len(below[layer])], weights[layer + 1][:above, columns:]
            change = out @ self.sigma(into @ below[layer])
            total = total + (derivative * change if self.factor else change).sum(axis=0, keepdims=True)
            if layer:
                derivative = (fitted[layer + 1].T @ (derivative * np.ones_like(change))) * self.slopes(inner[layer])
        return np.asarray(total)

    def remainder(self, weights: Sequence[Objects]) -> Objects:
        """What the outputs have besides those of the kept neurons and the leading term."""
        return self.change(weights) - self.leading(weights)

    def change(self, weights: Sequence[Objects]) -> Objects:
        """What the added neurons change in the outputs."""
        return np.asarray(self.forward(weights) - self.forward(self.fitted(weights)))


def draw(rng: np.random.Generator, setting: Setting, samples: int = 3) -> Instance:
    """Gaussian weights and inputs, as numbers with many digits."""
    widths = [INPUTS, *[4] * (setting.depth - 1), 1]
    shapes = [*zip(widths[1:], widths[:-1], strict=True), (INPUTS, samples)]
    *weights, x = (_precise(rng.standard_normal(shape)) for shape in shapes)
    return Instance(tuple(weights), x, (2,) * (setting.depth - 1), setting.power, setting.slope)


def _precise(values: np.ndarray) -> Objects:
    return np.array([[mpf(float(value)) for value in row] for row in values], dtype=object)


def _log_norm(values: Objects) -> float:
    """Of zero the floor."""
    square = sum(value**2 for value in values.ravel())
    return float(mp.log(square) / 2) if square else FLOOR


def sizes(instance: Instance, rng: np.random.Generator, deltas: Sequence[Any]) -> dict[str, list[float]]:
    """Norms of the change, of the remainder, and of the remainder's derivatives along random directions of w_z and of w_n."""
    found = norms(instance, instance.remainder, rng, deltas)
    return {"change": [_log_norm(instance.change(instance.scaled(delta))) for delta in deltas]} | found


def norms(
    instance: Instance, quantity: Callable[[Sequence[Objects]], Objects], rng: np.random.Generator, deltas: Sequence[Any]
) -> dict[str, list[float]]:
    """Logarithms of the norms of a quantity that depends on the weights, and of its derivatives along random directions."""
    along = {"z": _directions(instance, rng, False), "n": _directions(instance, rng, True)}
    found: dict[str, list[float]] = {"value": [], "z": [], "n": []}
    step = mpf(10) ** -STEP
    for delta in deltas:
        weights = instance.scaled(delta)
        found["value"].append(_log_norm(quantity(weights)))
        for name, directions in along.items():
            parts = [
                quantity([w + step * v for w, v in zip(weights, some, strict=True)])
                - quantity([w - step * v for w, v in zip(weights, some, strict=True)])
                for some in directions
            ]
            found[name].append(_log_norm(np.concatenate(parts) / (2 * step)))
    return found


def _directions(instance: Instance, rng: np.random.Generator, kept: bool) -> list[list[Objects]]:
    """Random directions in w_n, or in w_z."""
    found = []
    for _ in range(DIRECTIONS):
        direction = [_precise(rng.standard_normal(matrix.shape)) for matrix in instance.weights]
        for matrix, (rows, columns) in zip(direction, instance.edges(), strict=True):
            if kept:
                matrix[rows:], matrix[:, columns:] = mpf(0), mpf(0)
            else:
                matrix[:rows, :columns] = mpf(0)
        found.append(direction)
    return found


def orders(instances: Sequence[Instance], rng: np.random.Generator, deltas: Sequence[float]) -> dict[str, Any]:
    """Slopes of these norms on ln delta, each less what the proof gives: p + 1, 2p + 1, 2p and 2p + 1."""
    with mp.workdps(DIGITS):
        exact = [mpf(delta) for delta in deltas]
        logs = [sizes(instance, rng, exact) for instance in instances]
    found: dict[str, Any] = {"logs": logs}
    for name, order in ORDERS.items():
        found[name] = [excess(sized[name], deltas, order(some.power)) for some, sized in zip(instances, logs, strict=True)]
    return found


def excess(logs: Sequence[float], deltas: Sequence[float], order: int) -> Measurement:
    """Slope of logarithms of norms on ln delta, less an order."""
    y = np.array(logs)[None]
    slope = readings.rate(np.log(np.array(deltas))[None], y, np.abs(y) * ROUNDING, y > FLOOR)
    return Measurement(slope.value - order, slope.error or math.nan, n=slope.n)


ORDERS: dict[str, Callable[[int], int]] = {
    "change": lambda p: p + 1,
    "value": lambda p: 2 * p + 1,
    "z": lambda p: 2 * p,
    "n": lambda p: 2 * p + 1,
}


def lowest(rows: Sequence[Measurement]) -> Measurement:
    """The smallest excess of a slope over what the proof gives: the proof bounds from above, some are smaller."""
    return readings.smallest(np.array([row.value for row in rows]), np.array([row.error for row in rows]))


def highest(rows: Sequence[Measurement]) -> Measurement:
    """The largest, of networks for which the lemma is to fail."""
    return readings.largest(np.array([row.value for row in rows]), np.array([row.error for row in rows]))


def kinked(rng: np.random.Generator) -> Instance:
    """ReLU, three layers, with kept neurons of the first layer that are inactive: those of the second are on their kinks."""
    instance = draw(rng, Setting(3, 1, 0.0))
    first, second, third = (np.abs(matrix) for matrix in instance.weights)
    first[:2] = -first[:2]
    return replace(instance, weights=(first, second, third), x=np.abs(instance.x))


def asymptotics(rng: np.random.Generator, deltas: Sequence[float], draws: int) -> tuple[Found, dict[str, np.ndarray]]:
    """Slopes of case (i), of lower powers, and where a hypothesis or a factor is dropped; curves for the figure."""
    found: dict[str, Measurement] = {}
    curves = {"lemma8_deltas": np.array(deltas)}
    for label, settings in (("", TECHNICAL), ("_low_powers", LOW)):
        instances = [draw(rng, setting) for setting in settings for _ in range(draws)]
        slopes = orders(instances, rng, deltas)
        found |= {f"lemma8_{name}_excess_min{label}": lowest(slopes[name]) for name in ORDERS}
        active = [row for row, instance in zip(slopes["change"], instances, strict=True) if instance.slope]
        found[f"lemma8_change_excess_max{label}"] = highest(active)  # ReLU neurons may be inactive on all inputs, and H_1 zero
        curves |= {f"lemma8_{name}{label}": np.array([sized[name] for sized in slopes["logs"]]) for name in ORDERS}
        curves[f"lemma8_power{label}"] = np.array([instance.power for instance in instances])
    plain = [draw(rng, setting) for setting in TECHNICAL if setting.slope for _ in range(draws)]  # none of them inactive
    broken = {
        "kink": [kinked(rng) for _ in range(2 * draws)],
        "no_factor": [replace(instance, factor=False) for instance in plain],
        "incoming_only": [replace(instance, outgoing=False) for instance in plain],
    }
    for name, instances in broken.items():
        rows = orders(instances, rng, deltas)["change" if name == "incoming_only" else "value"]
        found[f"lemma8_excess_{name}_max"] = highest(rows)
    return found, curves
