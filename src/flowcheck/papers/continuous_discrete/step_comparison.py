r"""Runs of descent that differ in their step size only, laid side by side (Section 6, Figures 1 and 3).

From one start, with $\eta_0$ and with $\eta_0/r$: iteration k of the first is compared with iteration rk of the second. Losses
and distances are read in double precision from the weights at the same iterate, whatever the precision of the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def compare(begin: Begin, value: Callable[[Tensor], Tensor], recipe: Recipe) -> Comparison:
    """The runs with the step sizes of a recipe; `value` is the loss of each row of weights."""
    coarse = list(_path(begin, recipe, 1))
    losses, drifts = [torch.stack([value(w) for w in coarse], dim=1)], []
    for ratio in recipe.ratios:
        loss, drift = [], []
        for w, beside in zip(_path(begin, recipe, ratio), coarse, strict=True):
            loss.append(value(w))
            drift.append(torch.linalg.vector_norm(w - beside, dim=1))
        losses.append(torch.stack(loss, dim=1))
        drifts.append(torch.stack(drift, dim=1))
    distance = torch.stack([torch.linalg.vector_norm(w - coarse[0], dim=1) for w in coarse], dim=1)
    return Comparison(
        recipe.records, recipe.ratios, *(part.numpy() for part in (torch.stack(losses), distance, torch.stack(drifts)))
    )


def between(first: Begin, second: Begin, recipe: Recipe) -> Float[np.ndarray, "s p"]:
    """Distance at each record between runs that two ways begin, with the step size of the recipe."""
    pairs = zip(_path(first, recipe, 1), _path(second, recipe, 1), strict=True)
    return torch.stack([torch.linalg.vector_norm(one - other, dim=1) for one, other in pairs], dim=1).numpy()


def _path(begin: Begin, recipe: Recipe, ratio: int) -> Iterator[Float[Tensor, "s k"]]:
    runs = begin(recipe.step_size / ratio)
    yield runs.weights()
    for _ in recipe.records[1:]:
        runs.advance(ratio * recipe.interval)
        yield runs.weights()


def table(found: Comparison, draws: list[int], rounding: Float[np.ndarray, " p"] | float) -> pd.DataFrame:
    """One row for each draw and r, with what the figures say of it.

    `rounding` is how far rounding moves the coarsest run; that of a run with r times as many steps is taken as r times as large.
    A ratio of distances counts from the first record after the start on. Runs that diverge are read as long as they are finite.
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
            chosen = 1 + int(np.argmax(drift[1:] / distance[1:]))
            rows.append(
                {
                    "draw": draw,
                    "ratio": ratio,
                    "drift_ratio": float(drift[chosen] / distance[chosen]),
                    "drift_ratio_error": float(np.max(error[1:] / distance[1:])),
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
