"""The sign map: samples against the closed form, which has a test of its own, and what a wrong map would show."""

import math

import numpy as np
import pandas as pd
import pytest

from flowcheck.papers.spherical_data import lemma_3
from flowcheck.papers.spherical_data.growth_map import disagreement, exact_growth, polar, sampled_growth


def plane(points=21, half_width=3.0):
    axis = np.linspace(-half_width, half_width, points)
    w = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return w[np.linalg.norm(w, axis=1) > 0]


def table(samples=400, turn=0.0):
    w = plane()
    mean, error = sampled_growth(w, samples, np.random.default_rng(0))
    turned = w @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return pd.DataFrame({"x": w[:, 0], "y": w[:, 1], "sampled": mean, "error": error, "exact": exact_growth(turned)})


def test_samples_agree_with_the_closed_form_within_their_standard_errors():
    points = table()
    apart = (points.sampled - points.exact) / points.error
    assert apart.abs().max() < 4.5
    assert apart.std() == pytest.approx(1.0, abs=0.15)


def test_growth_is_zero_at_the_origin():
    assert exact_growth(np.zeros((1, 2))).tolist() == [0.0]


def test_polar_coordinates_by_hand():
    r, cosine, across = polar(pd.DataFrame({"x": [3.0], "y": [4.0]}))
    assert (r[0], cosine[0], across[0]) == pytest.approx((5.0, 0.8, 0.6))


def test_clear_signs_agree_and_those_of_a_rotated_map_do_not():
    found = disagreement(table())
    assert found["clear_points_with_wrong_sign"].value == 0
    assert found["clear_points_with_wrong_sign_rotated"].value > 5
    assert found["disagreement_fraction"].value < found["disagreement_fraction_rotated"].value
    assert disagreement(table(turn=0.3))["clear_points_with_wrong_sign"].value > 5


def test_lemma_3_holds_in_its_disc_and_not_in_one_of_four_times_the_size():
    found = lemma_3.signs(table())
    assert found["growth_lower_half_max"].value < 0 < found["growth_guaranteed_disc_min"].value
    assert found["growth_on_axis_min"].value > 0 > found["growth_upper_half_min"].value
    assert found["growth_disc_four_times_min"].value < 0


def test_lemma_3_notices_growth_in_the_lower_half():
    points = table()
    points.loc[points.y.idxmin(), "exact"] = 0.1
    assert lemma_3.signs(points)["growth_lower_half_max"].value > 0


def test_the_boundary_is_crossed_once_on_every_circle_at_the_angle_of_the_closed_form():
    found = lemma_3.boundary(5.0)
    assert found["sign_changes_per_circle_min"].value == found["sign_changes_per_circle_max"].value == 1
    assert 0 <= found["boundary_angle_gap_in_spacings"].value <= 1
    assert found["boundary_angle_increase_max"].value < 0
    w = found["boundary_r"][:, None] * np.stack([np.sqrt(1 - found["boundary_cosine"] ** 2), found["boundary_cosine"]], axis=1)
    assert np.abs(exact_growth(w) / found["boundary_r"]).max() < 1e-14
