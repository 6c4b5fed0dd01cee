r"""Explicit Runge-Kutta over a batch of autonomous systems y' = f(y), every trajectory with steps of its own.

State [S, m] in float64; converges to the solution with the order of the pair (5: Dormand-Prince 5(4); 8: DOP853) as the
tolerance goes to 0. The tableaux are those of scipy.integrate; trajectories that have ended leave the batch.

Every callback takes the rows it is asked for and their numbers `index` [A] in the batch, last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, NOT_NEGATIVE, POSITIVE, number, one_of, whole
from flowcheck.geometry import norm
from flowcheck.integration.crossings import Margin, Pieces, first_root
from flowcheck.integration.dense_output import DenseOutput, Kept
from flowcheck.integration.runge_kutta import Interpolant, RungeKutta, Step
from flowcheck.tensors import Numbers, for_each, points, tensor, tensors, unwritten

Rhs = Callable[..., Tensor]
"""f(state [A, m], index [A]) -> [A, m]; with kinks f(state, mode [A, M], index): the smooth extension of the piece `mode`."""
ErrorNorm = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(error [A, m], state [A, m], index [A]) -> [A], at most 1 for a step to be accepted; homogeneous in the error."""

SAFETY, LARGEST_FACTOR, SMALLEST_FACTOR = 0.9, 8.0, 0.2
REJECTIONS = 40
"""Rejections in a row before giving up: the step has then shrunk by 0.2^40 = 1e-28."""
SAMPLES = (0.25, 0.5, 0.75, 1.0)
"""Where a step is looked at for kinks; two crossings of one kink between two samples go unseen."""
TOGETHER = 1e-9
"""Kinks whose distance has shrunk by this factor when the first is met are met with it: they are one, up to a factor."""


NEARBY = 1e-4
"""Fraction of a step over which the rate of a margin is measured."""
LOOKS = 24
"""How often a step in which an event may hide is halved where its margin comes near 0."""
LEAST_LOOKS = 10
"""How often at least: in a thousandth of a step, a margin that opens and rises evenly opens once."""
EVEN = 2.0
"""Largest ratio of the rises in two halves; below 3 the parabola through the three points is monotone."""
RESOLUTION = 1e-9
"""Fraction of a step within which two roots are one."""


@dataclass(frozen=True)
class Trajectories:
    """What `integrate` returns, one row per trajectory.

    Attributes:
        state, s: the final state [S, m] and where it was reached [S].
        ended_by: position of the event that ended each trajectory, -1 for the end of its length.
        evaluations, steps, kinks: right-hand sides, accepted steps and located kinks, [S] each.
        recorded: states at `record_at` [S, P, m], NaN beyond a trajectory's end; None if not asked for.
        step_s, step_state: every accepted step from the start on, [S, N] and [S, N, m], padded by NaN; None if not asked for.
        dense: the solution between the steps; None if not asked for.
    """

    state: Float[Tensor, "s m"]
    s: Float[Tensor, " s"]
    ended_by: Int[Tensor, " s"]
    evaluations: Int[Tensor, " s"]
    steps: Int[Tensor, " s"]
    kinks: Int[Tensor, " s"]
    recorded: Float[Tensor, "s p m"] | None = None
    step_s: Float[Tensor, "s n"] | None = None
    step_state: Float[Tensor, "s n m"] | None = None
    dense: DenseOutput | None = None


