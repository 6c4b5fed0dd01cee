"""The networks of Figures 1 and 3 and how they start (Appendix H.2)."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.data.mnist import Digits
from flowcheck.descent.convolutional import ConvolutionalNetwork
from flowcheck.losses import cross_entropy, one_hot
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedNetwork

Name = Literal["linear", "relu"]
Convolutional = Literal["conv_max_pool", "conv_subsample"]
Start = Literal["xavier", "authors"]
WIDTHS = (784, 50, 50, 10)
STEP_SIZE = 1e-3
"""eta_0."""
CLASSES = 10
PADDING = 2
"""Pixels on each side, which make 32 of 28."""


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


def convolutional(name: Convolutional) -> ConvolutionalNetwork:
    """A network of Figure 3: off the shelf, with max pooling and biases, or adapted, with convolutions that move by two."""
    pooling = name == "conv_max_pool"
    return ConvolutionalNetwork(pooling=pooling, biases=pooling)


def images(digits: Digits) -> Float[Tensor, "n 1 32 32"]:
    """Padded with zeros after they were normalised, as the authors' code does it."""
    return torch.nn.functional.pad(digits.inputs.view(-1, 1, 28, 28), (PADDING,) * 4)


def convolutional_start(network: ConvolutionalNetwork, start: Start, rng: np.random.Generator) -> Float[np.ndarray, " k"]:
    """Weights and then biases of a network of Figure 3, uniform up to a bound of their layer.

    With "xavier", as the text says it, weights are bounded by the root of 6 / (inputs + outputs of a unit) and biases are zero;
    in the authors' code that holds for dense layers only, and all else is as torch makes it, bounded by 1 / root of the inputs.
    """
    weights, biases = [], []
    for position, (rows, columns) in enumerate(network.shapes):
        outputs = rows * network.kernel**2 if position < 2 else rows
        spread = 6 / (columns + outputs) if start == "xavier" or position > 1 else 1 / columns
        weights.append(math.sqrt(spread) * rng.uniform(-1, 1, rows * columns))
        if network.biases:
            biases.append(rng.uniform(-1, 1, rows) * (0.0 if start == "xavier" else columns**-0.5))
    return np.concatenate(weights + biases)
