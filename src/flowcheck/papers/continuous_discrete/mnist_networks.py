"""The networks of Figures 1 and 3 and how they start (Appendix H.2)."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from flowcheck.data.mnist import Digits
from flowcheck.losses import cross_entropy, one_hot
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedNetwork

Name = Literal["linear", "relu"]
WIDTHS = (784, 50, 50, 10)
STEP_SIZE = 1e-3
"""eta_0."""
CLASSES = 10


def network(name: Name) -> TiedNetwork:
    """A fully connected network of Figure 1."""
    return TiedNetwork.fully_connected(WIDTHS, 1.0, {"linear": 1.0, "relu": 0.0}[name])


def objective(name: Name, digits: Digits) -> Objective:
    """Its mean cross-entropy on these digits."""
    return Objective(network(name), digits.inputs, one_hot(digits.labels, CLASSES), cross_entropy(CLASSES, "mean"))


def xavier(rng: np.random.Generator) -> Float[np.ndarray, " k"]:
    """Weights of a fully connected network, uniform up to the root of 6 / (rows + columns) of their layer."""
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(WIDTHS)]
    return np.concatenate([math.sqrt(6 / sum(shape)) * rng.uniform(-1, 1, math.prod(shape)) for shape in shapes])
