"""Lemma D.1: no blow-up in finite time for degree two, against closed forms of one weight."""

import math

import numpy as np
import pytest
import torch

from flowcheck.papers.deep_homogeneous import lemma_d_1
from flowcheck.papers.homogeneous.families import draw_family
from flowcheck.papers.homogeneous.kinds import network_of

torch.set_num_threads(1)


def test_random_flows_of_degree_two_stay_below_the_bound_for_the_whole_time():
    drawn = draw_family("power", "power", network_of("power", 2, 3, 2), np.random.default_rng(1), 4, points=6)
    found = lemma_d_1.no_blow_up([drawn], time=6.0, grown=1.0, rtol=1e-9)
    assert found["finite_rise_share_max"].value < 1
    assert found["finite_time_min"].value == pytest.approx(6.0)
    assert found["finite_time_min"].n == 4
    assert found["degree_two_time_over_upper"].n <= 4


def test_flows_that_do_not_grow_so_far_have_no_time_of_growth():
    drawn = draw_family("power", "power", network_of("power", 2, 3, 2), np.random.default_rng(1), 2, points=6)
    assert lemma_d_1.no_blow_up([drawn], time=0.5, grown=50.0, rtol=1e-8)["degree_two_time_over_upper"].n == 0


def test_one_weight_attains_the_bound_refutes_the_printed_sum_and_blows_up_with_one_degree_more():
    found = lemma_d_1.sharp(rtol=1e-10)
    exact = {
        "finite_rise_share_rate_lowered": 1 / 0.9,  # w(t) = 3 e^(2t)
        "finite_printed_log_excess": math.log(9),  # 9 e^(4t) over 9 + e^(4t), at the end
        "finite_time_degree_three": 1 / 9,  # w' = 3 w^2 from 3
    }
    exact["finite_printed_log_excess"] -= math.log1p(9 * math.exp(-4 * lemma_d_1.TIME))
    for name, value in exact.items():
        assert abs(found[name].value - value) <= 10 * found[name].error < 1e-9, name
