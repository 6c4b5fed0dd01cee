"""Figure 2 of two_homogeneous: the gradient field of u1 abs(u2) against differences of the function, and its symmetries."""

from __future__ import annotations

import sys

import numpy as np

from flowcheck.correlation.clarke import enclosed_hull_distance
from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import change
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.pipeline.evidence import Found, Measurement

STEP = 1e-6
DIFFERENCES = 6 * sys.float_info.epsilon / STEP
"""Rounding of a difference quotient of f, which is bilinear off the kink and has no other error: two values of at most 4, each
off by three roundings of half an epsilon, over two steps."""
SIDE = 1e-12
"""Distance from the kink at which one-sided limits are read."""


def figure_2(points: int = 20) -> Found:
    """The field on a grid of `points` squared that misses the kink, and the one-sided limits at [1, 0].

    An odd number of points would put some on the kink: raises ValueError.
    """
    if points % 2:
        raise ValueError(f"{points} points on [-2, 2] include 0, which is on the kink")
    axis = np.linspace(-2.0, 2.0, points)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    field, n = kink_example.subdifferential(grid)[:, 0], len(grid)
    quotients = [(kink_example.value(grid + STEP * e) - kink_example.value(grid - STEP * e)) / (2 * STEP) for e in np.eye(2)]
    differences = np.stack(quotients, axis=-1)
    unsigned = np.stack([field[:, 0], grid[:, 0]], axis=-1)
    mirrored = kink_example.subdifferential(grid * [1, -1])[:, 0]
    outwards = np.sign(grid[:, 1] * field[:, 1])
    return {
        "grid": grid,
        "field": field,
        "figure2_field_error": Measurement(np.abs(field - differences).max(), DIFFERENCES, n=n),
        "figure2_field_error_without_sign": Measurement(np.abs(unsigned - differences).max(), DIFFERENCES, n=n),
        # signs, absolute values and twice a number are exact
        "figure2_symmetry_defect": Measurement.exact(np.abs(field - mirrored * [1, -1]).max(), n),
        "figure2_symmetry_defect_second_even": Measurement.exact(np.abs(field - mirrored).max(), n),
        "figure2_first_component_min": Measurement.exact(field[:, 0].min(), n),
        "figure2_wrong_side_points": Measurement.count((outwards != np.sign(grid[:, 0])).sum(), n),
        "figure2_wrong_side_points_descent": Measurement.count((-outwards != np.sign(grid[:, 0])).sum(), n),
        **critical_point(),
    }


def critical_point() -> Found:
    """Distance of 0 from the hull of the one-sided limits at [1, 0], and from the gradient at [1, 0.1]."""
    origin = np.zeros((1, 2))
    sides, twice_as_far = (kink_example.subdifferential(np.array([[1.0, d], [1.0, -d]]))[:, 0] for d in (SIDE, 2 * SIDE))
    (distance, slack), (farther, _) = (enclosed_hull_distance(origin, ends) for ends in (sides, twice_as_far))
    off_kink = kink_example.subdifferential(np.array([[1.0, 0.1]]))[0]
    return {
        "figure2_hull_distance": largest(distance, slack + change(distance, farther)),
        "figure2_hull_distance_off_kink": largest(*enclosed_hull_distance(origin, off_kink)),
    }
