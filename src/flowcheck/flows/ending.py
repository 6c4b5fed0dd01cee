r"""How an NCF flow ends: it grows along a KKT point of positive value, vanishes along one of negative value, or rests.

Lemma 5.3 of two_homogeneous, Lemma 5.2 of deep_homogeneous. One of the three happens; a flow that was not followed far enough to
tell is open.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.flows.events import Event, log_norm_above, tangential
from flowcheck.flows.rescaled import Moment


class Ending(enum.IntEnum):
    """Where $u$ goes: to infinity along a KKT point (in finite time for L > 2), to the origin, or to another point."""

    GROWS = 0
    VANISHES = 1
    RESTS = 2
    OPEN = 3


@dataclass(frozen=True)
class Ends:
    r"""When an NCF flow counts as followed to its end, and how it then ended.

    Lengths of gradients are fractions of a size of each flow, for which $\beta\|z\|$ or $\|z\|$ is given; `settled` is one of the
    gradient's own length, so a sine, where `sine` says so.

    Attributes:
        settled: tangential part of the gradient at which a flow has found its KKT point. Below about ten times the tolerance of
            the integration it is never reached: that is where its noise lies.
        rest: gradient at which a flow rests.
        vanished, escaped: ln|u| below (above) which a flow whose direction has settled at N < 0 (N > 0) ends.
        grown: ln|u| at which a flow ends in any case.
        longest: arc at which it does.
        zero: |N| up to which a flow that does not rest is open: one that rests ends below 1e-8, one that grows near 0.1.
        decided: tangential part up to which a flow counts as settled in the end. Flows go on to `settled`; but where two KKT
            values of a network of degree two agree to this accuracy, its flow has not decided between them at |u| = e^2000.
    """

    settled: float
    rest: float
    vanished: float
    escaped: float = -math.inf
    grown: float = 2000.0
    longest: float = math.inf
    zero: float = 1e-6
    decided: float = 1e-5
    sine: bool = False

    def events(self, size: Float[Tensor, " s"]) -> tuple[Event, ...]:
        """Settled and grown or vanished, or at rest: one event, as all of it looks at one gradient; and grown in any case."""

        def margin(now: Moment) -> Tensor:
            along, length = (now.pull * now.direction).sum(dim=-1), now.pull.norm(dim=-1)
            unit_of_size = size[now.index]
            spare = self.settled * (length if self.sine else unit_of_size) - tangential(now).norm(dim=-1)
            over = torch.minimum(spare, torch.where(along > 0, now.log_norm - self.escaped, self.vanished - now.log_norm))
            return torch.maximum(over, self.rest * unit_of_size - length)

        ended = Event("settled and grown or vanished, or at rest", margin)
        return (ended,) if math.isinf(self.grown) else (ended, log_norm_above(self.grown))

    def met(self, value: float, tangential: float, log_norm: float, size: float) -> bool:
        """The same for one state of a flow with L = 2: N, tangential part of the gradient, ln|u|."""
        settled = tangential <= self.settled * size and (log_norm >= self.escaped if value > 0 else log_norm <= self.vanished)
        return settled or math.hypot(2 * value, tangential) <= self.rest * size or log_norm >= self.grown

    def tell(
        self,
        value: Float[Tensor, " s"],
        gradient: Float[Tensor, " s"],
        tangential: Float[Tensor, " s"],
        log_norm: Float[Tensor, " s"],
        size: Float[Tensor, " s"] | float = 1.0,
    ) -> Int[Tensor, " s"]:
        r"""The `Ending` of each flow from its last state: N, $\|\nabla N\|$, its tangential part, ln|u|, and its size.

        Twice the length at which the event ends a flow counts as rest, and half the fall of ln|u|: a flow also ends elsewhere.
        """
        rests = gradient <= 2 * self.rest * size
        settled = ~rests & (tangential <= self.decided * size)
        grows, vanishes = settled & (value > self.zero * size), settled & (value < -self.zero * size)
        vanishes &= log_norm <= 0.5 * self.vanished
        found = torch.full_like(value, Ending.OPEN, dtype=torch.int64)
        for ending, where in ((Ending.GROWS, grows), (Ending.VANISHES, vanishes), (Ending.RESTS, rests)):
            found[where] = int(ending)
        return found
