"""The population gradient point by point: Lemmas 2 and 3, Propositions 2(i) and 3(i).

Gradients are taken by direct quadrature of Eq. (2), which knows only that the angle is uniform.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures.refinement import Refined
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.papers.spherical_data.population import COARSE_PANELS, PANELS, Array, SphericalLaw, law_gradient
from flowcheck.pipeline.evidence import Found, Measurement

ROUNDING = 1e-12
"""In units of c0/π: a gradient is a sum of 2560 terms whose sizes add up to c0 or less, and half a unit each is 3e-13 c0."""


class Accuracy(NamedTuple):
    """Panels of the quadrature, panels where g is differenced, and the angle over which it is."""

    panels: int
    slope_panels: int
    step: float


FINE, COARSE = Accuracy(PANELS, PANELS, 1e-4), Accuracy(16, COARSE_PANELS, 2e-4)


class Point(NamedTuple):
    """A norm, an angle to v, and v with a direction z across it."""

    r: float
    angle: float
    v: Float[Array, " d"]
    z: Float[Array, " d"]

    def w(self, turned_by: float = 0.0) -> Float[Array, " d"]:
        """The vector of this norm at the angle, or beside it."""
        angle = self.angle + turned_by
        return self.r * (math.cos(angle) * self.v + math.sin(angle) * self.z)


def orthonormal_pair(rng: np.random.Generator, dimension: int) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Two random unit vectors of R^d, one across the other."""
    first, second = np.linalg.qr(rng.standard_normal((dimension, 2)))[0].T
    return first, second


def grid(rng: np.random.Generator, dimension: int, radii: Sequence[float], angles: int) -> list[Point]:
    """Points at all norms and angles, each in a random plane; angles also at 0.01 from 0 and at 0.01 from π/2 on either side."""
    even = np.linspace(0.05, math.pi - 0.05, angles)
    every = np.concatenate([[0.01], even, [0.5 * math.pi - 0.01, 0.5 * math.pi + 0.01]])
    return [Point(r, angle, *orthonormal_pair(rng, dimension)) for r in radii for angle in every]


def lemma_2(law: SphericalLaw, point: Point, gradient: Float[Array, " d"]) -> dict[str, float]:
    """Residuals of Eq. (5) and (6), the second also with the mean norm of x for c0, and the distance to the closed form.

    In units of c0/π, but for the mean norm, which takes the place of c0 there too.
    """
    unit, bar = law.c0 / math.pi, point.w() / point.r
    tangential = gradient - (bar @ gradient) * bar
    target = point.v - (bar @ point.v) * bar
    return {
        "eq5": abs(-point.v @ tangential / unit - math.sin(point.angle) ** 2),
        "eq6": np.abs(tangential / unit + target).max(),
        "eq6_mean_norm": np.abs(tangential / (law.mean_norm / math.pi) + target).max(),
        "closed": np.abs(gradient - law.gradient(point.w(), point.v)).max() / unit,
    }


def sizes(law: SphericalLaw, point: Point, gradient: Float[Array, " d"]) -> dict[str, float]:
    """The gradient's size over c0 (Proposition 3(i)), -v·∇L over c0/π (Proposition 2(i)) and g = -w·∇L (Lemma 3)."""
    return {
        "size": np.linalg.norm(gradient) / law.c0,
        "pull": -point.v @ gradient / (law.c0 / math.pi),
        "growth": -point.w() @ gradient,
    }


def growth_slope(law: SphericalLaw, point: Point, step: float, panels: int) -> float:
    """dg/dθ by central differences, over r sin θ c0/π: -1 by the closed form."""
    up, down = (-w @ law_gradient(law, w, point.v, panels=panels) for w in (point.w(step), point.w(-step)))
    return float((up - down) / (2 * step) / (point.r * math.sin(point.angle) * (law.c0 / math.pi)))


