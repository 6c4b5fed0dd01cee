r"""Flows beside their NCF flows as numbers, each with what a coarser tolerance moves it by (Section 5.1 of both papers)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.alignment.reference import COARSER, Reference
from flowcheck.alignment.shadow import Shadow, shadow
from flowcheck.alignment.study import Comparison, Study
from flowcheck.flows.ending import Ending
from flowcheck.flows.flow import gradient_flow
from flowcheck.measures.refinement import Refined
from flowcheck.networks.problem import Objective

LARGEST, SOLVER_RTOL, PER_LOSS = 30.0, 1e-9, 2
"""Of |u|, of cases in which a flow is followed by another solver, as growth amplifies errors; its tolerance; how many of them."""


@dataclass(frozen=True)
class Compared:
    r"""$s=w/\delta$ beside u for cases [S], deltas [D] and the moments of epsilons [E], both decreasing.

    Attributes:
        loss, branch: which loss drives w, and the `Ending` of u [S].
        norm_floor: below which the norm of u does not fall again [S].
        epsilon: [E].
        time, largest_norm: of u up to the moment [S, E].
        deltas: of each case [S, D].
        resolved: what is said of u, and of w, is not void [S, E].
        moment: the time of s and u together at the moment, which is `time` but for the errors of both [S, D, E].
        deviation, excess: largest $\|s-u\|$, and largest $\|s\|$ less the largest $\|u\|$, up to the moment [S, D, E].
        norm, misalignment: of s at the moment, with the end of u [S, D, E].
        path_norm, path_time, path_change: norm of s, time, change of the loss's derivative on the way [S, D, P].
    """

    loss: Int[np.ndarray, " s"]
    branch: Int[np.ndarray, " s"]
    norm_floor: Float[np.ndarray, " s"]
    epsilon: Float[np.ndarray, " e"]
    time: Float[np.ndarray, "s e"]
    largest_norm: Float[np.ndarray, "s e"]
    deltas: Float[np.ndarray, "s d"]
    resolved: Bool[np.ndarray, "s e"]
    moment: Refined
    deviation: Refined
    excess: Refined
    norm: Refined
    misalignment: Refined
    path_norm: Refined
    path_time: Refined
    path_change: Refined

    @classmethod
    def of(cls, study: Study, found: Comparison) -> Compared:
        """All deltas of a comparison, on the CPU."""
        fine, coarse = found.fine, found.coarse
        norm, deviation, excess = (
            refined(*each)
            for each in (
                (fine.s.norm(dim=-1), coarse.s.norm(dim=-1)),
                (fine.deviation(), coarse.deviation()),
                (fine.excess(), coarse.excess()),
            )
        )
        time = refined(fine.time, coarse.time)
        return cls(
            loss=_array(study.cases.loss),
            branch=_array(study.ends.branch),
            norm_floor=_array(study.ends.norm_floor),
            epsilon=np.array(study.epsilons),
            time=_array(study.times),
            largest_norm=_array(study.largest_norms),
            deltas=_array(found.deltas),
            resolved=_array(found.resolved),
            moment=time[..., found.at],
            deviation=deviation[..., found.at],
            excess=excess[..., found.at],
            norm=norm[..., found.at],
            misalignment=misalignment(found, study.ends),
            path_norm=norm,
            path_time=time,
            path_change=refined(fine.change, coarse.change),
        )

    def part(self, columns: slice) -> Compared:
        """Some of the deltas."""
        whole: dict[str, Any] = {name: part[:, columns] for name, part in vars(self).items() if isinstance(part, Refined)}
        return replace(self, deltas=self.deltas[:, columns], **whole)

    def growing(self, loss: int | None = None) -> Bool[np.ndarray, " s"]:
        """Cases, of one loss or of any, whose u grows along a direction and is resolved at the first moment."""
        own = True if loss is None else self.loss == loss
        return (self.branch == Ending.GROWS) & self.resolved[:, 0] & own


class Comparisons(NamedTuple):
    """The same cases from deltas for a slope, from those of the sweep, from a large one, and from one for each epsilon.

    `wrong` is the sweep once more, with the end of another flow in the place of the end of u.
    """

    slopes: Compared
    sweep: Compared
    large: Compared
    own: Compared
    wrong: Compared | None = None


def compare(
    study: Study,
    *,
    slopes: Float[Tensor, "s a"],
    sweep: Float[Tensor, "s b"],
    large: Float[Tensor, "s c"],
    own: Float[Tensor, "s e"],
    wrong: Reference | None = None,
) -> Comparisons:
    """All deltas in one batch."""
    deltas = [slopes, sweep, large, own]
    found = study.compare(torch.cat(deltas, dim=1))
    every, ends = Compared.of(study, found), np.cumsum([part.shape[1] for part in deltas]).tolist()
    columns = [slice(end - part.shape[1], end) for part, end in zip(deltas, ends, strict=True)]
    parts = Comparisons(*(every.part(where) for where in columns))
    if wrong is None:
        return parts
    return parts._replace(wrong=replace(parts.sweep, misalignment=misalignment(found, wrong)[:, columns[1]]))


def solver_gaps(study: Study, share: float) -> Refined:
    r"""$\|s-w/\delta\|$ over $\|u-w/\delta\|$ at the first moment, w as another solver has it, in direction and log-norm [R].

    From $\delta$ = `share` / |u(T)|, at which the loss has begun to act on w: 0 where s is the flow of the loss, and of order one
    where the loss acts otherwise on s. The first cases of each loss whose u stays small are followed.
    """
    small = study.largest_norms[:, 0] <= LARGEST
    rows = torch.cat([(small & (study.cases.loss == loss)).nonzero()[:PER_LOSS, 0] for loss in range(len(study.losses))])
    if not len(rows):
        return Refined.of(np.zeros(0), np.zeros(0))
    delta, cases = share / study.largest_norms[rows, 0], study.cases.take(rows)
    arcs = study.ends.at(study.moments[0])[0][rows].unsqueeze(-1)
    both = shadow(study.network, study.x, study.losses, cases, delta.unsqueeze(-1), arcs, rtol=SOLVER_RTOL)
    found = []
    for run, rtol in zip(both, (SOLVER_RTOL, COARSER * SOLVER_RTOL), strict=True):
        w = torch.empty_like(run.s[:, 0, -1])
        for position in sorted(set(cases.loss.tolist())):
            own, loss = cases.loss == position, study.losses[position]
            problem, times = Objective(study.network, study.x, cases.y[own], loss), run.time[own, 0, -1]
            path = gradient_flow(problem, cases.starts[own], delta[own], rtol=rtol, length=times, clock="time")
            w[own] = path.weights_over_delta()
        found.append((run.s[:, 0, -1] - w).norm(dim=-1) / (run.u[:, 0, -1] - w).norm(dim=-1))
    return refined(*found)


def misalignment(found: Comparison, ends: Reference) -> Refined:
    r"""$1-\cos$ of the angle of s with the limit of a flow, at the moments [S, D, E]."""
    fine, coarse = (run.misalignment(ends.limit)[..., found.at] for run in (found.fine, found.coarse))
    return from_limit(refined(fine, coarse), _array(ends.limit_error)[:, None, None])


def last_deviation(fine: Shadow, coarse: Shadow) -> Refined:
    r"""$\sup\|s-u\|$ up to the last point [S, D]."""
    return refined(fine.deviation()[..., -1], coarse.deviation()[..., -1])


def from_limit(misalignment: Refined, limit_error: Float[np.ndarray, "*#s"]) -> Refined:
    r"""$1-\cos a$ to a direction that is known to an angle e only: that moves it by at most $e\sin a+e^2/2$."""
    sine = np.sqrt(misalignment.value * (2 - misalignment.value))
    return misalignment.with_rounding(limit_error * sine + 0.5 * limit_error**2)


def refined(fine: Float[Tensor, "*s"], coarse: Float[Tensor, "*s"]) -> Refined:
    """Numbers at two tolerances, on the CPU."""
    return Refined.of(_array(fine), _array(coarse))


def for_all_cases(deltas: Sequence[float], study: Study) -> Float[Tensor, "s d"]:
    """The same deltas for every case, where its tensors are."""
    return torch.tensor(deltas, dtype=study.x.dtype, device=study.x.device).expand(len(study.cases.y), -1)


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
