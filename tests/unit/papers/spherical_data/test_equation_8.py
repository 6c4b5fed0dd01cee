"""The increment of the cosine in one step."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import equation_8


def drawn(seed, dimension=4):
    v, w, g = np.random.default_rng(seed).standard_normal((3, dimension))
    return 2.0 * w, v / np.linalg.norm(v), g


@pytest.mark.parametrize("eta", [1e-2, 1.0, 30.0])
def test_equation_8_holds_for_any_vector_within_its_rounding(eta):
    for seed in range(50):
        w, v, g = drawn(seed)
        found = equation_8.residual(w, v, eta, g)
        assert found.full <= found.rounding < 1e-12


def test_equation_8_needs_its_second_term():
    found = [equation_8.residual(w, v, 1.0, g) for w, v, g in map(drawn, range(20))]
    assert max(residual.truncated for residual in found) > 0.1


def test_equation_8_in_the_plane_by_hand():
    w, v, g = np.array([2.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, -2.0])
    # w+ = (2, 2): the cosine goes from 0 to 1/sqrt 2, and so does the first term alone
    found = equation_8.residual(w, v, 1.0, g)
    assert (found.full, found.truncated) == pytest.approx((0.0, 0.0), abs=1e-15)
