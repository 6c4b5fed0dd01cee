"""The population loss on data without the symmetry: points on an ellipse, flipped labels, finite sets of points."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import Refined, refined
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.papers.spherical_data.pointwise import ROUNDING
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, TILTED, Array, law, planar_gradient
from flowcheck.pipeline.evidence import Found, Measurement

ACROSS = np.array([-TILTED[1], TILTED[0]])
ELLIPSE = np.diag([1.0, 3.0])
ELLIPSE_ACCURACY = (12, 1e-4), (8, 2e-4)
"""Panels and the angle over which g is differenced, and those that errors are measured with."""
POINTS = 20
FINITE_SUM = 1e-13
"""Relative: twenty positive terms are added, each with an exponential, which multiplies the rounding of an exponent up to 50."""


def measure(rng: np.random.Generator, sets: int) -> Found:
    """What becomes of Lemmas 2 and 3 and of Propositions 1 to 3 on broken data, each number with its change on refinement."""
    found = refined(ellipse, *ELLIPSE_ACCURACY)
    found |= refined(longer_points, PANELS, COARSE_PANELS)
    found["flipped_pull"] = Refined.of(flipped_pull(PANELS), flipped_pull(COARSE_PANELS))
    return {name: each.with_rounding(ROUNDING).largest() for name, each in found.items()} | {
        "finite_pull_min": finite_pull(rng, sets),
        "growth_over_cap_hinge_loss": hinge_growth(),
    }


def ellipse_c0() -> float:
    """Mean norm of the points of the ellipse, a periodic trapezoidal rule."""
    angle = np.linspace(0, 2 * math.pi, 4001)[:-1]
    return float(np.linalg.norm(np.stack([np.cos(angle), 3.0 * np.sin(angle)]), axis=0).mean())


def ellipse(accuracy: tuple[int, float]) -> dict[str, float]:
    """Lemma 2, Lemma 3(ii), (iii) and Proposition 2(i) on the circle stretched by diag(1, 3), at norms 0.5 and 3.

    Largest residual of Eq. (6), largest g over the norm at obtuse angles, largest dg/dθ over the norm at acute ones, and smallest
    -v·∇L, all in units of c0/π.
    """
    panels, step = accuracy
    c0, circle = ellipse_c0(), np.ones(1)
    unit = c0 / math.pi
    residual, obtuse, slope, pull = [], [], [], []
    for r in (0.5, 3.0):

        def gradient(angle: float, r: float = r) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
            w = r * (math.cos(angle) * TILTED + math.sin(angle) * ACROSS)
            return w, planar_gradient(circle, circle, w, TILTED, stretch=ELLIPSE, panels=panels)

        for angle in np.linspace(-3.1, 3.1, 63):
            w, g = gradient(angle)
            bar = w / r
            pull.append(-TILTED @ g / unit)
            residual.append(np.abs((g - (bar @ g) * bar) / unit + TILTED - (bar @ TILTED) * bar).max())
            if abs(angle) > 0.5 * math.pi:
                obtuse.append(-bar @ g / unit)
            elif abs(angle) > 0.05:
                (up, g_up), (down, g_down) = gradient(angle + step), gradient(angle - step)
                slope.append((-up @ g_up + down @ g_down) / (2 * step) / (r * c0 / math.pi) * math.copysign(1.0, angle))
    return {
        "ellipse_lemma2": max(residual),
        "ellipse_obtuse": max(obtuse),
        "ellipse_slope": max(slope),
        "ellipse_pull_min": min(pull),
    }


def longer_points(panels: int) -> dict[str, float]:
    """Propositions 1 and 3(i) on the sphere in R^3 stretched threefold along v, with the constants of the sphere.

    The gradient's size far along -v over the c0 of planes across v, and its change between two points beside 0 over what a
    quarter of the sphere's λ_max allows.
    """
    sphere, v = law("sphere_3"), np.array([0.0, 1.0])

    def gradient(w: Float[Array, " 2"]) -> Float[Array, " 2"]:
        return planar_gradient(sphere.radius_nodes, sphere.radius_weights, w, v, stretch=ELLIPSE, panels=panels)

    change = np.linalg.norm(gradient(0.02 * v) - gradient(-0.02 * v))
    return {
        "gradient_size_over_c0_stretched": float(np.linalg.norm(gradient(-20.0 * v)) / sphere.c0),
        "smoothness_ratio_stretched": float(change / (0.04 * 0.25 * sphere.coordinate_second_moment)),
    }


def hinge_growth() -> Measurement:
    """Growth of the norm under the hinge loss max(0, 1 - m) at w = 0.99 v on the circle, over the cap: E m = 0.99 · 2/π."""
    circle = law("circle")
    margin = 0.99 * circle.coordinate_nodes
    growth = float(circle.coordinate_weights @ np.where(margin < 1.0, margin, 0.0)) / GROWTH_CAP
    return Measurement(growth, ROUNDING, n=1)


def flipped_pull(panels: int) -> float:
    """-v·∇L at w = 10 v on the circle in units of c0/π, with a tenth of the labels flipped."""
    circle, v = np.ones(1), np.array([0.0, 1.0])
    return float(-planar_gradient(circle, circle, 10 * v, v, flip_probability=0.1, panels=panels)[1] * math.pi)


def finite_pull(rng: np.random.Generator, sets: int) -> Measurement:
    """Proposition 2(i) needs no symmetry: smallest -v·∇L over the mean |v·x|, on random sets of labelled points in R^3."""
    shares = []
    for _ in range(sets):
        x, v = rng.standard_normal((POINTS, 3)), rng.standard_normal(3)
        v /= np.linalg.norm(v)
        w = 10 ** rng.uniform(-1, 0.5) * rng.standard_normal(3)
        label = np.where(x @ v >= 0, 1.0, -1.0)
        share = np.abs(x @ v) / (1.0 + np.exp(label * (x @ w)))
        shares.append(share.mean() / np.abs(x @ v).mean())
    smallest = min(shares)
    return Measurement(smallest, FINITE_SUM * smallest, n=1)
