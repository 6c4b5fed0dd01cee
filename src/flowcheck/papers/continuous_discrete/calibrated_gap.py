r"""ReLU networks: no tube holds the flow across kinks, and the distance between two runs of descent has to do.

Descent with twice the step is about twice as far from the flow, so that the gap between both runs is about the deviation. The
factor by which it may fall short is read from runs of some networks, as split conformal prediction does, and tried on others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.curvature.certificate import Pieces, doubling, tube
from flowcheck.errors import HypothesisError
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.integration.discrepancy import euler
from flowcheck.losses import HALF_MEAN
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.continuous_discrete.certified_networks import Layered
from flowcheck.papers.continuous_discrete.certified_runs import WIDTH, random_data
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-11, 1e-9
CALIBRATED, TRIED = ((WIDTH, 8, 1), (WIDTH, 5, 4, 1)), ((WIDTH, 16, 1), (WIDTH, 6, 5, 1))
"""Widths."""
SHARE = 0.9
"""Of further runs of the first networks that the factor covers."""
BEGIN = 0.1
"""Share of the time from which on the bound is asked for: a kink that both runs cross in the first steps is in neither's gap."""
ORDER_TWO = 1 / 3
"""What Richardson's extrapolation takes of the gap if the method is of order two."""
LOOSE = 10.0
"""Within which factor of the deviation a bound is to be."""


@dataclass(frozen=True)
class Gaps:
    """Runs of one kind of network, at every other iterate from `BEGIN` on.

    Attributes:
        deviation: the largest distance from the flow so far, [s, p].
        gap: the largest distance from descent with twice the step so far, [s, p].
        refused: whether a certificate is refused as the gradient jumps, [s].
        tube_ratio: what the tube would be worth: distance of the flow from its middle over its radius, largest of each run, [s].
    """

    deviation: Refined
    gap: Float[np.ndarray, "s p"]
    refused: np.ndarray
    tube_ratio: Float[np.ndarray, " s"]

    @property
    def score(self) -> Refined:
        """By which factor the gap falls short, the largest of each run."""
        return Refined(self.deviation.value / self.gap, self.deviation.error / self.gap).worst(axis=1)


def gaps(rng: np.random.Generator, widths: tuple[int, ...], draws: int, step_size: float, until: float) -> Gaps:
    """ReLU networks of these widths on random data from random starts, beside their flows, whose kinks are located."""
    networks = [Layered(widths, torch.relu, *random_data(rng)) for _ in range(draws)]
    starts = [one.start(rng, rng.uniform(0.3, 1.0)) for one in networks]
    steps = 2 * round(until / step_size / 2)
    flows = _flows(networks, np.stack(starts), step_size * np.arange(steps + 1))
    found = [
        _beside(network, start, step_size, steps, flow) for network, start, *flow in zip(networks, starts, *flows, strict=True)
    ]
    far, apart, refused, ratios = (np.array(part) for part in zip(*found, strict=True))
    begin = int(BEGIN * apart.shape[1])
    most, gap = np.maximum.accumulate(far, axis=2)[:, :, begin:], np.maximum.accumulate(apart, axis=1)[:, begin:]
    return Gaps(Refined.of(most[:, 0], most[:, 1]), gap, refused, ratios)


def _beside(
    network: Layered, start: Float[np.ndarray, " k"], step_size: float, steps: int, flows: Sequence[Float[np.ndarray, "p k"]]
) -> tuple[Float[np.ndarray, "2 p"], Float[np.ndarray, " p"], bool, float]:
    """One run: distances from both flows, gap, whether a jump is found, and what a tube would be worth none the less."""
    slope = torch.func.grad(network.loss)
    iterates = euler(lambda _, w: -slope(w), start, step_size, steps)
    pieces, refused = Pieces(network.loss, iterates, step_size), False
    try:
        pieces.require_no_jump()
    except HypothesisError:
        refused = True
    path = pieces.corrected()
    away = np.linalg.norm(path.nodes.numpy() - flows[0], axis=1)[1:] / tube(path)[0][1:]
    far = np.array([np.linalg.norm(iterates.numpy() - flow, axis=1)[2::2] for flow in flows])
    return far, doubling(network.loss, start, step_size, steps)[1][1:], refused, float(away.max())


def _flows(
    networks: list[Layered], starts: Float[np.ndarray, "s k"], times: Float[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, "s p k"], Float[np.ndarray, "s p k"]]:
    """At these times, at two tolerances: one batch."""
    widths, count = networks[0].widths, len(networks)
    same = deep_power(widths[1:-1], widths[0], slope=0.0, outputs=1)
    x, y = torch.stack([one.x for one in networks]).repeat(2, 1, 1), torch.stack([one.y for one in networks]).repeat(2, 1)
    both = torch.as_tensor(starts).repeat(2, 1)
    size = torch.linalg.norm(both, dim=1)
    scale = size ** (same.degree - 2)
    path = gradient_flow(
        Objective(same, x, y, HALF_MEAN),
        both / size[:, None],
        size,
        rtol=torch.tensor([RTOL, COARSE_RTOL], dtype=both.dtype).repeat_interleave(count),
        length=scale * float(times[-1]),
        save=Save(at=scale[:, None] * torch.as_tensor(times)),
        clock="time",
    )
    assert path.recorded is not None
    weights = path.recorded.weights().numpy()
    return weights[:count], weights[count:]


def conformal_factor(scores: Float[np.ndarray, " s"], share: float = SHARE) -> float:
    """The factor that a further run of the same kind stays below with at least this probability.

    The ceil((s + 1) share)-th of the scores (Vovk, Gammerman, Shafer 2005). Raises ValueError if there are too few of them.

    >>> conformal_factor(np.arange(1.0, 10.0), 0.9)
    9.0
    """
    place = math.ceil((len(scores) + 1) * share)
    if place > len(scores):
        raise ValueError(f"{len(scores)} scores tell no factor that covers a share of {share:g}")
    return float(np.sort(scores)[place - 1])


def calibrated(rng: np.random.Generator, draws: int, tried: int, step_size: float, until: float) -> Found:
    """The factor from narrow networks, and what it covers on wider ones; `draws` and `tried` runs of each."""
    own = [gaps(rng, widths, draws, step_size, until) for widths in CALIBRATED]
    others = [gaps(rng, widths, tried, step_size, until) for widths in TRIED]
    known, scores = (Refined.joined([one.score for one in part]) for part in (own, others))
    factor = conformal_factor(known.value)
    loose = Refined.joined([_looseness(one, factor) for one in others])
    every = [*own, *others]
    return {
        "kinks_factor": Measurement(factor, float(known.error[known.value == factor][0]), n=len(known.value)),
        "kinks_covered": readings.fraction(scores.value <= factor),
        "kinks_covered_uncalibrated": readings.fraction(scores.value <= 1),
        "kinks_covered_order_two": readings.fraction(scores.value <= ORDER_TWO),
        "kinks_loose_median": loose.median(),
        "kinks_within_ten": readings.fraction(loose.value <= LOOSE),
        "kinks_refused": readings.fraction(np.concatenate([one.refused for one in every])),
        "kinks_tube_held": readings.fraction(np.concatenate([one.tube_ratio for one in every]) <= 1),
        "kinks_scores": scores.value,
        "kinks_calibration_scores": known.value,
        "kinks_loose": loose.value,
    }


def _looseness(found: Gaps, factor: float) -> Refined:
    """The calibrated bound over the deviation, the largest of each run."""
    bound, known = factor * found.gap, found.deviation
    return Refined.of((bound / known.value).max(axis=1), (bound / (known.value + known.error)).max(axis=1))
