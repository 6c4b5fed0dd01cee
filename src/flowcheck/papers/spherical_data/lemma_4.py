r"""Lemma 4 (spherical_data): gradient descent in the wrong half-space.

If $\theta(0)\ne\pi$ and $\mathbf v^\top\mathbf w(0)<0$, Eq. (9) holds until $\cos\theta(n)\ge0$ for the first time.
"""

from __future__ import annotations

import numpy as np

from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.excess import Excess, excess
from flowcheck.papers.spherical_data.theorem_2 import half_space_entry


def against_bound(path: PopulationPath) -> Excess:
    """Excess over Eq. (9) from the start to the first step in the half-space of v, or to the last step if there is none."""
    left = half_space_entry(path)
    guaranteed = []
    for run, steps in enumerate(path.step_sizes):
        until = len(steps) if np.isnan(left[run]) else int(left[run])
        exponent = bounds.lemma4_sum(steps[:until], path.norm[run, 0], path.law.c0)
        guaranteed.append((0, bounds.lemma4_rate(path.cosine[run, 0]) * exponent))
    return excess(path, guaranteed)
