"""Where a function first reaches zero inside a step, and the pieces of a piecewise smooth right-hand side.

A piece has a `mode` [A, M], one entry per kink. The right-hand side of a mode is smooth beyond its piece; the integrator cuts a
step where it leaves the piece, and goes on in the mode that `switch` gives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Margin = Callable[[Tensor, Tensor], Tensor]
"""g(state [A, m], index [A]) -> [A]: an event, where g rises through 0; or [A, M]: kinks, where a column changes sign."""


class Pieces:
    """Pieces told apart by the signs of the columns of `kinks`: mode +1 or -1 for each, turned round at each crossing."""

    def __init__(self, kinks: Margin) -> None:
        self.kinks = kinks

    def begin(self, state: Float[Tensor, "a m"], index: Int[Tensor, " a"]) -> Float[Tensor, "a kinks"]:
        """The mode of a state. A kink at exactly 0 counts as -1, as in the derivative of ReLU at 0."""
        values = self.kinks(state, index)
        return torch.where(values > 0, 1.0, -1.0).to(values.dtype)

    def inside(
        self, state: Float[Tensor, "a m"], mode: Float[Tensor, "a kinks"], index: Int[Tensor, " a"]
    ) -> Float[Tensor, "a kinks"]:
        """Positive inside the piece; a column that falls through 0 ends it."""
        return self.kinks(state, index) * mode

    def switch(
        self,
        state: Float[Tensor, "a m"],
        mode: Float[Tensor, "a kinks"],
        hit: Bool[Tensor, "a kinks"],
        index: Int[Tensor, " a"],
    ) -> Float[Tensor, "a kinks"]:
        """The mode beyond the kinks `hit`."""
        return torch.where(hit, -mode, mode)

    def settle(
        self, state: Float[Tensor, "a m"], mode: Float[Tensor, "a kinks"], index: Int[Tensor, " a"]
    ) -> Float[Tensor, "a m"]:
        """The state after an accepted step, put back where the mode confines it."""
        return state


def first_root(
    phi: Callable[[Tensor], Tensor], low: Float[Tensor, " a"], high: Float[Tensor, " a"], tolerance: float = 1e-10
) -> Float[Tensor, " a"]:
    """A zero of phi in each bracket, positive at `low` and not at `high`; `low` where phi is not positive there already.

    Regula falsi (Illinois), from the tenth iteration on in turn with bisection, until the bracket is narrower than `tolerance`
    or phi is at rounding.
    """
    at_low, at_high = phi(low), phi(high)
    best = torch.where(at_low <= 0, low, high)
    close = 1e-14 * (at_low.abs() + at_high.abs())
    side = torch.full_like(low, -1.0)
    done = (at_low <= 0) | (at_high.abs() <= close)
    for iteration in range(100):
        if bool(done.all()):
            break
        guess = low + (high - low) * (at_low / (at_low - at_high))
        bisect = ~((guess > low) & (guess < high)) | (iteration >= 10 and iteration % 2 == 0)
        middle = torch.where(bisect, 0.5 * (low + high), guess)
        value = phi(middle)
        left = value > 0
        # Illinois: the value of an end that stays a second time is halved, so that the next guess falls beyond the zero.
        again = torch.where((side == left) & ~bisect, 0.5, 1.0)
        at_low, at_high = torch.where(left, value, again * at_low), torch.where(left, again * at_high, value)
        side = left.to(side.dtype)
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
        best = torch.where(done, best, middle)
        done = done | (value.abs() <= close) | (high - low <= tolerance)
    return best
