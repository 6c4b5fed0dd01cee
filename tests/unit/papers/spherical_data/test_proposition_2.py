"""Progress along v: on paths made by hand, and late growth against the flow's own rate."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import broken_flows, proposition_2, reduced_flow
from flowcheck.papers.spherical_data.full_weights import Accuracy
from flowcheck.papers.spherical_data.population import law


def path(q, s, t):
    nowhere = reduced_flow.Transition(*np.zeros((3, len(q))))
    return reduced_flow.ReducedPath(law("circle"), 1, q, s, t, nowhere)


def test_the_smallest_increase_of_the_component_along_v():
    along_v, norm = np.array([[-1.0, 0.5, 0.75, 2.0], [1.0, 2.0, 1.5, 3.0]]), np.full((2, 4), 4.0)
    made = path(np.arctanh(along_v / norm), np.log(norm), np.zeros((2, 4)))
    assert proposition_2.progress(made)["progress_min"] == pytest.approx([0.25, -0.5])


def test_the_late_rate_is_that_of_the_density_at_zero():
    # |x_1| has the density 2/π at 0 on the circle, 1 on the sphere, sqrt(2/π) for a Gaussian
    for name, density in (("circle", 2 / np.pi), ("sphere_3", 1.0), ("gaussian_5", np.sqrt(2 / np.pi))):
        assert proposition_2.cube_rate(law(name)) == pytest.approx(density * np.pi**2 / 4, rel=1e-9)
        # and that of the flow along v: 3 r² dr/dt
        assert 3e8 * law(name).kappa_gap(1e4) == pytest.approx(density * np.pi**2 / 4, rel=1e-6)


@pytest.mark.parametrize("name", ["circle", "sphere_10"])
def test_cubes_grow_at_that_rate_from_any_start(name):
    q0, s0 = reduced_flow.clock(np.array([0.3, 2.9])), np.log([20.0, 0.1])
    for gap in proposition_2.late_growth(law(name), q0, s0, 1e-10).values():
        assert np.all(gap < 1e-3)


def test_another_power_and_a_logarithm_are_far_from_it():
    times = np.array([1e7, 1e8])
    assert proposition_2.cube_growth((2.0 * times) ** (1 / 3), times, 2.0) == pytest.approx(1.0)
    assert proposition_2.cube_growth(times**0.3, times, 2.0) < 0.2
    assert proposition_2.cube_growth(np.log(times), times, 2.0) < 1e-4


def test_flipped_labels_and_a_margin_are_seen():
    accuracy = Accuracy(1e-7)
    found = proposition_2.broken(broken_flows.shrinking(accuracy), broken_flows.shrinking(accuracy.coarser))
    assert found["late_gap_flipped"].value > 0.9
    assert found["late_gap_margin"].value > 0.9
    assert found["progress_flipped"].value < -0.1
