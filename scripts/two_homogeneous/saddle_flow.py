"""Near a saddle, degree two: w_n stays, w_z / delta follows the NCF flow of the residual (two_homogeneous, Section 5.2).

Saddles made by construction (that of Figure 4; ReLU on orthogonal inputs) and by Newton (squared ReLU and ReLU with fewer units
than the teacher). Theorem 5.5 with the constants of its proof, Lemma D.1 with its counterexample, Lemma 5.6.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from scipy.integrate import solve_ivp

from flowcheck import saddles
from flowcheck.bounds.near_saddles import growth
from flowcheck.data import sphere_inputs, unit_vectors
from flowcheck.evidence import Evidence
from flowcheck.experiment import Context, ParametersModel, main
from flowcheck.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks import power_net, two_layer
from flowcheck.saddles import Saddle
from flowcheck.statistics import slope_interval
from flowcheck.units import Units

SYSTEMS = ("figure_4", "partly_fitted", "orthogonal_relu", "smooth_relu", "collapsing")
POINTS = 160


class Parameters(ParametersModel):
    starts: Annotated[int, Field(ge=1)]
    epsilons: list[float]
    largest_scale: float
    smallest_scale: float
    scales: Annotated[int, Field(ge=4)]
    smallest_fitted_scale: float
    displacement: float
    counterexample_label: float
    counterexample_scale: float
    counterexample_constants: list[float]
    kink_scales: list[float]


def rows(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy()


def figure_4(rng: np.random.Generator) -> Saddle:
    """Ten units fit 5 max(0, x_1)^2; the residual 4 max(0, -x_1)^2 is left to ten units at zero."""
    x = rows(sphere_inputs(rng, 50, 2))
    fitted, idle = (Units.of(power_net(10, 2, 2), x) for _ in range(2))
    return Saddle(fitted, idle, np.tile([math.sqrt(0.5), 0.0], 10), 4 * np.minimum(x[:, 0], 0) ** 2)


def partly_fitted(rng: np.random.Generator) -> Saddle:
    """Two units fit a teacher of four with signs of both kinds as well as they can; three idle units."""
    x = rows(sphere_inputs(rng, 30, 3))
    y = Units.of(power_net(4, 3, 2, signs=(1, 1, -1, 1)), x).outputs(1.5 * rng.standard_normal(12))
    fitted, idle = Units.of(power_net(2, 3, 2, signs=(1, -1)), x), Units.of(power_net(3, 3, 2, signs=(1, -1, 1)), x)
    weights = saddles.newton(fitted, y, rng.standard_normal(6))
    return Saddle(fitted, idle, weights, y - fitted.outputs(weights))


def orthogonal_relu(rng: np.random.Generator) -> Saddle:
    """Orthonormal inputs; one unit fits the first three labels and is inactive on the others."""
    x = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    y = rng.uniform(0.5, 2.0, 6) * np.array([1, 1, 1, 1, -1, 1])
    idle = Units.of(two_layer(3, 6), x)
    weights = np.concatenate([np.where(np.arange(6) < 3, y, -0.5) @ x, [1.0]])
    return Saddle(Units.of(two_layer(1, 6), x), idle, weights, np.where(np.arange(6) < 3, 0.0, y))


def smooth_relu(rng: np.random.Generator) -> Saddle:
    """One ReLU unit at a critical point of its own loss, away from every kink; three idle units."""
    x = rows(sphere_inputs(rng, 20, 3))
    y = Units.of(two_layer(4, 3), x).outputs(rng.standard_normal(16))
    fitted, idle = Units.of(two_layer(1, 3), x), Units.of(two_layer(3, 3), x)
    weights = saddles.newton(fitted, y, rng.standard_normal(4))
    return Saddle(fitted, idle, weights, y - fitted.outputs(weights))


def collapsing(rng: np.random.Generator) -> Saddle:
    """That of Figure 4 with one idle unit -(u.x)^2: its NCF is negative definite, so u goes to zero."""
    saddle = figure_4(rng)
    return Saddle(saddle.fitted, Units.of(power_net(1, 2, 2, signs=(-1,), slope=1), saddle.idle.x), saddle.weights, saddle.residual)
