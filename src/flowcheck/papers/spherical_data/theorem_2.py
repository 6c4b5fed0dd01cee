r"""Theorem 2 (spherical_data): gradient descent with bounded steps converges in direction.

Some $n_0$ has $\cos\theta(n_0)\ge0$, some $n_1\ge n_0$ has $\mathbf v^\top\mathbf w(n_1)\ge R_1=\eta_+c_0(1+1/\pi)$, where
$\eta_+$ is the largest step, and from $n_1$ on

$$1-\cos\theta(n)\le(1-\cos\theta(n_1))e^{-BS_n^+},\qquad B=\frac{1+\cos\theta(n_1)}{2\pi}.$$

B is half of what is reached in the limit of short steps: by the increment below Eq. (10) the exponent then grows at the rate
$(1+\cos\theta)c_0/(\pi\|\mathbf w\|)$, and by $B S_n^+$ at half of it. A B that is wrong by any factor is seen there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from flowcheck.papers.spherical_data import bounds
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.excess import Excess, excess
from flowcheck.pipeline.evidence import Measurement

Array = np.ndarray


SHARP_START, SHARP_STEP = (5.0, 0.3), np.array([1e-3])
"""Norm and angle from which one short step is compared with B: n1 is 0, and the next order is η c0 / (π ‖w‖) or less."""


def sharp_gap(path: PopulationPath) -> Measurement:
    """Distance to 2 of the exponent that one short step reaches over the one guaranteed."""
    found = against_bound(path)
    return Measurement(abs(found.value[0] - 1.0), found.error[0], n=1)


def half_space_entry(path: PopulationPath) -> Float[Array, " s"]:
    """n0, the first step with cos θ >= 0; NaN where there is none."""
    inside = path.along >= 0
    return np.where(inside.any(axis=1), inside.argmax(axis=1), np.nan)


def radius_entry(path: PopulationPath) -> Int[Array, " s"]:
    """n1, the first step with v·w >= R1, which is not before n0; -1 where there is none."""
    beyond = path.along >= bounds.theorem2_entry_radius(path.step_sizes.max(axis=1, keepdims=True), path.law.c0)
    return np.where(beyond.any(axis=1), beyond.argmax(axis=1), -1)


def against_bound(path: PopulationPath) -> Excess:
    """Excess over the bound of Theorem 2 from n1 on."""
    entries = radius_entry(path).tolist()
    return excess(path, [(n1, guaranteed(path, run, n1)) if n1 >= 0 else None for run, n1 in enumerate(entries)])


def guaranteed(path: PopulationPath, run: int, n1: int) -> Float[Array, " m"]:
    """Exponent B S_n^+ of one run for n = n1 + 1, n1 + 2, ... to its end."""
    rate = bounds.lemma5_rate(path.cosine[run, n1], 1.0)
    return rate * bounds.lemma5_sum(path.step_sizes[run, n1:], path.norm[run, n1], path.law.c0)


def bound(path: PopulationPath, run: int) -> Float[Array, " p"]:
    """Upper bound on 1 - cos θ(n) of one run: from n1 on, NaN before."""
    n1, gap = int(radius_entry(path)[run]), path.one_minus_cos[run]
    curve = np.full(len(gap), np.nan)
    if n1 >= 0:
        curve[n1] = gap[n1]
        curve[n1 + 1 :] = gap[n1] * np.exp(-guaranteed(path, run, n1))
    return curve
