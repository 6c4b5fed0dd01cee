"""Lemmas A.1 and A.2: lines with known sign changes, hulls that hold gradients and are no larger than they must be."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.papers.two_homogeneous import lemma_a


def line(entries):
    """Weights of the deep ReLU network, all 0 but those given."""
    w = torch.zeros(lemma_a.NETWORK.size, dtype=torch.float64)
    for position, value in entries.items():
        w[position] = value
    return w[None]


def test_sign_changes_along_a_line_are_those_of_a_known_function():
    x = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    # first unit max(t, 0), carried on with weight 1 - t: the output is max(t, 0) (1 - t) for t in (0, 1), else 0
    origin, along = line({12: 1.0}), line({0: 1.0, 12: -1.0})
    level = torch.tensor([[0.2], [0.3]], dtype=torch.float64)
    changes = lemma_a.sign_changes(x, origin.expand(2, -1), along.expand(2, -1), level, 4000)
    assert changes.tolist() == [2, 0]  # its maximum is 1/4


def test_sign_changes_are_bounded_and_those_of_an_oscillation_are_not(rng):
    found = lemma_a.lemma_a1(synthetic.sphere_inputs(rng, 1, 3), rng, 20, 800)
    assert found["a1_sign_changes"].shape == (20,)
    assert found["a1_sign_changes_over_bound"].value <= 1.0
    # sin(1/t) changes sign at 1 / (k pi) > 1e-4: 3183 times; the bound is 2 (5)(7)
    assert found["a1_sign_changes_over_bound_oscillating"].value == pytest.approx(math.floor(1e4 / math.pi) / 70)


def test_weights_on_both_kinks_have_a_preactivation_at_zero_in_each_layer(rng):
    x, w = synthetic.sphere_inputs(rng, 4, 3), synthetic.gaussian(rng, lemma_a.NETWORK.size)
    at = lemma_a.NETWORK.preactivations(lemma_a.on_both_kinks(w, x)[None], x)[0]
    first, second = at[:16].view(4, 4), at[16:].view(3, 4)
    assert abs(float(first[0, 0])) < 1e-15
    assert abs(float(second[0, 1])) < 1e-15


def test_gradients_lie_in_the_hull_of_the_chain_rule_and_one_piece_does_not_hold_them(rng):
    x, z = synthetic.sphere_inputs(rng, 5, 3), synthetic.gaussian(rng, 5)
    ncf, shifts = Correlation(lemma_a.NETWORK, x, z), synthetic.gaussian(rng, 20, lemma_a.NETWORK.size)
    for w in synthetic.gaussian(rng, 3, lemma_a.NETWORK.size):
        found = lemma_a.around(ncf, lemma_a.on_both_kinks(w, x), shifts)
        assert found["a2_hull_distance"][0] < 1e-6
        smooth = lemma_a.around(ncf, w, shifts)
        assert smooth["a2_hull_distance_one_piece"] == pytest.approx(smooth["a2_hull_distance"], rel=1e-6)
    found = lemma_a.lemma_a2(x, z, rng, 4, 20)
    assert found["a2_hull_distance_one_piece"].value > 0.01
    assert found["a2_hull_distance"].n == 80


def test_the_hull_of_an_odd_part_is_larger_than_the_subdifferential():
    found = lemma_a.odd_part(torch.zeros(1, dtype=torch.float64), torch.from_numpy(np.linspace(-1, 1, 8)[:, None]))
    assert found["a2_hull_distance_odd_part"].value <= found["a2_hull_distance_odd_part"].error < 1e-13
    assert found["a2_hull_distance_equality"].value == pytest.approx(1.0)
