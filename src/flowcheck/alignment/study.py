"""One network with its data, its cases and its references: what Theorem 5.1 of both homogeneous papers is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
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

    def ending(self) -> dict[str, np.ndarray]:
        """What became of the NCF flows, [S]; `time` and `largest_norm` at the moments, [S, E]."""
        ends, moments = self.ends, [self.ends.moment(epsilon) for epsilon in self.epsilons]
        arrays = {key: getattr(ends, key).numpy() for key in ("branch", "value", "residual", "norm_floor", "blow_up")}
        time = torch.stack([ends.at(moment)[1] for moment in moments], dim=1)
        largest = torch.stack([ends.largest_norm(moment) for moment in moments], dim=1)
        return arrays | {"time": time.numpy(), "largest_norm": largest.numpy(), "loss": self.cases.loss.numpy()}

    def compare(
        self, deltas: Float[Tensor, "s d"], *, points: int = 8, wrong_limit: Float[Tensor, "s k"] | None = None
    ) -> dict[str, np.ndarray]:
        r"""`shadow` up to the moment of each epsilon, as arrays; beside every name one with `_error`, what a coarser run moves.

        [S, D, E]: `deviation`, the largest $\|s-u\|$ up to the moment; `excess`, the largest $\|s\|$ less the largest $\|u\|$;
        at the moment `norm` and `misalignment` of s (with a `wrong_limit` also `misalignment_wrong`). [S, D, P], at P = E
        `points`: `path_norm`, `path_time`, `path_change`. [S, E]: `resolved`, whether u is small enough to be compared at equal
        time; where it is not, all else is void.
        """
        moments = [self.ends.moment(epsilon) for epsilon in self.epsilons]
        condition = torch.stack([self.ends.largest_norm(moment) ** (self.network.degree - 2) for moment in moments], dim=1)
        resolved = condition <= LARGEST_CONDITION
        marks = [self.ends.at(moment)[0] for moment in moments]
        for position, ready in enumerate(resolved.unbind(dim=1)):
            fallback = marks[position - 1] if position else self.ends.steps.arc[:, 1]
            marks[position] = torch.where(ready, marks[position], fallback)
        begins = [torch.zeros_like(marks[0]), *marks[:-1]]
        share = torch.linspace(0, 1, points + 1, dtype=deltas.dtype, device=deltas.device)[1:]
        arcs = torch.cat([a[:, None] + share * (b - a)[:, None] for a, b in zip(begins, marks, strict=True)], dim=1)
        at = [(position + 1) * points - 1 for position in range(len(moments))]

        def quantities(run: Shadow) -> dict[str, Tensor]:
            norm = run.s.norm(dim=-1)
            largest = [part.clamp_min(1.0).cummax(dim=-1).values for part in (norm, run.u.norm(dim=-1))]
            found = {
                "deviation": run.deviation()[..., at],
                "excess": (largest[0] - largest[1])[..., at],
                "norm": norm[..., at],
                "misalignment": run.misalignment(self.ends.limit)[..., at],
                "path_norm": norm,
                "path_time": run.time,
                "path_change": run.change,
            }
            return found if wrong_limit is None else found | {"misalignment_wrong": run.misalignment(wrong_limit)[..., at]}

        both = shadow(self.network, self.x, self.losses, self.cases, deltas, arcs, rtol=self.rtol)
        fine, coarse = (quantities(run) for run in both)
        arrays = {name: value.numpy() for name, value in fine.items()} | {"resolved": resolved.numpy(), "deltas": deltas.numpy()}
        return arrays | {f"{name}_error": (value - coarse[name]).abs().numpy() for name, value in fine.items()}

    def escapes(self, deltas: Sequence[float], *, ratio: float = 0.99) -> dict[str, np.ndarray]:
        r"""Where the loss has fallen to `ratio` of its start, for growing cases of the first loss, [R, D].

        `time` is $\hat t=\delta^{L-2}t$, NaN where the loss does not fall in the arc of the NCF flow and ten times what growth at
        the rate $L\mathcal N(u_*)$ takes from delta to norm 1; `time_error` how far it moves with the tolerance; `misalignment`
        and right-hand sides, `evaluations`, up to there. `value` and `blow_up` of the NCF flows, [R].
        """
        rows = self.growing()
        row, scales = (
            rows.repeat_interleave(len(deltas)),
            torch.tensor(deltas, dtype=self.x.dtype, device=self.x.device).repeat(len(rows)),
        )
        length = self.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[row]
        length = length + 10 * (1 - scales.log()) / (self.network.degree * self.ends.value[row])
        until = [loss_ratio_below(ratio)]

        both = torch.cat([row, row])
        path = gradient_flow(
            Objective(self.network, self.x, self.cases.y[both], self.losses[0]),
            self.cases.starts[both],
            scales.repeat(2),
            rtol=torch.tensor([self.rtol, 10 * self.rtol], dtype=scales.dtype, device=scales.device).repeat_interleave(len(row)),
            until=until,
            length=length.repeat(2),
        )
        (left, _), (time, coarse) = (path.ended_by == 0).chunk(2), path.time.chunk(2)
        time = torch.where(left, time, torch.nan)
        distance = torch.where(left, misalignment(path.direction[: len(row)], self.ends.limit[row]), torch.nan)
        found = {
            "time": time,
            "time_error": (time - coarse).abs(),
            "misalignment": distance,
            "evaluations": path.evaluations[: len(row)],
        }
        arrays = {name: value.view(len(rows), -1).numpy() for name, value in found.items()}
        return arrays | {"value": self.ends.value[rows].numpy(), "blow_up": self.ends.blow_up[rows].numpy()}

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
            "time": path.every_step.time.numpy(),
            "misalignment": misalignment(path.every_step.direction, limit).numpy(),
            "ncf_time": steps.time[case].numpy(),
            "ncf_misalignment": misalignment(steps.direction[case], limit).numpy(),
            "deltas": scales.numpy(),
            "blow_up": self.ends.blow_up[case].numpy(),
        }
