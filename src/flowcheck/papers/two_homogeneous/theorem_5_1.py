r"""Theorem 5.1 of two_homogeneous: eta and the two alternatives, $\delta=C^{-1/2}$, and a start that branches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck import geometry
from flowcheck.alignment.reference import Reference
from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import LARGEST_CONDITION, Study
from flowcheck.flows.ending import Ending
from flowcheck.losses import Loss
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous import early_alignment
from flowcheck.papers.homogeneous.early_alignment import Compared, Comparisons, for_all_cases
from flowcheck.papers.homogeneous.near_saddles import UNIT_ROUNDOFF
from flowcheck.papers.homogeneous.theorem_5_1 import Dichotomy
from flowcheck.papers.two_homogeneous import bounds, kink_example
from flowcheck.pipeline.evidence import Found, Measurement

OPERATIONS = 40
"""Roundings of numbers below two behind the margin of the solution that waits, and behind its distance: no more than so many."""
SMALLEST_LOG = -320.0
"""Of delta: delta^2 must stay in float64, so a smaller C^(-1/2) is not run."""


@dataclass(frozen=True)
class Constants:
    r"""Of Section 4, for each case [S]: an upper bound of $\beta$, $\hat\beta$ and $\tilde\beta$."""

    beta: Float[np.ndarray, " s"]
    beta_hat: Float[np.ndarray, " s"]
    beta_tilde: Float[np.ndarray, " s"]

    @classmethod
    def of(cls, network: Network, x: Float[Tensor, "n d"], losses: Sequence[Loss], cases: Cases) -> Constants:
        """Raises ValueError for a network whose outputs have no closed bound."""
        bound = network.output_bound(x)
        if bound is None:
            raise ValueError(f"{network.name}: there is no closed bound of beta")
        hat = np.array([losses[loss].derivative_lipschitz(y) for loss, y in zip(cases.loss.tolist(), cases.y, strict=True)])
        beta = np.full(len(hat), bound)
        return cls(beta, hat, np.asarray(bounds.beta_tilde(beta, hat, cases.z.norm(dim=-1).cpu().numpy())))

    def log_delta(self, study: Study) -> Float[np.ndarray, "s e"]:
        r"""$\ln C^{-1/2}$ for the T of each epsilon, the largest delta that Lemma 5.2 allows."""
        return -0.5 * np.asarray(bounds.log_c(study.times.cpu().numpy(), self.beta[:, None], self.beta_tilde[:, None]))


def usable(log_delta: Float[np.ndarray, "s e"]) -> Bool[np.ndarray, "s e"]:
    """Whether float64 holds the square of that delta."""
    return log_delta > SMALLEST_LOG


def compare(
    study: Study,
    constants: Constants,
    *,
    slopes: Sequence[float],
    sweep: Sequence[float],
    large: float,
    by_size: bool = False,
    wrong: Reference | None = None,
) -> Comparisons:
    r"""Deltas for the slopes, the sweep, a large one, and $C^{-1/2}$ for each epsilon.

    Where u has grown beyond half of the digits of float64, an absolute distance of epsilon cannot be told: not resolved.
    `by_size` takes deltas in units of 1/|u(T)|, and at most a tenth of it: for networks that slide along kinks once the loss has
    fallen.
    """
    log_own = constants.log_delta(study)
    own = torch.from_numpy(np.exp(np.where(usable(log_own), log_own, math.log(min(sweep))))).to(study.x)
    shared = [for_all_cases(deltas, study) for deltas in (slopes, sweep, [large])]
    if by_size:
        largest = study.largest_norms[:, -1:]
        shared, own = [(part / largest).clamp_max(0.1 / largest) for part in shared], own.clamp_max(0.1 / largest)
    found = early_alignment.compare(study, slopes=shared[0], sweep=shared[1], large=shared[2], own=own, wrong=wrong)
    against = None if found.wrong is None else _told(found.wrong)
    return Comparisons(_told(found.slopes), _told(found.sweep), _told(found.large), _told(found.own), against)


def _told(part: Compared) -> Compared:
    return replace(part, resolved=part.resolved & (part.largest_norm <= LARGEST_CONDITION))


def eta(compared: Compared) -> Float[np.ndarray, " s"]:
    """1 where u goes to 0, else half of the norm floor of Lemma C.7, at most 1."""
    return np.where(compared.branch == Ending.VANISHES, 1.0, np.minimum(0.5 * compared.norm_floor, 1.0))


def largest_epsilon(eta: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Above it the cosine bound is below 0 and says nothing."""
    return 2 * eta / (2 * eta + 3)


def dichotomy(compared: Compared) -> Dichotomy:
    """With the eta and the epsilons of the theorem."""
    own = eta(compared)
    return Dichotomy.at(compared, own, largest_epsilon(own), bounds.dichotomy_margin)


def branching(epsilon: float) -> Found:
    r"""Control: a solution of the flow of $u_1|u_2|$ that has waited at (1, 0), against the KKT point that others turn to."""
    waits = torch.from_numpy(kink_example.branch(10.0, np.array([9.0])))
    limit = waits.new_full((1, 2), math.sqrt(0.5))
    apart = geometry.misalignment(waits, limit).numpy()
    margin = np.asarray(bounds.dichotomy_margin(waits.norm(dim=-1).numpy(), apart, 0.5, epsilon))
    return {
        "dichotomy_margin_branching": Measurement(margin[0], OPERATIONS * UNIT_ROUNDOFF),
        "branching_distance": Measurement(float((waits - limit).norm()), OPERATIONS * UNIT_ROUNDOFF),
    }
