"""B7: full-batch descent of the networks of Figure 1 of continuous_discrete, 784-50-50-10, on 1000 digits, either precision.

The peer is what a reader of the paper would write: a module, its optimiser, `backward()`. Every variant starts from the same
weights and is compared after twenty steps with a plain loop in double precision. With MNIST_DIR set the digits are real;
otherwise they are noise whose span has as many dimensions, on which a step costs the same. Times are per run and step.
"""

from __future__ import annotations

import functools
import itertools
import os
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.harness import Row, Variant, compare, interleave, require_accurate
from flowcheck.data.mnist import digits
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.vector_code import DTYPES, Precision
from flowcheck.losses import cross_entropy, one_hot
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedNetwork

POINTS, RANK, STEP_SIZE, STEPS, SEEDS, CLASSES = 1000, 590, 1e-3, 20, 8, 10
WIDTHS = (784, 50, 50, CLASSES)
TOLERANCE: dict[Precision, float] = {"float64": 1e-10, "float32": 1e-3}
"""Relative to how far twenty steps move the weights: in single precision by some thousand units in their last place."""
TARGETS = {"linear": 5.0, "ReLU": 1.5}
BELOW = {"linear": 1.0, "ReLU": 0.0}
SIZES, HIDDEN = (250, 500, 1000, 2000), (25, 50, 100, 200)


def images(count: int = POINTS) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [count, 784] and their labels."""
    if folder := os.environ.get("MNIST_DIR"):
        given = digits(folder, count=count)
        return given.inputs, given.labels
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((count, RANK)) @ rng.standard_normal((RANK, 784)) / RANK**0.5
    return torch.from_numpy(noise), torch.from_numpy(rng.integers(0, CLASSES, count))


def starts(widths: Sequence[int], count: int) -> torch.Tensor:
    """Rows of Xavier weights."""
    rng = np.random.default_rng(1)
    shapes = [(rows, columns) for columns, rows in itertools.pairwise(widths)]
    rows = [np.concatenate([(6 / sum(s)) ** 0.5 * rng.uniform(-1, 1, s[0] * s[1]) for s in shapes]) for _ in range(count)]
    return torch.from_numpy(np.stack(rows))


def module(kind: str, widths: Sequence[int], start: torch.Tensor, dtype: torch.dtype) -> torch.nn.Module:
    """As the paper's figures are usually made."""
    layers: list[torch.nn.Module] = []
    offset = 0
    for columns, rows in itertools.pairwise(widths):
        layer = torch.nn.Linear(columns, rows, bias=False, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(start[offset : offset + rows * columns].view(rows, columns))
        offset += rows * columns
        layers += [layer] if rows == widths[-1] or kind == "linear" else [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


def plain(kind: str, widths: Sequence[int], x: torch.Tensor, labels: torch.Tensor, start: torch.Tensor, dtype: torch.dtype):
    net, inputs = module(kind, widths, start, dtype), x.to(dtype)
    optimiser = torch.optim.SGD(net.parameters(), lr=STEP_SIZE)

    def call() -> torch.Tensor:
        for _ in range(STEPS):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs), labels).backward()
            optimiser.step()
        return torch.cat([parameter.detach().double().flatten() for parameter in net.parameters()])[None]

    return call


def ours(kind: str, widths: Sequence[int], x: torch.Tensor, labels: torch.Tensor, start: torch.Tensor, precision: Precision):
    network = TiedNetwork.fully_connected(widths, 1.0, BELOW[kind])
    fit = Objective(network, x, one_hot(labels, CLASSES), cross_entropy(CLASSES, "mean"))
    runs = ClassifierDescent(fit, start, step_size=STEP_SIZE, precision=precision)
    if runs.mode != "compiled":
        raise RuntimeError(f"ours is not compiled: {runs.mode}")

    def call(read: bool = False) -> torch.Tensor | None:
        runs.advance(STEPS)
        return runs.weights() if read else None

    return call


def rows(rounds: int) -> list[Row]:
    x, labels = images()
    found = []
    for kind in TARGETS:
        start = starts(WIDTHS, SEEDS)
        exact = plain(kind, WIDTHS, x, labels, start[0], torch.float64)()
        for precision, dtype in DTYPES.items():
            calls: dict[str, tuple[Callable[..., torch.Tensor | None], float]] = {
                "in the span, in C": (ours(kind, WIDTHS, x, labels, start[:1], precision), STEPS),
                f"{SEEDS} draws together": (ours(kind, WIDTHS, x, labels, start, precision), SEEDS * STEPS),
            }
            errors = {name: _error(call(read=True), exact, start) for name, (call, _) in calls.items()}
            peer = plain(kind, WIDTHS, x, labels, start[0], dtype)
            variants = [Variant(name, call, units, errors[name]) for name, (call, units) in calls.items()]
            variants.append(Variant("nn.Module + SGD", peer, STEPS, _error(peer(), exact, start)))
            require_accurate(variants, TOLERANCE[precision])
            seconds = interleave(variants, rounds)
            title = f"descent, {kind} 784-50-50-10, n = {POINTS}, {precision}"
            row = functools.partial(compare, "B7", title, "run and step", variants, seconds)
            found.append(row("in the span, in C", "nn.Module + SGD", TARGETS[kind]))
            why = "several draws share the reading of the digits only, and leave the cache"
            found.append(row(f"{SEEDS} draws together", "in the span, in C", 1.0, label="one draw", why=why))
    growth = "; ".join(f"{kind} {_growth(kind)}" for kind in TARGETS)
    found[0] = Row(
        **{**found[0].__dict__, "note": f"cost of a step in double precision as a power of n and of the hidden width: {growth}"}
    )
    return found


def _error(weights: torch.Tensor | None, exact: torch.Tensor, start: torch.Tensor) -> float:
    assert weights is not None
    return float((weights[:1] - exact).norm() / (exact - start[:1]).norm())


def _growth(kind: str) -> str:
    """Fitted exponents of the time of a step."""
    exponents = []
    for points, hidden in ((SIZES, (50,)), ((POINTS,), HIDDEN)):
        seconds = []
        for n in points:
            x, labels = images(n)
            for width in hidden:
                widths = (784, width, width, CLASSES)
                call = ours(kind, widths, x, labels, starts(widths, 1), "float64")
                seconds.append(statistics.median(interleave([Variant("", call, STEPS, 0.0)], 3)[""]))
        exponents.append(np.polyfit(np.log(points if len(points) > 1 else hidden), np.log(seconds), 1)[0])
    return f"{exponents[0]:.2f} and {exponents[1]:.2f}"
