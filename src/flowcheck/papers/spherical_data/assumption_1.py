"""Assumption 1 on samples: isotropy along random directions, the mean norm of a random planar projection, no zero margin.

Isotropy is not enough: the uniform square has it, and fails Lemma 2. What is tested are means over their standard errors.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data.population import Array, SphericalLaw
from flowcheck.pipeline.evidence import Found, Measurement

ROUNDING = 1e-10
"""Of a z-score. Twenty roundings, of numbers up to ten spreads in size, reach a mean of up to 2^20 terms that are added in pairs:
5e-14 spreads, times the root of the number of terms, up to 10^3."""
SPREADLESS = 1e-12
"""A smaller standard deviation is that of rounding: all terms are the same."""
SINE_SQUARED = 0.36
"""Of the angle at which Lemma 2 is tested, with cosine -0.8 and norm 3."""


def of_sampler(law: SphericalLaw, rng: np.random.Generator, samples: int) -> Found:
    """The sampler of a law against its moments, and Lemma 2 once more, by Monte Carlo in R^d. Each number stands for one law."""
    x = law.sample(rng, samples)
    directions = np.linalg.qr(rng.standard_normal((law.dimension, law.dimension)))[0]
    turned = (x @ directions)[:, :2].copy()
    first, second = (turned[:, i] ** 2 / law.coordinate_second_moment - 1.0 for i in range(2))
    plane = np.linalg.norm(turned, axis=1) / law.c0 - 1.0
    v, w = directions[:, 0], 3.0 * (0.6 * directions[:, 1] - 0.8 * directions[:, 0])
    lemma2 = z_score(lemma_2_terms(x, w, v) - law.c0 / math.pi * SINE_SQUARED)
    return {
        "assumption1_z_max": Measurement(
            max(abs(z_score(terms)) for terms in (first, second, first - second, plane)), ROUNDING, n=1
        ),
        "lemma2_z_max": Measurement(abs(lemma2), ROUNDING, n=1),
        "zero_margin_fraction_max": Measurement.exact(float(np.mean(x @ v == 0.0)), n=1),
    }


def of_square(rng: np.random.Generator, samples: int) -> Found:
    """The uniform square, whose covariance is a multiple of the identity without spherical symmetry; and stretched by three."""
    x = rng.uniform(-1.0, 1.0, (samples, 2))
    c0 = (math.sqrt(2.0) + math.log(1.0 + math.sqrt(2.0))) / 3.0  # mean distance to the centre of [-1, 1]²
    v, w = np.array([0.0, 1.0]), 3.0 * np.array([0.6, -0.8])
    diagonal = (x[:, 0] + x[:, 1]) / math.sqrt(2.0)
    scores = {
        "square_lemma2_z": z_score(lemma_2_terms(x, w, v) - c0 / math.pi * SINE_SQUARED),
        "square_covariance_z": z_score(x[:, 0] ** 2 - diagonal**2),
        "ellipse_covariance_z": z_score(x[:, 0] ** 2 - 9.0 * x[:, 1] ** 2),
    }
    return {name: Measurement(abs(score), ROUNDING, n=1) for name, score in scores.items()}


def lemma_2_terms(x: Float[Array, "n d"], w: Float[Array, " d"], v: Float[Array, " d"]) -> Float[Array, " n"]:
    """Terms whose mean is the left side of Eq. (5), with labels given by v."""
    label, bar = np.where(x @ v >= 0, 1.0, -1.0), w / np.linalg.norm(w)
    return label * (x @ (v - (bar @ v) * bar)) / (1.0 + np.exp(label * (x @ w)))


def z_score(terms: Float[Array, " n"]) -> float:
    """Mean over its standard error; of terms that are all the same, zero if they are zero up to rounding and 10^9 otherwise."""
    spread = terms.std(ddof=1)
    if spread <= SPREADLESS:
        return 1e9 if abs(terms.mean()) > 1e-9 else 0.0
    return float(terms.mean() / spread * math.sqrt(len(terms)))
