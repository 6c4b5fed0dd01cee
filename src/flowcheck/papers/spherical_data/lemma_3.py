r"""Lemma 3 of spherical_data: the sign of $g(w)=r(c_0\cos\theta/\pi-\kappa(r))$ in half planes and a disc, and where it is 0."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from flowcheck.measures.readings import largest, smallest
from flowcheck.papers.spherical_data.growth_map import polar
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Found, Measurement

CLOSED_FORM = 1e-15
"""Rounding of g and of κ: a quadrature of positive terms that add up to less than one."""
ARCCOSINE = 1e-14
"""Rounding of an angle: that of its cosine over the sine, which is 0.1 or more on the boundary."""


def signs(points: pd.DataFrame) -> Found:
    """Of g over the norm at the points x, y, where it is `exact`: below, on the axis, above, and in the disc of the lemma.

    The control is a disc of four times the size, which holds points where g is negative.
    """
    r, cosine, across = polar(points)
    exact = points.exact.to_numpy()
    inside, wide = ((cosine > 0) & (r <= size / math.pi * cosine) for size in (4.0, 16.0))
    return {
        "growth_lower_half_max": largest(exact / r, CLOSED_FORM, cosine <= 0),
        "growth_on_axis_min": smallest(exact, CLOSED_FORM, (across == 0) & (cosine > 0)),
        "growth_upper_half_min": smallest(exact / r, CLOSED_FORM, cosine > 0),
        "growth_guaranteed_disc_min": smallest(exact / r**2, CLOSED_FORM, inside),
        "growth_disc_four_times_min": smallest(exact / r**2, CLOSED_FORM, wide),
    }


def boundary(radius: float) -> Found:
    """The curve on which g vanishes: once on every circle, where cos θ = π κ(r) / c0, at an angle that falls with r."""
    circle, radii, angles = law("circle"), np.geomspace(1e-3, radius, 400), np.linspace(0.0, 0.5 * math.pi, 2001)
    cosine, spacing = np.asarray(math.pi * circle.kappa(radii)), angles[1] - angles[0]
    grid = np.asarray(circle.c0 / math.pi * np.cos(angles)[None, :] - np.asarray(circle.kappa(radii))[:, None])  # g over the norm
    changes = (np.diff(np.sign(grid), axis=1) != 0).sum(axis=1)
    gap = np.abs(angles[np.argmax(grid < 0, axis=1)] - np.arccos(cosine)) / spacing
    return {
        "sign_changes_per_circle_max": Measurement.count(changes.max(), len(radii)),
        "sign_changes_per_circle_min": Measurement.count(changes.min(), len(radii)),
        "boundary_angle_gap_in_spacings": largest(gap, CLOSED_FORM / spacing),
        "boundary_angle_increase_max": largest(np.diff(np.arccos(cosine)), ARCCOSINE),
        "boundary_r": radii,
        "boundary_cosine": cosine,
    }
