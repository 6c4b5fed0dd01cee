"""Maps of stable sets: a quadratic form, whose sets are half spheres, and the closed form in the plane."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import stable_set_maps, stable_sets
from flowcheck.papers.two_homogeneous.landscape import Landscape, neuron
from flowcheck.papers.two_homogeneous.stable_set_alignment import early_alignment
from flowcheck.papers.two_homogeneous.stable_set_boundaries import Segments, boundaries
from flowcheck.papers.two_homogeneous.stable_set_maps import SphereMap
from flowcheck.papers.two_homogeneous.stable_set_topology import census

torch.set_num_threads(1)


def directions(count, seed=0):
    return synthetic.unit_vectors(np.random.default_rng(seed), count, 3)


def quadratic():
    """N(u) = 3 u_1^2 + u_2^2 - 2 u_3^2: maxima at e_1 and -e_1, saddles at e_2 and -e_2, minima at e_3 and -e_3."""
    z = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    ncf = Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), torch.eye(3, dtype=torch.float64), z)
    return Landscape(ncf, stable_sets.critical_points(ncf, directions(60)))


@pytest.fixture(scope="module")
def half_spheres():
    return SphereMap.of(quadratic(), 24, 12)


def test_a_quadratic_form_of_three_eigenvalues_has_two_stable_sets_that_are_half_spheres(half_spheres):
    found = half_spheres.found()
    assert found["map_sets"].value == 2
    assert found["map_sets_minus_maxima"].value == found["map_sets_minus_ascent"].value == 0
    assert found["share"].tolist() == pytest.approx([0.5, 0.5])
    assert (found["map_growing_maxima"].value, found["map_collapsing_maxima"].value) == (2, 0)
    side = half_spheres.grid[:, 0] * half_spheres.landscape.maxima[half_spheres.labels, 0]
    assert bool((side > 0).all())


def test_distances_and_residuals_of_ends_have_the_error_of_their_tolerance(half_spheres):
    found = half_spheres.found()
    for name in ("map_limit_distance", "map_residual"):
        assert found[name].value < 1e-5
        assert 0 < found[name].error < 1e-4
    assert found["map_limit_distance_start"].value > 1  # a start near the saddles, 90 degrees from both maxima
    assert found["map_limit_distance_start"].error < 1e-9


def test_the_error_of_a_share_covers_what_the_grid_cuts_off(half_spheres):
    cap = half_spheres.share_of((half_spheres.grid[:, 2] > 0.4).view(half_spheres.table.shape))
    assert abs(cap.value - 0.3) <= cap.error  # of a cap of height 0.6 on a sphere of diameter 2
    assert cap.value != pytest.approx(0.3, abs=1e-6)
    nothing = half_spheres.share_of(half_spheres.table < 0)
    assert (nothing.value, nothing.error) == (0.0, float(half_spheres.weight.max()))


def test_the_nearest_maximum_is_the_wrong_answer_of_a_neuron():
    sphere = SphereMap.of(Landscape.drawn(np.random.default_rng(3), 10), 24, 12)
    found = sphere.found()
    closest, _ = stable_sets.nearest(sphere.grid, sphere.landscape.maxima)
    wrong = found["map_misassigned_by_distance"]
    assert wrong.value == pytest.approx(float(sphere.weight.flatten()[sphere.labels != closest].sum()))
    assert wrong.value - wrong.error > 0.02


def test_flows_in_the_plane_end_where_the_closed_form_says_and_not_at_the_nearest_maximum():
    ncf = neuron(np.random.default_rng(0), 14, 2)
    found = stable_set_maps.circle(ncf, 60)
    assert found["circle_limit_gap"].value < 1e-5
    assert found["circle_limit_gap"].error < 1e-4
    assert found["circle_limit_gap_nearest"].value > 0.1
    assert found["circle_sets_minus_maxima"].value == 0
    assert found["circle_maxima_count"].value == len(found["circle_maxima"])


def test_how_far_a_critical_point_may_lie_off_bounds_how_far_it_does():
    landscape = quadratic()
    moved = torch.nn.functional.normalize(torch.tensor([[1.0, 1e-6, 0.0]], dtype=torch.float64))
    curvature = landscape.points.curvature[:1]
    off = stable_sets.CriticalPoints(
        moved, landscape.ncf.value(moved), torch.tensor([0]), curvature, landscape.ncf.kkt_residual(moved)
    )
    assert 1e-6 < off.location_error < 1e-5
    assert landscape.points.location_error < 1e-9


def test_sections_close_in_on_the_great_circle_between_half_spheres(half_spheres):
    segments = Segments.across(half_spheres, np.random.default_rng(0), 6)
    assert len(segments.low) == 6
    for part in range(1, 4):
        segments = segments.narrowed(half_spheres.landscape)
        assert float((segments.high - segments.low).norm(dim=1).max()) < 2 * math.pi / 24 / 32**part * 1.01
        assert float((segments.low[:, 0] * segments.high[:, 0]).max()) <= 0  # on the two sides of it
    assert float(segments.middle[:, 0].abs().max()) < 1e-5


def test_boundaries_are_stable_sets_of_saddles_and_points_beside_them_are_not():
    # an odd number of longitudes, or the middles of cells lie on the boundary
    found = boundaries(SphereMap.of(quadratic(), 25, 12), np.random.default_rng(0), 6)
    assert found["boundary_distance"].value < 1e-4
    assert found["boundary_distance"].value <= found["boundary_distance"].error + 1e-5  # the truth is 0
    assert found["boundary_distance_unrefined"].value > 1e-3
    assert found["saddle_approach"].value < 1e-3
    assert found["saddle_approach_beside"].value > 0.02
    assert len(found["curve_starts"]) == 5  # two halves for each of two saddles


def test_one_maximum_has_no_boundary_and_nothing_is_measured_there():
    """max(0, u_1)^2: a single input, one maximum, and a half sphere on which N vanishes."""
    ncf = Correlation(zoo.power_net(1, 3, 2.0), [[1.0, 0.0, 0.0]], [1.0])
    top = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    points = stable_sets.CriticalPoints(
        top, ncf.value(top), torch.tensor([0]), -2 * torch.ones(1, 2).double(), torch.zeros(1).double()
    )
    longitude, latitude = torch.zeros(2).double(), torch.zeros(1).double()
    labels, distance = torch.zeros(2, dtype=torch.int64), torch.zeros(2).double()
    sphere = SphereMap(Landscape(ncf, points), longitude, latitude, top.expand(2, -1), top.expand(2, -1), labels, distance)
    found = boundaries(sphere, np.random.default_rng(0), 5)
    assert found["boundary_distance"].n == found["saddle_approach"].n == 0
    assert np.isnan(found["boundary_distance"].value)
    assert len(found["curve_starts"]) == 1


def test_the_loss_flow_aligns_where_the_map_says_and_not_where_that_of_other_labels_does():
    landscape, rng = Landscape.drawn(np.random.default_rng(3), 10), np.random.default_rng(1)
    found = early_alignment(landscape, synthetic.unit_vectors(rng, 40, 3), torch.from_numpy(rng.permutation(10)), 1e-6)
    assert found["early_agreement"].value >= 0.9
    assert found["early_agreement_labels_permuted"].value < found["early_agreement"].value - 0.2
    assert found["early_phase_mismatches"].value == 0
    assert found["early_agreement"].n == 40


def test_a_census_notices_a_minimum_that_was_missed():
    landscape = quadratic()
    minima = (landscape.points.index == 2).nonzero()[:, 0]
    kept = torch.tensor([row for row in range(6) if row != int(minima[0])])
    fewer = stable_sets.CriticalPoints(
        *(part[kept] for part in (landscape.points.points, landscape.points.value, landscape.points.index)),
        landscape.points.curvature[kept],
        landscape.points.residual[kept],
    )
    found, table = census([(landscape, directions(20)), (Landscape(landscape.ncf, fewer), directions(20))])
    assert found["draw_euler_defects"].value == 1
    assert found["draw_euler_defects_without_minima"].value == 2
    assert found["draw_directions_lost"].value == found["draw_ascents_lost"].value == 0
    assert found["draw_directions_lost"].n == 40
    assert table["maxima"].tolist() == [2, 2]
    assert table["minima"].tolist() == [2, 1]


def test_a_census_leaves_out_draws_with_nearly_flat_directions():
    z = torch.tensor([3.0, 2.9, -2.0], dtype=torch.float64)
    ncf = Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), torch.eye(3, dtype=torch.float64), z)
    flat = Landscape(ncf, stable_sets.critical_points(ncf, directions(60)))
    found, table = census([(flat, directions(20)), (quadratic(), directions(20))])
    assert (found["draws_kept"].value, found["draws_left_out"].value) == (1, 1)
    assert table["draw"].tolist() == [1]
