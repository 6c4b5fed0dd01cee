"""The sign map: samples against the closed form, which has a test of its own, and what a wrong map would show."""

import math

import numpy as np
import pandas as pd
import pytest

from flowcheck.papers.spherical_data import lemma_3
from flowcheck.papers.spherical_data.growth_map import (
    boundaries,
    disagreement,
    exact_boundary,
    exact_growth,
    polar,
    sampled_boundary,
    sampled_growth,
)


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


def test_no_sample_clearly_breaks_lemma_3_and_each_control_does():
    found = {name: number.value for name, number in lemma_3.signs(table()).items()}
    assert found["clear_growth_below"] == found["clear_shrinking_on_axis"] == found["clear_shrinking_in_disc"] == 0
    assert min(found["clear_growth_left"], found["clear_shrinking_above"], found["clear_shrinking_in_disc_four_times"]) > 5


def test_growth_in_the_lower_half_is_noticed():
    points = table()
    points.loc[points.y.idxmin(), "sampled"] = 5 * points.error.max()
    assert lemma_3.signs(points)["clear_growth_below"].value == 1


def test_growth_vanishes_on_the_exact_boundary():
    radii = np.array([0.1, 1.0, 7.0])
    angle = exact_boundary(radii)
    w = radii[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    assert np.abs(exact_growth(w) / radii).max() < 1e-14
    assert np.all(np.diff(angle) < 0)


def test_the_sampled_boundary_is_the_exact_one_within_its_error_and_moves_with_flipped_labels():
    radii, rng = np.geomspace(0.3, 8.0, 12), np.random.default_rng(1)
    exact = exact_boundary(radii)
    apart = np.concatenate([(angle - exact) / error for angle, error in (sampled_boundary(radii, 400, rng) for _ in range(6))])
    assert np.abs(apart).max() < 4
    assert apart.std() == pytest.approx(1.0, abs=0.25)
    angle, error = sampled_boundary(radii, 400, rng, 0.1)
    assert np.all(angle < exact)
    assert np.max((exact - angle) / error) > 7


def test_distances_are_read_on_all_circles():
    found = boundaries(5.0, 300, np.random.default_rng(2))
    assert found["boundary_distance_max"].n == found["boundary_mean_distance"].n == 24
    assert found["boundary_distance_max"].value < 5 < found["boundary_distance_max_flipped"].value
    assert found["boundary_mean_distance"].value < 5 < found["boundary_mean_distance_flipped"].value