def integrate(
    rhs: Rhs,
    start: Numbers,
    length: float | Numbers,
    *,
    rtol: float = 1e-9,
    atol: float | Float[Tensor, "#s #m"] = 0.0,
    error_norm: ErrorNorm | None = None,
    order: Literal[5, 8] = 5,
    project: Callable[[Tensor], Tensor] | None = None,
    events: Sequence[Margin] = (),
    record_at: Numbers | None = None,
    keep_steps: bool = False,
    keep_dense: bool = False,
    kinks: Margin | Pieces | None = None,
    max_steps: int = 100_000,
    max_kinks: int = 10_000,
) -> Trajectories:
    """Integrate y' = rhs(y) from `start` over s in [0, length], each trajectory to its own length (inf: until an event).

    Args:
        rtol, atol: a step is accepted if the root mean square of error / (atol + rtol |y|) is at most 1; atol is positive, may
            differ by trajectory and component, and is to scale with the state. `error_norm` replaces this rule.
        order: 5 or 8.
        project: applied after each accepted step and to recorded states: puts them back on a manifold.
        events: a trajectory ends where one rises through 0, located to rounding, the last step of full order. An event that
            is not negative at the start ends the trajectory there. One that opens and closes within a step is seen by values
            and rates of its margin at the ends of the step, and then between them: the margin may have kinks, and change twice as
            fast inside. A spike that the ends do not show is not seen.
        record_at: values of s in any order, shared or one row per trajectory, padded by NaN; filled by dense output.
        keep_steps, keep_dense: keep the states at every accepted step; what tells them between the steps.
        kinks: functions whose signs tell the pieces of a piecewise smooth rhs apart, or `Pieces`. A step is cut where it leaves
            its piece, so every step sees one smooth piece and keeps its order. Without them a solution that slides along a kink
            ends in an error that says so.
        max_steps: attempted steps per trajectory.
        max_kinks: located kinks per trajectory: a solution that slides along a kink crosses it for ever.

    Raises:
        ValueError: neither a positive atol nor an error norm; an argument that is not what is asked for, as a negative length or
            a right-hand side of another shape than the states, or one that writes into them; an event that is no number at the
            start.
        RuntimeError: naming trajectory and s, if a guard is hit, the step underflows, or rhs is not finite.
    """
    one_of("order", order, (5, 8))
    begin, relative = states(start), number("rtol", rtol, FINITE_NOT_NEGATIVE)
    lengths = for_each("length", length, begin, NOT_NEGATIVE).clone()
    if error_norm is None:
        scale = tensor("atol", atol, begin.device)
        if not bool(POSITIVE.holds(scale).all()):
            raise ValueError("atol must be positive and finite: a component that is 0 has no relative error")
        scale = torch.broadcast_to(scale, begin.shape)

        def error_norm(error: Tensor, state: Tensor, index: Tensor) -> Tensor:
            return (error / (scale[index] + relative * state.abs())).square().mean(dim=-1).sqrt()

    asked = None if record_at is None else points("record_at", record_at, lengths)
    steps, crossed = whole("max_steps", max_steps, 1), whole("max_kinks", max_kinks, 1)
    pieces = kinks if kinks is None or isinstance(kinks, Pieces) else Pieces(kinks)
    with torch.inference_mode():  # a fifth faster: the tensors of a flow are small, and autograd looks at every one
        run = _Run(rhs, error_norm, RungeKutta(order, begin), project, events, pieces, lengths, asked)
        run.begin(begin, keep_steps, keep_dense)
        while len(run.index):
            run.attempt(steps, crossed)
    found = run.result()  # autograd takes what is made from here on, and copies of the rest
    lasting: dict[str, Any] = {
        name: part.clone() for name, part in vars(found).items() if isinstance(part, Tensor) and part.is_inference()
    }
    return replace(found, **lasting)


def states(start: Numbers) -> Float[Tensor, "s m"]:
    """The states at the start, finite and in float64. Raises ValueError if they are not rows of components."""
    rows = tensors(start=start)[0]
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"start is rows of components [S, m], got shape {tuple(rows.shape)}")
    return rows


def first_slope(rhs: Callable[[Tensor], Tensor], start: Float[Tensor, "s m"]) -> Float[Tensor, "s m"]:
    """What the right-hand side gives at the start, as a tensor of its own: `rhs` may give one and the same each time.

    Raises ValueError if it is no velocity of these states, or if the call writes into its argument.
    """
    return check_slope(unwritten("the right-hand side", rhs, start), start).clone()


def check_slope(slope: object, start: Float[Tensor, "s m"]) -> Float[Tensor, "s m"]:
    """What the right-hand side gives. Raises ValueError if it is no velocity of these states."""
    if not isinstance(slope, Tensor) or slope.shape != start.shape or slope.dtype != start.dtype:
        said = (
            f"{str(slope.dtype).removeprefix('torch.')} of shape {tuple(slope.shape)}"
            if isinstance(slope, Tensor)
            else repr(slope)
        )
        raise ValueError(f"the right-hand side must give float64 of shape {tuple(start.shape)}, got {said}")
    return slope


