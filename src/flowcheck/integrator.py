r"""Explicit Runge-Kutta over a batch of autonomous systems y' = f(y), every trajectory with steps of its own.

State [S, m] in float64; converges to the solution with the order of the pair (5: Dormand-Prince 5(4); 8: DOP853) as the
tolerance goes to 0. The tableaux are those of scipy.integrate; trajectories that have ended leave the batch.

Every callback takes the rows it is asked for and their numbers `index` [A] in the batch, last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.integrate import DOP853, RK45
from torch import Tensor

Rhs = Callable[..., Tensor]
"""f(state [A, m], index [A]) -> [A, m]; with kinks f(state, signs [A, M], index): the smooth extension of the piece `signs`."""
Margin = Callable[[Tensor, Tensor], Tensor]
"""g(state [A, m], index [A]) -> [A]: an event, where g rises through 0; or [A, M]: kinks, where a column changes sign."""
ErrorNorm = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(error [A, m], state [A, m], index [A]) -> [A], at most 1 for a step to be accepted; homogeneous in the error."""

SAFETY, LARGEST_FACTOR, SMALLEST_FACTOR = 0.9, 8.0, 0.2
REJECTIONS = 40
"""Rejections in a row before giving up: the step has then shrunk by 0.2^40 = 1e-28."""
SAMPLES = (0.25, 0.5, 0.75, 1.0)
"""Where a step is looked at for kinks; two crossings of one kink between two samples go unseen."""


@dataclass(frozen=True)
class Trajectories:
    """What `integrate` returns, one row per trajectory.

    Attributes:
        state, s: the final state [S, m] and where it was reached [S].
        ended_by: position of the event that ended each trajectory, -1 for the end of its length.
        evaluations, steps, kinks: right-hand sides, accepted steps and located kinks, [S] each.
        recorded: states at `record_at` [S, P, m], NaN beyond a trajectory's end; None if not asked for.
        step_s, step_state: every accepted step from the start on, [S, N] and [S, N, m], padded by NaN; None if not asked for.
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


@dataclass(frozen=True)
class _Step:
    """One attempted step of rows: y(0), y'(0), y(h), y'(h), h and the stages [stages, A, m]."""

    start: Tensor
    slope: Tensor
    end: Tensor
    end_slope: Tensor
    h: Tensor
    stages: Tensor

    def take(self, rows: Tensor) -> _Step:
        start, slope, end, end_slope, h = (part[rows] for part in (self.start, self.slope, self.end, self.end_slope, self.h))
        return _Step(start, slope, end, end_slope, h, self.stages[:, rows])

    def put(self, rows: Tensor, other: _Step) -> _Step:
        return _Step(
            self.start,
            self.slope,
            self.end.index_copy(0, rows, other.end),
            self.end_slope.index_copy(0, rows, other.end_slope),
            self.h.index_copy(0, rows, other.h),
            self.stages.index_copy(1, rows, other.stages),
        )


@dataclass(frozen=True)
class _Interpolant:
    """Dense output y(0) + x (c_0 + x_1 (c_1 + x_2 (...))), x the fraction of the step; x_j = x, or x and 1 - x in turn."""

    start: Tensor
    coefficients: Tensor
    alternate: bool

    def __call__(self, fraction: Tensor, rows: Tensor | None = None) -> Tensor:
        start, coefficients = (self.start, self.coefficients) if rows is None else (self.start[rows], self.coefficients[:, rows])
        x = fraction.unsqueeze(-1)
        value = coefficients[-1]
        for j in range(len(coefficients) - 1, 0, -1):
            value = coefficients[j - 1] + (1 - x if self.alternate and j % 2 else x) * value
        return start + x * value


class _RungeKutta:
    """One explicit pair. `order` is that of the solution, `exponent` one more than that of the error estimate."""

    def __init__(self, order: int, like: Tensor) -> None:
        def table(values: object) -> Tensor:
            return torch.as_tensor(np.array(values), dtype=like.dtype, device=like.device)

        solver = {5: RK45, 8: DOP853}[order]
        self.order, self.exponent = order, {5: 5, 8: 8}[order]
        self.rows = [table(row[:j]) for j, row in enumerate(solver.A)]
        self.weights = table(solver.B)
        if order == 5:
            self.errors, self.dense = table(solver.E)[None], table(solver.P.T)
        else:
            self.errors, self.dense = table([solver.E5, solver.E3]), table(solver.D)
            self.extra = [table(row[: 13 + j]) for j, row in enumerate(solver.A_EXTRA)]
        self.evaluations = len(self.rows)
        self.dense_evaluations = 0 if order == 5 else len(self.extra)

    def advance(self, f: Callable[[Tensor], Tensor], start: Tensor, slope: Tensor, h: Tensor) -> _Step:
        stages = start.new_empty((len(self.rows) + 1, *start.shape))
        flat, width = stages.view(len(stages), -1), h.unsqueeze(-1)
        stages[0] = slope
        for j in range(1, len(self.rows)):
            stages[j] = f(torch.addcmul(start, width, (self.rows[j] @ flat[:j]).view_as(start)))
        end = torch.addcmul(start, width, (self.weights @ flat[:-1]).view_as(start))
        stages[-1] = f(end)
        return _Step(start, slope, end, stages[-1], h, stages)

    def error(self, step: _Step, norm: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Scaled error of each row; for order 8 Hairer's combination of the estimates of order 5 and 3."""
        raw = torch.tensordot(self.errors, step.stages, dims=1) * step.h.unsqueeze(-1)
        first = norm(raw[0], step.end)
        if self.order == 5:
            return first
        squared, second = first**2, norm(raw[1], step.end) ** 2
        return torch.where(squared > 0, squared / (squared + 0.01 * second).sqrt(), squared)

    def interpolant(self, f: Callable[[Tensor], Tensor], step: _Step) -> _Interpolant:
        """Dense output: order 4 for the pair of order 5; order 7 for that of order 8, with three more evaluations."""
        width = step.h.unsqueeze(-1)
        if self.order == 5:
            return _Interpolant(step.start, torch.tensordot(self.dense, step.stages, dims=1) * width, alternate=False)
        stages = step.stages
        for row in self.extra:
            point = torch.addcmul(step.start, width, torch.tensordot(row, stages, dims=1))
            stages = torch.cat([stages, f(point)[None]])
        higher = torch.tensordot(self.dense, stages, dims=1) * width
        return _Interpolant(step.start, torch.cat([_hermite(step), higher]), alternate=True)


