"""What is drawn for Figures 1 to 5 (deep_homogeneous, Sections 5.1.2 and 5.1.3): a teacher, points on the sphere, a start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.data.synthetic import sphere_inputs, teacher_labels, unit_vectors
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.zoo import deep_relu, squared_relu


class Pair(NamedTuple):
    """The network that is trained, and the smaller one that labels its points."""

    network: FeedForward
    teacher: FeedForward


PAIRS = {
    "squared_relu": Pair(squared_relu([20, 20], 10), squared_relu([2, 3], 10)),
    "relu": Pair(deep_relu([20, 20, 20], 10), deep_relu([2, 3, 3], 10)),
}
"""Figures 1 to 3, and Figures 4 and 5."""


@dataclass(frozen=True)
class Draws:
    """Points, labels and starts of norm one, by their number in the stream."""

    number: Int[np.ndarray, " s"]
    x: Float[Tensor, "s n d"]
    y: Float[Tensor, "s n"]
    w0: Float[Tensor, "s k"]

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: slice | Int[np.ndarray, " r"] | Bool[np.ndarray, " s"]) -> Draws:
        return Draws(self.number[rows], self.x[rows], self.y[rows], self.w0[rows])

    def numbered(self, number: int) -> Draws:
        """The one draw of this number, or none."""
        return self.take(self.number == number)

    def on(self, device: torch.device) -> Draws:
        return Draws(self.number, self.x.to(device), self.y.to(device), self.w0.to(device))


@dataclass(frozen=True)
class Audible:
    """The draws of a stream whose flow is followed: those whose labels are not nearly zero.

    Attributes:
        label: mean labels of the whole stream.
        draws: those that are followed.
        accepted: positions among `draws` of those that are not degenerate.
    """

    label: Float[np.ndarray, " all"]
    draws: Draws
    accepted: Int[np.ndarray, " a"]

    @classmethod
    def of(cls, stream: Draws, *, silent: float, degenerate: float) -> Audible:
        """Draws with a mean label of at most `silent` are not followed, those with at most `degenerate` not accepted."""
        label = stream.y.mean(dim=-1).cpu().numpy()
        draws = stream.take(label > silent)
        return cls(label, draws, np.flatnonzero(label[draws.number] > degenerate))


def draw(pair: Pair, streams: Iterable[np.random.Generator], points: int) -> Draws:
    """One draw from each stream, numbered from 0: the points, then the teacher's weights, then the start."""
    sets = []
    for rng in streams:
        x = sphere_inputs(rng, points, pair.network.inputs)
        sets.append((x, teacher_labels(pair.teacher, x, rng), unit_vectors(rng, 1, pair.network.size)[0]))
    x, y, w0 = (torch.stack(parts) for parts in zip(*sets, strict=True))
    return Draws(np.arange(len(sets)), x, y, w0)


def other_starts(one: Draws, number: Int[np.ndarray, " s"], streams: Iterable[np.random.Generator]) -> Draws:
    """The data of one draw with starts from streams of their own. Raises ValueError if `one` is not one draw."""
    if len(one) != 1:
        raise ValueError(f"starts are drawn for one set of data, not for {len(one)}")
    starts = torch.cat([unit_vectors(rng, 1, one.w0.shape[-1]) for rng in streams]).to(one.w0.device)
    same = one.take(np.zeros(len(starts), dtype=np.int64))
    return Draws(number, same.x, same.y, starts)
