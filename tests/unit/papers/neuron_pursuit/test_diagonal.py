"""Pursuit of diagonal networks and Lemma 21, each against another way to get it."""

import numpy as np
import pytest
import torch

from flowcheck.papers.neuron_pursuit import diagonal, lemma_21
from flowcheck.papers.neuron_pursuit.diagonal import B, X


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_descent_is_that_of_autograd(rng):
    x, y = rng.standard_normal((1, 4, 3)), rng.standard_normal((1, 4))
    v, u = rng.standard_normal((1, 3)), rng.standard_normal((1, 3))
    a, b = (torch.from_numpy(part[0].copy()).requires_grad_() for part in (v, u))
    optimiser = torch.optim.SGD([a, b], lr=0.01)
    for _ in range(7):
        optimiser.zero_grad()
        (0.5 * (torch.from_numpy(x[0]) @ (a * b) - torch.from_numpy(y[0])).square().sum()).backward()
        optimiser.step()
    found = diagonal.descend(x, y, v, u, 7, 0.01)
    assert found[0][0] == pytest.approx(a.detach().numpy(), abs=1e-14)
    assert found[1][0] == pytest.approx(b.detach().numpy(), abs=1e-14)


def test_the_iterates_of_the_example_are_its_fractions():
    found = diagonal.pursue_diagonal(X[None], B[None], 2, 20_000)
    assert found.chosen.tolist() == [[2, 0]]
    # by hand: x3.b / x3.x3 with x3 = (-1/10, 16/15), then the two equations z1 - z3/10 = 1 and 16/15 z3 = 2
    assert found.coefficients[0, 0] == pytest.approx([0.0, 0.0, (61 / 30) / (1 / 100 + 256 / 225)], abs=1e-9)
    assert found.coefficients[0, 1] == pytest.approx([19 / 16, 0.0, 15 / 8], abs=1e-9)


def test_the_peer_takes_columns_as_they_are():
    assert diagonal.order(diagonal.matching_pursuit(X, B, 2)).tolist() == [2, 0]
    lengths = np.linalg.norm(X, axis=0)
    assert diagonal.order(diagonal.matching_pursuit(X / lengths, B, 2)).tolist() == [1, 0]


def test_chosen_columns_are_those_of_greedy_least_squares(rng):
    x, y = diagonal.random_problems(rng, 4)
    found = diagonal.pursue_diagonal(x, y, 3, 15_000, 0.02)
    for run in range(4):
        chosen: list[int] = []
        for _ in range(3):
            fit = x[run][:, chosen] @ np.linalg.lstsq(x[run][:, chosen], y[run], rcond=None)[0] if chosen else 0.0
            chosen.append(int(np.abs(x[run].T @ (y[run] - fit)).argmax()))
        assert found.chosen[run].tolist() == chosen
    assert found.reached[:, :2].all()


def test_a_product_does_not_change_its_sign():
    x, y = diagonal.sign_change()
    found = diagonal.pursue_diagonal(x[None], y[None], 2, 20_000, 0.02)
    assert found.reached.tolist() == [[True, False]]
    assert found.coefficients[0, 1] == pytest.approx([0.0, 1.8], abs=1e-3)
    assert diagonal.matching_pursuit(x, y, 2)[1] == pytest.approx([-0.5, 3.0], abs=1e-9)


def test_the_highest_ncf_is_half_of_the_correlation(rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal(5)
    values, residuals = diagonal.ncf_maxima(x, y, rng)
    angles = np.linspace(0.0, 2 * np.pi, 100_001)
    scanned = np.abs(np.sin(angles) * np.cos(angles)).max() * np.abs(x.T @ y)
    assert values == pytest.approx(scanned, rel=1e-8)
    assert residuals.max() < 1e-10


def test_the_smallest_l1_norm_is_that_of_the_best_pair_of_columns():
    pairs = [(0, 1), (0, 2), (1, 2)]
    norms = [np.abs(np.linalg.solve(X[:, pair], B)).sum() for pair in pairs]
    assert np.abs(diagonal.smallest_l1(X, B)).sum() == pytest.approx(min(norms), abs=1e-12)


def test_descent_from_smaller_starts_ends_nearer_to_the_smallest_l1_norm(rng):
    ends, change = diagonal.small_starts(rng, [1e-5, 1e-20], 1, 60_000, 0.01)
    distance = np.linalg.norm(ends[0] - [1.0, 2.0, 0.0], axis=1)
    assert distance[1] < 0.3 * distance[0] < 1.0
    assert change.max() < 1e-9


def test_the_path_of_the_example_ends_where_its_descents_do():
    path = diagonal.example_path(20_000, looks=20)
    assert path.shape == (40, 3)
    assert path[19] == pytest.approx([0.0, 0.0, 1.77153921], abs=1e-7)
    assert path[-1] == pytest.approx([1.1875, 0.0, 1.875], abs=1e-7)


def test_what_is_printed_is_not_so():
    left, right = diagonal.printed_maximum(1)
    assert right / left == pytest.approx(np.sqrt(2.0), rel=1e-9)
    assert diagonal.printed_range(2) == (2.0, 3.0)
    left, right = diagonal.printed_product(20_000)
    assert left < right


def test_one_neuron_is_that_of_vectors(rng):
    x = rng.standard_normal(6)
    x /= np.linalg.norm(x)
    y = rng.standard_normal(6)
    c = x @ y
    v, u = 0.1 / np.sqrt(2.0), np.sign(c) * 0.1 / np.sqrt(2.0)
    for _ in range(30):
        r = x * v * u - y
        v, u = v - 0.3 / abs(c) * u * (x @ r), u - 0.3 / abs(c) * v * (x @ r)
    ends = lemma_21.run(np.array([c]), 0.3, np.array([0.1]), 30)
    assert ends.error[0] == pytest.approx(abs(v * u - c) / abs(c), abs=1e-12)


def test_long_steps_and_wrong_signs_are_noticed(rng):
    c, delta = lemma_21.draws(rng, 20)
    assert (delta < np.sqrt(2 * np.abs(c))).all()
    assert not any(flag.any() for flag in lemma_21.run(c, 0.49, delta, 500)[1:])
    assert lemma_21.run(c, 1.2, delta, 500).overshot.all()
    assert lemma_21.run(c, 0.25, delta, 500, sign=-1.0).error.min() > 0.9