def _hermite(step: _Step) -> Tensor:
    """Coefficients of the cubic through both ends of a step, in the alternating form."""
    width, rise = step.h.unsqueeze(-1), step.end - step.start
    return torch.stack([rise, width * step.slope - rise, 2 * rise - width * (step.slope + step.end_slope)])


def integrate(
    rhs: Rhs,
    start: Float[Tensor, "s m"],
    length: float | Float[Tensor, " s"],
    *,
    rtol: float = 1e-9,
    atol: float | Float[Tensor, "#s #m"] = 0.0,
    error_norm: ErrorNorm | None = None,
    order: Literal[5, 8] = 5,
    project: Callable[[Tensor], Tensor] | None = None,
    events: Sequence[Margin] = (),
    record_at: Float[Tensor, "*s p"] | None = None,
    keep_steps: bool = False,
    kinks: Margin | None = None,
    max_steps: int = 100_000,
    max_kinks: int = 10_000,
) -> Trajectories:
    """Integrate y' = rhs(y) from `start` over s in [0, length], each trajectory to its own length (inf: until an event).

    Args:
        rtol, atol: a step is accepted if the root mean square of error / (atol + rtol |y|) is at most 1; atol may differ by
            trajectory and component and is to scale with the state. `error_norm` replaces this rule.
        order: 5 or 8.
        project: applied after each accepted step and to recorded states: puts them back on a manifold.
        events: a trajectory ends where one rises through 0, located to rounding, the last step of full order. An event that
            is not negative at the start ends the trajectory there.
        record_at: increasing values of s, shared or one row per trajectory, filled by dense output.
        kinks: functions whose sign tells the pieces of a piecewise smooth rhs apart. A step is cut where the first of them
            changes sign, so every step sees one smooth piece and keeps its order.
        max_steps: attempted steps per trajectory.
        max_kinks: located kinks per trajectory: a solution that slides along a kink crosses it for ever.

    Raises:
        RuntimeError: naming trajectory and s, if a guard is hit, the step underflows, or rhs is not finite.
    """
    lengths = torch.as_tensor(length, dtype=start.dtype, device=start.device).expand(start.shape[0]).clone()
    if error_norm is None:
        scale = torch.as_tensor(atol, dtype=start.dtype, device=start.device).expand(start.shape)

        def error_norm(error: Tensor, state: Tensor, index: Tensor) -> Tensor:
            return (error / (scale[index] + rtol * state.abs())).square().mean(dim=-1).sqrt()

    points = None if record_at is None else record_at.to(start).expand(start.shape[0], -1)
    run = _Run(rhs, error_norm, _RungeKutta(order, start), project, events, kinks, lengths, points)
    run.begin(start, keep_steps)
    while len(run.index):
        run.attempt(max_steps, max_kinks)
    return run.result()


