r"""Figure 3 (Appendix H.1): convolutional networks, off the shelf and adapted, from either of two starts.

The text draws all weights by Xavier's rule, here with biases at zero that count in distances; the authors' code draws those of
the convolutions and the biases in another way, and leaves the biases out.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.data.mnist import Digits
from flowcheck.descent.convolutional import ConvolutionalDescent
from flowcheck.networks.tied import TiedLayer, TiedNetwork
from flowcheck.papers.continuous_discrete import mnist_networks, step_studies
from flowcheck.papers.continuous_discrete import step_comparison as steps
from flowcheck.papers.continuous_discrete.published_curves import READ_OFF, rms_distance
from flowcheck.pipeline.evidence import Found, Measurement

SCALING = 1.5
"""Of all weights, where a network's order is measured."""
ROUNDING = 1e-14
"""Of outputs relative to the largest: sums of up to 400 terms, five times over."""

Curves = Mapping[str, tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]]]
"""Iterations and values of what was read off the published figure, by name."""


class Study(step_studies.Study):
    """What is run of one network in one precision, from one kind of start."""

    network: mnist_networks.Convolutional
    start: mnist_networks.Start

    @property
    def name(self) -> str:
        """That its numbers bear, whatever the precision."""
        return self.network if self.start == "xavier" else f"{self.network}_{self.start}"


def run(
    study: Study, data: Digits, start: Float[np.ndarray, "s k"], order: Int[np.ndarray, " n"], device: torch.device
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The curves of a study, and a row for each draw and r; `order` is a permutation of the digits."""
    net = mnist_networks.convolutional(study.network)
    weights = torch.from_numpy(start).to(device)
    x, labels = mnist_networks.images(data).to(device), data.labels.to(device)
    begin = _begin(study, data, weights)
    other = _begin(study, step_studies.reordered(data, order), weights[:1])
    counted = net.weights if study.start == "authors" else None
    arrays, table = step_studies.run(study, begin, other, lambda w: net.loss(w, x, labels), counted)
    table.insert(0, "start", study.start)
    table.insert(0, "network", study.network)
    return arrays, table


def _begin(study: Study, data: Digits, start: Float[Tensor, "s k"]) -> steps.Begin:
    net, x = mnist_networks.convolutional(study.network), mnist_networks.images(data).to(start.device)
    descent = functools.partial(ConvolutionalDescent, net, x, data.labels.to(start.device), start, precision=study.precision)
    return lambda step_size: descent(step_size=step_size)


def beside_published(
    name: str, records: Int[np.ndarray, " p"], curves: Mapping[str, Float[np.ndarray, "s p"]], theirs: Curves
) -> Found:
    """Root mean square of the differences of these curves to what was read off, the mean over draws."""
    found: dict[str, Measurement] = {}
    for what, ours in curves.items():
        at, values = theirs[what]
        gaps = [rms_distance(one, records, values, at)[0] for one in ours]
        found[f"{name}_published_{what}_rms"] = Measurement(float(np.mean(gaps)), READ_OFF, n=len(gaps))
    return dict(found)


def published_points(network: mnist_networks.Convolutional, theirs: Curves) -> Found:
    """What was read off, for the figure."""
    parts = {what: dict(zip(("_iterations", ""), pair, strict=True)) for what, pair in theirs.items()}
    return {f"published_{network}_{what}{key}": part for what, pair in parts.items() for key, part in pair.items()}


def captured(data: Digits, w: Float[np.ndarray, "s k"], pooled: Float[np.ndarray, "s m"]) -> Found:
    """What the caption says of the adapted network, at rows of its weights; all relative to the largest output.

    How far the network as the caption has it, with the top left unit of each window or with the bottom right one, is from one of
    Eq. (28) with two convolutions that move by two; and how far either network is from homogeneous of order five.
    """
    net, x, rows = mnist_networks.convolutional("conv_subsample"), mnist_networks.images(data), torch.from_numpy(w)
    steps_of = zip(itertools.pairwise(net.channels), (net.side, net.sides[0]), strict=True)
    convolutions = [TiedLayer.convolution(channels, (side, side), net.kernel, net.stride) for channels, side in steps_of]
    tied = TiedNetwork("adapted", (*convolutions, *(TiedLayer.dense(*shape) for shape in net.shapes[2:])), 1.0, 0.0)
    theirs = tied.forward(rows, x.flatten(start_dim=1)).view(len(w), len(x), -1)
    found: dict[str, Measurement | np.ndarray] = {}
    for corner, shift in (("top_left", 0), ("bottom_right", 1)):
        pairs = [(_by_the_caption(row, x, shift), out) for row, out in zip(rows, theirs, strict=True)]
        found[f"conv_subsample_{corner}_gap"] = _gap(pairs)
    networks: dict[mnist_networks.Convolutional, Float[np.ndarray, "s _"]] = {"conv_subsample": w, "conv_max_pool": pooled}
    for name, weights in networks.items():
        net = mnist_networks.convolutional(name)
        size = SCALING ** len(net.shapes)
        scaled = [(net.outputs(SCALING * row, x), size * net.outputs(row, x)) for row in torch.from_numpy(weights)]
        found[f"{name}_order_five_gap"] = _gap(scaled)
    return found


def _gap(pairs: list[tuple[Tensor, Tensor]]) -> Measurement:
    gaps = [float((one - other).abs().max() / other.abs().max()) for one, other in pairs]
    return Measurement(max(gaps), ROUNDING, n=len(gaps))


def _by_the_caption(w: Float[Tensor, " k"], images: Float[Tensor, "n c h h"], corner: int) -> Float[Tensor, "n o"]:
    """Convolutions that move by one, and of each window of two by two units one."""
    net = mnist_networks.convolutional("conv_subsample")
    layers, _ = net.parts(w)
    units = images
    for layer, channels in zip(layers[:2], net.channels[:2], strict=True):
        kernels = layer.view(len(layer), channels, net.kernel, net.kernel)
        units = torch.relu(torch.nn.functional.conv2d(units, kernels))[:, :, corner::2, corner::2]
    units = units.flatten(start_dim=1)
    for layer in layers[2:-1]:
        units = torch.relu(units @ layer.mT)
    return units @ layers[-1].mT
