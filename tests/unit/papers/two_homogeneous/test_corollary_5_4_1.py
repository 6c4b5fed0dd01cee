"""Blocks of a separable network follow their own NCF flows; margins against a loop."""

import dataclasses

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.losses import HALF_SUM
from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.kkt_limits import Limits
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.papers.two_homogeneous.corollary_5_4_1 import Blocks, readings


@pytest.fixture(scope="module")
def blocks():
    """Two squared units on e_1 and e_2: one turns to e_1, the other starts where it is not active on e_1."""
    labels = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    starts = torch.tensor([[0.6, 0.48, -0.384, 0.512]], dtype=torch.float64)
    cases = Cases.of((HALF_SUM,), labels[None], starts)
    network, x = power_net(2, 2, 2), torch.eye(2, dtype=torch.float64)
    study = Study.begin(network, x, (HALF_SUM,), cases, (0.1,), 1e-8)
    return Blocks.of(study, power_net(1, 2, 2), [0.03], [1e-8, 1e-30], 0.1)


def test_each_block_ends_where_its_own_flow_does(blocks):
    # u_1 grows as exp(2 t) and exp(t); of the second block u_1 rests and u_2 grows as exp(t)
    assert blocks.limits.branch.tolist() == [0, 0]
    np.testing.assert_allclose(blocks.limits.value.value, [1.0, 0.5], atol=1e-9)
    first, second = np.array([0.6, 0.48]), np.array([-0.384, 0.512])
    np.testing.assert_allclose(blocks.start_norm.value[0], [np.linalg.norm(first), np.linalg.norm(second)])
    exact = [1 - 0.6 / np.hypot(*first), 1 - 0.512 / np.hypot(*second)]
    np.testing.assert_allclose(blocks.start_misalignment.value[0], exact, atol=1e-5)
    # both are aligned at the same time, that of the later
    time = np.log(np.sqrt(blocks.norm.value[0, 1, 0, 1] ** 2 - 0.384**2) / 0.512)
    exact = [first * np.exp([2 * time, time]), second * np.exp([0, time])]
    np.testing.assert_allclose(blocks.norm.value[0, 1, 0], [np.linalg.norm(u) for u in exact], rtol=1e-5)
    assert 1 - exact[1][1] / np.linalg.norm(exact[1]) <= 0.031


def test_blocks_align_from_small_deltas_and_not_at_once_or_from_a_large_one(blocks):
    found = readings({"SQ": blocks})
    assert found["block_margin_min"].value > 0
    assert found["block_margin_min"].n == 2
    assert found["block_margin_start"].value < 0
    assert found["block_cases_without_delta_bar"].value == 0
    assert (found["blocks_direction_SQ"].value, found["blocks_elsewhere_SQ"].value) == (2, 0)
    assert found["block_value_min"].value == pytest.approx(0.5)


def test_the_smallest_margin_is_that_of_a_loop_at_the_smallest_delta():
    rng = np.random.default_rng(6)
    shape, epsilon = (3, 4, 1, 2), 0.1

    def some(shape):
        return Refined(rng.uniform(0.3, 2.0, shape), 1e-6 * rng.random(shape)), Refined(0.3 * rng.random(shape), np.zeros(shape))

    (norm, apart), (large, large_apart) = some(shape), some((3, 1, 2))
    residual = Refined(np.array([0.0, 1e-7, 2e-7, 0.0]), np.full(4, 1e-13))
    value = Refined(np.array([1.0, 2.0, -3.0, 0.0]), np.full(4, 1e-12))
    made = Blocks(
        epsilon=np.array([epsilon]),
        eta=np.array([0.5, 0.4, 0.01]),  # the last one is too small for this epsilon
        norm=norm,
        misalignment=apart,
        large_norm=large,
        large_misalignment=large_apart,
        start_norm=Refined(np.ones((3, 2)), np.zeros((3, 2))),
        start_misalignment=Refined(np.ones((3, 2)), np.full((3, 2), 1e-6)),
        limits=Limits(np.array([0, 0, 1, 2]), residual, value),
    )
    margins, missing = [], 0
    for case, eta in enumerate((0.5, 0.4)):
        of = [bounds.dichotomy_margin(norm.value[case, d, 0], apart.value[case, d, 0], eta, epsilon) for d in range(4)]
        last = [d for d in range(4) if all((of[k] >= 0).all() for k in range(d, 4))]
        margins.append(of[-1])
        missing += not last
    found = readings({"made up": made})
    assert margins
    assert found["block_margin_min"].value == pytest.approx(np.min(margins))
    assert (found["block_cases_without_delta_bar"].value, found["block_cases_without_delta_bar"].n) == (missing, 2)
    assert found["block_value_min"].value == 0.0
    assert found["block_residual_max"].value == 2e-7
    # at the start neither alternative holds, and the angle decides
    assert found["block_margin_start"].value == pytest.approx(max(min(1 - 0.5, 0.1 * 4 - 1), 0.2 - 1))
    assert found["block_margin_start"].error == pytest.approx(1e-6)
    assert found["block_residual_max"].error == 1e-13
    nothing = dataclasses.replace(made, limits=Limits(made.limits.branch, value, Refined(np.full(4, np.nan), np.ones(4))))
    assert np.isnan(readings({"made up": nothing})["block_value_min"].value)
