"""Figure 2: the drawn field by hand, and the two hulls."""

import math

import numpy as np
import pytest

from flowcheck.papers.two_homogeneous.figure_2 import critical_point, figure_2


def test_the_field_on_four_points_is_the_one_by_hand():
    found = figure_2(2)
    assert found["grid"].tolist() == [[-2, -2], [2, -2], [-2, 2], [2, 2]]
    assert found["field"].tolist() == [[2, 2], [2, -2], [2, -2], [2, 2]]


def test_the_field_agrees_with_difference_quotients_and_broken_fields_do_not():
    found = figure_2()
    assert found["figure2_field_error"].value <= found["figure2_field_error"].error
    # without its sign the second component is off by 2 |u1|, taken as even by the same
    assert found["figure2_field_error_without_sign"].value == pytest.approx(4.0)
    assert found["figure2_symmetry_defect_second_even"].value == 4.0
    assert found["figure2_symmetry_defect"].value == 0.0
    assert found["figure2_first_component_min"].value == pytest.approx(2 / 19)
    assert (found["figure2_wrong_side_points"].value, found["figure2_wrong_side_points_descent"].value) == (0, 400)


def test_zero_is_between_the_one_sided_limits_and_not_in_a_gradient():
    found = critical_point()
    on, off = found["figure2_hull_distance"], found["figure2_hull_distance_off_kink"]
    assert on.value <= on.error < 1e-11
    assert abs(off.value - math.hypot(1.0, 0.1)) <= off.error < 1e-14


def test_a_grid_that_meets_the_kink_is_refused():
    with pytest.raises(ValueError, match="kink"):
        figure_2(5)
    assert np.isfinite(figure_2(4)["field"]).all()
