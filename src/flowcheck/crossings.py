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


def first_root(
    phi: Callable[[Tensor], Tensor], low: Float[Tensor, " a"], high: Float[Tensor, " a"], iterations: int = 60
) -> Float[Tensor, " a"]:
    """Where phi, positive at `low` and not at `high`, reaches 0; row by row, by regula falsi (Illinois) guarded by bisection.

    Returns the end of the bracket at which phi is not positive; `low` where it is not positive there already.
    """
    at_low, at_high = phi(low), phi(high)
    high = torch.where(at_low <= 0, low, high)
    for iteration in range(iterations):
        width = high - low
        if bool((width <= 1e-15).all()):
            break
        guess = low + width * (at_low / (at_low - at_high))
        bisect = ~torch.isfinite(guess) | (guess <= low) | (guess >= high) | (iteration % 3 == 2)
        middle = torch.where(bisect, low + 0.5 * width, guess)
        value = phi(middle)
        left = value > 0
        # Illinois: the value of an end that stays is halved, so that the next guess falls beyond the root.
        kept_high, kept_low = torch.where(bisect, at_high, 0.5 * at_high), torch.where(bisect, at_low, 0.5 * at_low)
        at_low, at_high = torch.where(left, value, kept_low), torch.where(left, kept_high, value)
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
    return high
