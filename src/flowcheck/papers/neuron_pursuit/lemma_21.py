r"""Lemma 21: descent of one diagonal neuron, $\tfrac12\|xvu-y\|^2$ with $\|x\|=1$, from $v=\delta/\sqrt2=\pm u$.

All that matters of x and y is $c=x^\top y$: both gradients are $(vu-c)$ times the other weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EPSILON = 4e-16
"""Relative rounding of one step."""
RATES = (0.05, 0.25, 0.49)
"""Step times |c|; the proof needs less than 1/2."""


class Ends(NamedTuple):
    """Of runs: the relative error of the product, and whether what the proof says held at every step."""

    error: Float[np.ndarray, " s"]
    unequal: Bool[np.ndarray, " s"]
    overshot: Bool[np.ndarray, " s"]
    fell: Bool[np.ndarray, " s"]
    loss_rose: Bool[np.ndarray, " s"]


def run(c: Float[np.ndarray, " s"], rate: float, delta: Float[np.ndarray, " s"], steps: int, sign: float = 1.0) -> Ends:
    r"""Descent with step rate/|c|; $u(0)$ has the sign of c times `sign`.

    Watched: |v| = |u|; $|v|\le\sqrt{|c|}$, and |v| never falls; the loss never rises.
    """
    v, u = delta / np.sqrt(2.0), sign * np.sign(c) * delta / np.sqrt(2.0)
    step, limit = rate / np.abs(c), np.sqrt(np.abs(c))
    unequal, overshot, fell, rose = (np.zeros(len(c), dtype=bool) for _ in range(4))
    for _ in range(steps):
        before, off = np.abs(v), np.abs(v * u - c)
        pull = step * (c - v * u)
        v, u = v + pull * u, u + pull * v
        unequal |= np.abs(v) != np.abs(u)
        overshot |= np.abs(v) > limit * (1 + EPSILON)
        fell |= np.abs(v) < before * (1 - EPSILON)
        rose |= np.abs(v * u - c) > off + EPSILON * np.abs(c)
    return Ends(np.abs(v * u - c) / np.abs(c), unequal, overshot, fell, rose)


def draws(rng: np.random.Generator, count: int) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Values of c of either sign from 0.01 to 100, and of delta from 1e-6 of the proof's limit, sqrt(2|c|), to nine tenths."""
    c = 10 ** rng.uniform(-2.0, 2.0, count) * rng.choice([-1.0, 1.0], count)
    return c, np.sqrt(2 * np.abs(c)) * np.minimum(10 ** rng.uniform(-6.0, 0.0, count), 0.9)
