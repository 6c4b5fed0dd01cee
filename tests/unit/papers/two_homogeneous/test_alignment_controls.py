"""Controls of early alignment do what they are there for, on one unit whose NCF flow is known."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.networks.zoo import power_net
from flowcheck.papers.two_homogeneous import alignment_controls

DELTAS = [1e-2, 1e-3, 1e-4]


@pytest.fixture(scope="module")
def study(quadratic):
    return quadratic.study(rtol=1e-7)


def test_with_another_vector_the_deviation_does_not_vanish_with_delta(study):
    cases = study.cases.permuted(np.array([1, 0]))
    wrong = Study.begin(study.network, study.x, study.losses, cases, study.epsilons, study.rtol)
    found = alignment_controls.permuted(study, wrong, DELTAS)
    assert found["shadowing_slope_permuted"].value == pytest.approx(0, abs=0.02)
    # until the wrong u is within 0.1 of e_2, driven by exp(t) and exp(2 t), s is driven by exp(2 t) and exp(t)
    assert found["deviation_permuted_min"].value > 0.1
    assert found["permuted_deviation"].shape == (1, 3)
    assert 0 < found["shadowing_slope_permuted"].error < 1e-4
    assert 0 < found["deviation_permuted_min"].error < 1e-4


def test_it_is_stopped_where_w_would_train(study):
    wrong = dataclasses.replace(study, cases=study.cases.permuted(np.array([1, 0])))  # with the flow of the right labels
    found = alignment_controls.permuted(study, wrong, [0.5, 0.1, 0.02])
    assert 1 < found["permuted_size"][0] <= 1.01 / 0.5


def test_a_case_whose_labels_stay_has_no_say(study):
    found = alignment_controls.permuted(study, study, DELTAS)
    assert found["shadowing_slope_permuted"].n == found["deviation_permuted_min"].n == 0


def test_degree_three_in_the_time_of_degree_two_stays_where_it_is(study):
    cubed = power_net(1, 2, 3)
    starts = torch.tensor([[0.8, 0.6]], dtype=torch.float64)
    cases = Cases.of(study.losses, study.cases.y[None], starts)
    found = alignment_controls.cubic(study, cubed, cases, DELTAS)
    assert found["shadowing_slope_cubic"].value == pytest.approx(0, abs=0.01)
    # s stays at w_0, u ends near e_1
    assert found["deviation_cubic_min"].value == pytest.approx(found["cubic_size"][0], rel=0.9)
    assert found["dichotomy_margin_cubic"].value == pytest.approx((1 + 1.5 / 0.5) * 0.01 - (1 - 0.8), abs=1e-3)
    assert 0 < found["dichotomy_margin_cubic"].error < 1e-4
