"""B9: which neuron Neuron Pursuit adds, ten starts in each hidden layer: ours to a KKT residual of 1e-6, the paper's 2,500 steps.

Two of the networks that the paper fits: squared neurons on modular addition, and leaky ones on a hypercube, each with
some neurons. The peer is Appendix C as it reads: for each layer and start a loop of projected ascent, `backward()` and a division
by the norm. The error of a variant is by how much the best value that it finds is below that of ascents with 20,000 steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.harness import Row, Variant, compare, interleave, require_accurate
from flowcheck.data.synthetic import gaussian, unit_vectors
from flowcheck.networks.activation import Activation
from flowcheck.pursuit.candidates import Ascent, next_neuron
from flowcheck.pursuit.grown import Grown

STARTS, STEPS, RESIDUAL, TARGET = 10, 2500, 1e-6, 10.0
SEED = (9, 2)
WHY = "starts that end on kinks, where no gradient certifies them, take all 2,500 steps"
SHORTFALL = 1e-4
"""Of the best value, relative: random starts that end at other KKT points differ by more."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network, the data it is to fit, and the step size of projected ascent in the paper."""

    name: str
    grown: Grown
    x: torch.Tensor
    residual: torch.Tensor
    step_size: float


def problems() -> list[Problem]:
    """As in the middle of a pursuit: eight neurons in each hidden layer, with random weights."""
    rng = np.random.default_rng(3)
    cube = torch.from_numpy(rng.choice([-1.0, 1.0], (800, 50)))
    deep = Grown(
        Activation(slope=0.5), (gaussian(rng, 8, 50) / 50**0.5, gaussian(rng, 8, 8) / 8**0.5, gaussian(rng, 1, 8) / 8**0.5)
    )
    labels = (cube[:, :1] * cube[:, 1:2] * cube[:, 2:3]) - deep.predict(cube)
    prime, eye = 59, torch.eye(59, dtype=torch.float64)
    chosen = rng.permutation(prime**2)[:1500]
    a, b = torch.from_numpy(chosen // prime), torch.from_numpy(chosen % prime)
    x = torch.cat([eye[a], eye[b], torch.ones(1500, 1, dtype=torch.float64)], dim=1)
    square = Grown(Activation(slope=1.0, power=2), (0.1 * gaussian(rng, 8, 119), 0.1 * gaussian(rng, 59, 8)))
    return [
        Problem("leaky, 50-8-8-1, n = 800", deep, cube, labels, 0.2),
        Problem("x^2, 119-8-59, n = 1,500", square, x, eye[(a + b) % prime] - square.predict(x), 2.0),
    ]


def eager(given: Problem) -> float:
    """The paper's loop; the best value."""
    activation, best = given.grown.activation, 0.0
    for layer, (reaching, back) in enumerate(given.grown.signals(given.x, given.residual)):
        rng, below = np.random.default_rng([*SEED, layer]), reaching.shape[1]
        for u in unit_vectors(rng, STARTS, below + back.shape[1]):
            for _ in range(STEPS):
                u.requires_grad_()
                value = ((back @ u[below:]) * activation(reaching @ u[:below])).sum()
                (gradient,) = torch.autograd.grad(value, u)
                u = u.detach() + given.step_size * gradient
                u = u / u.norm()
            best = max(best, float(((back @ u[below:]) * activation(reaching @ u[:below])).sum()))
    return best


def ours(given: Problem, residual: float = RESIDUAL, iterations: int = STEPS) -> float:
    """All starts of a layer in one batch; the best value."""
    ascent = Ascent(starts=STARTS, tolerance=residual, iterations=iterations)
    return next_neuron(given.grown, given.x, given.residual, ascent, SEED).value


def rows(rounds: int) -> list[Row]:
    found = []
    for given in problems():
        reference = ours(given, 1e-10, 20_000)

        def variant(name: str, call: Callable[[Problem], float], given: Problem = given, best: float = reference) -> Variant:
            return Variant(name, lambda: call(given), 1.0, max(0.0, 1 - call(given) / best))

        variants = [variant("ours", ours), variant("eager loop", eager)]
        require_accurate(variants[:1], SHORTFALL)
        seconds = interleave(variants, rounds)
        work = f"next neuron of the pursuit, {given.name}, {STARTS} starts a layer"
        found.append(compare("B9", work, "search", variants, seconds, "ours", "eager loop", TARGET, why=WHY))
    return found
