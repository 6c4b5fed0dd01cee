r"""Lemma 8 (ii): the decomposition (20) for polynomial activations, exactly: $\mathcal H$ is a polynomial in the scale of w_z."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy

from flowcheck.papers.neuron_pursuit.lemma_8 import INPUTS, POLYNOMIAL, Instance, Setting
from flowcheck.pipeline.evidence import Found, Measurement

DELTA = sympy.Symbol("delta")


def draw(rng: np.random.Generator, setting: Setting) -> Instance:
    """Weights and one input that are whole and not zero, as constant polynomials in delta."""
    widths = [INPUTS, *[3] * (setting.depth - 1), 1]
    shapes = [*zip(widths[1:], widths[:-1], strict=True), (INPUTS, 1)]
    *weights, x = (rng.integers(1, 10, shape) * rng.choice([-1, 1], shape) for shape in shapes)
    return Instance(tuple(map(_polynomials, weights)), _polynomials(x), (1,) * (setting.depth - 1), setting.power, 1.0)


def _polynomials(values: np.ndarray) -> np.ndarray:
    found = np.empty(values.shape, dtype=object)
    for at, value in np.ndenumerate(values):
        found[at] = sympy.Poly(int(value), DELTA)
    return found


def coefficients(instance: Instance) -> tuple[dict[int, int], int]:
    """Coefficients of what added neurons change, by the power of delta; and the leading term at delta = 1."""
    change = instance.change(instance.scaled(sympy.Poly(DELTA, DELTA)))[0, 0]
    leading = instance.leading(instance.weights)[0, 0]
    return {power: int(value) for (power,), value in change.terms() if value}, int(leading.eval(0))


def wrong_coefficients(instance: Instance) -> int:
    """Powers of delta below p + 1 that appear, and whether that of p + 1 is not the leading term."""
    found, leading = coefficients(instance)
    lowest = instance.power + 1
    return sum(power < lowest for power in found) + (found.get(lowest, 0) != leading)


def expansion(rng: np.random.Generator, draws: int) -> Found:
    """Wrong coefficients of all networks; as a control networks with some where a factor or weights are left out."""
    instances = [draw(rng, setting) for setting in POLYNOMIAL for _ in range(draws)]
    two_layers = [draw(rng, Setting(2, power, 1.0)) for power in (1, 2, 3) for _ in range(draws)]
    n = len(instances)
    broken = {
        "no_factor": [replace(some, factor=False) for some in instances],
        "incoming_only": [replace(some, outgoing=False) for some in instances],
    }
    found: dict[str, Measurement] = {
        "lemma8_wrong_coefficients": Measurement.count(sum(map(wrong_coefficients, instances)), n),
        "lemma8_two_layers_remainders": Measurement.count(
            sum(set(coefficients(some)[0]) != {some.power + 1} for some in two_layers), len(two_layers)
        ),
        "lemma8_unexpected_degrees": Measurement.count(
            sum(not set(coefficients(some)[0]) <= {3, 5, 6, 7} for some in instances if (len(some.kept), some.power) == (2, 2)),
            draws,
        ),
    }
    for name, others in broken.items():
        wrong = sum(wrong_coefficients(some) > 0 for some in others)
        found[f"lemma8_wrong_expansions_{name}"] = Measurement.count(wrong, n)
    return found
