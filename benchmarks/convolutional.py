"""B7, continued: full-batch descent of the networks of Figure 3 of continuous_discrete on 1000 digits, either precision.

As in `benchmarks.classifier`: the peer is a module of convolutions and dense layers, its optimiser and `backward()`; every
variant starts from the same weights and is compared after some steps with a plain loop in double precision. Times are per run and
step.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.classifier import POINTS, SEEDS, STEP_SIZE, images
from benchmarks.harness import Row, Variant, compare, interleave, require_accurate
from flowcheck.descent.convolutional import ConvolutionalDescent, ConvolutionalNetwork
from flowcheck.descent.vector_code import DTYPES, Precision

STEPS = 4
TOLERANCE: dict[Precision, float] = {"float64": 1e-10, "float32": 1e-2}
"""Relative to how far these steps move the weights: by less than a thousandth, of which single precision rounds a few thousandths
away, in a module as in C."""
NETWORKS = {
    "adapted convolutional": (ConvolutionalNetwork(), 2.0),
    "convolutional off the shelf": (ConvolutionalNetwork(pooling=True, biases=True), None),
}
SIZES, TIMES = (256, 512, 1024, 2048), (1, 2, 4)
"""Numbers of digits that fill whole vectors, and factors by which there are more channels and units."""


def padded(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits with a frame of two pixels, and their labels."""
    x, labels = images(count)
    return torch.nn.functional.pad(x.view(-1, 1, 28, 28), (2, 2, 2, 2)), labels


def starts(network: ConvolutionalNetwork, count: int) -> torch.Tensor:
    """Rows of weights, and of biases, uniform up to the root of 1 / inputs."""
    rng = np.random.default_rng(1)
    bounds = [np.full(rows * columns, columns**-0.5) for rows, columns in network.shapes]
    if network.biases:
        bounds += [np.full(rows, columns**-0.5) for rows, columns in network.shapes]
    return torch.from_numpy(np.concatenate(bounds) * rng.uniform(-1, 1, (count, network.size)))


def module(network: ConvolutionalNetwork, start: torch.Tensor, dtype: torch.dtype) -> torch.nn.Sequential:
    """As it is usually written."""
    layers: list[torch.nn.Module] = []
    weights, biases = network.parts(start)
    for position, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        made: torch.nn.Conv2d | torch.nn.Linear
        if position < 2:
            made = torch.nn.Conv2d(
                *network.channels[position : position + 2], network.kernel, network.stride, bias=network.biases
            )
        else:
            layers += [torch.nn.Flatten()] if position == 2 else []
            made = torch.nn.Linear(weight.shape[1], len(weight), bias=network.biases)
        made.to(dtype)
        with torch.no_grad():
            made.weight.copy_(weight.view_as(made.weight))
            if made.bias is not None:
                made.bias.copy_(bias)
        layers += [made] if position == len(weights) - 1 else [made, torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)] if position < 2 and network.pooling else []
    return torch.nn.Sequential(*layers)


def plain(
    network: ConvolutionalNetwork, x: torch.Tensor, labels: torch.Tensor, start: torch.Tensor, dtype: torch.dtype
) -> Callable[[], torch.Tensor]:
    net, inputs = module(network, start, dtype), x.to(dtype)
    optimiser = torch.optim.SGD(net.parameters(), lr=STEP_SIZE)

    def call() -> torch.Tensor:
        for _ in range(STEPS):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs), labels).backward()
            optimiser.step()
        named = dict(net.named_parameters())
        order = [name for kind in ("weight", "bias") for name in named if name.endswith(kind)]
        return torch.cat([named[name].detach().double().flatten() for name in order])[None]

    return call


def ours(
    network: ConvolutionalNetwork, x: torch.Tensor, labels: torch.Tensor, start: torch.Tensor, precision: Precision
) -> Callable[[], torch.Tensor]:
    runs = ConvolutionalDescent(network, x, labels, start, step_size=STEP_SIZE, precision=precision)
    if runs.mode != "compiled":
        raise RuntimeError(f"ours is not compiled: {runs.mode}")

    def call() -> torch.Tensor:
        runs.advance(STEPS)
        return runs.weights()

    return call


def rows(rounds: int) -> list[Row]:
    x, labels = padded(POINTS)
    found = []
    for kind, (network, target) in NETWORKS.items():
        start = starts(network, SEEDS)
        exact = plain(network, x, labels, start[0], torch.float64)()
        for precision, dtype in DTYPES.items():
            calls = {
                "no patches, in C": (ours(network, x, labels, start[:1], precision), STEPS),
                f"{SEEDS} draws together": (ours(network, x, labels, start, precision), SEEDS * STEPS),
                "nn.Module + SGD": (plain(network, x, labels, start[0], dtype), STEPS),
            }
            variants = [Variant(name, call, units, _error(call(), exact, start)) for name, (call, units) in calls.items()]
            require_accurate(variants, TOLERANCE[precision])
            seconds = interleave(variants, rounds)
            title = f"descent, {kind}, n = {POINTS}, {precision}"
            row = functools.partial(compare, "B7", title, "run and step", variants, seconds)
            found.append(row("no patches, in C", "nn.Module + SGD", target))
            why = "draws follow each other and share nothing but the digits"
            found.append(row(f"{SEEDS} draws together", "no patches, in C", 1.0, label="one draw", why=why))
    growth = "; ".join(f"{kind} {_growth(network)}" for kind, (network, _) in NETWORKS.items())
    found[0] = Row(
        **{**found[0].__dict__, "note": f"cost of a step in double precision as a power of n and of channels and units: {growth}"}
    )
    return found


def _error(weights: torch.Tensor, exact: torch.Tensor, start: torch.Tensor) -> float:
    return float((weights[:1] - exact).norm() / (exact - start[:1]).norm())


def _growth(network: ConvolutionalNetwork) -> str:
    """Fitted exponents of the time of a step."""
    by_size = [_seconds(network, points) for points in SIZES]
    by_width = [_seconds(_wider(network, factor), SIZES[0]) for factor in TIMES]
    pairs = ((SIZES, by_size), (TIMES, by_width))
    return " and ".join(f"{np.polyfit(np.log(at), np.log(seconds), 1)[0]:.2f}" for at, seconds in pairs)


def _seconds(network: ConvolutionalNetwork, points: int) -> float:
    x, labels = padded(points)
    call = ours(network, x, labels, starts(network, 1), "float64")
    return statistics.median(interleave([Variant("", call, STEPS, 0.0)], 3)[""])


def _wider(network: ConvolutionalNetwork, factor: int) -> ConvolutionalNetwork:
    first, *others = network.channels
    return ConvolutionalNetwork(
        channels=(first, factor * others[0], factor * others[1]),
        dense=(*(factor * units for units in network.dense[:-1]), network.dense[-1]),
        pooling=network.pooling,
        biases=network.biases,
    )
