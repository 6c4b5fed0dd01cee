"""Eq. (16) and Eq. (39): at balanced and at unbalanced weights, and against difference quotients along a flow."""

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import full_weights, lemma_7
from flowcheck.papers.spherical_data.full_weights import Accuracy
from flowcheck.papers.spherical_data.population import law

V = np.array([0.0, 1.0])


def weights(depth, seed=0):
    rng = np.random.default_rng(seed)
    return linear.balanced_weights(rng.standard_normal(2), [4] * (depth - 1), rng)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_balanced_weights_satisfy_both_to_rounding(depth):
    assert np.abs(lemma_7.defects(law("circle"), weights(depth), V, 7)).max() < lemma_7.ROUNDING


def test_unbalanced_weights_satisfy_neither():
    first, second, third = weights(3)
    assert np.abs(lemma_7.defects(law("circle"), [2.0 * first, 0.5 * second, third], V, 7)).min() > 1e-2


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_defects_are_those_of_difference_quotients_along_the_flow(scale):
    circle, depth, step = law("circle"), 3, 1e-4
    first, second, third = weights(depth)
    start = [scale * first, second / scale, third]
    flow = full_weights.follow(circle, V, start, np.array([0.0, step, 2 * step]), Accuracy(1e-12))
    norm, cosine, middle = flow.norm, flow.cosine, flow.states[1]
    growth = -flow.w_e[1] @ circle.gradient(flow.w_e[1], V)
    turned = (cosine[2] - cosine[0]) / (2 * step) - (1 - cosine[1] ** 2) / np.pi * norm[1] ** (1 - 2 / depth)
    grown = (norm[2] ** (2 / depth) - norm[0] ** (2 / depth)) / (2 * step) - 2 * growth
    expected = turned * np.pi / norm[1] ** (1 - 2 / depth), grown / norm[1]
    assert lemma_7.defects(circle, middle, V, 20) == pytest.approx(expected, abs=1e-5)


def test_residuals_are_the_largest_over_flows_and_times_and_no_better_known_than_the_quadrature():
    flows = [
        full_weights.follow(law("circle"), V, weights(2, seed), np.linspace(0.0, 1.0, 3), Accuracy(rtol))
        for seed, rtol in ((0, 1e-6), (1, 1e-10))
    ]
    found = lemma_7.residuals(flows, flows)
    each = [np.abs(lemma_7.defects(flow.law, state, V, 7)) for flow in flows for state in flow.states]
    assert found["lemma7_residual"].value == np.max(each, axis=0)[0]
    assert found["equation39_residual"].value == np.max(each, axis=0)[1]
    assert min(each.error for each in found.values()) >= lemma_7.ROUNDING
