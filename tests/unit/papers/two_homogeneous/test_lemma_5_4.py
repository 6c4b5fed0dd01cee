"""Lemma 5.4: the closed form solves its equation, flows follow it inside the set and leave it outside."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.errors import HypothesisError
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import lemma_5_4
from flowcheck.papers.two_homogeneous.example_networks import neuron


@pytest.fixture
def data():
    """A draw with KKT points off the kinks."""
    rng = np.random.default_rng(5)
    x, z = synthetic.sphere_inputs(rng, 6, 3), synthetic.gaussian(rng, 6)
    assert len(lemma_5_4.smooth_points(x, z).u)
    return x, z


def test_the_points_are_kkt_points_of_the_pair_with_the_value_that_is_said(data):
    x, z = data
    points = lemma_5_4.smooth_points(x, z)
    w = torch.cat([points.u, points.sign[:, None] / math.sqrt(2)], dim=1)
    ncf = Correlation(neuron(lemma_5_4.SLOPE), x, z)
    assert float(ncf.kkt_residual(w).max()) < 1e-12
    assert ncf.value(w).tolist() == pytest.approx(points.value.tolist())
    assert float(points.value.min()) > 0


def test_the_hyperbolic_rotation_is_the_linear_flow_of_its_piece():
    target = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64) / math.sqrt(2)
    start = torch.tensor([[0.3, 0.2, -0.1, -0.9]], dtype=torch.float64)
    phase = torch.tensor([0.0, 0.7], dtype=torch.float64)
    exact = lemma_5_4.rotated(start, target, torch.tensor([-1.0], dtype=torch.float64), phase)
    # u' = -v e_1 ... with sign(v_*) = -1: v' = -a, a' = -v, from a = 0.3, v = -0.9
    a, v = 0.3 * math.cosh(0.7) + 0.9 * math.sinh(0.7), -0.9 * math.cosh(0.7) - 0.3 * math.sinh(0.7)
    assert exact[0, 0].tolist() == start[0].tolist()
    assert exact[0, 1].tolist() == pytest.approx([a, 0.2, -0.1, v])


def test_flows_follow_the_rotation_inside_and_leave_it_far_outside(data):
    x, z = data
    points = lemma_5_4.smooth_points(x, z)
    margin, nearest = (points.u @ x.T).abs().min(dim=1)
    worst = -x[nearest] * (points.u * x[nearest]).sum(dim=1).sign()[:, None]
    gamma = (margin / 2)[:, None]
    found = lemma_5_4.against_rotation(x, z, points, [0.9 * gamma * worst, 4.0 * gamma * worst])
    gap, product = found["closed_form_gap"], found["product"]
    assert gap.value.shape == (2, len(points.u))
    assert gap.value[0].max() < 1e-8
    assert gap.value[1].min() > 1e-3
    # (x.u_*)(x.u_0) = margin^2 (1 - 0.9 / 2), and 1 - 4 / 2
    assert product.value[0] == pytest.approx(np.full(len(points.u), 0.55))
    assert product.value[1] == pytest.approx(np.full(len(points.u), -1.0))
    assert found["separation"].value[0] == pytest.approx(np.ones(len(points.u)), abs=1e-6)
    assert (found["signed_v"].value[0] > 0).all()


def test_the_lemma_holds_from_all_starts_and_its_controls_fail(data):
    found = lemma_5_4.lemma_54([data], [np.random.default_rng(0)], 1)
    points = len(lemma_5_4.smooth_points(*data).u)
    assert (found["l54_points"].value, found["l54_points"].n) == (points, 1)
    assert found["l54_closed_form_gap"].n == 3 * points  # the worst direction, one at random, and one further inside
    assert found["l54_product_min"].value == pytest.approx(1 - 0.999 / 2)
    assert found["l54_sign_changes"].value == 0
    assert found["l54_smallest_gain"].value > 0
    assert found["l54_closed_form_gap_four_gamma"].value > 1e-3
    assert found["l54_gap_by_factor"].shape == (7,)


def test_v_that_changes_sign_is_counted():
    flat = {
        name: Refined(np.zeros((2, 3)), np.full((2, 3), 1e-15)) for name in ("closed_form_gap", "parallel_defect", "separation")
    }
    rows = flat | {name: Refined(np.ones((2, 3)), np.full((2, 3), 1e-15)) for name in ("conservation_defect", "gain", "product")}
    signed = Refined(np.array([[1.0, -1.0, 2.0], [3.0, 0.0, 1.0]]), np.full((2, 3), 1e-15))
    found = lemma_5_4.within(rows | {"signed_v": signed}, np.ones(3))
    assert (found["l54_sign_changes"].value, found["l54_sign_changes"].n) == (2, 6)


def test_without_a_point_off_the_kinks_the_hypothesis_is_not_met():
    x = torch.eye(3, dtype=torch.float64)
    with pytest.raises(HypothesisError) as unmet:
        lemma_5_4.lemma_54([(x, torch.zeros(3, dtype=torch.float64))], [np.random.default_rng(0)], 2)
    assert unmet.value.metric == "l54_points"


def test_a_neuron_branches_where_a_kink_repels():
    found = lemma_5_4.branching_neuron()
    assert found.value > 0.1
    assert found.error < 1e-6
