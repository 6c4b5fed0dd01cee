"""Eq. (52): the change of the residual, over its bound, for the loss at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowcheck.measures.refinement import Refined
from flowcheck.papers.deep_homogeneous import bounds
from flowcheck.papers.deep_homogeneous.equation_45 import Constants
from flowcheck.papers.deep_homogeneous.theorem_5_1 import dichotomy
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.pipeline.evidence import Found


def changes(parts: Sequence[tuple[Constants, Compared]]) -> Found:
    r"""Largest change of the residual over its bound, at all times up to the last moment; as a control with $\delta^{L+1}$.

    From the first delta on from which s stays within epsilon of u.
    """
    ratios, degree_above = [], []
    for constants, sweep in parts:
        radius, logistic = constants.radius[:, -1:], sweep.loss[:, None] == 1
        log_delta = np.log(sweep.deltas)
        allowed = bounds.log_change_bound(constants.beta, radius, constants.degree, constants.label_norm, logistic=logistic)
        most = np.exp(allowed + constants.degree * log_delta)[:, :, None]
        ratio = Refined(sweep.path_change.value / most, sweep.path_change.error / most)
        delta, close = np.exp(log_delta)[:, :, None], dichotomy(sweep).close().valid[..., -1]
        ratios.append(ratio[close])
        degree_above.append(Refined(ratio.value / delta, ratio.error / delta)[close])
    return {
        "change_ratio_max": Refined.joined(ratios).largest_of_all(),
        "change_ratio_degree_above": Refined.joined(degree_above).largest_of_all(),
    }
