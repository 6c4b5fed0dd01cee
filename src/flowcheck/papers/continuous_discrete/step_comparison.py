r"""Runs of descent that differ in their step size only, laid side by side (Section 6, Figures 1 and 3).

From one start, with $\eta_0$ and with $\eta_0/r$: iteration k of the first is compared with iteration rk of the second. Losses
and distances are read in double precision from the weights at the same iterate, whatever the precision of the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

READING = 1e-12
"""How exactly a distance is read: 62,000 weights of size one at most, each to a few units in the last place of a double."""


class Runs(Protocol):
    """Several runs of descent at the same iteration."""

    def advance(self, steps: int) -> None:
        """So many iterations."""

    def weights(self) -> Float[Tensor, "s k"]:
        """In double precision."""


@dataclass(frozen=True)
class Recipe:
    """Step size, how many iterations of it, and how many of them lie between two records; r for each of the finer runs."""

    step_size: float
    iterations: int
    interval: int
    ratios: tuple[int, ...]

    @property
    def records(self) -> Int[np.ndarray, " p"]:
        """Iterations of the coarsest run that are recorded, the start among them."""
        return np.arange(0, self.iterations + 1, self.interval)


@dataclass(frozen=True)
class Comparison:
    """What is recorded of S draws: losses of all runs, how far the coarsest has travelled, and its distance to each finer one."""

    records: Int[np.ndarray, " p"]
    ratios: tuple[int, ...]
    loss: Float[np.ndarray, "r1 s p"]
    distance: Float[np.ndarray, "s p"]
    drift: Float[np.ndarray, "r s p"]


Begin = Callable[[float], Runs]
"""Step size -> runs at their starts."""


def path(begin: Begin, recipe: Recipe, ratio: int) -> Iterator[Float[Tensor, "s k"]]:
    """The weights at each record of the runs whose step size is that of the recipe over `ratio`."""
    runs = begin(recipe.step_size / ratio)
    yield runs.weights()
    for _ in recipe.records[1:]:
        runs.advance(ratio * recipe.interval)
        yield runs.weights()


def compare(
    begin: Begin,
    value: Callable[[Tensor], Tensor],
    recipe: Recipe,
    coarse: Sequence[Float[Tensor, "s k"]] | None = None,
    counted: int | None = None,
) -> Comparison:
    """The runs with the step sizes of a recipe; `value` is the loss of each row of weights.

    `coarse` is the path of the coarsest runs where it is there already; distances are over the first `counted` weights, or all.
    """
    coarse = list(path(begin, recipe, 1)) if coarse is None else coarse
    losses, drifts = [torch.stack([value(w) for w in coarse], dim=1)], []
    for ratio in recipe.ratios:
        loss, apart = [], []
        for w, beside in zip(path(begin, recipe, ratio), coarse, strict=True):
            loss.append(value(w))
            apart.append(_distance(w, beside, counted))
        losses.append(torch.stack(loss, dim=1))
        drifts.append(torch.stack(apart, dim=1))
    distance = torch.stack([_distance(w, coarse[0], counted) for w in coarse], dim=1)
    return Comparison(
        recipe.records, recipe.ratios, *(part.numpy(force=True) for part in (torch.stack(losses), distance, torch.stack(drifts)))
    )


def between(
    first: Iterable[Float[Tensor, "s k"]], second: Iterable[Float[Tensor, "s k"]], counted: int | None = None
) -> Float[np.ndarray, "s p"]:
    """Distance at each record between the runs of two paths."""
    pairs = zip(first, second, strict=True)
    return torch.stack([_distance(one, other, counted) for one, other in pairs], dim=1).numpy(force=True)


def _distance(one: Float[Tensor, "s k"], other: Float[Tensor, "s k"], counted: int | None) -> Float[Tensor, " s"]:
    return torch.linalg.vector_norm(one[:, :counted] - other[:, :counted], dim=1)


def table(found: Comparison, draws: list[int], rounding: Float[np.ndarray, " p"] | float) -> pd.DataFrame:
    """One row for each draw and r, with what the figures say of it.

    `rounding` is how far rounding moves the coarsest run; that of a run with r times as many steps is taken as r times as large.
    A ratio of distances counts from the first record after the start on: where a run has not moved it is 0, or infinite if the
    other has. Runs that diverge are marked, and read as long as they are finite; a run that is not finite at the first record
    after the start has no ratio.
    """
    rows = []
    for position, draw in enumerate(draws):
        for number, ratio in enumerate(found.ratios):
            drift, loss = found.drift[number, position], found.loss[[0, number + 1], position]
            distance = found.distance[position]
            there = np.logical_and.accumulate(np.isfinite(drift) & np.isfinite(distance) & np.isfinite(loss).all(axis=0))
            drift, distance, loss = drift[there], distance[there], loss[:, there]
            tenth = len(found.records) // 10 if there.all() else 0
            error = (1 + ratio) * np.broadcast_to(rounding, there.shape)[there] + READING
            share, share_error = _largest_share(drift[1:], distance[1:], error[1:])
            rows.append(
                {
                    "draw": draw,
                    "ratio": ratio,
                    "diverged": int(not there.all()),
                    "drift_ratio": share,
                    "drift_ratio_error": share_error,
                    "drift_end": float(drift[-1]),
                    "drift_tenth": float(drift[tenth]),
                    "drift_error": float(np.max(error)),
                    "loss_gap": float(np.abs(loss[1] - loss[0]).max() / loss[0, 0]),
                    "loss_tenth": float(loss[0, tenth]),
                    "loss_end": float(loss[:, -1].max()),
                    "loss_rises": int((np.diff(loss, axis=1) > 0).sum()),
                    "distance_end": float(distance[-1]),
                    "distance_tenth": float(distance[tenth]),
                    "distance_falls": int((np.diff(distance) <= 0).sum()),
                }
            )
    return pd.DataFrame(rows)


def _largest_share(
    drift: Float[np.ndarray, " p"], distance: Float[np.ndarray, " p"], error: Float[np.ndarray, " p"]
) -> tuple[float, float]:
    """The largest ratio of drift to distance, and its error; NaN of nothing."""
    if not len(drift):
        return math.nan, math.nan
    moved = distance > 0
    shares = np.where(moved, drift, np.where(drift > 0, math.inf, 0.0)) / np.where(moved, distance, 1.0)
    return float(shares.max()), float(np.max(error[moved] / distance[moved], initial=READING))