def why_slow(f: Callable[[Tensor], Tensor], state: Float[Tensor, "1 m"], slope: Float[Tensor, "1 m"]) -> str:
    """More words on a trajectory that does not get on: whether f jumps ahead, by as much a thousandth ahead as much closer."""
    ahead = norm(state).unsqueeze(-1) * slope / norm(slope).unsqueeze(-1)
    near, far = (norm(f(state + part * ahead) - slope) for part in (1e-5, 1e-3))
    jumps = bool((near > 0.5 * far) & (near > 0.01 * norm(slope)))
    return "; the right-hand side jumps there, as where a solution slides along a kink, which no step gets past" if jumps else ""


COUNTS = ("evaluations", "steps", "kinks")


def _may_open(left: Tensor, right: Tensor, change: Tensor) -> Tensor:
    """Whether a margin that is negative at both ends of an interval reaches 0 within if it changes twice as fast as `change`."""
    return (left < 0) & (right < 0) & (0.5 * (left + right) + change >= 0)


def _may_hide(left: Tensor, right: Tensor, rate_left: Tensor, rate_right: Tensor) -> Tensor:
    """Whether more may happen to a margin in a step than its ends show: rates are those at the ends, for the whole step.

    Nothing does where the cubic through values and rates is monotone (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980).
    """
    change = right - left
    monotone = (rate_left * change >= 0) & (rate_right * change >= 0)
    monotone &= torch.maximum(rate_left.abs(), rate_right.abs()) <= 3 * change.abs()
    fastest = torch.maximum(torch.maximum(rate_left.abs(), rate_right.abs()), change.abs())
    return (left < 0) & ~monotone & ((right >= 0) | _may_open(left, right, fastest))