class _Run:
    """The loop of `integrate`. Arrays named after their rows: `index` holds those that still run, results hold all."""

    def __init__(
        self,
        rhs: Rhs,
        norm: ErrorNorm,
        method: _RungeKutta,
        project: Callable[[Tensor], Tensor] | None,
        events: Sequence[Margin],
        kinks: Margin | None,
        lengths: Tensor,
        points: Tensor | None,
    ) -> None:
        self.rhs, self.norm, self.method, self.project = rhs, norm, method, project
        self.events, self.kinks, self.lengths, self.points = events, kinks, lengths, points

    def begin(self, start: Tensor, keep_steps: bool) -> None:
        count = start.shape[0]
        self.index = torch.arange(count, device=start.device)
        self.y, self.s = start.clone(), start.new_zeros(count)
        self.signs = None if self.kinks is None else self._signs(self.kinks(self.y, self.index))
        self.evaluations, self.steps, self.crossed = (torch.zeros_like(self.index) for _ in range(3))
        self.attempts, self.rejections = torch.zeros_like(self.index), torch.zeros_like(self.index)
        self.last_error = torch.ones_like(self.s)
        self.slope = self._f(self.index, self.signs)(self.y)
        self._check_finite(self.slope)
        self.h = self._first_step()
        self.margins = self._margins(self.y, self.index)
        self.final = Trajectories(
            self.y.clone(), self.s.clone(), torch.full_like(self.index, -1), self.evaluations, self.steps, self.crossed
        )
        self.recorded = None if self.points is None else start.new_full((count, self.points.shape[1], start.shape[1]), torch.nan)
        if self.points is not None and self.recorded is not None:
            at_start = self.points == 0
            self.recorded[at_start] = start[at_start.nonzero()[:, 0]]
        self.kept = [(self.index, self.steps.clone(), self.s, self.y)] if keep_steps else None
        first = (self.margins >= 0).to(torch.int64).argmax(dim=-1) if self.events else torch.zeros_like(self.index)
        ended = torch.where((self.margins >= 0).any(dim=-1), first, -1)
        self._drop((ended >= 0) | (self.lengths <= 0), ended)

    def attempt(self, max_steps: int, max_kinks: int) -> None:
        """One step of every running row; rejected rows come again with a smaller one."""
        remaining = self.lengths[self.index] - self.s
        h = torch.where(self.h >= remaining * (1 - 1e-12), remaining, self.h)
        step = self.method.advance(self._f(self.index, self.signs), self.y, self.slope, h)
        error = self.method.error(step, lambda raw, state: self.norm(raw, state, self.index))
        finite = torch.isfinite(error) & torch.isfinite(step.end_slope).all(dim=-1)
        accepted = finite & (error <= 1)
        self._control(h, error, finite, accepted)
        self._guard(finite, max_steps)
        if not bool(accepted.any()):
            return
        rows = accepted.nonzero()[:, 0]
        step = step.take(rows)
        flips = None
        if self.kinks is not None:
            step, flips = self._cut_at_kinks(step, rows)
        step, margins, ended = self._cut_at_events(step, rows)
        reached = self.s[rows] + step.h
        self._record(step, rows, reached)
        self.y[rows] = step.end if self.project is None else self.project(step.end)
        self.slope[rows], self.s[rows], self.margins[rows] = step.end_slope, reached, margins
        whole = (step.h == remaining[rows]) & (ended < 0)
        self.s[rows[whole]] = self.lengths[self.index[rows[whole]]]
        self.steps[self.index[rows]] += 1
        if flips is not None:
            self._flip(rows, flips, max_kinks)
        if self.kept is not None:
            self.kept.append((self.index[rows], self.steps[self.index[rows]], self.s[rows], self.y[rows]))
        over = torch.zeros_like(accepted)
        over[rows] = (ended >= 0) | (self.s[rows] >= self.lengths[self.index[rows]])
        if bool(over.any()):
            self._drop(over, torch.full_like(self.index, -1).index_copy(0, rows, ended))

    def result(self) -> Trajectories:
        final = replace(self.final, recorded=self.recorded)
        if self.kept is None:
            return final
        index, position, s, state = (torch.cat(part) for part in zip(*self.kept, strict=True))
        longest = int(self.steps.max()) + 1
        step_s = s.new_full((len(self.steps), longest), torch.nan)
        step_state = s.new_full((len(self.steps), longest, state.shape[1]), torch.nan)
        step_s[index, position], step_state[index, position] = s, state
        return replace(final, step_s=step_s, step_state=step_state)

    def _f(self, index: Tensor, signs: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The right-hand side of some rows, counted."""

        def f(state: Tensor) -> Tensor:
            self.evaluations[index] += 1
            return self.rhs(state, index) if signs is None else self.rhs(state, signs, index)

        return f

    def _rows(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        return self._f(self.index[rows], None if self.signs is None else self.signs[rows])

    def _first_step(self) -> Tensor:
        """Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, Section II.4, row by row."""
        d0, d1 = self.norm(self.y, self.y, self.index), self.norm(self.slope, self.y, self.index)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        ahead = self._f(self.index, self.signs)(torch.addcmul(self.y, h0.unsqueeze(-1), self.slope))
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
        for bad, reason in (
            (self.rejections >= REJECTIONS, "the step was rejected too often in a row"),
            (self.s + self.h == self.s, "the step underflows"),
            (self.attempts > max_steps, f"more than {max_steps} steps"),
        ):
            if bool(bad.any()):
                row = int(bad.nonzero()[0])
                cause = reason if bool(finite[row]) else f"{reason}: the right-hand side is not finite"
                raise RuntimeError(f"trajectory {int(self.index[row])} at s = {float(self.s[row]):.17g}: {cause}")

    def _check_finite(self, slope: Tensor) -> None:
        bad = ~torch.isfinite(slope).all(dim=-1)
        if bool(bad.any()):
            raise RuntimeError(f"trajectory {int(bad.nonzero()[0])} at s = 0: the right-hand side is not finite")

    def _margins(self, state: Tensor, index: Tensor) -> Tensor:
        if not self.events:
            return state.new_zeros((len(index), 0))
        return torch.stack([event(state, index) for event in self.events], dim=-1)

    def _cut_at_events(self, step: _Step, rows: Tensor) -> tuple[_Step, Tensor, Tensor]:
        """Steps that end at the first event inside them; margins at the end; the event that ended each row, or -1."""
        index = self.index[rows]
        margins = self._margins(step.end, index)
        rising = (self.margins[rows] < 0) & (margins >= 0)
        ended = torch.full_like(index, -1)
        hit = rising.any(dim=-1).nonzero()[:, 0]
        if not len(hit):
            return step, margins, ended

        def before(state: Tensor) -> Tensor:
            """Positive before the first of the events that happen in this step."""
            return -self._margins(state, index[hit]).masked_fill(~rising[hit], -torch.inf).amax(dim=-1)

        cut = self._cut(step.take(hit), rows[hit], before, torch.zeros_like(step.h[hit]), torch.ones_like(step.h[hit]))
        step = step.put(hit, cut)
        reached = self._margins(cut.end, index[hit])
        ended[hit] = reached.masked_fill(~rising[hit], -torch.inf).argmax(dim=-1)
        return step, margins.index_copy(0, hit, reached), ended

    def _cut_at_kinks(self, step: _Step, rows: Tensor) -> tuple[_Step, Tensor]:
        """Steps that end at the first kink inside them, and which columns [A, M] change sign there."""
        assert self.kinks is not None and self.signs is not None
        index, signs = self.index[rows], self.signs[rows]
        dense = self.method.interpolant(self._rows(rows), step)
        flips = torch.zeros_like(signs, dtype=torch.bool)
        low, high, open_rows = torch.zeros_like(step.h), torch.ones_like(step.h), torch.ones_like(step.h, dtype=torch.bool)
        for sample in SAMPLES:
            beyond = self.kinks(dense(torch.full_like(step.h, sample)), index) * signs < 0
            found = open_rows & beyond.any(dim=-1)
            flips |= beyond & found.unsqueeze(-1)
            high[found], open_rows = sample, open_rows & ~found
            low = torch.where(open_rows, sample, low)
        hit = (~open_rows).nonzero()[:, 0]
        if not len(hit):
            return step, flips

        def inside(state: Tensor) -> Tensor:
            """Positive inside the piece, as far as the kinks that are crossed in this step bound it."""
            assert self.kinks is not None
            return (self.kinks(state, index[hit]) * signs[hit]).masked_fill(~flips[hit], torch.inf).amin(dim=-1)

        cut = self._cut(step.take(hit), rows[hit], inside, low[hit], high[hit])
        values = (self.kinks(cut.end, index[hit]) * signs[hit]).masked_fill(~flips[hit], torch.inf)
        first = values <= values.amin(dim=-1, keepdim=True).clamp_min(0)
        return step.put(hit, cut), flips.index_copy(0, hit, first)

    def _cut(self, step: _Step, rows: Tensor, phi: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> _Step:
        """The steps to the first zero of phi: found on the dense output, redone as one step, corrected once by the secant."""
        f = self._rows(rows)
        dense = self.method.interpolant(f, step)
        fraction = _first_root(lambda x: phi(dense(x)), low, high)
        cut = self.method.advance(f, step.start, step.slope, fraction * step.h)
        nearby = (fraction - 1e-4).clamp_min(0)
        slope = (phi(dense(fraction)) - phi(dense(nearby))) / (fraction - nearby)
        correction = phi(cut.end) / slope
        usable = torch.isfinite(correction) & (correction.abs() < 1e-2)
        fraction = torch.where(usable, (fraction - correction).clamp(0, 1), fraction)
        return self.method.advance(f, step.start, step.slope, fraction * step.h)

    def _flip(self, rows: Tensor, flips: Tensor, max_kinks: int) -> None:
        """Rows that reached a kink go on in the next piece."""
        assert self.signs is not None
        hit = flips.any(dim=-1)
        if not bool(hit.any()):
            return
        self.signs[rows] = torch.where(flips, -self.signs[rows], self.signs[rows])
        self.crossed[self.index[rows]] += flips.sum(dim=-1)
        self.slope[rows[hit]] = self._rows(rows[hit])(self.y[rows[hit]])
        many = self.crossed[self.index] > max_kinks
        if bool(many.any()):
            row = int(many.nonzero()[0])
            place = f"trajectory {int(self.index[row])} at s = {float(self.s[row]):.17g}"
            raise RuntimeError(f"{place}: more than {max_kinks} kinks; the solution slides along a kink")

    @staticmethod
    def _signs(values: Tensor) -> Tensor:
        """+1 or -1; a kink that starts at exactly 0 counts as -1, as the derivative of ReLU at 0 does."""
        return torch.where(values > 0, 1.0, -1.0).to(values.dtype)

    def _record(self, step: _Step, rows: Tensor, reached: Tensor) -> None:
        if self.points is None or self.recorded is None:
            return
        points, s = self.points[self.index[rows]], self.s[rows].unsqueeze(-1)
        due = (points > s) & (points <= reached.unsqueeze(-1))
        own, column = due.nonzero(as_tuple=True)
        if not len(own):
            return
        some, position = torch.unique(own, return_inverse=True)
        dense = self.method.interpolant(self._rows(rows[some]), step.take(some))
        states = dense((points[own, column] - self.s[rows[own]]) / step.h[own], position)
        self.recorded[self.index[rows[own]], column] = states if self.project is None else self.project(states)

    def _drop(self, over: Tensor, ended: Tensor) -> None:
        """Store the rows that are over, keep the others."""
        rows, keep = over.nonzero()[:, 0], (~over).nonzero()[:, 0]
        done = self.index[rows]
        self.final.state[done], self.final.s[done], self.final.ended_by[done] = self.y[rows], self.s[rows], ended[rows]
        for name in ("index", "y", "s", "slope", "h", "last_error", "rejections", "attempts", "margins"):
            setattr(self, name, getattr(self, name)[keep])
        self.signs = None if self.signs is None else self.signs[keep]


def _first_root(phi: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where phi, positive at `low` and not at `high`, reaches 0; row by row, by regula falsi (Illinois) guarded by bisection.

    Returns the end of the bracket at which phi is not positive; `low` where it is not positive there already.
    """
    at_low, at_high = phi(low), phi(high)
    high = torch.where(at_low <= 0, low, high)
    for iteration in range(60):
        width = high - low
        if bool((width <= 1e-15).all()):
            break
        guess = low + width * (at_low / (at_low - at_high))
        bisect = ~torch.isfinite(guess) | (guess <= low) | (guess >= high) | (iteration % 3 == 2)
        middle = torch.where(bisect, low + 0.5 * width, guess)
        value = phi(middle)
        left = value > 0
        at_high = torch.where(left, torch.where(bisect, at_high, 0.5 * at_high), value)
        at_low = torch.where(left, value, torch.where(bisect, at_low, 0.5 * at_low))
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
    return high
