"""Example G.1 on the axes, where M is diagonal, and its identity in numbers and symbols."""

import pytest
import torch

from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous import example_g_1
from flowcheck.papers.two_homogeneous.example_g_1 import Example

AXES, LABELS = torch.eye(3, dtype=torch.float64), torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("slope", example_g_1.SLOPES)
def test_the_ncf_is_the_quadratic_form_for_even_labels_only(slope, rng):
    example, u = Example.of(AXES, LABELS, slope), synthetic.gaussian(rng, 5, 3)
    exact = (1 + slope**2) * (u**2 @ LABELS)
    assert example.correlation(1.0).value(u).tolist() == pytest.approx(exact.tolist())
    assert example.correlation(-1.0).value(u).tolist() != pytest.approx(exact.tolist(), abs=1e-3)
    assert example.eigenvalues.tolist() == pytest.approx([-2.0, 1.0, 3.0])
    assert example.slowest_rate == pytest.approx(4 * (1 + slope**2))


def test_flows_are_the_exponential_and_end_at_the_top_eigenvector(rng):
    example, starts = Example.of(AXES, LABELS, 0.3), synthetic.unit_vectors(rng, 3, 3)
    found = example.flow(starts, 1e-9)
    assert found["gap"].max() < 1e-7
    assert found["angle"].max() < 1e-3
    assert example.ascent_angles(starts, 1e-10).max() < 1e-8


def test_the_identity_needs_a_plus():
    # with a minus: for t > 0 it is (1 - a^2) t^2, off by 2 a^2 t^2; for t < 0 by 2 t^2
    assert example_g_1.identity_defect(0.3, 1.0) < 1e-14
    assert example_g_1.identity_defect(0.3, -1.0) == pytest.approx(2 * 4.0)
    assert example_g_1.is_identity(1)
    assert not example_g_1.is_identity(-1)


def test_the_example_holds_and_its_controls_fail(rng):
    found = example_g_1.example_g1(
        synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5), synthetic.unit_vectors(rng, 2, 3)
    )
    assert found["g1_eigenvector_residual"].value < 1e-12
    assert found["g1_eigenvector_residual"].n == 12
    assert found["g1_eigenvector_residual_odd"].value > 0.01
    assert found["g1_sign_mismatches"].value == 0
    assert found["g1_flow_gap"].n == found["g1_ascent_angle"].n == 8
    assert found["g1_flow_gap"].value < 1e-6
