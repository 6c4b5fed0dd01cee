"""Eq. (15): kappa by hand at the three critical points, and flows that grow at known rates."""

import math

import numpy as np
import pytest

from flowcheck.papers.two_homogeneous import equation_15
from flowcheck.papers.two_homogeneous.equation_15 import RADII, required_kappa

CIRCLE = equation_15.directions(80)


def test_kappa_grows_like_two_over_the_distance_where_flows_leave():
    required, printed = required_kappa(*equation_15.EXAMPLES["leaving"], CIRCLE)
    # the worst direction is across the kink, u = (1, r): 2 (f - 1) (|u2|, u1) . (0, r) = 2 (r - 1) r; with c along it a bit more
    assert required[0] == pytest.approx(2 / RADII[0] - 2, rel=1e-6)
    assert (required >= 2 / RADII - 2 - 1e-6).all()
    assert printed.max() <= 0


def test_printed_and_corrected_sign_change_places_where_the_kink_attracts():
    required, printed = required_kappa(*equation_15.EXAMPLES["attracting"], CIRCLE)
    assert required.max() <= 0
    assert printed[0] == pytest.approx(2 / RADII[0] + 2, rel=1e-6)


def test_kappa_at_a_smooth_point_is_an_eigenvalue_of_the_hessian():
    required, printed = required_kappa(*equation_15.EXAMPLES["smooth"], CIRCLE)
    # 2 (1, 1)(1, 1)': eigenvalues 0 and 4, of which (15) needs minus the smallest
    assert required[0] == pytest.approx(0.0, abs=1e-5)
    assert printed[0] == pytest.approx(4.0, abs=1e-5)


def test_directions_hold_both_along_the_kink():
    assert CIRCLE[[0, 40]].tolist() == [[1.0, 0.0], [-1.0, 0.0]]
    assert np.linalg.norm(CIRCLE, axis=1) == pytest.approx(np.ones(80))
    with pytest.raises(ValueError, match="along the kink"):
        equation_15.directions(41)


def test_growth_is_the_logarithm_of_the_distance():
    states = np.array([1.0, 0.0]) + 1e-6 * np.exp(np.array([0.0, 1.0, 2.0]))[None, :, None] * np.array([0.6, 0.8])
    assert equation_15.growth(states, np.array([1.0, 0.0])) == pytest.approx(np.array([[1.0, 2.0]]), abs=1e-8)


def test_flows_stay_where_the_condition_holds_and_leave_where_it_does_not():
    found = equation_15.equation_15(8, np.ones((3, 8), dtype=bool))
    assert {name: found[f"stay_excess_{name}"].value > 0 for name in equation_15.EXAMPLES} == {
        "leaving": True,
        "smooth": False,
        "attracting": False,
    }
    # directions with a second entry above 0.3: six of eight
    assert found["stay_excess_leaving"].n == 6
    # along (1, -1) the Hessian vanishes: at best the distance stays
    assert found["growth_smooth"] == pytest.approx(np.zeros(20), abs=1e-5)
    assert found["kappa_leaving"].error < 1e-8
    assert math.isfinite(found["stay_excess_attracting"].error)
