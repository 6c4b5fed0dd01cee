"""One network with its data, its cases and its references: what Theorem 5.1 of both homogeneous papers is asked about."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.alignment.reference import Reference, reference
from flowcheck.alignment.shadow import Cases, Shadow, shadow
from flowcheck.flows.ending import Ending
from flowcheck.flows.events import loss_ratio_below
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.geometry import misalignment
from flowcheck.losses import Loss
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective

LARGEST_CONDITION = 1e8
r"""Of $\|u\|^{L-2}$: by so much a relative error of time grows until u is compared at equal time. Half the digits of float64."""


@dataclass(frozen=True)
class Comparison:
    """Flows beside their NCF flows up to the moment of each epsilon, at two tolerances.

    Attributes:
        deltas: of each case [S, D].
        resolved: whether u is small enough to be compared at equal time [S, E]; where it is not, what is said of it is void.
        fine, coarse: at P points.
        at: which of the points are the moments of the epsilons.
    """

    deltas: Float[Tensor, "s d"]
    resolved: Bool[Tensor, "s e"]
    fine: Shadow
    coarse: Shadow
    at: slice


@dataclass(frozen=True)
class Escapes:
    r"""Where the loss of growing cases has fallen to some ratio of its start, [R, D].

    Attributes:
        rows: which cases [R].
        time, coarse: $\hat t=\delta^{L-2}t$ at two tolerances; NaN where the loss does not fall.
        misalignment: of w with the end of the NCF flow; NaN likewise.
        evaluations: right-hand sides up to there.
    """

    rows: Int[Tensor, " r"]
    time: Float[Tensor, "r d"]
    coarse: Float[Tensor, "r d"]
    misalignment: Float[Tensor, "r d"]
    evaluations: Int[Tensor, "r d"]


@dataclass(frozen=True)
class Study:
    """One network with its inputs, its cases, the ends of their NCF flows, and the epsilons, decreasing, that matter."""

    network: Network
    x: Float[Tensor, "n d"]
    losses: tuple[Loss, ...]
    cases: Cases
    ends: Reference
    epsilons: tuple[float, ...]
    rtol: float

    @classmethod
    def begin(
        cls,
        network: Network,
        x: Float[Tensor, "n d"],
        losses: Sequence[Loss],
        cases: Cases,
        epsilons: Sequence[float],
        rtol: float,
    ) -> Study:
        """Follow the NCF flow of every case to its end."""
        ends = reference(network, x, cases.z, cases.starts, smallest_epsilon=min(epsilons))
        return cls(network, x, tuple(losses), cases, ends, tuple(sorted(epsilons, reverse=True)), rtol)

    def growing(self, loss: int = 0) -> Int[Tensor, " r"]:
        """The cases of one loss whose NCF flow grows along a direction."""
        return ((self.cases.loss == loss) & (self.ends.branch == Ending.GROWS)).nonzero()[:, 0]

    @functools.cached_property
    def moments(self) -> list[Int[Tensor, " s"]]:
        """The step of u at which it is within each epsilon of its end."""
        return [self.ends.moment(epsilon) for epsilon in self.epsilons]

    @functools.cached_property
    def times(self) -> Float[Tensor, "s e"]:
        r"""$T_\epsilon$."""
        return torch.stack([self.ends.at(moment)[1] for moment in self.moments], dim=1)

    @functools.cached_property
    def largest_norms(self) -> Float[Tensor, "s e"]:
        r"""$B_\epsilon$: the largest norm of u up to then."""
        return torch.stack([self.ends.largest_norm(moment) for moment in self.moments], dim=1)

    def compare(self, deltas: Float[Tensor, "s d"], *, points: int = 8) -> Comparison:
        """`shadow` up to the moment of each epsilon, with so many points on the way from one to the next."""
        resolved = self.largest_norms ** (self.network.degree - 2) <= LARGEST_CONDITION
        marks = [self.ends.at(moment)[0] for moment in self.moments]
        for position, ready in enumerate(resolved.unbind(dim=1)):
            fallback = marks[position - 1] if position else self.ends.steps.arc[:, 1]
            marks[position] = torch.where(ready, marks[position], fallback)
        begins = [torch.zeros_like(marks[0]), *marks[:-1]]
        share = torch.linspace(0, 1, points + 1, dtype=deltas.dtype, device=deltas.device)[1:]
        arcs = torch.cat([a[:, None] + share * (b - a)[:, None] for a, b in zip(begins, marks, strict=True)], dim=1)
        both = shadow(self.network, self.x, self.losses, self.cases, deltas, arcs, rtol=self.rtol)
        return Comparison(deltas, resolved, *both, slice(points - 1, None, points))

    def escapes(self, deltas: Sequence[float], *, ratio: float = 0.99) -> Escapes:
        r"""Growing cases of the first loss, until their loss has fallen to `ratio` of its start.

        They are given up after the arc of the NCF flow and ten times what growth at the rate $L\mathcal N(u_*)$ takes from delta
        to norm 1.
        """
        rows = self.growing()
        row, scales = (
            rows.repeat_interleave(len(deltas)),
            torch.tensor(deltas, dtype=self.x.dtype, device=self.x.device).repeat(len(rows)),
        )
        length = self.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[row]
        length = length + 10 * (1 - scales.log()) / (self.network.degree * self.ends.value[row])
        both = torch.cat([row, row])
        path = gradient_flow(
            Objective(self.network, self.x, self.cases.y[both], self.losses[0]),
            self.cases.starts[both],
            scales.repeat(2),
            rtol=torch.tensor([self.rtol, 10 * self.rtol], dtype=scales.dtype, device=scales.device).repeat_interleave(len(row)),
            until=[loss_ratio_below(ratio)],
            length=length.repeat(2),
        )
        left = path.ended_by == 0
        time, coarse = torch.where(left, path.time, torch.nan).chunk(2)
        apart = misalignment(path.direction[: len(row)], self.ends.limit[row])
        distance = torch.where(left[: len(row)], apart, torch.nan)
        found = (time, coarse, distance, path.evaluations[: len(row)])
        return Escapes(rows, *(part.view(len(rows), -1) for part in found))

    def curves(self, deltas: Sequence[float]) -> dict[str, np.ndarray]:
        r"""The first growing case of the first loss until its loss has fallen by a hundredth: $\hat t$ and $1-\cos$, [D, N].

        The NCF flow beside it, `ncf_time` and `ncf_misalignment`.
        """
        case, scales = int(self.growing()[0]), torch.tensor(deltas, dtype=self.x.dtype, device=self.x.device)
        starts, until = self.cases.starts[case].expand(len(deltas), -1), [loss_ratio_below(0.99)]
        path = gradient_flow(
            Objective(self.network, self.x, self.cases.y[case], self.losses[0]),
            starts,
            scales,
            until=until,
            rtol=1e-7,
            save=Save(steps=True),
        )
        limit, steps = self.ends.limit[case], self.ends.steps
        assert path.every_step is not None
        return {
            "time": path.every_step.time.cpu().numpy(),
            "misalignment": misalignment(path.every_step.direction, limit).cpu().numpy(),
            "ncf_time": steps.time[case].cpu().numpy(),
            "ncf_misalignment": misalignment(steps.direction[case], limit).cpu().numpy(),
            "deltas": scales.cpu().numpy(),
            "blow_up": self.ends.blow_up[case].cpu().numpy(),
        }