def measure(law: SphericalLaw, points: Iterable[Point]) -> tuple[pd.DataFrame, Found]:
    """One row a point, and the extremes over all points, each with its change to the coarser quadrature."""
    fine: list[dict[str, float]] = []
    coarse: list[dict[str, float]] = []
    for point in points:
        gradients = [law_gradient(law, point.w(), point.v, panels=how.panels) for how in (FINE, COARSE)]
        quadrature = np.abs(gradients[0] - gradients[1]).max() / (law.c0 / math.pi)
        for rows, gradient, how in zip((fine, coarse), gradients, (FINE, COARSE), strict=True):
            row = {"r": point.r, "angle": point.angle} | lemma_2(law, point, gradient) | {"quadrature_error": quadrature}
            slope = growth_slope(law, point, how.step, how.slope_panels)
            rows.append(row | sizes(law, point, gradient) | {"slope": slope})
    runs = pd.DataFrame(fine)
    return runs, extremes(law, runs, pd.DataFrame(coarse))


def extremes(law: SphericalLaw, fine: pd.DataFrame, coarse: pd.DataFrame) -> Found:
    """What the statements say of all points. A law on which the mean norm of x is no other than c0 has no number for it."""
    r, angle = (fine[name].to_numpy() for name in ("r", "angle"))
    known = {name: Refined.of(fine[name].to_numpy(), coarse[name].to_numpy()) for name in fine}
    in_units = {name: known[name].with_rounding(ROUNDING) for name in ("eq5", "eq6", "eq6_mean_norm", "closed", "pull")}
    size = known["size"].with_rounding(ROUNDING / math.pi)
    growth = known["growth"].with_rounding(ROUNDING / math.pi * law.c0 * r)
    acute = angle <= 0.5 * math.pi
    found = {
        "lemma2_residual_eq5_max": in_units["eq5"].largest(),
        "lemma2_residual_eq6_max": in_units["eq6"].largest(),
        "closed_form_gradient_gap_max": in_units["closed"].largest(),
        "gradient_size_over_c0_max": size.largest(),
        "pull_towards_v_min": in_units["pull"].smallest(),
        "growth_over_cap_max": over(growth, GROWTH_CAP).largest(),
        "growth_obtuse_max": over(growth, r).largest(~acute),
        "growth_slope_acute_max": known["slope"].largest(acute),
        "growth_slope_acute_min": known["slope"].smallest(acute),
    }
    if law.dimension > 2:  # one number a law
        found["lemma2_residual_full_norm_min"] = replace(in_units["eq6_mean_norm"].largest(), n=1)
    return found


def over(known: Refined, unit: Float[Array, " n"] | float) -> Refined:
    """The same in another unit."""
    return Refined(known.value / unit, known.error / unit)


def small_norms(law: SphericalLaw, rng: np.random.Generator, trials: int) -> Found:
    r"""Lemma 3(iv): smallest g cos θ / (r cos² θ c0/π) at random points with $\|\mathbf w\|\le c_0|\cos\theta|/(2\pi\mathsf L)$.

    $\mathsf L$ is E|x|²/8 over the plane, which is E x_1²/4. For a control the same at four times the largest norm.
    """
    found: dict[str, Measurement] = {}
    for name, reach in (("small_norm_growth_min", 1.0), ("small_norm_growth_at_four_times", 4.0)):
        drawn = [small_point(law, rng, reach) for _ in range(trials)]
        cosine = np.array([each[0] for each in drawn])
        fine, coarse = (
            [-bar @ law_gradient(law, w, v, panels=panels) for _, w, bar, v in drawn] for panels in (PANELS, COARSE_PANELS)
        )
        unit = law.c0 / math.pi * cosine
        known = Refined.of(np.array(fine) / unit, np.array(coarse) / unit).with_rounding(ROUNDING / np.abs(cosine))
        found[name] = replace(known.smallest(), n=1)  # one number a law
    return found


def small_point(law: SphericalLaw, rng: np.random.Generator, reach: float) -> tuple[float, Array, Array, Array]:
    """The cosine, w, its direction, and v: a norm below the limit of Lemma 3(iv), or `reach` times the limit if that is more."""
    limit = law.c0 / (2 * math.pi * law.coordinate_second_moment / 4.0)
    angle = rng.uniform(0.02, math.pi - 0.02)
    v, z = orthonormal_pair(rng, law.dimension)
    bar = math.cos(angle) * v + math.sin(angle) * z
    return math.cos(angle), reach * limit * abs(math.cos(angle)) * (1.0 if reach > 1 else 10 ** rng.uniform(-2, 0)) * bar, bar, v
