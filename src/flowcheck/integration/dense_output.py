"""The solution between the accepted steps of a run, asked for when the run is over.

For points that are known only then: a mesh laid through the steps themselves. One batch over all steps, no step is taken again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.integration.runge_kutta import Interpolant, RungeKutta, Step
from flowcheck.tensors import snapped


@dataclass(frozen=True)
class Kept:
    """Accepted steps, one row each: whose they are, where they begin, in which mode they were taken (None without kinks)."""

    index: Int[Tensor, " n"]
    begin: Float[Tensor, " n"]
    step: Step
    mode: Float[Tensor, "n kinks"] | None


@dataclass(frozen=True)
class DenseOutput:
    """The states that `record_at` would have given.

    Attributes:
        method, rhs, project: as in the run.
        kept: its steps, one trajectory after the other; None if all trajectories ended where they began.
        start, end: the states at which trajectories began [S, m], and where they ended [S].
    """

    method: RungeKutta
    rhs: Callable[..., Tensor]
    project: Callable[[Tensor], Tensor] | None
    kept: Kept | None
    start: Float[Tensor, "s m"]
    end: Float[Tensor, " s"]

    @classmethod
    def of(
        cls,
        method: RungeKutta,
        rhs: Callable[..., Tensor],
        project: Callable[[Tensor], Tensor] | None,
        parts: list[Kept],
        start: Float[Tensor, "s m"],
        end: Float[Tensor, " s"],
    ) -> DenseOutput:
        """From the steps in the order in which they were taken; the list is emptied, as they are most of the memory of a run."""
        if not parts:
            return cls(method, rhs, project, None, start, end)
        index = torch.cat([part.index for part in parts])
        order = index.argsort(stable=True)
        modes = [part.mode for part in parts if part.mode is not None]
        begin, step = torch.cat([part.begin for part in parts]), Step.of([part.step for part in parts])
        parts.clear()
        kept = Kept(index[order], begin[order], step.take(order), torch.cat(modes)[order] if modes else None)
        return cls(method, rhs, project, kept, start, end)

    def __call__(self, s: Float[Tensor, "a p"], index: Int[Tensor, " a"]) -> Float[Tensor, "a p m"]:
        """States at s of the trajectories with these numbers; NaN beyond the end of a trajectory, and where s is NaN.

        What lies beyond an end by no more than rounding is the end.
        """
        end = self.end[index].unsqueeze(-1)
        s = snapped(s, end)
        found = s.new_full((*s.shape, self.start.shape[1]), torch.nan)
        at_start, column = ((s == 0) & (end == 0)).nonzero(as_tuple=True)
        found[at_start, column] = self.start[index[at_start]]
        if self.kept is None:
            return found
        begins, first = self._begins
        number = torch.searchsorted(begins[index], s.contiguous(), right=True) - 1
        row, column = ((s <= end) & (number >= 0)).nonzero(as_tuple=True)
        position = first[index[row]] + number[row, column]
        fraction = (s[row, column] - self.kept.begin[position]) / self.kept.step.h[position]
        states = self._interpolant(fraction, position)
        found[row, column] = states if self.project is None else self.project(states)
        return found

    @functools.cached_property
    def _begins(self) -> tuple[Float[Tensor, "s n"], Int[Tensor, " s"]]:
        """Where the steps of each trajectory begin, padded by inf, and the position of its first one among all."""
        assert self.kept is not None
        own = self.kept.index
        count = torch.bincount(own, minlength=len(self.end))
        first = count.cumsum(dim=0) - count
        begins = self.end.new_full((len(self.end), int(count.max())), torch.inf)
        begins[own, torch.arange(len(own), device=own.device) - first[own]] = self.kept.begin
        return begins, first

    @functools.cached_property
    def _interpolant(self) -> Interpolant:
        """Of all steps at once."""
        kept = self.kept
        assert kept is not None
        pieces = () if kept.mode is None else (kept.mode,)
        return self.method.interpolant(lambda state: self.rhs(state, *pieces, kept.index), kept.step)
