"""Progress along v: on paths made by hand, and its power of t on the circle."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import proposition_2, reduced_flow
from flowcheck.papers.spherical_data.population import law


def path(q, s, t):
    nowhere = reduced_flow.Transition(*np.zeros((3, len(q))))
    return reduced_flow.ReducedPath(law("circle"), 1, q, s, t, nowhere)


def test_the_smallest_increase_of_the_component_along_v():
    along_v, norm = np.array([[-1.0, 0.5, 0.75, 2.0], [1.0, 2.0, 1.5, 3.0]]), np.full((2, 4), 4.0)
    made = path(np.arctanh(along_v / norm), np.log(norm), np.zeros((2, 4)))
    assert proposition_2.progress(made)["progress_min"] == pytest.approx([0.25, -0.5])


def test_a_power_of_t_is_found_over_the_last_decade():
    t = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 81)])
    # v·w = t^0.3 in the last decade, something else before
    along_v = np.where(t >= 0.99e4, t**0.3, 1.0)
    made = path(np.full((1, 82), 30.0), np.log(along_v)[None], t[None])
    assert proposition_2.late_slope(made) == pytest.approx(0.3)


def test_on_the_circle_it_is_the_cube_root_of_t():
    # far out dr/dt = π / (6 r²), so r = (π t / 2)^{1/3}
    advances = np.concatenate([[0.0], np.geomspace(1e-2, 40.0, 400)])
    flow = reduced_flow.reduced_flow(law("circle"), 1, np.array([-1.0]), np.zeros(1), advances)
    assert proposition_2.late_slope(flow) == pytest.approx(1 / 3, abs=3e-3)
