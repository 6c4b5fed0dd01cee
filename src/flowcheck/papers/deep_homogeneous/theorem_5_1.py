"""Theorem 5.1 of deep_homogeneous: eta and the two alternatives, and the norm where u goes to the origin."""

from __future__ import annotations

import numpy as np

from flowcheck.flows.ending import Ending
from flowcheck.measures.refinement import ROUNDING, Refined
from flowcheck.papers.deep_homogeneous import bounds
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.papers.homogeneous.theorem_5_1 import Dichotomy
from flowcheck.pipeline.evidence import Found


def dichotomy(compared: Compared) -> Dichotomy:
    """With eta = 2 where u goes to 0, else at most 1, for epsilon < eta / 2."""
    eta = np.where(compared.branch == Ending.VANISHES, 2.0, np.minimum(compared.norm_floor, 1.0))
    return Dichotomy.at(compared, eta, eta / 2, bounds.dichotomy_margin)


def collapse(sweep: Compared) -> Found:
    r"""Largest norm of flows to the origin over $1+\epsilon$, and over the $2\epsilon$ that is printed."""
    epsilon, largest, error = sweep.epsilon, sweep.excess.value + 1.0, sweep.excess.error + ROUNDING
    return {
        "collapse_norm_ratio_max": Refined(largest / (1 + epsilon), error / (1 + epsilon)).largest_of_all(),
        "collapse_norm_ratio_printed_max": Refined(largest / (2 * epsilon), error / (2 * epsilon)).largest_of_all(),
    }
