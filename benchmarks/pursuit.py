"""B8a, B8b: descent of the networks of Neuron Pursuit and of its baseline. B10: Levenberg-Marquardt in place of that descent.

B8: steps of full-batch descent of a three-layer ReLU network in single precision, against a plain `nn.Module` + `SGD` loop, which
must end at the same weights; B8b also against the time that the products of a step take at the rate of a large product. Replicas
follow each other in both, so that each costs what it costs alone.

B10: the inner problems of one pursuit of f1, of which the second is solved: each minimised from the same start by ours, and by
the paper's 70,000 steps. Both must end the second below the pursuit's tolerance.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import Row, Variant, against_floor, compare, interleave, require_accurate
from flowcheck.descent.regression import RegressionDescent
from flowcheck.networks.activation import RELU
from flowcheck.pursuit.descent import Descent, descend
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.levenberg_marquardt import LevenbergMarquardt, solve
from flowcheck.pursuit.pursue import Plan, pursue, relative_error

INPUTS, STEP, COUNT, SIDE = 50, 0.005, 200, 1024
TOLERANCE = 1e-3
TARGET = 20


def sphere(samples: int) -> tuple[Tensor, Tensor]:
    """The data of f1."""
    rows = np.random.default_rng(0).standard_normal((samples, INPUTS))
    x = torch.from_numpy(INPUTS**0.5 * rows / np.linalg.norm(rows, axis=1, keepdims=True))
    inner = torch.relu(2 * x[:, 0] + x[:, 1]) - torch.relu(x[:, 2] - x[:, 3])
    return x, torch.relu(inner)[:, None]


def random_layers(width: int) -> list[Tensor]:
    rng = np.random.default_rng(1)
    shapes = [(width, INPUTS), (width, width), (1, width)]
    return [torch.from_numpy(rng.standard_normal(shape) / shape[1] ** 0.5) for shape in shapes]


def compiled(layers: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    return list(RegressionDescent(layers, RELU, x, y, precision="float32").advance(COUNT, STEP))


def eager(layers: list[Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    linear = [nn.Linear(layer.shape[1], layer.shape[0], bias=False) for layer in layers]
    for module, layer in zip(linear, layers, strict=True):
        module.weight.data = layer.float()
    model = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
    optimiser, loss = torch.optim.SGD(model.parameters(), lr=STEP), nn.MSELoss()
    inputs, labels = x.float(), y.float()
    for _ in range(COUNT):
        optimiser.zero_grad()
        loss(model(inputs), labels).backward()
        optimiser.step()
    return [module.weight.data.double() for module in linear]


def distance(found: list[Tensor], reference: list[Tensor]) -> float:
    """Relative, of all weights."""
    one, other = (torch.cat([layer.flatten() for layer in layers]) for layers in (found, reference))
    return float((one - other).norm() / other.norm())


def descent_rows(identity: str, width: int, samples: int, target: float, rounds: int) -> list[Row]:
    (x, y), layers = sphere(samples), random_layers(width)
    reference = list(RegressionDescent(layers, RELU, x, y, precision="float64").advance(COUNT, STEP))
    square = torch.rand(SIDE, SIDE)
    variants = [
        Variant(name, functools.partial(solver, layers, x, y), COUNT, distance(solver(layers, x, y), reference))
        for name, solver in {"compiled": compiled, "nn.Module + SGD": eager}.items()
    ]
    require_accurate(variants, 1e-4)
    timed = [*variants, Variant("product", functools.partial(torch.mm, square, square), 2 * SIDE**3, 0.0)]
    seconds = interleave(timed, rounds)
    title = f"descent, ReLU {INPUTS}-{width}-{width}-1, n = {samples}, float32, per replica"
    row = compare(identity, title, "step", variants, seconds, "compiled", "nn.Module + SGD", target)
    if identity == "B8a":
        return [row]
    operations = 2 * samples * (2 * INPUTS * width + 3 * width**2 + 3 * width)
    floor = [operations * each for each in seconds["product"]]
    note = f"{operations / 1e6:.0f} million operations at the rate of a product of {SIDE} x {SIDE} matrices"
    return [row, against_floor(identity, title, "step", seconds["compiled"], floor, "compiled", 1 / 0.75, note=note)]


def inner_rows(samples: int, rounds: int) -> list[Row]:
    x, y = sphere(samples)
    descent = Descent(precision="float32")
    plan = Plan(inner=descent)
    first = pursue(x, y, iterations=1, plan=plan)
    second = pursue(x, y, iterations=2, plan=plan).history[1]
    point, added = second.point, [second.delta * part for part in second.point.parts]
    begun = first.history[0].point.parts
    starts = [
        Grown(RELU, tuple(first.history[0].delta * part for part in begun)),
        first.grown.with_neuron(point.layer, *added),
    ]

    def ours() -> float:
        return relative_error([solve(start, x, y, LevenbergMarquardt()) for start in starts][-1].grown.predict(x), y)

    def steps() -> float:
        return relative_error([descend(start, x, y, descent) for start in starts][-1].grown.predict(x), y)

    variants = [Variant("Levenberg-Marquardt", ours, 1, ours()), Variant("70,000 steps of descent, compiled", steps, 1, steps())]
    require_accurate(variants, TOLERANCE)
    seconds = interleave(variants, rounds)
    why = "a step of compiled descent of so small a network takes few microseconds: 70,000 of them are soon done"
    title = f"the inner problems of a pursuit of f1, n = {samples}, to a training error of {TOLERANCE:g}"
    return [compare("B10", title, "pursuit", variants, seconds, variants[0].name, variants[1].name, TARGET, why=why)]


def rows(rounds: int) -> list[Row]:
    small, baseline = descent_rows("B8a", 8, 800, 5.0, rounds), descent_rows("B8b", 50, 3200, 1.4, rounds)
    return [*small, *baseline, *inner_rows(800, rounds), *inner_rows(3200, rounds)]
