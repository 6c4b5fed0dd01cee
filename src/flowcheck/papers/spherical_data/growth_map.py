r"""Figure 2 of spherical_data (A.5): where the norm grows, by samples as the paper takes them and in closed form.

$g(w)=\mathbb E[y\,w^\top x/(1+\exp(y\,w^\top x))]$ at points of the plane; $y=\operatorname{sign}(v^\top x)$, v = e_2.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import ndtr

from flowcheck.measures.readings import count, fraction, largest
from flowcheck.papers.spherical_data.broken_flows import FLIPPED
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Found, Measurement

ROTATION = 0.3
"""Of the map that the samples must not agree with, in radians."""
CLEAR = 4.0
"""Standard errors from zero beyond which a sign counts as clear; 6e-5 of normal errors are larger."""
CIRCLES, ANGLES, SMALLEST_RADIUS = 24, 240, 0.3
"""Circles on which the boundary is sampled, and angles on the half of each that is right of the axis."""
STATISTIC = 1e-10
"""Rounding of a distance in standard errors."""


def sampled_growth(
    w: Float[np.ndarray, "n 2"], samples: int, rng: np.random.Generator, flip_probability: float = 0.0
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """g(w) from fresh points of the circle for each w, and its standard error; `flip_probability` flips labels."""
    angle = rng.uniform(0.0, 2.0 * math.pi, (len(w), samples))
    x, y = np.cos(angle), np.sin(angle)
    margin = np.where(y >= 0, 1.0, -1.0) * (x * w[:, :1] + y * w[:, 1:])
    if flip_probability:
        margin *= np.where(rng.random(margin.shape) < flip_probability, -1.0, 1.0)
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


def exact_boundary(radii: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    """The angle to v at which g vanishes on each circle: cos θ = π κ(r) / c0."""
    circle = law("circle")
    return np.arccos(np.asarray(math.pi / circle.c0 * circle.kappa(radii)))


def sampled_boundary(
    radii: Float[np.ndarray, " r"], samples: int, rng: np.random.Generator, flip_probability: float = 0.0
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """The same angle by samples, and its standard error: the share of the half circle on which the sampled g is positive.

    A point is positive with the normal probability of its mean over its standard error; where all are clear, the boundary lies
    anywhere between two of them.
    """
    spacing = math.pi / ANGLES
    angles = spacing * (np.arange(ANGLES) + 0.5)
    directions, found = np.stack([np.sin(angles), np.cos(angles)], axis=1), []
    for r in radii:
        mean, error = sampled_growth(r * directions, samples, rng, flip_probability)
        positive = ndtr(mean / error)
        found.append((spacing * np.count_nonzero(mean > 0), spacing * math.sqrt(positive @ (1.0 - positive) + 1.0 / 12.0)))
    angle, error = np.array(found).T
    return angle, error


def boundaries(largest_radius: float, samples: int, rng: np.random.Generator) -> Found:
    """Distance of the sampled boundary to the exact one in standard errors, largest and mean; and with flipped labels."""
    radii = np.geomspace(SMALLEST_RADIUS, largest_radius, CIRCLES)
    exact = exact_boundary(radii)
    found: dict[str, np.ndarray | Measurement] = {}
    for key, share in (("", 0.0), ("_flipped", FLIPPED)):
        angle, error = sampled_boundary(radii, samples, rng, share)
        apart = np.abs(angle - exact) / error
        together = abs(np.sum(angle - exact)) / math.sqrt(np.sum(error**2))
        found[f"boundary_distance_max{key}"] = largest(apart, STATISTIC)
        found[f"boundary_mean_distance{key}"] = Measurement(together, STATISTIC, n=len(radii))
        found |= {f"sampled_boundary_angle{key}": angle, f"sampled_boundary_error{key}": error}
    curve = np.geomspace(1e-3, largest_radius, 400)
    return found | {"sampled_boundary_r": radii, "boundary_r": curve, "boundary_cosine": np.cos(exact_boundary(curve))}
