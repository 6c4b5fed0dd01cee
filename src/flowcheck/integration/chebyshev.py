r"""Runge-Kutta-Chebyshev over a batch: explicit, with a real stability interval that grows with the square of its stages.

For flows between saddles: plateaus of length $\delta^{-(L-2)}$ with curvature of order one, where an explicit method of few
stages takes steps of 1/curvature. y' = f(y) with a Jacobian whose spectrum is close to the negative real axis, as that of a
gradient flow is. The method of order 2 (Sommeijer, Shampine and Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput.
Appl. Math. 88, 1998) in one step and in two halves, extrapolated: converges with order 3 as the tolerance goes to 0.

Every trajectory has steps of its own. Those of one round take as many stages as the one that needs most; a trajectory that needs
more than twice the fewest waits, so that trajectories meet in the phase they are in.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, TOLERANCE, number, whole
from flowcheck.geometry import norm
from flowcheck.integration.adaptive import first_slope, states, why_slow
from flowcheck.tensors import Numbers, for_each

Rhs = Callable[[Tensor, Tensor], Tensor]
"""f(state [A, m], index [A]) -> [A, m]: the rows `index` of the batch."""

DAMPING, INTERVAL = 1.0, 1.75
"""s stages are stable for h times the spectral radius up to ((s - 1)^2 - 1) / INTERVAL, the extrapolation too; with the damping
2/13 of RKC it would amplify by up to 1.1."""
LARGEST_STAGES = 400
SAFETY, LARGEST_FACTOR, SMALLEST_FACTOR = 0.8, 5.0, 0.2
RADIUS_MARGIN = 1.1
"""On the estimated spectral radius; an estimate that is still too small shows as a rejected step, after which it is renewed."""
RADIUS_AGE = 8
"""Steps until the spectral radius is estimated anew."""
WAITING = 2.0
JUMP = 4.0
"""Multiple of the spectral radius by which f may change between the last stage of a step and its end; beyond it f jumps there."""


@dataclass(frozen=True)
class Settled:
    """Final states [S, m]; right-hand sides, accepted and rejected steps of each trajectory [S]."""

    state: Float[Tensor, "s m"]
    evaluations: Int[Tensor, " s"]
    steps: Int[Tensor, " s"]
    rejected: Int[Tensor, " s"]


@functools.cache
def stages(s: int) -> tuple[tuple[float, ...], ...]:
    """Coefficients (1 - mu - nu, mu, nu, mu~, gamma~) of the stages 1 ... s of RKC; the first uses mu~ only."""
    w0 = 1 + DAMPING / s**2
    t, d, d2 = [1.0, w0], [0.0, 1.0], [0.0, 0.0]
    for j in range(2, s + 1):
        t.append(2 * w0 * t[-1] - t[-2])
        d.append(2 * w0 * d[-1] - d[-2] + 2 * t[j - 1])
        d2.append(2 * w0 * d2[-1] - d2[-2] + 4 * d[j - 1])
    w1 = d[s] / d2[s]
    b = [d2[j] / d[j] ** 2 if j > 1 else 0.0 for j in range(s + 1)]
    b[0], b[1] = b[2], 1 / w0
    rows = [(1.0, 0.0, 0.0, b[1] * w1, 0.0)]
    for j in range(2, s + 1):
        mu, nu, tilde = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
        rows.append((1 - mu - nu, mu, nu, tilde, -(1 - b[j - 1] * t[j - 1]) * tilde))
    return tuple(rows)


def integrate_stabilised(
    rhs: Rhs,
    start: Numbers,
    length: float | Numbers,
    *,
    rtol: float = 1e-6,
    max_steps: int = 100_000,
) -> Settled:
    """Integrate y' = rhs(y) over [0, length]. A step is accepted if the error of its two halves is at most rtol |y|.

    Where f jumps towards a kink from both sides, the solution of the inclusion slides along it. Steps cannot: they end there with
    an error that says so. `integrate` takes `Pieces` that slide.

    Raises:
        ValueError: a length that is negative or not finite, a right-hand side that writes into its argument, and other arguments
            that are not what is asked for.
        RuntimeError: naming the trajectory and where it is, if max_steps attempts do not suffice, the step underflows, or rhs is
            not finite; and whether rhs jumps there.
    """
    begin, steps = states(start), whole("max_steps", max_steps, 1)
    lengths = for_each("length", length, begin, FINITE_NOT_NEGATIVE).clone()
    run = _Run(rhs, begin, lengths, number("rtol", rtol, TOLERANCE))
    while run.pending:
        run.attempt(steps)
    return Settled(run.y, run.evaluations, run.steps, run.rejected)


class _Run:
    """The loop of `integrate_stabilised`; all arrays hold all trajectories."""

    def __init__(self, rhs: Rhs, start: Tensor, lengths: Tensor, rtol: float) -> None:
        self.rhs, self.lengths, self.rtol = rhs, lengths, rtol
        self.y, self.s = start.clone(), torch.zeros_like(lengths)
        self.evaluations, self.steps, self.rejected = (torch.zeros_like(lengths, dtype=torch.int64) for _ in range(3))
        everything = torch.arange(len(start), device=start.device)
        self.slope = first_slope(lambda state: self._f(state, everything), start)
        bad = ~torch.isfinite(self.slope).all(dim=-1)
        if bool(bad.any()):
            raise RuntimeError(f"trajectory {int(bad.nonzero()[0])} at s = 0: the right-hand side is not finite")
        self._end_at_rest(everything)
        self.axis, self.radius, self.age = self.slope.clone(), torch.zeros_like(lengths), torch.zeros_like(everything)
        moving = (self.s < self.lengths).nonzero()[:, 0]
        if len(moving):
            self._estimate_radius(moving, iterations=20)
        self.last_error = torch.ones_like(lengths)
        size, speed = norm(self.y), norm(self.slope)
        first = torch.where((size > 0) & (speed > 0), math.sqrt(rtol) * size / speed, torch.inf)  # else the radius alone tells
        self.h = torch.minimum(first, 1 / self.radius)

    def _end_at_rest(self, index: Tensor) -> None:
        """Where f is zero the state stays for ever, though beside it f may jump, as at a dead unit: no step need be tried."""
        still = index[(self.slope[index] == 0).all(dim=-1)]
        self.s[still] = self.lengths[still]

    @property
    def pending(self) -> bool:
        return bool((self.s < self.lengths).any())

    def attempt(self, max_steps: int) -> None:
        """One step of the trajectories that need the fewest stages."""
        running = (self.s < self.lengths).nonzero()[:, 0]
        old = running[self.age[running] >= RADIUS_AGE]
        if len(old):
            self._estimate_radius(old, iterations=2)
        h = torch.minimum(self.h[running], self.lengths[running] - self.s[running])
        needed = 1 + (1 + INTERVAL * h * self.radius[running]).sqrt()
        group = needed <= WAITING * needed.min()
        index, h = running[group], h[group]
        count = int(needed[group].max().ceil().clamp(3, LARGEST_STAGES))  # two are stable for no step at all
        h = torch.minimum(h, ((count - 1) ** 2 - 1) / (INTERVAL * self.radius[index]))
        state, slope, error = self._step(index, h, count)
        finite = torch.isfinite(error)
        accepted = finite & (error <= 1)
        self._control(index, h, error, finite, accepted)
        done = index[accepted]
        self.y[done], self.slope[done] = state[accepted], slope[accepted]
        ahead = self.s[done] + h[accepted]
        ends = h[accepted] >= (self.lengths[done] - self.s[done]) * (1 - 1e-12)
        self.s[done] = torch.where(ends, self.lengths[done], ahead)
        self._end_at_rest(done)
        self._guard(index, finite, max_steps)

    def _step(self, index: Tensor, h: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """State and slope after one step, and the error of its halves as a multiple of the tolerance."""
        start, slope = self.y[index], self.slope[index]
        half = max(2, math.ceil(1 + math.sqrt(0.5 * (count - 1) ** 2 + 0.5)))
        whole, _, _ = self._chebyshev(start, slope, index, h, count)
        middle, _, _ = self._chebyshev(start, slope, index, 0.5 * h, half)
        halves, last, last_slope = self._chebyshev(middle, self.rhs(middle, index), index, 0.5 * h, half)
        error = (halves - whole) / 3
        state = halves + error
        end = self.rhs(state, index)
        self.evaluations[index] += count + 2 * half
        jump = norm(end - last_slope)
        jump = torch.where(jump > JUMP * self.radius[index] * norm(state - last), jump, 0.0)
        behind = (2 * half - 1) / (half**2 - 1) * 0.5 * h  # the last stage, in s
        scale, wrong = torch.maximum(norm(start), norm(state)), norm(error) + behind * jump
        return state, end, torch.where(wrong == 0, 0.0, wrong / (self.rtol * scale))  # a state that stays zero has no scale

    def _chebyshev(self, start: Tensor, slope: Tensor, index: Tensor, h: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The end of a step of order 2, its last stage, and f there.

        In differences from the start of the step: where f is zero they are, and the state stays to the last digit.
        """
        width = h.unsqueeze(-1)
        slope = width * slope
        coefficients = stages(count)
        below, change = torch.zeros_like(start), coefficients[0][3] * slope
        for _, mu, nu, tilde, gamma in coefficients[1:]:
            last = start + change
            last_slope = self.rhs(last, index)
            following = torch.mul(last_slope, tilde * width)
            following.add_(change, alpha=mu).add_(below, alpha=nu).add_(slope, alpha=gamma)
            below, change = change, following
        return start + change, last, last_slope.clone()  # f may give one tensor each time

    def _control(self, index: Tensor, h: Tensor, error: Tensor, finite: Tensor, accepted: Tensor) -> None:
        size = error.clamp_min(1e-8)
        grown = (SAFETY * size ** (-0.7 / 3) * self.last_error[index] ** (0.4 / 3)).clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
        shrunk = (SAFETY * size ** (-1 / 3)).clamp(SMALLEST_FACTOR, SAFETY)
        self.h[index] = h * torch.where(accepted, grown, torch.where(finite, shrunk, SMALLEST_FACTOR))
        self.last_error[index] = torch.where(accepted, size, self.last_error[index])
        self.steps[index] += accepted
        self.rejected[index] += ~accepted
        self.age[index] = torch.where(accepted, self.age[index] + 1, RADIUS_AGE)

    def _guard(self, index: Tensor, finite: Tensor, max_steps: int) -> None:
        late = (self.steps + self.rejected)[index] > max_steps
        bad = late | (self.s[index] + self.h[index] * 1e-3 == self.s[index])
        bad &= self.s[index] < self.lengths[index]
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            cause = f"more than {max_steps} steps" if bool(late[row]) else "the step underflows"
            own = index[row : row + 1]
            cause += why_slow(lambda state: self.rhs(state, own), self.y[own], self.slope[own])
            cause = cause if bool(finite[row]) else "the right-hand side is not finite"
            raise RuntimeError(f"trajectory {int(index[row])} at s = {float(self.s[index[row]]):.17g}: {cause}")

    def _f(self, state: Tensor, index: Tensor) -> Tensor:
        self.evaluations[index] += 1
        return self.rhs(state, index)

    def _estimate_radius(self, index: Tensor, iterations: int) -> None:
        """Power iteration on differences of f, from the vector it ended with last time."""
        axis, state, slope = self.axis[index], self.y[index], self.slope[index]
        size, ahead = norm(state), norm(slope) * self.lengths[index]
        length = 1e-7 * torch.where(size > 0, size, torch.where(ahead > 0, ahead, 1.0)).unsqueeze(-1)
        other = torch.cos(torch.arange(1, state.shape[1] + 1, dtype=state.dtype, device=state.device))
        radius = self.radius[index]
        for _ in range(iterations):
            size = norm(axis).unsqueeze(-1)
            # f does not change along an axis that came back as zero: another one is tried
            axis = torch.where(size > 0, axis / size, other / other.norm())
            axis = (self._f(torch.addcmul(state, length, axis), index) - slope) / length
            radius = norm(axis)
        self.axis[index], self.radius[index], self.age[index] = axis, RADIUS_MARGIN * radius, 0
