r"""Neuron Pursuit (neuron_pursuit, Algorithm 1 and Appendix C): train, add the neuron that correlates best, train, and so on.

Iteration 1 trains one neuron in each layer. Each later one adds a neuron to the layer whose NCF has the highest KKT point, with
weights of norm delta along that point, and trains all weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, POSITIVE, instance, number, whole
from flowcheck.networks.activation import RELU, Activation
from flowcheck.pursuit import checkpoint as kept
from flowcheck.pursuit.candidates import Ascent, KktPoint, first_neurons, next_neuron
from flowcheck.pursuit.descent import Descent, descend, mean_square
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.levenberg_marquardt import LevenbergMarquardt, solve
from flowcheck.tensors import Numbers, tensors

SHRINK, FIRST_RETRIES, LATER_RETRIES = 0.8, 4, 10
"""Appendix C.1.1: where the new loss is above the old one, delta shrinks by this factor, so often at most."""

Stopped = Literal["error", "iterations", "dead starts"]
ErrorOf = Callable[[Float[Tensor, "n c"], Float[Tensor, "n c"]], float]
Wrap = Callable[[Iterable[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Plan:
    """What is done in each iteration; the defaults are those of Appendix C.1.1.

    Attributes:
        first_delta: norm of the weights that the first descent starts from.
        later_delta: norm of the weights of an added neuron, as a share of the norm of all weights.
        ascent: how the NCF is maximised.
        inner: how the loss is minimised, by the paper's `Descent` or by `LevenbergMarquardt` from the same start.
        balance: make incoming and outgoing weights of every neuron balanced after each iteration (Appendix C.2.2).

    Raises ValueError for what is no such number or setting, as `Ascent`, `Descent` and `LevenbergMarquardt` do.
    """

    first_delta: float = 0.25
    later_delta: float = 0.01
    ascent: Ascent = field(default_factory=Ascent)
    inner: Descent | LevenbergMarquardt = field(default_factory=Descent)
    balance: bool = False

    def __post_init__(self) -> None:
        for name in ("first_delta", "later_delta"):
            object.__setattr__(self, name, number(name, getattr(self, name), POSITIVE))
        instance("ascent", self.ascent, Ascent)
        instance("inner", self.inner, Descent, LevenbergMarquardt)


@dataclass(frozen=True)
class Iteration:
    """One iteration: the neuron that was added, and what became of the loss (mean over samples and outputs).

    `delta` is the norm of the added weights after so many `retries`; `begun` the loss with them, `loss` that after the descent.
    """

    point: KktPoint
    delta: float
    retries: int
    begun: float
    loss: float
    error: float
    steps: int
    step_size: float
    halvings: int
    grown: Grown


@dataclass(frozen=True)
class Pursuit:
    """What a pursuit found.

    Attributes:
        grown: the network with its weights; `grown.predict(x)` gives its outputs [n, c].
        history: the iterations, with the network after each.
        stopped: "error" small enough, "iterations" used up, or "dead starts": no neuron was found that correlates with what is
            left, and none was added. Where that happened to the first network, its weights are zero.
    """

    grown: Grown
    history: tuple[Iteration, ...]
    stopped: Stopped


def relative_error(outputs: Float[Tensor, "n c"], y: Float[Tensor, "n c"]) -> float:
    r"""$\|y-\hat y\|/\|y\|$, as in Section 5.2.1."""
    return float((outputs - y).norm() / y.norm())


def classification_error(outputs: Float[Tensor, "n c"], y: Float[Tensor, "n c"]) -> float:
    """The share of samples whose largest output is not that of the largest label, as in Section 5.2.2."""
    return float((outputs.argmax(dim=1) != y.argmax(dim=1)).double().mean())


def pursue(
    x: Numbers,
    y: Numbers,
    *,
    depth: int = 3,
    activation: Activation = RELU,
    iterations: int = 31,
    tolerance: float = 1e-3,
    plan: Plan | None = None,
    seed: int = 0,
    error: ErrorOf = relative_error,
    checkpoint: Path | str | None = None,
    progress: Wrap = iter,
) -> Pursuit:
    """Grow a network of the given depth that fits y [n] or [n, c] on inputs x [n, d].

    Args:
        depth: number of layers of weights, at least 2.
        activation: max(x, a x)^p with a whole p, of the hidden layers.
        iterations: at most; the first trains one neuron in each layer, each later one adds one.
        tolerance: the pursuit ends at this training error.
        seed: of all random starts.
        error: what is held against the tolerance.
        checkpoint: a folder that is written after every iteration, and from which the same call goes on, to the same last bit.
        progress: wraps the iterations, as `tqdm` does.

    Raises ValueError for data that are not finite, do not fit or have nothing but zeros as labels, for an activation or a depth
    outside of the class, for a checkpoint of another call, and where the loss of a network overflows.

    |x| takes two ReLU neurons, and the second is where the first is not:

    >>> x = torch.linspace(-1, 1, 21, dtype=torch.float64)[:, None]
    >>> found = pursue(x, x.abs(), depth=2, plan=Plan(inner=Descent(step_size=0.1, steps=2000)))
    >>> found.stopped, found.grown.widths, [round(step.error, 3) for step in found.history]
    ('error', [2], [0.707, 0.0])
    """
    inputs, labels = checked_data(x, y)
    plan = plan or Plan()
    depth, iterations, tolerance, seed = _checked(depth, activation, iterations, tolerance, plan, seed)
    described = f"{depth=} {activation} {tolerance=} {plan} {seed=} error={error.__qualname__}"
    folder = None if checkpoint is None else kept.Folder(Path(checkpoint), kept.digest(described, inputs, labels))
    history: list[Iteration] = [] if folder is None else _history(folder.read()[:iterations], activation, inputs.device)
    run = _Run(inputs, labels, activation, depth, plan, tolerance, seed, error)
    stopped: Stopped = "iterations"
    for number_of in progress(range(1, iterations + 1)):
        if number_of > len(history):
            made = run.iterate(history[-1].grown if history else None, number_of)
            if made is None:
                stopped = "dead starts"
                break
            history.append(made)
            if folder is not None:
                folder.write([_record(step) for step in history])
        if history[number_of - 1].error <= tolerance:
            history, stopped = history[:number_of], "error"
            break
    return Pursuit(history[-1].grown if history else run.nothing(), tuple(history), stopped)


def checked_data(x: Numbers, y: Numbers) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n c"]]:
    """Inputs [n, d] and labels [n, c] in double precision. Raises ValueError for what can not be fitted."""
    inputs, labels = tensors(x=x, y=y)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if inputs.ndim != 2 or labels.ndim != 2 or len(inputs) != len(labels) or not (inputs.numel() and labels.numel()):
        raise ValueError(f"x is [n, d] and y [n] or [n, c], got x {tuple(inputs.shape)} and y {tuple(labels.shape)}")
    if not bool(labels.any()):
        raise ValueError("y is zero everywhere: there is nothing to correlate with")
    for name, part in {"x": inputs, "y": labels}.items():
        if not bool(part.square().sum().isfinite()):
            raise ValueError(f"the squares of {name} overflow: divide {name} by its size first")
    return inputs, labels


def _checked(
    depth: int, activation: Activation, iterations: int, tolerance: float, plan: Plan, seed: int
) -> tuple[int, int, float, int]:
    """Raises ValueError for settings outside of the class."""
    instance("activation", activation, Activation)
    instance("plan", plan, Plan)
    whole("the power of the activation", activation.power, 1)
    return (
        whole("depth", depth, 2),
        whole("iterations", iterations, 1),
        number("tolerance", tolerance, FINITE_NOT_NEGATIVE),
        whole("seed", seed, 0),
    )


@dataclass(frozen=True)
class _Run:
    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n c"]
    activation: Activation
    depth: int
    plan: Plan
    tolerance: float
    seed: int
    error: ErrorOf

    def iterate(self, grown: Grown | None, position: int) -> Iteration | None:
        """Iteration `position`, from the network after the one before; None where every start is dead."""
        x, y, plan, seed = self.x, self.y, self.plan, (self.seed, position)
        if grown is None:
            point = first_neurons(self.activation, self.depth, x, y, plan.ascent, seed)
            before, delta, most = float(y.square().mean()), plan.first_delta, FIRST_RETRIES
        else:
            residual = y - grown.predict(x)
            point = next_neuron(grown, x, residual, plan.ascent, seed)
            before, delta, most = float(residual.square().mean()), plan.later_delta * float(grown.weights.norm()), LATER_RETRIES
        if not point.is_positive:
            return None
        retries = 0
        begin = self._added(grown, point, delta)
        while (begun := mean_square(begin, x, y)) > before and retries < most:
            delta, retries = SHRINK * delta, retries + 1
            begin = self._added(grown, point, delta)
        inner = plan.inner
        end = descend(begin, x, y, inner) if isinstance(inner, Descent) else solve(begin, x, y, inner)
        if end.loss == math.inf:
            raise ValueError(f"the loss overflows in iteration {position}: divide x and y by their sizes first")
        after = end.grown.balanced() if plan.balance else end.grown
        error = self.error(after.predict(x), y)
        return Iteration(point, delta, retries, begun, end.loss, error, end.steps, end.step_size, end.halvings, after)

    def nothing(self) -> Grown:
        """One neuron in each layer, with weights zero."""
        shapes = [(1, self.x.shape[1]), *[(1, 1)] * (self.depth - 2), (self.y.shape[1], 1)]
        return Grown(self.activation, tuple(self.x.new_zeros(shape) for shape in shapes))

    def _added(self, grown: Grown | None, point: KktPoint, delta: float) -> Grown:
        parts = [delta * part for part in point.parts]
        if grown is None:
            return Grown(self.activation, tuple(parts))
        return grown.with_neuron(point.layer, *parts)


def _record(step: Iteration) -> kept.Record:
    """An iteration as numbers and arrays."""
    point = step.point
    numbers = {name: getattr(step, name) for name in kept.NUMBERS}
    numbers |= {name: getattr(point, name) for name in kept.POINT}
    arrays = {f"layer{j}": layer.cpu().numpy() for j, layer in enumerate(step.grown.layers)}
    return numbers, arrays | {f"part{j}": part.cpu().numpy() for j, part in enumerate(point.parts)}


def _history(records: list[kept.Record], activation: Activation, device: torch.device) -> list[Iteration]:
    """The inverse of `_record`."""
    found = []
    for numbers, arrays in records:
        layers, parts = (
            tuple(torch.from_numpy(arrays[f"{name}{j}"]).to(device) for j in range(sum(key.startswith(name) for key in arrays)))
            for name in ("layer", "part")
        )
        point = KktPoint(**{name: numbers[name] for name in kept.POINT}, parts=parts)
        found.append(Iteration(point, **{name: numbers[name] for name in kept.NUMBERS}, grown=Grown(activation, layers)))
    return found
