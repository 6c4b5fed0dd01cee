r"""Full-batch gradient descent of S runs in one batch: $w^{i+1}=w^i+\eta\,\mathcal J(X;w^i)^\top(-\ell'(\mathcal H(X;w^i),y))$.

Runs may differ in start, step size, labels and inputs. The loss of every iterate is a by-product of its step: each run's first
iteration below a loss ratio is found exactly and the weights just before it are kept, without a log of the iterates. Steps are
taken in blocks; only a block in which a run crosses or diverges is repeated step by step.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import POSITIVE, SHARE, array, instance, whole, wholes
from flowcheck.descent.compiler import NotNativeError
from flowcheck.descent.native import native_block
from flowcheck.networks.problem import Objective, check_runs
from flowcheck.tensors import Numbers, for_each

BLOCK = 20
"""Steps between two looks at the losses."""

Wrap = Callable[[Iterable[Any]], Iterator[Any]]
Measure = Callable[[Tensor], Mapping[str, Tensor]]
"""Weights [S, k] -> named quantities, each [S, ...]."""
Iterations = Sequence[int] | np.ndarray | Tensor
Block = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]
"""w, step, count -> what `plain_block` returns."""


@dataclass(frozen=True)
class Crossing:
    """First iteration of each run with loss < ratio x initial loss; -1, and NaN as weights, where the run never got there."""

    ratio: float
    iteration: Int[Tensor, " s"]
    weights_before: Float[Tensor, "s k"]

    @property
    def happened(self) -> Tensor:
        """Which runs crossed: bool [S]."""
        return self.iteration >= 0


@dataclass(frozen=True)
class DescentPath:
    """What S runs did, at P recorded iterations.

    Attributes:
        iterations: [P]; the last one is where the descent ended, earlier than asked for if all runs had crossed.
        weights: [S, P, k], or None if they were not kept. A diverged run stays at its last iterate of finite loss.
        loss: [S, P]; infinite from the iteration on at which a run diverged.
        norm: [S, P], of the weights.
        measured: what the caller measured, each [S, P, ...].
        crossings: one for each loss ratio asked for.
        diverged: [S], the first iteration whose loss is not finite; -1 where there is none.
        last: [S, k].
        mode: "eager", "compiled", or "eager: " and why it could not be compiled.
    """

    iterations: Int[np.ndarray, " p"]
    weights: Float[Tensor, "s p k"] | None
    loss: Float[Tensor, "s p"]
    norm: Float[Tensor, "s p"]
    measured: Mapping[str, Tensor]
    crossings: tuple[Crossing, ...]
    diverged: Int[Tensor, " s"]
    last: Float[Tensor, "s k"]
    mode: str


def log_spaced(steps: int, points: int) -> Int[np.ndarray, " p"]:
    """0, then at most `points` iterations equally spaced in the logarithm from 1 to `steps`, without repetition.

    Raises ValueError for less than two points: the last one is `steps`.
    """
    last, count = whole("steps", steps, 1), whole("points", points, 2)
    return np.unique(np.concatenate([[0], np.geomspace(1, last, count).round()]).astype(np.int64))


def every(steps: int, interval: int) -> Int[np.ndarray, " p"]:
    """0, interval, 2 interval, ... and `steps`."""
    last = whole("steps", steps, 1)
    return np.unique(np.append(np.arange(0, last, whole("interval", interval, 1)), last))


def gradient_descent(
    objective: Objective,
    start: Numbers,
    *,
    step_size: float | Numbers,
    steps: int,
    record: Iterations | None = None,
    keep_weights: bool = True,
    measure: Measure | None = None,
    loss_ratios: Sequence[float] = (),
    stop_when_crossed: bool = False,
    compile: bool = False,
    progress: Wrap = iter,
) -> DescentPath:
    """Gradient descent from `start` [S, k] for `steps` iterations, float64.

    Args:
        objective: shared by all runs, or with data for each.
        step_size: one, or one for each run [S].
        record: iterations to record, with 0 and `steps`; by default these two.
        measure: called with the weights [S, k] at each recorded iteration.
        loss_ratios: in (0, 1); where the loss first falls below each of them, as a share of the initial loss, is located.
        stop_when_crossed: end as soon as every run has crossed all of them or diverged.
        compile: run feed-forward networks in C (`native`): one to three seconds once, then 4 to 20 times as fast on a CPU. Other
            networks, other devices and machines without a C compiler are served as ever, and the path's `mode` says why.

    Raises ValueError if sizes do not fit, a step size is not positive, or the initial loss is not finite.

    Example: fit y = 1 by ab from a = b = 1/2. The residual is 3/4, so one step of 0.1 adds 0.1 * 3/4 * 1/2 to each weight.

    >>> from flowcheck.losses import HALF_SUM
    >>> from flowcheck.networks.zoo import deep_linear
    >>> fit = Objective(deep_linear([1], 1), torch.tensor([[1.0]]), torch.tensor([1.0]), HALF_SUM)
    >>> path = gradient_descent(fit, torch.tensor([[0.5, 0.5]]), step_size=0.1, steps=1)
    >>> path.last.tolist(), path.loss[:, 0].tolist()
    ([[0.5375, 0.5375]], [0.28125])
    """
    instance("objective", objective, Objective)
    starts, count = check_runs(objective.network, objective.x, objective.y, start), whole("steps", steps, 1)
    step = for_each("step_size", step_size, starts, POSITIVE)
    iterations = np.array(wholes("record", [0, count] if record is None else record, 0), dtype=np.int64)
    if not len(iterations) or iterations[0] != 0 or iterations[-1] != count or np.any(np.diff(iterations) <= 0):
        raise ValueError(f"record must increase from 0 to steps = {count}, got {reprlib.repr(iterations.tolist())}")
    ratios = array("loss_ratios", loss_ratios).tolist()
    if not isinstance(ratios, list) or not all(isinstance(ratio, float) and SHARE.holds(ratio) for ratio in ratios):
        raise ValueError(f"loss_ratios must be numbers {SHARE.said}, got {reprlib.repr(loss_ratios)}")
    if stop_when_crossed and not ratios:
        raise ValueError("stop_when_crossed needs loss_ratios")
    wanted = set(iterations.tolist())
    with torch.no_grad():
        runs = _Runs(objective, starts.clone(), step.clone()[:, None], ratios)
        block, mode = _choose_block(runs, compile)
        records = _Records(keep_weights, measure)
        records.add(runs)
        for first, last in progress(_blocks(iterations)):
            runs.advance(last - first, block)
            finished = stop_when_crossed and runs.settled
            if last in wanted or finished:
                records.add(runs)
            if finished:
                break
    return records.path(runs, mode)


def _blocks(record: np.ndarray) -> list[tuple[int, int]]:
    """Intervals of at most BLOCK iterations that end at each recorded one."""
    ends = [[*range(a, b, BLOCK), b] for a, b in itertools.pairwise(record.tolist())]
    return [pair for part in ends for pair in itertools.pairwise(part)]


class _Runs:
    """Weights of all runs at one iteration, and the events so far."""

    def __init__(self, objective: Objective, w: Tensor, step: Tensor, ratios: Sequence[float]) -> None:
        self.objective = objective
        self.w, self.previous, self.step, self.iteration = w, w, step, 0
        initial = objective.value(w)
        if not bool(torch.isfinite(initial).all()):
            raise ValueError("the initial loss is not finite")
        self.diverged = torch.full((len(w),), -1, device=w.device)
        self.stopped_at = torch.zeros_like(w)
        self.crossings = [Crossing(ratio, self.diverged.clone(), torch.full_like(w, torch.nan)) for ratio in ratios]
        self.bounds = initial * torch.tensor([[ratio] for ratio in ratios], dtype=w.dtype, device=w.device).view(-1, 1)
        self.watched = self._lowest_uncrossed()

    @property
    def weights(self) -> Tensor:
        return torch.where((self.diverged >= 0)[:, None], self.stopped_at, self.w)

    @property
    def settled(self) -> bool:
        return all(bool((crossing.happened | (self.diverged >= 0)).all()) for crossing in self.crossings)

    def advance(self, count: int, block: Block) -> None:
        """`count` steps. If a loss on the way is an event, they are repeated one by one."""
        previous, w, losses = block(self.w, self.step, count)
        if bool(((losses >= self.watched) & (losses < torch.inf)).all()):
            self.previous, self.w, self.iteration = previous, w, self.iteration + count
            return
        for _ in range(count):
            self.look()
            self.previous, self.w = self.w, block(self.w, self.step, 1)[1]
            self.iteration += 1

    def look(self) -> Tensor:
        """Losses [S] of the present iterate. Notes crossings and divergence; a diverged run is put to rest at w = 0."""
        losses = self.objective.value(self.w)
        lost = ~torch.isfinite(losses) & (self.diverged < 0)
        if bool(lost.any()):
            self.diverged[lost] = self.iteration
            self.stopped_at[lost] = self.previous[lost]
            self.w = self.w.masked_fill(lost[:, None], 0.0)
            self.step = self.step.masked_fill(lost[:, None], 0.0)
            self.bounds[:, lost] = -torch.inf
        for crossing, bound in zip(self.crossings, self.bounds, strict=True):
            now = losses < bound
            crossing.iteration[now] = self.iteration
            crossing.weights_before[now] = self.previous[now]
            bound[now] = -torch.inf
        self.watched = self._lowest_uncrossed()
        return losses.masked_fill(self.diverged >= 0, torch.inf)

    def _lowest_uncrossed(self) -> Tensor:
        """What a loss must not fall below unnoticed, [S]."""
        nothing = self.bounds.new_full((1, self.bounds.shape[1]), -torch.inf)
        return torch.cat([nothing, self.bounds]).amax(dim=0)


def plain_block(objective: Objective, w: Tensor, step: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """`count` steps of size step [S, 1]: the iterate before the last, the last, and the losses [count, S] on the way."""
    network, x, y, loss = objective.network, objective.x, objective.y, objective.loss
    outputs = []
    previous = w
    for _ in range(count):
        previous = w
        output, pulled = network.forward_and_pull(w, x, lambda h: loss.residual(h, y))
        w = torch.addcmul(w, step, pulled)
        outputs.append(output)
    return previous, w, loss.value(torch.stack(outputs), y)


def _choose_block(runs: _Runs, compiled: bool) -> tuple[Block, str]:
    """How blocks are run, and its name, which says why where they could not be compiled."""

    def plain(w: Tensor, step: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        return plain_block(runs.objective, w, step, count)

    if not compiled:
        return plain, "eager"
    try:
        return native_block(runs.objective, runs.w), "compiled"
    except NotNativeError as reason:
        return plain, f"eager: {reason}"


class _Records:
    """What is kept of the iterates, gathered while the runs go on."""

    def __init__(self, keep_weights: bool, measure: Measure | None) -> None:
        self.keep_weights, self.measure = keep_weights, measure
        self.iterations: list[int] = []
        self.columns: dict[str, list[Tensor]] = {}
        self.measured: dict[str, list[Tensor]] = {}

    def add(self, runs: _Runs) -> None:
        losses, w = runs.look(), runs.weights
        self.iterations.append(runs.iteration)
        columns = {"loss": losses, "norm": torch.linalg.vector_norm(w, dim=-1)} | ({"weights": w} if self.keep_weights else {})
        for name, value in columns.items():
            self.columns.setdefault(name, []).append(value)
        for name, value in (self.measure(w) if self.measure is not None else {}).items():
            self.measured.setdefault(name, []).append(value)

    def path(self, runs: _Runs, mode: str) -> DescentPath:
        columns = {name: torch.stack(values, dim=1) for name, values in self.columns.items()}
        return DescentPath(
            iterations=np.array(self.iterations),
            weights=columns.get("weights"),
            loss=columns["loss"],
            norm=columns["norm"],
            measured={name: torch.stack(values, dim=1) for name, values in self.measured.items()},
            crossings=tuple(runs.crossings),
            diverged=runs.diverged,
            last=runs.weights,
            mode=mode,
        )
