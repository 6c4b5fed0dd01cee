"""Lemma 5.2: bounds on the way against a loop, the way out of the unit ball in closed form."""

import math

import numpy as np
import pytest
import torch

from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import lemma_5_2
from flowcheck.papers.two_homogeneous.theorem_5_1 import Constants

CONSTANTS = Constants(np.array([1.5]), np.array([1.0]), np.array([2.0]))


def test_every_time_is_asked_that_is_early_enough_for_its_delta(made_up):
    time = np.array([[[0.0, 0.1, 1.0, 2.0]]])
    norm = np.exp(np.array([[[0.0, 0.3, 3.0, 99.0]]]))
    change = np.array([[[1e-9, 1e-5, 1e-3, 99.0]]])
    numbers = {
        "path_time": Refined(time, 1e-3 * time),
        "path_norm": Refined(norm, 1e-4 * norm),
        "path_change": Refined(change, 0.1 * change),
    }
    found = lemma_5_2.bounds_on_the_way([(CONSTANTS, made_up(np.full((1, 1, 2), 0.01), deltas=np.array([[1e-3]]), **numbers))])
    # 2 beta beta~ t = 6 t reaches ln 1000 = 6.9 at t = 1.15: two times are left
    assert found["norm_log_ratio_max"].value == pytest.approx(0.5)
    assert found["norm_log_ratio_max"].n == 2
    # a norm that is off by 1e-4 moves 3 / 6 by 1e-4 / 6, a time that is off by 1e-3 by a thousandth
    assert found["norm_log_ratio_max"].error in (pytest.approx(1e-4 / 6 + 5e-4), pytest.approx(1e-4 / 0.6 + 5e-4))
    excess = [math.log(c) - math.log(1.5e-6) - 12 * t for c, t in ((1e-5, 0.1), (1e-3, 1.0))]
    assert found["change_log_excess_max"].value == pytest.approx(max(excess))
    at = (0.1, 1.0)[int(np.argmax(excess))]
    assert found["change_log_excess_max"].error == pytest.approx(0.1 + 12 * at * 1e-3)
    assert found["change_log_excess_degree_above"].value == pytest.approx(max(excess) + math.log(1e3))


def test_one_input_leaves_the_unit_ball_when_the_logistic_equation_says():
    label, delta, rng = 10.0, 1e-6, np.random.default_rng(1)
    starts = rng.standard_normal((4, 3))
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    starts[:, 0] = np.abs(starts[:, 0]) + 0.5
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    found = lemma_5_2.single_input(label, delta, 4, np.random.default_rng(1), torch.device("cpu"))
    # p = w_1^2 obeys p' = 4 p (y - p), the other weights rest: |w| = 1 at p = 1 - delta^2 (1 - w_1^2)
    p, last = (delta * starts[:, 0]) ** 2, 1 - delta**2 * (1 - starts[:, 0] ** 2)
    time = np.log(last / p * (label - p) / (label - last)) / (4 * label)
    ratio = time / (math.log(delta**-2) / (4 * (1 + label)))
    assert found["exit_time_ratio_single"].value == pytest.approx(ratio.min(), rel=1e-7)
    assert abs(found["exit_time_ratio_single"].value - ratio.min()) <= found["exit_time_ratio_single"].error < 1e-6
    # the growth over its bound is largest shortly before, where the loss begins to fall; between two steps it is seldom larger
    early = np.linspace(0.5, 1, 10_000)[:, None] * time
    square = label / (1 + (label / p - 1) * np.exp(-4 * label * early)) + delta**2 * (1 - starts[:, 0] ** 2)
    tight = np.max(np.log(np.sqrt(square) / delta) / (2 * (1 + label) * early))
    assert -1e-3 < found["norm_log_ratio_single"].value - tight <= found["norm_log_ratio_single"].error < 1e-4
    assert found["exit_time_ratio_single"].value >= 1
    assert found["norm_log_ratio_single"].value <= 1
    # the flow of twice the label keeps neither bound of the label
    assert found["norm_log_ratio_single_label_doubled"].value > 1.5
    assert found["exit_time_ratio_single_label_doubled"].value < 0.7


def test_the_exit_of_a_quadratic_is_that_of_its_closed_form(quadratic):
    study, deltas = quadratic.study(), [1e-2, 1e-4]
    found = lemma_5_2.exit_ratios(study, deltas)
    # |w|^2 tends to 1.5 and the loss to 0, so the unit ball is left only if the loss has not halved before
    assert np.isnan(found.value).all()
    assert found.smallest().n == 0


def test_larger_labels_leave_it_later_than_the_bound(quadratic):
    study, factor = quadratic.study(), 30.0
    cases = type(study.cases)(factor * study.cases.y, factor * study.cases.z, study.cases.starts, study.cases.loss)
    large = type(study).begin(study.network, study.x, study.losses, cases, study.epsilons, 1e-9)
    found = lemma_5_2.exit_ratios(large, [1e-3])
    constants = Constants.of(large.network, large.x, large.losses, cases)
    bound = math.log(1e6) / (4 * constants.beta[0] * constants.beta_tilde[0])
    labels, start = factor * np.array([1.0, 0.5]), np.array([0.8, 0.6])

    def squares(time):
        return labels / (1 + (labels / (1e-3 * start) ** 2 - 1) * np.exp(-4 * labels * time))

    assert squares(found.value[0] * bound).sum() == pytest.approx(1.0, rel=1e-4)
    assert found.value[0] > 1
    # d ln|w|^2 / dt is at most 4 times the larger label: where the norm is 1, the time is known to its error
    assert abs(squares(found.value[0] * bound).sum() - 1) <= 4 * labels[0] * bound * found.error[0]
    assert found.error[0] < 1e-4
