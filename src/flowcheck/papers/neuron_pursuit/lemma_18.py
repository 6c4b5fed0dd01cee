r"""Lemma 18: the two integrals that remain of Taylor's formula in the proof of Lemma 8, and their derivatives, to which order.

$a=\int_0^c\sigma''(N_{l+1}g_l+t)(c-t)dt=\sigma(N_{l+1}g_l+c)-\sigma(N_{l+1}g_l)-\sigma'(N_{l+1}g_l)c$ and
$b=\int_0^c\sigma'(A_{l+1}g_l+t)dt=\sigma(A_{l+1}g_l+c)-\sigma(A_{l+1}g_l)$ for l = 2, with numbers of 250 digits. c is what the
added neurons change in the input of layer three, to leading order: $N_3p_2+B_3s_2$ and $A_3p_2+C_3s_2$, as in the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf

from flowcheck.measures.readings import median
from flowcheck.papers.neuron_pursuit.lemma_8 import DIGITS, Instance, Objects, Setting, draw, excess, highest, lowest, norms
from flowcheck.pipeline.evidence import Found, Measurement

SETTINGS = tuple(Setting(4, power, slope) for power in (4, 5) for slope in (0.0, 0.5, -0.5))
ORDERS: dict[str, dict[str, Callable[[int], int]]] = {
    "c": {"value": lambda p: p + 1, "z": lambda p: p, "n": lambda p: p + 1},
    "a": {"value": lambda p: 2 * p + 2, "z": lambda p: 2 * p + 1, "n": lambda p: 2 * p + 2},
    "b": {"value": lambda p: 2 * p, "z": lambda p: 2 * p - 1, "n": lambda p: 2 * p},
}
"""What the lemma supposes of c, and what it says of a and b."""


class Inputs(NamedTuple):
    """Of layer three: those of kept neurons and of added ones where all else is kept, and c for either."""

    kept: Objects
    added: Objects
    change: Objects
    change_added: Objects


def inputs(instance: Instance, weights: Sequence[Objects], *, small: bool = True) -> Inputs:
    r"""`small` False leaves out B and C, which make c small: $\sigma(A_2g_1)$ is in the place of what they pass on."""
    first, second, third = weights[:3]
    (rows1, d), (rows2, columns2), (rows3, columns3) = instance.edges()[:3]
    g1 = instance.sigma(first[:rows1, :d] @ instance.x)
    inner = second[:rows2, :columns2] @ g1
    g2 = instance.sigma(inner)
    p2 = instance.slopes(inner) * (second[:rows2, columns2:] @ instance.sigma(first[rows1:, :d] @ instance.x))
    s2 = instance.sigma(second[rows2:, :columns2] @ g1)
    kept, into = third[:rows3, :columns3], third[rows3:, :columns3]
    passed = (third[:rows3, columns3:] @ s2, third[rows3:, columns3:] @ s2) if small else (s2, s2)
    return Inputs(kept @ g2, into @ g2, kept @ p2 + passed[0], into @ p2 + passed[1])


def integrals(instance: Instance, weights: Sequence[Objects], *, small: bool = True) -> dict[str, Objects]:
    """The integrals a and b, and both c below each other."""
    at = inputs(instance, weights, small=small)
    sigma = instance.sigma
    return {
        "c": np.concatenate([at.change, at.change_added]),
        "a": sigma(at.kept + at.change) - sigma(at.kept) - instance.slopes(at.kept) * at.change,
        "b": sigma(at.added + at.change_added) - sigma(at.added),
    }


def slopes(
    instances: Sequence[Instance], name: str, rng: np.random.Generator, deltas: Sequence[float], *, small: bool = True
) -> tuple[dict[str, list[Measurement]], np.ndarray]:
    """Excesses of slopes over the orders of c, a or b and of both derivatives, and the logarithms of its norms [S, D]."""
    sized = []
    with mp.workdps(DIGITS):
        for some in instances:

            def quantity(weights: Sequence[Objects], some: Instance = some) -> Objects:
                return integrals(some, weights, small=small)[name]

            sized.append(norms(some, quantity, rng, [mpf(delta) for delta in deltas]))
    found = {
        part: [excess(one[part], deltas, order(some.power)) for some, one in zip(instances, sized, strict=True)]
        for part, order in ORDERS[name].items()
    }
    return found, np.array([one["value"] for one in sized])


def readings(rng: np.random.Generator, deltas: Sequence[float], draws: int) -> tuple[Found, dict[str, np.ndarray]]:
    """Smallest excess of slopes over the orders of the lemma, the excess where a hypothesis is dropped, curves for the figure."""
    instances = [draw(rng, setting) for setting in SETTINGS for _ in range(draws)]
    found: dict[str, Measurement] = {}
    curves = {"lemma18_deltas": np.array(deltas), "lemma18_power": np.array([some.power for some in instances])}
    for name in ORDERS:
        excesses, curves[f"lemma18_{name}"] = slopes(instances, name, rng, deltas)
        found |= {f"lemma18_{name}_{part}_excess_min": lowest(rows) for part, rows in excesses.items()}
    active = [some for some in instances if some.slope]  # ReLU neurons may be inactive on all inputs
    for name in ("a", "b"):
        rows = slopes(active, name, rng, deltas, small=False)[0]["value"]
        values, errors = np.array([[row.value, row.error] for row in rows]).T
        found[f"lemma18_{name}_excess_large_c_median"] = median(values, errors)
    kinked = [on_kinks(rng) for _ in range(2 * draws)]
    found["lemma18_a_excess_kink_max"] = highest(slopes(kinked, "a", rng, deltas)[0]["value"])
    return found, curves


def on_kinks(rng: np.random.Generator) -> Instance:
    """ReLU, kept neurons of the second layer inactive: those of the third are on their kinks, and c is positive."""
    instance = draw(rng, Setting(4, 1, 0.0))
    first, second, *others = (np.abs(matrix) for matrix in instance.weights)
    second[:2] = -second[:2]
    return replace(instance, weights=(first, second, *others), x=np.abs(instance.x))
