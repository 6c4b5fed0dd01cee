"""Lemma C.5: at eigenvectors of a quadratic form, on a kink by hand, and at points that are no KKT points."""

import math

import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous.lemma_c_5 import inclusion, lemma_c5, one_gradient

AXES = torch.eye(3, dtype=torch.float64)


def test_an_eigenvector_meets_the_inclusion_with_the_multiplier_two_only():
    ncf = Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), AXES, torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64))
    (right, error), (wrong, _) = inclusion(ncf, AXES[2], (2.0, 1.0))
    assert right <= error < 1e-14
    assert wrong == pytest.approx(0.5)  # |2 N u - N u| over |2 N u|
    assert one_gradient(ncf, AXES[2]) == 0.0
    assert inclusion(ncf, (AXES[0] + AXES[1]) / 2**0.5, (2.0,))[0][0] == pytest.approx(2 / 20**0.5)  # 2 (3, 1) against 2 N (1, 1)


def test_where_no_unit_is_active_there_is_no_relative_defect():
    dead = Correlation(zoo.power_net(1, 3, 2.0), AXES, torch.ones(3, dtype=torch.float64))
    ((defect, error),) = inclusion(dead, -AXES.sum(dim=0) / 3**0.5, (2.0,))
    assert math.isnan(defect)
    assert math.isnan(error)


def test_on_a_kink_the_set_holds_what_one_gradient_misses():
    # N(u) = |u_1| + u_3 at u = e_3: the set is [-1, 1] x 0 x 1, and of degree one u.s = N
    network = zoo.power_net(1, 3, 1.0, slope=-1.0)
    ncf = Correlation(network, AXES[[0, 2]], torch.ones(2, dtype=torch.float64))
    (defect, error), _ = inclusion(ncf, AXES[2], (1.0, 2.0))
    assert defect <= error < 1e-14


def test_the_lemma_holds_at_what_ascents_find_and_its_controls_fail(rng, neurons):
    found = lemma_c5(synthetic.sphere_inputs(rng, 6, 3), synthetic.gaussian(rng, 6), rng, 6, 4, neurons)
    assert found["c5_inclusion_defect"].value < 1e-7
    assert found["c5_inclusion_defect"].n == len(found["c5_smooth"]) + len(found["c5_kinked"])
    assert found["c5_inclusion_defect_random"].value > 0.01
    assert found["c5_inclusion_defect_random"].n == 20
    assert found["c5_inclusion_defect_half_multiplier"].value == pytest.approx(0.5, abs=0.2)
    assert len(found["c5_one_gradient"]) == len(found["c5_kinked"]) == found["c5_kink_points"].value
