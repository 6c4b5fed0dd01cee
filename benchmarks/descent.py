"""B1, B2, B3: full-batch gradient descent on the two networks of deep_homogeneous, Section 5.

n = 100 points on the sphere of R^10, loss 1/2 sum of squares, float64, 32 runs. Every variant starts from the same weights and is
compared with a plain numpy loop after 400 steps. Times are per run and step.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.harness import Row, Variant, against_floor, compare, fastest, interleave, require_accurate
from flowcheck import losses
from flowcheck.descent import gradient_descent
from flowcheck.networks import feed_forward, zoo
from flowcheck.networks.problem import Objective

RUNS, POINTS, INPUTS, STEP_SIZE, STEPS = 32, 100, 10, 5e-4, 400
TOLERANCE = 1e-12
"""Relative, after 400 steps in which the weights move by a few per cent: rounding only."""
UNIT = "run and step"
Layers = list[Any]


@dataclass(frozen=True)
class Work:
    """A network and what a reader of the paper would write for it, in numpy or JAX (xp) or as a torch module."""

    name: str
    network: feed_forward.FeedForward
    squared: bool
    flops: int

    def outputs(self, xp: Any, layers: Layers, x: Any) -> Any:
        """[n], layer by layer."""
        if self.squared:
            return (xp.maximum(layers[1] @ (layers[0] @ x.T), 0) ** 2).sum(0)
        hidden = x.T
        for layer in layers:
            hidden = xp.maximum(layer @ hidden, 0)
        return hidden.sum(0)

    def gradient(self, xp: Any, layers: Layers, x: Any, y: Any) -> Layers:
        """By hand, adjacent linear layers multiplied first."""
        if self.squared:
            z = xp.maximum((layers[1] @ layers[0]) @ x.T, 0)
            through = (2 * z * ((z * z).sum(0) - y)) @ x
            return [layers[1].T @ through, through @ layers[0].T]
        states = [x.T]
        for layer in layers:
            states.append(xp.maximum(layer @ states[-1], 0))
        upstream = (states[-1].sum(0) - y) * xp.ones_like(states[-1])
        gradients = []
        for layer, below, above in zip(layers[::-1], states[-2::-1], states[:0:-1], strict=True):
            delta = xp.where(above > 0, upstream, 0.0)
            gradients.append(delta @ below.T)
            upstream = layer.T @ delta
        return gradients[::-1]

    def split(self, xp: Any, w: Any) -> Layers:
        """Flat weights [k] to layers."""
        ends = np.cumsum([a * b for a, b in self.network.shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(xp.split(w, ends), self.network.shapes, strict=True)]

    def module(self) -> torch.nn.Module:
        """As the papers' figures are usually made."""
        squared, shapes = self.squared, self.network.shapes

        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = torch.nn.ModuleList(torch.nn.Linear(b, a, bias=False, dtype=torch.float64) for a, b in shapes)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                for layer in self.layers:
                    x = layer(x) if squared else torch.relu(layer(x))
                return (torch.relu(x) ** 2).sum(1) if squared else x.sum(1)

        return Net()


# products of a step: 2 * (W2 W1, P X, delta X^T, two small ones), and 2 * (3 forward, 3 gradients, 2 backward)
SQUARED = Work("squared ReLU 10-20-20", zoo.squared_relu((20, 20), INPUTS), True, 2 * (3 * 4_000 + 2 * 20_000))
DEEP = Work("3-layer ReLU 10-20-20-20", zoo.deep_relu((20, 20, 20), INPUTS), False, 2 * (2 * 20_000 + 6 * 40_000))


@dataclass(frozen=True)
class Data:
    """x [n, d], y [n], start [S, k] and where a numpy loop ends after STEPS steps [S, k]."""

    x: np.ndarray
    y: np.ndarray
    start: np.ndarray
    end: np.ndarray


