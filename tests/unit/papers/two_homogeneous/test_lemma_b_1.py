"""Lemma B.1: defects that are known, at smooth points, on kinks and where the statements fail."""

import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import lemma_b_1
from flowcheck.papers.two_homogeneous.example_networks import on_kink, two_homogeneous


def data(rng, n=5):
    return synthetic.sphere_inputs(rng, n, 3), synthetic.gaussian(rng, n)


def test_defects_are_rounding_on_kinks_and_known_for_another_degree(rng):
    x, z = data(rng)
    network = two_homogeneous()["two-layer leaky ReLU"]
    ncf, w, around = Correlation(network, x, z), synthetic.gaussian(rng, network.size), synthetic.gaussian(rng, 64, network.size)
    assert max(lemma_b_1.euler_and_scaling(ncf, on_kink(w, x), around)) < 1e-14
    euler, scaling = lemma_b_1.euler_and_scaling(ncf, w, around, degree=3.0)
    # w.s = 2 F in truth; and s at c w is c s, which c^2 divides: the worst factor is 0.1
    assert euler == pytest.approx(abs(float(ncf.value(w[None]))) / float(w.norm() * ncf.gradient(w[None]).norm()))
    assert scaling == pytest.approx(1 / 0.1 - 1)


def test_a_dead_network_says_nothing(rng):
    x, z = torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    dead = Correlation(zoo.power_net(1, 3, 2.0), x, z)
    assert lemma_b_1.euler_and_scaling(dead, -torch.ones(3, dtype=torch.float64), synthetic.gaussian(rng, 4, 3)) == (0.0, 0.0)


def test_all_statements_hold_up_to_rounding(rng):
    found = lemma_b_1.homogeneity(*data(rng), rng, 1)
    assert {name: number.n for name, number in found.items()} == {
        "b1_euler_defect": 32,  # eight networks, two points, two functions
        "b1_scaling_defect": 32,
        "corollary_b11_euler_defect": 10,
        "corollary_b11_scaling_defect": 10,
        "c2_euler_defect": 10,
        "c2_scaling_defect": 10,
        "b1_zero_defect": 7,
    }
    assert max(number.value for number in found.values()) < 1e-13


def test_the_statements_fail_where_they_should(rng):
    found = lemma_b_1.not_homogeneous(*data(rng), rng, 3)
    assert found["b1_zero_defect_degree_one"].value == 2.0
    assert found["b1_euler_defect_mixed_degrees"].value > 1e-4
    # degree three: w.s = 3 F, and 9 s against 3 s
    assert found["scaling_defect_three_trained"].value == pytest.approx(2 / 3)
    assert found["euler_defect_three_trained"].value > 1e-3


def test_gaps_vanish_for_the_right_degree(rng):
    x, z = data(rng)
    ncf, w = Correlation(zoo.power_net(2, 3, 3.0), x, z), synthetic.gaussian(rng, 4, 6)
    assert lemma_b_1.euler_gap(ncf, w, 3.0) < 1e-14
    assert lemma_b_1.scaling_gap(ncf, w, 3.0) < 1e-14
