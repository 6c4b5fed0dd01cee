r"""Figure 2 of spherical_data (A.5): where the norm grows, by samples as the paper takes them and in closed form.

$g(w)=\mathbb E[y\,w^\top x/(1+\exp(y\,w^\top x))]$ at points of the plane; $y=\operatorname{sign}(v^\top x)$, v = e_2.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures.readings import count, fraction
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Found, Measurement

ROTATION = 0.3
"""Of the map that the samples must not agree with, in radians."""
CLEAR = 4.0
"""Standard errors from zero beyond which a sign counts as clear; 6e-5 of normal errors are larger."""


def sampled_growth(
    w: Float[np.ndarray, "n 2"], samples: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """g(w) from fresh points of the circle for each w, and its standard error."""
    angle = rng.uniform(0.0, 2.0 * math.pi, (len(w), samples))
    x, y = np.cos(angle), np.sin(angle)
    margin = np.where(y >= 0, 1.0, -1.0) * (x * w[:, :1] + y * w[:, 1:])
    values = margin / (1.0 + np.exp(margin))
    return values.mean(axis=1), values.std(axis=1, ddof=1) / math.sqrt(samples)


def exact_growth(w: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """g(w) in closed form; 0 at the origin."""
    r = np.linalg.norm(w, axis=1)
    return np.asarray(law("circle").norm_growth(r, np.divide(w[:, 1], r, out=np.zeros_like(r), where=r > 0)))


def polar(points: pd.DataFrame) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Norm, cosine to v and the component across v over the norm, of the points (x, y) of a table."""
    w = points[["x", "y"]].to_numpy()
    r = np.linalg.norm(w, axis=1)
    return r, w[:, 1] / r, w[:, 0] / r


def disagreement(points: pd.DataFrame) -> Found:
    """Signs of the samples against the exact ones, and against those of a map that is rotated by `ROTATION`.

    `points`: x, y, and there `sampled`, its standard `error` and `exact`.
    """
    r, cosine, across = polar(points)
    sampled, error = points.sampled.to_numpy(), points.error.to_numpy()
    rotated = law("circle").norm_growth(r, cosine * math.cos(ROTATION) - across * math.sin(ROTATION))
    found: dict[str, Measurement] = {}
    for key, growth in (("", points.exact.to_numpy()), ("_rotated", rotated)):
        differs = np.sign(sampled) != np.sign(growth)
        clear = np.abs(growth) > CLEAR * error
        found[f"clear_points_with_wrong_sign{key}"] = count((differs & clear)[clear])
        found[f"disagreement_fraction{key}"] = fraction(differs)
    return found