class _Run:
    """The loop of `integrate`. Arrays have a row for each trajectory of `index`, those that still run; results for all."""

    def __init__(
        self,
        rhs: Rhs,
        norm: ErrorNorm,
        method: RungeKutta,
        project: Callable[[Tensor], Tensor] | None,
        events: Sequence[Margin],
        pieces: Pieces | None,
        lengths: Tensor,
        points: Tensor | None,
    ) -> None:
        self.rhs, self.norm, self.method, self.project = rhs, norm, method, project
        self.events, self.pieces, self.lengths, self.points = events, pieces, lengths, points

    def begin(self, start: Tensor, keep_steps: bool, keep_dense: bool) -> None:
        count = start.shape[0]
        self.index = torch.arange(count, device=start.device)
        self.y, self.s = start.clone(), start.new_zeros(count)
        self.mode = None if self.pieces is None else self.pieces.begin(self.y, self.index)
        self.evaluations, self.steps, self.kinks = (torch.zeros_like(self.index) for _ in range(3))
        self.attempts, self.rejections = torch.zeros_like(self.index), torch.zeros_like(self.index)
        self.last_error = torch.ones_like(self.s)
        self.slope = first_slope(self._f(self.index, self.mode), self.y)
        self._check_finite(self.slope)
        self.h = self._first_step()
        self.evaluations += 2
        self.margins = unwritten("an event", lambda state: self._margins(state, self.index), self.y)
        unknown = torch.isnan(self.margins).nonzero()
        if len(unknown):
            raise ValueError(f"trajectory {int(unknown[0, 0])}: event {int(unknown[0, 1])} is no number where it begins")
        self.rates = self._rates(self.y, NEARBY * self.h, self.slope, self.margins, self.index)
        nothing, ended = torch.zeros_like(self.index), torch.full_like(self.index, -1)
        self.final = Trajectories(self.y.clone(), self.s.clone(), ended, nothing, nothing.clone(), nothing.clone())
        self.recorded: Tensor | None = None
        if self.points is not None:
            with torch.inference_mode(False):  # the largest part: autograd takes it as it is, and no copy
                self.recorded = start.new_full((count, self.points.shape[1], start.shape[1]), torch.nan)
            at_start = self.points == 0
            self.recorded[at_start] = start[at_start.nonzero()[:, 0]]
        self.kept = [(self.index, self.steps.clone(), self.s, self.y)] if keep_steps else None
        self.dense: list[Kept] | None = [] if keep_dense else None
        self.began = start
        first = (self.margins >= 0).to(torch.int64).argmax(dim=-1) if self.events else torch.zeros_like(self.index)
        ended = torch.where((self.margins >= 0).any(dim=-1), first, -1)
        self._drop((ended >= 0) | (self.lengths <= 0), ended)

    def attempt(self, max_steps: int, max_kinks: int) -> None:
        """One step of every running row; rejected rows come again with a smaller one."""
        remaining = self.lengths - self.s
        h = torch.where(self.h >= remaining * (1 - 1e-12), remaining, self.h)
        step = self.method.advance(self._f(self.index, self.mode), self.y, self.slope, h)
        self.evaluations += self.method.evaluations
        error = self.method.error(step, lambda raw, state: self.norm(raw, state, self.index))
        finite = torch.isfinite(error) & torch.isfinite(step.end_slope).all(dim=-1)
        accepted = finite & (error <= 1)
        self._control(h, error, finite, accepted)
        self._guard(finite, max_steps)
        whole_batch = bool(accepted.all())  # the usual case, in which nothing need be gathered and scattered
        if not (whole_batch or bool(accepted.any())):
            return
        rows = accepted.nonzero()[:, 0]
        step = step if whole_batch else step.take(rows)
        left = None
        if self.pieces is not None:
            step, left = self._cut_at_kinks(step, rows)
        step, margins, ended = self._cut_at_events(step, rows)
        complete = (step.h == remaining[rows]) & (ended < 0)
        reached = torch.where(complete, self.lengths[rows], self.s[rows] + step.h)
        self._record(step, rows, reached)
        if self.dense is not None:  # in copies: what is advanced in place below is part of the step
            whole = torch.arange(len(rows), device=rows.device)
            mode = None if self.mode is None else self.mode[rows]
            self.dense.append(Kept(self.index[rows], self.s[rows], step.take(whole), mode))
        end = step.end
        if self.pieces is not None and self.mode is not None:
            end = self.pieces.settle(end, self.mode[rows], self.index[rows])
        end = end if self.project is None else self.project(end)
        if whole_batch:
            self.y, self.slope, self.s, self.margins = end, step.end_slope, reached, margins
        else:
            self.y[rows], self.slope[rows], self.s[rows], self.margins[rows] = end, step.end_slope, reached, margins
        self.steps += accepted
        if left is not None:
            self._switch(rows, left & (ended < 0).unsqueeze(-1), max_kinks)
        if self.kept is not None:
            self.kept.append((self.index[rows], self.steps[rows], self.s[rows], self.y[rows]))
        over = (ended >= 0) | (reached >= self.lengths[rows])
        if bool(over.any()):
            every = torch.full_like(self.index, -1).index_copy(0, rows, ended)
            self._drop(torch.zeros_like(accepted).index_copy(0, rows, over), every)

    def result(self) -> Trajectories:
        final = replace(self.final, recorded=self.recorded)
        if self.dense is not None:
            dense = DenseOutput.of(self.method, self.rhs, self.project, self.dense, self.began, final.s)
            final = replace(final, dense=dense)
        if self.kept is None:
            return final
        shape = (len(final.steps), int(final.steps.max()) + 1)
        step_s, step_state = final.s.new_full(shape, torch.nan), final.s.new_full((*shape, final.state.shape[1]), torch.nan)
        while self.kept:  # each let go once it has its place: they are half of the memory
            index, position, s, state = self.kept.pop()
            step_s[index, position], step_state[index, position] = s, state
        return replace(final, step_s=step_s, step_state=step_state)

    def _f(self, index: Tensor, mode: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The right-hand side of some rows."""
        return (lambda state: self.rhs(state, index)) if mode is None else (lambda state: self.rhs(state, mode, index))

    def _rows(self, rows: Tensor, evaluations: int) -> Callable[[Tensor], Tensor]:
        """The right-hand side of some running rows, which will be called so many times."""
        self.evaluations[rows] += evaluations
        return self._f(self.index[rows], None if self.mode is None else self.mode[rows])

    def _first_step(self) -> Tensor:
        """Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, Section II.4, row by row."""
        d0, d1 = self.norm(self.y, self.y, self.index), self.norm(self.slope, self.y, self.index)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        ahead = self._f(self.index, self.mode)(torch.addcmul(self.y, h0.unsqueeze(-1), self.slope))
        d2 = self.norm(ahead - self.slope, self.y, self.index) / h0
        steepest = torch.maximum(d1, d2)
        h1 = torch.where(steepest <= 1e-15, (1e-3 * h0).clamp_min(1e-6), (0.01 / steepest) ** (1 / (self.method.order + 1)))
        h = torch.minimum(100 * h0, h1)
        return torch.where(torch.isfinite(h), h, h0)

    def _control(self, h: Tensor, error: Tensor, finite: Tensor, accepted: Tensor) -> None:
        """PI controller (Hairer and Wanner II, Section IV.2); no growth directly after a rejection."""
        k = self.method.exponent
        size = error.clamp_min(1e-10)
        proportional = SAFETY * size ** (-0.7 / k) * self.last_error ** (0.4 / k)
        grown = proportional.clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
        grown = torch.where(self.rejections > 0, grown.clamp_max(1.0), grown)
        shrunk = (SAFETY * size ** (-1 / k)).clamp(SMALLEST_FACTOR, SAFETY)
        self.h = h * torch.where(accepted, grown, torch.where(finite, shrunk, SMALLEST_FACTOR))
        self.last_error = torch.where(accepted, size, self.last_error)
        self.rejections = torch.where(accepted, 0, self.rejections + 1)
        self.attempts += 1

    def _guard(self, finite: Tensor, max_steps: int) -> None:
        stuck, underflow, late = self.rejections >= REJECTIONS, self.s + self.h == self.s, self.attempts > max_steps
        if not bool((stuck | underflow | late).any()):
            return
        for bad, reason in (
            (stuck, "the step was rejected too often in a row"),
            (underflow, "the step underflows"),
            (late, f"more than {max_steps} steps"),
        ):
            if bool(bad.any()):
                row = int(bad.nonzero()[0])
                own = slice(row, row + 1)
                f = self._f(self.index[own], None if self.mode is None else self.mode[own])
                slow = why_slow(f, self.y[own], self.slope[own])
                cause = reason + slow if bool(finite[row]) else f"{reason}: the right-hand side is not finite"
                raise RuntimeError(f"trajectory {int(self.index[row])} at s = {float(self.s[row]):.17g}: {cause}")

    def _check_finite(self, slope: Tensor) -> None:
        bad = ~torch.isfinite(slope).all(dim=-1)
        if bool(bad.any()):
            raise RuntimeError(f"trajectory {int(bad.nonzero()[0])} at s = 0: the right-hand side is not finite")

    def _margins(self, state: Tensor, index: Tensor) -> Tensor:
        if not self.events:
            return state.new_zeros((len(index), 0))
        return torch.stack([self._margin(position, state, index) for position in range(len(self.events))], dim=-1)

    def _margin(self, position: int, state: Tensor, index: Tensor) -> Tensor:
        margin = self.events[position](state, index)
        if margin.shape != index.shape or not margin.is_floating_point():
            found = f"{str(margin.dtype).removeprefix('torch.')} of shape {tuple(margin.shape)}"
            raise ValueError(f"event {position} must give a floating margin of shape {tuple(index.shape)}, got {found}")
        return margin

    def _cut_at_events(self, step: Step, rows: Tensor) -> tuple[Step, Tensor, Tensor]:
        """Steps that end at the first event inside them; margins at the end; the event that ended each row, or -1."""
        index = self.index[rows]
        margins, ended = self._margins(step.end, index), torch.full_like(index, -1)
        if not self.events:
            return step, margins, ended
        before, rates = self.margins[rows], self._rates(step.end, -NEARBY * step.h, step.end_slope, margins, index)
        rising = (before < 0) & (margins >= 0)
        unsure = rising | _may_hide(before, margins, self.rates[rows] * step.h.unsqueeze(-1), rates * step.h.unsqueeze(-1))
        self.rates[rows] = rates
        some = unsure.any(dim=-1).nonzero()[:, 0]
        if not len(some):
            return step, margins, ended
        dense = self.method.interpolant(self._rows(rows[some], self.method.dense_evaluations), step.take(some))
        opens, low, high = self._look_inside(dense, rows[some], before[some], margins[some])
        found = opens.any(dim=-1).nonzero()[:, 0]
        if not len(found):
            return step, margins, ended
        hit, dense, opens, low, high = some[found], dense.take(found), opens[found], low[found], high[found]
        shown = ~(opens & ~rising[hit]).any(dim=-1)  # what opens first is open at the end of the step
        opens = torch.where(shown.unsqueeze(-1), rising[hit], opens)

        def closed(fraction: Tensor) -> Tensor:
            return self._closed(dense(fraction), index[hit], opens)

        fraction = first_root(closed, torch.where(shown, 0.0, low), torch.where(shown, 1.0, high))
        late = (fraction < low) | (fraction > high + RESOLUTION)
        if bool(late.any()):  # it has opened, closed and opened again
            fraction = torch.where(late, first_root(closed, low, high), fraction)
        cut = self._cut(step.take(hit), rows[hit], dense, lambda state: self._closed(state, index[hit], opens), fraction)
        reached = self._margins(cut.end, index[hit])
        ended[hit] = reached.masked_fill(~opens, -torch.inf).argmax(dim=-1)
        return step.put(hit, cut), margins.index_copy(0, hit, reached), ended

    def _closed(self, state: Tensor, index: Tensor, opens: Tensor) -> Tensor:
        """Positive before the first of the events that open in a step."""
        return -self._margins(state, index).masked_fill(~opens, -torch.inf).amax(dim=-1)

    def _rates(self, state: Tensor, ahead: Tensor, slope: Tensor, margins: Tensor, index: Tensor) -> Tensor:
        """Derivatives of the margins [A, E] along the solution, from `state` towards `ahead` in s: margins may have kinks."""
        there = self._margins(torch.addcmul(state, ahead.unsqueeze(-1), slope), index)
        return (there - margins) / ahead.unsqueeze(-1)

    def _look_inside(self, dense: Interpolant, rows: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which events [A, E] open first inside these steps, and fractions between which they do.

        Intervals are halved as long as an event may hide in them, or as one that opens in them does not rise evenly.
        """
        none, whole = before.new_zeros(len(rows)), before.new_ones(len(rows))
        own, at = torch.arange(len(rows), device=rows.device), torch.stack([none, whole])
        found, seen = torch.stack([before, after]), []
        for depth in range(LOOKS):
            middle = at.mean(dim=0)
            new = self._margins(dense(middle, own), self.index[rows[own]])
            # both halves are given the larger change of the two: the one with the top of a margin may show none
            rise, later = new - found[0], found[1] - new
            change = torch.maximum(rise.abs(), later.abs()).repeat(2, 1)
            even = ((rise <= EVEN * later) & (later <= EVEN * rise)).repeat(2, 1) & (depth >= LEAST_LOOKS - 1)
            own, at = own.repeat(2), torch.stack([torch.cat([at[0], middle]), torch.cat([middle, at[1]])])
            found = torch.stack([torch.cat([found[0], new]), torch.cat([new, found[1]])])
            opening = (found[0] < 0) & (found[1] >= 0)
            opens = opening.any(dim=-1)
            split = (_may_open(found[0], found[1], change) | (opening & ~even)).any(dim=-1) & (depth < LOOKS - 1)
            last = opens & ~split
            seen.append((own[last], at[:, last], found[:, last]))
            own, at, found = own[split], at[:, split], found[:, split]
            if not len(own):
                break
        own, at = torch.cat([part[0] for part in seen]), torch.cat([part[1] for part in seen], dim=1)
        left, right = torch.cat([part[2] for part in seen], dim=1)
        earliest = (torch.inf * whole).scatter_reduce(0, own, at[0], "amin")
        first = at[0] == earliest[own]
        opens, low, high = torch.zeros_like(before, dtype=torch.bool), none, whole
        opens[own[first]] = ((left < 0) & (right >= 0))[first]
        low[own[first]], high[own[first]] = at[:, first]
        return opens, low, high

    def _cut_at_kinks(self, step: Step, rows: Tensor) -> tuple[Step, Tensor]:
        """Steps that end where they first leave their piece, and through which kinks [A, M] they do."""
        assert self.pieces is not None
        assert self.mode is not None
        pieces, index, mode = self.pieces, self.index[rows], self.mode[rows]
        dense = self.method.interpolant(self._rows(rows, self.method.dense_evaluations), step)
        count = len(SAMPLES)
        states = torch.cat([dense(torch.full_like(step.h, sample)) for sample in SAMPLES])
        beyond = (pieces.inside(states, mode.repeat(count, 1), index.repeat(count)) < 0).view(count, *mode.shape)
        found, first = beyond.any(dim=-1).max(dim=0)
        left = beyond[first, torch.arange(len(index), device=index.device)]
        hit = found.nonzero()[:, 0]
        if not len(hit):
            return step, left
        samples = step.h.new_tensor((0.0, *SAMPLES))
        low, high = samples[first], samples[first + 1]

        def inside(state: Tensor) -> Tensor:
            """Positive inside the piece, as far as the kinks that this step goes through bound it."""
            return pieces.inside(state, mode[hit], index[hit]).masked_fill(~left[hit], torch.inf).amin(dim=-1)

        part = step.take(hit)
        dense = self.method.interpolant(self._rows(rows[hit], self.method.dense_evaluations), part)
        fraction = first_root(lambda x: inside(dense(x)), low[hit], high[hit])
        cut = self._cut(part, rows[hit], dense, inside, fraction)
        values = pieces.inside(cut.end, mode[hit], index[hit]).masked_fill(~left[hit], torch.inf)
        before = pieces.inside(step.start[hit], mode[hit], index[hit]).abs()
        reached = values <= torch.maximum(values.amin(dim=-1, keepdim=True).clamp_min(0), TOGETHER * before)
        return step.put(hit, cut), left.index_copy(0, hit, reached)

    def _cut(self, step: Step, rows: Tensor, dense: Interpolant, phi: Callable[[Tensor], Tensor], fraction: Tensor) -> Step:
        """The steps to the zero of phi at `fraction` of the dense output: redone as one step, corrected once by the secant."""
        f = self._rows(rows, 2 * self.method.evaluations)
        cut = self.method.advance(f, step.start, step.slope, fraction * step.h)
        nearby = (fraction - 1e-4).clamp_min(0)
        slope = (phi(dense(fraction)) - phi(dense(nearby))) / (fraction - nearby)
        correction = phi(cut.end) / slope
        usable = torch.isfinite(correction) & (correction.abs() < 1e-2)
        fraction = torch.where(usable, (fraction - correction).clamp(0, 1), fraction)
        return self.method.advance(f, step.start, step.slope, fraction * step.h)

    def _switch(self, rows: Tensor, left: Tensor, max_kinks: int) -> None:
        """Rows that reached a kink go on in the next piece."""
        assert self.pieces is not None
        assert self.mode is not None
        hit = left.any(dim=-1)
        if not bool(hit.any()):
            return
        rows, left = rows[hit], left[hit]
        self.mode[rows] = self.pieces.switch(self.y[rows], self.mode[rows], left, self.index[rows])
        self.kinks[rows] += left.sum(dim=-1)
        self.slope[rows] = self._rows(rows, 1)(self.y[rows])
        self.rates[rows] = self._rates(
            self.y[rows], NEARBY * self.h[rows], self.slope[rows], self.margins[rows], self.index[rows]
        )
        many = self.kinks > max_kinks
        if bool(many.any()):
            row = int(many.nonzero()[0])
            place = f"trajectory {int(self.index[row])} at s = {float(self.s[row]):.17g}"
            raise RuntimeError(f"{place}: more than {max_kinks} kinks; the solution slides along a kink")

    def _record(self, step: Step, rows: Tensor, reached: Tensor) -> None:
        if self.points is None or self.recorded is None:
            return
        points, s = self.points[self.index[rows]], self.s[rows].unsqueeze(-1)
        due = (points > s) & (points <= reached.unsqueeze(-1))
        own, column = due.nonzero(as_tuple=True)
        if not len(own):
            return
        some, position = torch.unique(own, return_inverse=True)
        dense = self.method.interpolant(self._rows(rows[some], self.method.dense_evaluations), step.take(some))
        states = dense((points[own, column] - self.s[rows[own]]) / step.h[own], position)
        self.recorded[self.index[rows[own]], column] = states if self.project is None else self.project(states)

    def _drop(self, over: Tensor, ended: Tensor) -> None:
        """Store the rows that are over, keep the others."""
        rows, keep = over.nonzero()[:, 0], (~over).nonzero()[:, 0]
        done = self.index[rows]
        self.final.state[done], self.final.s[done], self.final.ended_by[done] = self.y[rows], self.s[rows], ended[rows]
        for name in COUNTS:
            getattr(self.final, name)[done] = getattr(self, name)[rows]
        kept = ("index", "lengths", "y", "s", "slope", "h", "last_error", "rejections", "attempts", "margins", "rates")
        for name in (*COUNTS, *kept):
            setattr(self, name, getattr(self, name)[keep])
        self.mode = None if self.mode is None else self.mode[keep]
