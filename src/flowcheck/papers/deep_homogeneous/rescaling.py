"""Eqs. (8) and (50) of deep_homogeneous: the unscaled flow and descent of the loss, held against the rescaled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.alignment.shadow import Cases, of_own_loss
from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.flows.flow import gradient_flow
from flowcheck.integration.adaptive import integrate
from flowcheck.losses import Loss
from flowcheck.measures.readings import largest_of_all, smallest_of_all
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.sums import Mixture
from flowcheck.pipeline.evidence import Found, Measurement

SHARE = 0.7
"""Of the blow-up time: how long flows are compared."""
RTOL = 1e-10
"""Of both flows."""


def plain_flow(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    times: Float[Tensor, " s"],
    *,
    rtol: float,
) -> Float[Tensor, "s k"]:
    r"""$w(t)/\delta$ at plain times t, from the gradient flow as it stands: nothing is rescaled."""

    def rates(w: Tensor, index: Tensor) -> Tensor:
        def response(outputs: Tensor) -> Tensor:
            return of_own_loss(losses, cases.loss[index], outputs, cases.y[index], Loss.residual)

        return network.forward_and_pull(w, x, response)[1]

    def error_norm(error: Tensor, w: Tensor, index: Tensor) -> Tensor:
        return error.norm(dim=-1) / (rtol * w.norm(dim=-1))

    start = deltas.unsqueeze(-1) * cases.starts
    return integrate(rates, start, times, error_norm=error_norm).state / deltas.unsqueeze(-1)


def descend(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    steps: Float[Tensor, " s"],
    count: int,
    *,
    rescaled: bool,
) -> Float[Tensor, "s k"]:
    r"""$w/\delta$ after `count` steps of gradient descent of sizes `steps` on w, or, `rescaled`, on s by Eq. (8) and (50).

    The rescaled iteration uses $\mathcal H(X;w)=\delta^L\mathcal H(X;s)$ and a step that is $\delta^{L-2}$ times as long.
    """
    degree = network.degree
    w = cases.starts if rescaled else deltas.unsqueeze(-1) * cases.starts
    factor = (deltas**degree if rescaled else torch.ones_like(deltas)).unsqueeze(-1)
    size = (deltas ** (degree - 2) * steps if rescaled else steps).unsqueeze(-1)

    def response(outputs: Tensor) -> Tensor:
        return of_own_loss(losses, cases.loss, factor * outputs, cases.y, Loss.residual)

    for _ in range(count):
        w = w + size * network.forward_and_pull(w, x, response)[1]
    return w if rescaled else w / deltas.unsqueeze(-1)


@dataclass(frozen=True)
class Gaps:
    r"""Relative distances of $w/\delta$ in plain time to s in rescaled time, for growing cases and deltas [R].

    Attributes:
        loss: which loss drives w.
        flow, descent: identities, Eqs. (8) and (50).
        flow_degree_below, descent_degree_above: with time scaled for degree L - 1, with steps scaled for degree L + 1.
        mixture: descent of a network that is not homogeneous; None where there was none.
    """

    loss: Int[np.ndarray, " r"]
    flow: Float[np.ndarray, " r"]
    descent: Float[np.ndarray, " r"]
    flow_degree_below: Float[np.ndarray, " r"]
    descent_degree_above: Float[np.ndarray, " r"]
    mixture: Float[np.ndarray, " r"] | None = None


def gaps(study: Study, deltas: Sequence[float], count: int, other: Network | None = None) -> Gaps:
    """Flows up to `SHARE` of the blow-up time, `count` steps of descent over half of that; half of `other` is mixed in last."""
    network, x, losses, degree = study.network, study.x, study.losses, study.network.degree
    rows = (study.ends.branch == Ending.GROWS).nonzero()[:, 0].repeat_interleave(len(deltas))
    cases, time = study.cases.take(rows), SHARE * study.ends.blow_up[rows]
    scales = torch.tensor(deltas, dtype=x.dtype, device=x.device).repeat(len(rows) // len(deltas))
    s = torch.empty_like(cases.starts)
    for position, loss in enumerate(losses):
        of = cases.loss == position
        problem = Objective(network, x, cases.y[of], loss)
        path = gradient_flow(problem, cases.starts[of], scales[of], rtol=RTOL, length=time[of], clock="time")
        s[of] = path.weights_over_delta()
    w, early = (
        plain_flow(network, x, losses, cases, scales, time * scales**-power, rtol=RTOL) for power in (degree - 2, degree - 3)
    )
    sizes = 0.5 * time * scales ** (2 - degree) / count

    def descended(there: Network, steps: Tensor, *, rescaled: bool) -> Tensor:
        return descend(there, x, losses, cases, scales, steps, count, rescaled=rescaled)

    plain = descended(network, sizes, rescaled=False)
    found = Gaps(
        cases.loss.cpu().numpy(),
        flow=_relative(w, s),
        descent=_relative(plain, descended(network, sizes, rescaled=True)),
        flow_degree_below=_relative(early, s),
        descent_degree_above=_relative(plain, descended(network, scales * sizes, rescaled=True)),
    )
    if other is None:
        return found
    mixture = Mixture(f"with {other.name}", ((1.0, network), (0.5, other)), degree)
    w, s = (descended(mixture, sizes, rescaled=rescaled) for rescaled in (False, True))
    return replace(found, mixture=_relative(w, s))


def readings(parts: Sequence[Gaps]) -> Found:
    """The largest gaps of the identities, for each loss; the smallest, and the median, of what breaks them.

    Gaps of identities are their own errors: the true value is 0. The largest is the error of gaps that are none: w in the wrong
    time is an earlier state of the same flow, and as many steps of other sizes, or of a mixture, are rounded as often.
    """
    found: dict[str, Measurement] = {}
    for loss, label in enumerate(("square", "logistic")):
        for kind in ("flow", "descent"):
            gaps = np.concatenate([getattr(part, kind)[part.loss == loss] for part in parts])
            found[f"{kind}_rescaling_gap_{label}"] = largest_of_all(gaps, gaps)
    for identity, broken in (("flow", "flow_degree_below"), ("descent", "descent_degree_above")):
        error, gaps = (np.concatenate([getattr(part, kind) for part in parts]) for kind in (identity, broken))
        found[f"rescaling_gap_{broken}"] = smallest_of_all(gaps, (1 + gaps) * error.max())
    mixed = np.concatenate([part.mixture for part in parts if part.mixture is not None])
    rounding = max(part.descent.max() for part in parts)
    found["rescaling_gap_mixture"] = Measurement(np.median(mixed), (1 + mixed.max()) * rounding, n=len(mixed))
    return found


def _relative(a: Float[Tensor, "r k"], b: Float[Tensor, "r k"]) -> Float[np.ndarray, " r"]:
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).cpu().numpy()
