"""The curves of Figure 1 (spherical_data, Section 5): runs of SGD, the population flow, the bounds of Theorems 1 and 3.

The bounds restarted on the way start from the observed angle and norm of each run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data import bounds, reduced_flow, reference_run
from flowcheck.papers.spherical_data.population import law
from flowcheck.papers.spherical_data.reference_run import CLOCK

Array = np.ndarray

RESTART = {1: 5.0, 4: 18.0}
"""By depth, the time η n from which the second bound is drawn: n = 5000 and n = 18000."""


@dataclass(frozen=True)
class Curves:
    """S runs at P times η n, and what is drawn over them. Angles are cosines.

    Attributes:
        times: η n.
        flow_cosine, flow_norm, flow_loss: the population flow from the same start.
        transition: T of the flow, one entry.
        cosine, norm, loss: of each run; the loss is the population's.
        first_bound: lower bound from the start.
        second_bound: lower bound from `restart` on, NaN before.
        upper_bound: upper bound of Theorem 3, N > 2 only.
        lower_norm: lower bound (17) on the norm, N > 2 only.
    """

    times: Float[Array, " p"]
    flow_cosine: Float[Array, " p"]
    flow_norm: Float[Array, " p"]
    flow_loss: Float[Array, " p"]
    transition: Float[Array, " 1"]
    cosine: Float[Array, "s p"]
    norm: Float[Array, "s p"]
    loss: Float[Array, "s p"]
    first_bound: Float[Array, " p"]
    second_bound: Float[Array, "s p"]
    upper_bound: Float[Array, " p"] | None = None
    lower_norm: Float[Array, " p"] | None = None

    def arrays(self) -> dict[str, Array]:
        """Those that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in found.items() if array is not None}


def curves(w_e: Float[Array, "s p 2"], times: Float[Array, " p"], depth: int) -> Curves:
    """Runs w_e of a linear network of depth 1 or 4 on the circle, from the paper's start, with all that the figure shows."""
    circle, norm = law("circle"), np.linalg.norm(w_e, axis=-1)
    start = int(np.argmin(np.abs(times - RESTART[depth])))
    q_start = -np.log(np.tan(0.5 * np.arctan2(np.abs(w_e[:, start, 0]), w_e[:, start, 1])))[:, None]
    norm_start, since = norm[:, start, None], np.maximum(times - times[start], 0.0)[None, :]
    upper = lower_norm = None
    if depth == 1:
        first = bounds.theorem1_first_phase(times, CLOCK, 1.0, circle.c0)
        second = bounds.theorem1_second_phase(since, q_start, norm_start, circle.c0)
    else:
        first = bounds.theorem3_first_phase(times, CLOCK, 1.0, circle.c0, depth)
        second = bounds.theorem3_second_phase(since, q_start, norm_start, circle.c0, depth)
        upper = np.tanh(0.5 * bounds.theorem3_upper(times, 1.0, 2.0 * CLOCK, circle.c0, depth))
        lower_norm = np.exp(bounds.lemma8_log_norm_bounds(times, 1.0, circle.c0, depth)[0])
    flow_cosine, flow_norm = population_flow(times, depth, reduced_flow.RTOL)
    advances = np.linspace(0, 8, 200)
    return Curves(
        times=times,
        flow_cosine=flow_cosine,
        flow_norm=flow_norm,
        flow_loss=np.asarray(circle.loss(flow_norm, flow_cosine)),
        transition=reduced_flow.reduced_flow(circle, depth, np.array([CLOCK]), np.zeros(1), advances).transition.t,
        cosine=w_e[..., 1] / norm,
        norm=norm,
        # run by run: the quadrature nodes of all of them at once would be the largest arrays of the experiment
        loss=np.stack([circle.loss(r, along / r) for r, along in zip(norm, w_e[..., 1], strict=True)]),
        first_bound=np.tanh(0.5 * first),
        second_bound=np.where(since > 0, np.tanh(0.5 * second), np.nan),
        upper_bound=upper,
        lower_norm=lower_norm,
    )


def population_flow(times: Float[Array, " p"], depth: int, rtol: float) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
    """Cosine and norm of the population flow from the paper's start."""
    q, s = reference_run.in_time(depth, times, rtol)
    return np.tanh(q), np.exp(s)