def data(work: Work) -> Data:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((POINTS, INPUTS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y, start = rng.uniform(0.5, 2.0, POINTS), 0.2 * rng.standard_normal((RUNS, work.network.size))
    end = start.copy()
    for row in end:
        layers = work.split(np, row)  # views
        for _ in range(STEPS):
            for layer, change in zip(layers, work.gradient(np, layers, x, y), strict=True):
                layer -= STEP_SIZE * change
    return Data(x, y, start, end)


def variants(work: Work, given: Data) -> list[Variant]:
    calls = {**_ours(work, given), **_module(work, given), **_jax(work, given)}
    return [Variant(name, call, units, _error(given, call())) for name, (call, units) in calls.items()]


def _error(given: Data, found: np.ndarray) -> float:
    reference = given.end[: len(found)]
    return float(np.max(np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)))


Calls = dict[str, tuple[Callable[[], np.ndarray], float]]


def _ours(work: Work, given: Data) -> Calls:
    x, y, start = (torch.tensor(part) for part in (given.x, given.y, given.start))

    def call(compiled: bool) -> np.ndarray:
        path = gradient_descent.gradient_descent(
            Objective(work.network, x, y, losses.HALF_SUM), start, step_size=STEP_SIZE, steps=STEPS, compile=compiled
        )
        if compiled and path.mode != "compiled":
            raise RuntimeError(f"ours is not compiled: {path.mode}")
        return path.last.numpy()

    return {
        "compiled": (functools.partial(call, True), RUNS * STEPS),
        "batched tensors": (functools.partial(call, False), RUNS * STEPS),
    }


def _module(work: Work, given: Data) -> Calls:
    net, x, y = work.module(), torch.tensor(given.x), torch.tensor(given.y)
    optimiser = torch.optim.SGD(net.parameters(), lr=STEP_SIZE)

    def call() -> np.ndarray:
        with torch.no_grad():
            for parameter, layer in zip(net.parameters(), work.split(np, given.start[0]), strict=True):
                parameter.copy_(torch.tensor(layer))
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = 0.5 * ((net(x) - y) ** 2).sum()
            loss.backward()
            optimiser.step()
        return np.concatenate([parameter.detach().numpy().ravel() for parameter in net.parameters()])[None]

    return {"nn.Module + SGD": (call, STEPS)}


def _jax(work: Work, given: Data) -> Calls:
    x, y, start = jnp.asarray(given.x), jnp.asarray(given.y), jnp.asarray(given.start)

    def loss(layers: Layers) -> Any:
        return 0.5 * ((work.outputs(jnp, layers, x) - y) ** 2).sum()

    def by_hand(layers: Layers) -> Layers:
        return work.gradient(jnp, layers, x, y)

    def run(gradient: Callable[[Layers], Layers], w: Any) -> Any:
        def step(layers: Layers, _: None) -> tuple[Layers, None]:
            return [layer - STEP_SIZE * change for layer, change in zip(layers, gradient(layers), strict=True)], None

        layers, _ = jax.lax.scan(step, work.split(jnp, w), None, length=STEPS)
        return jnp.concatenate([layer.ravel() for layer in layers])

    calls: Calls = {}
    singles = 8  # one after the other, so that the clock has something to measure
    for name, gradient in (("autograd", jax.grad(loss)), ("by hand", by_hand)):
        single, together = jax.jit(functools.partial(run, gradient)), jax.jit(jax.vmap(functools.partial(run, gradient)))

        def one_by_one(single: Any = single) -> np.ndarray:
            return np.stack([np.asarray(single(start[run])) for run in range(singles)])

        def batched(together: Any = together) -> np.ndarray:
            return np.asarray(together(start))

        calls[f"JAX scan, {name}"] = (one_by_one, singles * STEPS)
        calls[f"JAX vmap + scan, {name}"] = (batched, RUNS * STEPS)
    return calls


def peak() -> Variant:
    """The fastest float64 matrix product at hand, as seconds per floating-point operation."""
    size = 1000
    a = np.random.default_rng(0).standard_normal((size, size))
    b = torch.tensor(a)
    products = [Variant("numpy", lambda: a @ a, 2 * size**3, 0.0), Variant("torch", lambda: b @ b, 2 * size**3, 0.0)]
    seconds = interleave(products, 3)
    return next(product for product in products if product.name == fastest(seconds, ["numpy", "torch"]))


def rows(rounds: int) -> list[Row]:
    """B1, B2 and B3."""
    best_product, found = peak(), []
    targets = {"B1": (SQUARED, 45, 4, 1.8, 4), "B2": (DEEP, 12, 2.2, 1.2, 3)}
    for identity, (work, module, vmapped, best, floor) in targets.items():
        entries = variants(work, data(work))
        require_accurate(entries, TOLERANCE)
        product = Variant("product", best_product.call, best_product.units, 0.0)
        seconds = interleave([*entries, product], rounds)
        jax_best = fastest(seconds, [entry.name for entry in entries if entry.name.startswith("JAX")])
        title = f"descent, {work.name}, n = {POINTS}, {RUNS} runs"
        row = functools.partial(compare, identity, title, UNIT, entries, seconds, "compiled")
        limit = [work.flops * seconds_each for seconds_each in seconds["product"]]
        above = statistics.median(a / b for a, b in zip(seconds["compiled"], limit, strict=True))
        why = f"ours takes {above:.2f} times the floor in this run (B3), which bounds what is left to gain"
        found += [
            row("nn.Module + SGD", module, note="the peer does one run at a time"),
            row("JAX vmap + scan, autograd", vmapped, why=why),
            row(jax_best, best, label=f"best JAX ({jax_best})", note="best of single and vmap, autograd and by hand", why=why),
            row("batched tensors", None, label="ours without a compiler"),
        ]
        rate = 1e-9 / statistics.median(seconds["product"])
        note = f"{work.flops / 1e3:.0f} kFLOP at the {rate:.1f} GFLOP/s of a 1000 x 1000 product ({best_product.name})"
        found.append(against_floor("B3", title, UNIT, seconds["compiled"], limit, "compiled", floor, note=note, why=why))
    return found
