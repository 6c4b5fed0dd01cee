r"""The problem of Figures 1, 3 and 4 (two_homogeneous): 20 squared-ReLU neurons in the plane, a target of two, and a saddle.

The target is $5x_1^2$ for $x_1>0$ and $4x_1^2$ for $x_1<0$. At the saddle ten neurons $(\sqrt{1/2},0)$ fit its right half and ten
are zero, so that the residual is $4x_1^2$ on the left half and 0 on the right (Appendix D.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.planar import PlanarCorrelation
from flowcheck.losses import MEAN
from flowcheck.measures import readings
from flowcheck.networks import hypotheses
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Found, Measurement

Start = Literal["origin", "saddle"]
"""What descent starts near: Figures 1 and 3, and Figure 4."""
UNITS, FITTED = 20, 10
"""Neurons; at the saddle the first ten are not zero."""
NETWORK, TARGET = power_net(UNITS, 2, 2), power_net(2, 2, 2)
TEACHER = torch.tensor([[5.0**0.5, 0.0, -2.0, 0.0]], dtype=torch.float64, device="cpu")
SADDLE = torch.tensor([[0.5**0.5, 0.0]] * FITTED + [[0.0, 0.0]] * (UNITS - FITTED), dtype=torch.float64, device="cpu").view(1, -1)
FALL, RISE = -1e-3, 0.01
"""A neuron at rest that moves so far along e1 lowers the loss at the saddle, a fitted one raises it."""


class DataSet(NamedTuple):
    """Inputs [n, 2] on the unit circle, and their labels [n]."""

    x: Float[Tensor, "n 2"]
    y: Float[Tensor, " n"]


class Correlations(NamedTuple):
    """NCFs of one data set: for the labels, for the residual at the saddle, and for the labels in random order (control)."""

    labels: PlanarCorrelation
    residual: PlanarCorrelation
    permuted: PlanarCorrelation


def labelled(x: Float[Tensor, "n 2"]) -> DataSet:
    """The inputs with the labels of the target."""
    return DataSet(x, TARGET.forward(TEACHER, x)[0])


def residual(data: DataSet) -> Float[Tensor, " n"]:
    """Y - H(x) at the saddle, exactly zero where the fitted neurons reach: rounding there would tilt the flat arc of its NCF."""
    return torch.where(data.x[:, 0] < 0, data.y, 0.0)


def correlations(data: DataSet, order: Int[np.ndarray, " n"]) -> Correlations:
    """The NCFs of a data set; `order` permutes the labels."""
    x, y = data.x.numpy(), data.y.numpy()
    return Correlations(*(PlanarCorrelation(x, z) for z in (y, residual(data).numpy(), y[order])))


def angles(w: Float[Tensor, "*s 40"]) -> Float[Tensor, "*s 20"]:
    """Angle of every neuron with the first axis, in (-π, π]."""
    neurons = w.reshape(*w.shape[:-1], UNITS, 2)
    return torch.atan2(neurons[..., 1], neurons[..., 0])


def presupposed(drawn: Sequence[DataSet], std: float) -> Found:
    """Degree, scale, signal of every data set; that the saddle is stationary, with the residual of the paper, and a saddle.

    What is zero but for rounding may be as large again with another rounding: that is its error. Raises HypothesisError where the
    network, the scale, a data set or the saddle is not what the statements presuppose.
    """
    defect, scale = hypotheses.require_degree(NETWORK, drawn[0].x, 2), hypotheses.require_scale([std])
    signal, stationarity, gap, fall, rise = np.array([_at_saddle(data) for data in drawn]).T
    terms = 2.0 * len(drawn[0].y) * float(np.finfo(np.float64).eps)  # two sums of squares, over one of them
    return {
        "degree_defect": Measurement(defect, ROUNDING, n=len(drawn)),
        "scale_min": Measurement.exact(scale, n=len(drawn)),
        "signal": readings.smallest(signal, ROUNDING),
        "stationarity": readings.largest(stationarity, stationarity),
        "saddle_residual_gap": readings.largest(gap, gap),
        "saddle_loss_fall_min": readings.smallest(fall, terms),
        "saddle_loss_rise_min": readings.smallest(rise, terms),
    }


def _at_saddle(data: DataSet) -> tuple[float, float, float, float, float]:
    """Signal, relative gradient, distance of the residual to the paper's, relative fall and rise of the loss."""
    left = residual(data)
    outputs, gradient = NETWORK.forward_and_pull(SADDLE, data.x, lambda h: data.y - h)
    bare, down, up = (
        float(MEAN.value(NETWORK.forward(w, data.x), data.y)) for w in (SADDLE, _nudged(-1, FALL), _nudged(0, RISE))
    )
    signal = min(hypotheses.require_signal(NETWORK, data.x, z) for z in (data.y, left))
    stationarity = hypotheses.require_stationary(gradient[0], data.y - outputs[0])
    return signal, stationarity, float((data.y - outputs[0] - left).abs().max()), (bare - down) / bare, (up - bare) / bare


def _nudged(neuron: int, along: float) -> Float[Tensor, "1 40"]:
    """The saddle with `along` added to the first weight of a neuron."""
    w = SADDLE.clone().view(UNITS, 2)
    w[neuron, 0] += along
    return w.view(1, -1)


def start_norm_ratio(norm: Float[np.ndarray, " s"], std: float) -> Found:
    """Norms of 40 weights over their expected size, the extremes; their squares are added in a row."""
    ratio = norm / (std * np.sqrt(NETWORK.size))
    rounding = NETWORK.size * float(np.finfo(np.float64).eps) * ratio
    return {
        "start_norm_ratio_min": readings.smallest(ratio, rounding),
        "start_norm_ratio_max": readings.largest(ratio, rounding),
    }
