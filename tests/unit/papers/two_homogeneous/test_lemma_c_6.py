"""Lemma C.6: sets whose smallest element is known, gradients nearby, and the identity that computer algebra decides."""

import math

import pytest
import torch

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import lemma_c_6

AXIS = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
SIDES = torch.tensor([[1.0, 1.0, 0.7], [-1.0, 1.0, 0.7]], dtype=torch.float64)


def test_elements_are_tangential_and_scaled():
    assert lemma_c_6.projected(SIDES, AXIS).tolist() == [[0.25, 0.25, 0.0], [-0.25, 0.25, 0.0]]


def test_the_smallest_element_lies_between_two_sides():
    found = lemma_c_6.smallest_elements(SIDES, AXIS)
    gap, error = found["c6_smallest_element_gap"]
    assert gap <= error < 1e-12
    # of (1, 1) and (-1, 1) over 4 the smallest is (0, 1) over 4: 1 away, in units of sqrt 2
    assert found["c6_smallest_element_gap_other_element"][0] == pytest.approx(1 / math.sqrt(2))
    assert math.isnan(lemma_c_6.smallest_elements(SIDES[:1], AXIS)["c6_smallest_element_gap_other_element"][0])


def test_gradients_of_one_smooth_piece_are_as_far_as_they_are_apart(rng):
    x, z = synthetic.sphere_inputs(rng, 4, 3), synthetic.gaussian(rng, 4)
    ncf, u, around = (
        Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), x, z),
        synthetic.gaussian(rng, 3),
        synthetic.gaussian(rng, 8, 3),
    )
    (distance, error) = lemma_c_6.limits(ncf, u, ncf.gradient(u[None]), around)["c6_limits_gap"]
    assert 0 < distance < 1e-6
    assert error == pytest.approx(distance, rel=0.01)  # linear in the distance from u


def test_forms_agree_for_generators_and_differ_for_other_vectors(rng):
    x, z = synthetic.sphere_inputs(rng, 4, 3), synthetic.gaussian(rng, 4)
    ncf, u = Correlation(zoo.power_net(1, 3, 1.0, slope=0.3), x, z), synthetic.gaussian(rng, 3)
    network = zoo.two_layer(1, 3, 0.3)
    pair, w = Correlation(network, x, z), synthetic.gaussian(rng, network.size)
    s = clarke.generators(pair, w, clarke.all_signs(network, w, x))
    found = lemma_c_6.forms(pair, w, s)
    assert found["c6_forms_gap"][0] < 1e-14
    assert found["c6_norm_identity_defect"][0] < 1e-14
    # degree one: s.u = N, and the second form, which takes 2 N, is another
    assert lemma_c_6.forms(ncf, u, ncf.gradient(u[None]))["c6_forms_gap"][0] > 1e-3


def test_the_lemma_holds_on_kinks_of_all_networks(rng):
    found = lemma_c_6.lemma_c6(synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5), rng, 1)
    assert found["c6_limits_gap"].value < 1e-5
    assert found["c6_smallest_element_gap"].value < 1e-12
    assert found["c6_smallest_element_gap_other_element"].n < found["c6_forms_gap"].n == 5
    assert (found["c6_symbolic_failures"].value, found["c6_symbolic_failures_printed"].value) == (0, 1)
