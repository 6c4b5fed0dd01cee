"""Training data: inputs on the unit sphere, labels from a teacher network. Float64 on the CPU, drawn with numpy generators."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import instance, whole
from flowcheck.geometry import unit
from flowcheck.networks.network import Network
from flowcheck.tensors import Numbers, tensors


def gaussian(rng: np.random.Generator, *shape: int) -> Tensor:
    """Standard normal entries. Raises ValueError if `rng` is no generator of numpy, as a seed is none."""
    instance("rng", rng, np.random.Generator)
    return torch.from_numpy(rng.standard_normal(shape))


def sphere_inputs(rng: np.random.Generator, n: int, d: int) -> Float[Tensor, "n d"]:
    """N points, uniform on the unit sphere of R^d: Gaussian rows, normalised."""
    return unit(gaussian(rng, whole("n", n, 0), whole("d", d, 1)))


def unit_vectors(rng: np.random.Generator, count: int, size: int) -> Float[Tensor, "count size"]:
    """`count` unit vectors, uniform on the sphere: the directions w_0 of an initialisation."""
    return unit(gaussian(rng, whole("count", count, 0), whole("size", size, 1)))


def half_space_inputs(rng: np.random.Generator, n: int, d: int) -> Float[Tensor, "n d"]:
    """Unit vectors with a positive first entry, at least 0.3 before they are normalised."""
    x = sphere_inputs(rng, n, d)
    x[:, 0] = x[:, 0].abs() + 0.3
    return unit(x)


def noisy_teacher_labels(
    rng: np.random.Generator, teacher: Network, x: Float[Tensor, "n d"], count: int, noise: float
) -> Float[Tensor, "count o"]:
    """Outputs of `count` random teachers, each scaled to mean square 1, plus Gaussian noise of that standard deviation.

    Teachers whose outputs all vanish, as those of ReLU networks may, are drawn again.
    """
    entries = len(x) * teacher.outputs_per_sample
    outputs = x.new_zeros((count, entries))
    while bool((dead := (outputs == 0).all(dim=-1)).any()):
        outputs[dead] = teacher.forward(unit_vectors(rng, int(dead.sum()), teacher.size), x)
    return math.sqrt(entries) * outputs / outputs.norm(dim=-1, keepdim=True) + noise * gaussian(rng, count, entries)


def teacher_labels(teacher: Network, x: Numbers, rng: np.random.Generator) -> Float[Tensor, " o"]:
    """Outputs of a teacher with standard normal weights. Raises ValueError if x [n, d] are no inputs of it."""
    instance("teacher", teacher, Network)
    (inputs,) = tensors(x=x)
    if inputs.ndim != 2 or inputs.shape[1] != teacher.inputs:
        raise ValueError(f"{teacher.name} has {teacher.inputs} inputs, and x is rows of them; got x {tuple(inputs.shape)}")
    return teacher.forward(gaussian(rng, 1, teacher.size).to(inputs), inputs)[0]
