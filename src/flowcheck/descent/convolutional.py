"""Full-batch gradient descent of convolutional classifiers: mean cross-entropy of a softmax, in single or double precision.

Two convolutions and some dense layers with ReLU between them; after each convolution either the largest of every two by two units
is kept (`pooling`), or the convolution moves by two. Gradients are written out, in C where that can be compiled. On tensors they
have the samples last: patches of the images, which never change, are laid out once, and what is left are products and copies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import POSITIVE, instance, one_of, whole
from flowcheck.descent.compiler import NotNativeError
from flowcheck.descent.convolutional_code import ConvolutionalSteps
from flowcheck.descent.vector_code import DTYPES, Precision
from flowcheck.tensors import Numbers, finite, for_each, tensor, tensors


@dataclass(frozen=True)
class ConvolutionalNetwork:
    """The layers, of which each convolution has a square kernel.

    Attributes:
        side: of the square images.
        channels: of image, first and second convolution.
        kernel: its side.
        dense: units of the layers after the convolutions; the last are the classes.
        pooling: whether the largest of two by two units is kept; otherwise convolutions move by two.
        biases: whether units have them; they come after all weights.
    """

    side: int = 32
    channels: tuple[int, int, int] = (1, 6, 16)
    kernel: int = 5
    dense: tuple[int, ...] = (120, 84, 10)
    pooling: bool = False
    biases: bool = False

    @property
    def stride(self) -> int:
        """Of the convolutions."""
        return 1 if self.pooling else 2

    @property
    def sides(self) -> tuple[int, int]:
        """Of what the convolutions put out, before pooling."""
        first = (self.side - self.kernel) // self.stride + 1
        second = ((first // 2 if self.pooling else first) - self.kernel) // self.stride + 1
        return first, second

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the layers as matrices: channels and patches, or units."""
        last = self.sides[1] // 2 if self.pooling else self.sides[1]
        widths = [self.channels[2] * last**2, *self.dense]
        convolutions = [(into, out * self.kernel**2) for out, into in itertools.pairwise(self.channels)]
        return convolutions + [(rows, columns) for columns, rows in itertools.pairwise(widths)]

    @property
    def described(self) -> list[int]:
        """What the steps in C are told of it."""
        own = [self.side, *self.channels, self.kernel, self.stride, self.pooling, self.biases]
        return [int(number) for number in (*own, len(self.dense), self.shapes[2][1], *self.dense)]

    @property
    def weights(self) -> int:
        """How many there are without the biases."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """How many numbers are trained."""
        return self.weights + (sum(rows for rows, _ in self.shapes) if self.biases else 0)

    def parts(self, w: Float[Tensor, " k"]) -> tuple[list[Tensor], list[Tensor]]:
        """The layers of one row of weights, and their biases, which are zero where the network has none."""
        sizes = [math.prod(shape) for shape in self.shapes]
        layers = torch.split(w[: self.weights], sizes)
        heights = [rows for rows, _ in self.shapes]
        biases = torch.split(w[self.weights :], heights) if self.biases else [w.new_zeros(rows) for rows in heights]
        return [layer.view(shape) for layer, shape in zip(layers, self.shapes, strict=True)], list(biases)

    def outputs(self, w: Float[Tensor, " k"], images: Float[Tensor, "n c h h"]) -> Float[Tensor, "n o"]:
        """By the convolutions of torch, on which a graph may be built."""
        layers, biases = self.parts(w)
        units = images
        for layer, bias, out in zip(layers[:2], biases[:2], self.channels[:2], strict=True):
            kernels = layer.view(len(layer), out, self.kernel, self.kernel)
            units = torch.relu(torch.nn.functional.conv2d(units, kernels, bias, stride=self.stride))
            if self.pooling:
                units = torch.nn.functional.max_pool2d(units, 2)
        units = units.flatten(start_dim=1)
        for layer, bias in zip(layers[2:-1], biases[2:-1], strict=True):
            units = torch.relu(units @ layer.mT + bias)
        return units @ layers[-1].mT + biases[-1]

    def loss(self, w: Float[Tensor, "s k"], images: Float[Tensor, "n c h h"], labels: Int[Tensor, " n"]) -> Float[Tensor, " s"]:
        """The mean cross-entropy of each row of weights."""
        return torch.stack([torch.nn.functional.cross_entropy(self.outputs(row, images), labels) for row in w])


class ConvolutionalDescent:
    """Runs of descent from `start` [S, k], at iteration 0; `advance` moves all of them, one after the other.

    Args:
        images: [n, channels, side, side], on the device on which descent is to run.
        labels: the class of each, [n].
        step_size: one, or one for each run [S].
        precision: in which weights are kept and gradients computed, "float64" or "float32".
        compile: in C, where the images are on the CPU and there is a compiler; `mode` says what became of it.

    Raises ValueError if these do not fit the network.
    """

    def __init__(
        self,
        network: ConvolutionalNetwork,
        images: Numbers,
        labels: Int[Tensor, " n"],
        start: Numbers,
        *,
        step_size: float | Numbers,
        precision: Precision = "float64",
        compile: bool = True,
    ) -> None:
        instance("network", network, ConvolutionalNetwork)
        one_of("precision", precision, DTYPES)
        (given,) = tensors(images=images)
        if given.ndim != 4 or given.shape[1:] != (network.channels[0], network.side, network.side) or not len(given):
            raise ValueError(f"images are [n, {network.channels[0]}, {network.side}, {network.side}], got {tuple(given.shape)}")
        if labels.shape != given.shape[:1] or not bool(((labels >= 0) & (labels < network.dense[-1])).all()):
            raise ValueError(f"labels are one of {network.dense[-1]} classes for each of {len(given)} images")
        rows = finite("start", tensor("start", start, given.device).detach())
        if rows.ndim != 2 or rows.shape[1] != network.size or not len(rows):
            raise ValueError(f"start is rows of {network.size} weights, got {tuple(rows.shape)}")
        sizes = for_each("step_size", step_size, rows, POSITIVE)
        self.rows, self.iteration = rows.to(DTYPES[precision], copy=True).contiguous(), 0
        self.mode = "compiled" if compile else "tensors"
        if compile:
            try:
                self.steps: ConvolutionalSteps | TensorSteps = ConvolutionalSteps(
                    network.described, given, labels, sizes, precision
                )
            except NotNativeError as reason:
                self.mode = f"tensors: {reason}"
        if self.mode != "compiled":
            self.steps = TensorSteps(network, given, labels, sizes, precision)

    def advance(self, steps: int) -> None:
        """So many iterations, at least one."""
        count = whole("steps", steps, 1)
        self.steps.advance(self.rows, count)
        self.iteration += count

    def weights(self) -> Float[Tensor, "s k"]:
        """In double precision; a copy."""
        return self.rows.to(torch.float64, copy=True)


class TensorSteps:
    """`convolutional_code.ConvolutionalSteps` on torch tensors, on any device."""

    def __init__(
        self,
        network: ConvolutionalNetwork,
        images: Float[Tensor, "n c h h"],
        labels: Int[Tensor, " n"],
        step_sizes: Float[Tensor, " s"],
        precision: Precision,
    ) -> None:
        dtype = DTYPES[precision]
        self.network = network
        self.shares = [float(size) / len(images) for size in step_sizes]
        self.named = torch.nn.functional.one_hot(labels, network.dense[-1]).mT.to(dtype)
        first, second = network.sides
        patches = _patches(images.to(dtype).permute(1, 2, 3, 0), network.kernel, network.stride, first)
        self.patches = patches.reshape(network.shapes[0][1], -1)
        self.between = self.patches.new_empty(network.shapes[1][1], second**2 * len(images))

    def advance(self, rows: Float[Tensor, "s k"], steps: int) -> None:
        """So many steps of all rows of weights, in place."""
        with torch.no_grad():
            for row, share in zip(rows, self.shares, strict=True):
                layers, biases = self.network.parts(row)  # views
                for _ in range(steps):
                    self._step(layers, biases, share)

    def _step(self, layers: Sequence[Tensor], biases: Sequence[Tensor], share: float) -> None:
        net, n = self.network, self.named.shape[1]
        first, second = net.sides
        kept: list[tuple[Tensor, Tensor] | None] = []
        sums = (layers[0] @ self.patches).view(-1, first, first, n)
        units = self._activate(sums, biases[0], kept)
        cells = _patches(units, net.kernel, net.stride, second)
        self.between.view(cells.shape).copy_(cells)
        flat = self._activate((layers[1] @ self.between).view(-1, second, second, n), biases[1], kept).view(-1, n)
        below = [flat]
        for layer, bias in zip(layers[2:-1], biases[2:-1], strict=True):
            below.append(self._shifted(layer @ below[-1], bias).relu_())
        outputs = self._shifted(layers[-1] @ below[-1], biases[-1])
        back = self.named.sub(torch.softmax(outputs, dim=0)).mul_(share)
        changes = []
        for layer, under in zip(layers[:1:-1], below[::-1], strict=True):
            changes.append((back @ under.mT, back.sum(dim=1)))
            back = (layer.mT @ back).mul_(under > 0)
        through = self._unpool(back.view(len(layers[1]), -1, n), kept[1]).view(len(layers[1]), -1)
        changes.append((through @ self.between.mT, through.sum(dim=1)))
        spread = (layers[1].mT @ through).view(cells.shape)
        down = torch.zeros_like(units)
        reach = net.stride * (second - 1) + 1
        for i, j in itertools.product(range(net.kernel), repeat=2):
            down[:, i : i + reach : net.stride, j : j + reach : net.stride] += spread[:, i, j]
        down.mul_(units > 0)
        through = self._unpool(down.view(len(layers[0]), -1, n), kept[0]).view(len(layers[0]), -1)
        changes.append((through @ self.patches.mT, through.sum(dim=1)))
        for layer, bias, (slope, shift) in zip(layers, biases, changes[::-1], strict=True):
            layer += slope
            if net.biases:
                bias += shift

    def _shifted(self, sums: Tensor, bias: Tensor) -> Tensor:
        return sums.add_(bias.view(-1, *[1] * (sums.ndim - 1))) if self.network.biases else sums

    def _activate(self, sums: Tensor, bias: Tensor, kept: list[tuple[Tensor, Tensor] | None]) -> Tensor:
        """What is kept of the sums, after the activation; and, for the way back, the sums and the largest of each window."""
        self._shifted(sums, bias)
        if not self.network.pooling:
            kept.append(None)
            return sums.relu_()
        side = sums.shape[1] // 2 * 2
        windows = [sums[:, i:side:2, j:side:2] for i, j in itertools.product(range(2), repeat=2)]
        top = torch.maximum(torch.maximum(windows[0], windows[1]), torch.maximum(windows[2], windows[3]))
        kept.append((sums, top))
        return top.relu()

    def _unpool(self, back: Tensor, kept: tuple[Tensor, Tensor] | None) -> Tensor:
        """The gradient of what is kept, at the first unit of each window that is the largest."""
        if kept is None:
            return back
        sums, top = kept
        back, side = back.view(top.shape), sums.shape[1] // 2 * 2
        spread, free = torch.zeros_like(sums), torch.ones_like(top, dtype=torch.bool)
        for i, j in itertools.product(range(2), repeat=2):
            hit = (sums[:, i:side:2, j:side:2] == top) & free
            free &= ~hit
            spread[:, i:side:2, j:side:2] = back * hit
        return spread


def _patches(units: Float[Tensor, "c h h n"], kernel: int, stride: int, side: int) -> Float[Tensor, ...]:
    """Channel, place in the kernel and place of the patch, samples last: [c, kernel, kernel, side, side, n], a view."""
    windows = units.unfold(1, kernel, stride).unfold(2, kernel, stride)
    return windows[:, :side, :side].permute(0, 4, 5, 1, 2, 3)
