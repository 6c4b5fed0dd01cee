"""What the figures show of weights."""

import numpy as np
import pytest
import torch

from flowcheck.losses import HALF_SUM
from flowcheck.networks.zoo import deep_relu, squared_relu
from flowcheck.papers.deep_homogeneous import figure_anatomy
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy
from flowcheck.papers.deep_homogeneous.figure_draws import Pair, draw

NETWORK = squared_relu([4, 5], 3)


def drawn(network=NETWORK, count=3):
    return draw(Pair(network, network), [np.random.default_rng(seed) for seed in range(count)], points=7)


def test_the_anatomy_of_random_weights_is_that_of_their_matrices():
    draws = drawn()
    at = Anatomy.of(NETWORK, draws, 0.3 * draws.w0)
    for run in range(3):
        x, y, w = (part[run].numpy() for part in (draws.x, draws.y, 0.3 * draws.w0))
        matrices = w[:12].reshape(4, 3), w[12:].reshape(5, 4)
        z = np.maximum(matrices[1] @ matrices[0] @ x.T, 0.0)
        for labels, cosine in ((y, at.cosine[run]), (y[::-1], at.cosine_permuted[run])):
            back = 2 * z * labels
            gradient = np.concatenate([(matrices[1].T @ back @ x).ravel(), (back @ (matrices[0] @ x.T).T).ravel()])
            assert cosine == pytest.approx(w @ gradient / np.linalg.norm(w) / np.linalg.norm(gradient), rel=1e-12)
        assert 4 * at.cosine_over_degree[run] == pytest.approx(at.cosine[run], rel=1e-12)
        assert at.norm[run] == pytest.approx(0.3)
        for layer, matrix in enumerate(matrices):
            values = np.linalg.svd(matrix, compute_uv=False) / 0.3
            assert at.singular[run, layer, : len(values)] == pytest.approx(values, rel=1e-12)
            assert at.shares[run, layer] == pytest.approx((values**2).sum())
            assert at.ratio()[run, layer] == pytest.approx(values[1] / values[0])
            mixed = at.shuffled[run, layer, : len(values)]
            assert (mixed**2).sum() == pytest.approx((values**2).sum())
            assert mixed != pytest.approx(values, rel=1e-3)
    assert np.isnan(at.singular[:, 0, 3:]).all()


def test_matrices_of_rank_one_have_aligned_rows_and_one_singular_value():
    draws = drawn()
    left, middle, right = (torch.arange(1.0, size + 1, dtype=torch.float64) for size in (5, 4, 3))
    w = torch.cat([torch.outer(middle, right).flatten(), torch.outer(left, middle).flatten()]).repeat(3, 1)
    at = Anatomy.of(NETWORK, draws, w)
    assert at.rows == pytest.approx(1.0)
    assert at.ratio() == pytest.approx(0.0, abs=1e-14)
    assert np.all(at.shuffled[..., 1] > 0.1)
    shown = figure_anatomy.curves(at.rescaled(2.0), at)
    assert shown["growth"] == pytest.approx(w.norm(dim=-1).numpy() / 2.0)
    assert {"rows_W1", "rows_W2", "ratio_W1", "ratio_W2", "cosine", "cosine_permuted", "growth"} == set(shown)
    assert len(at.first(2).arrays("stop")["stop_rows"]) == 2


@pytest.mark.parametrize("columns", [3, 10, 20])
def test_random_rows_have_the_expected_alignment(columns):
    rows = np.random.default_rng(4).standard_normal((600, columns))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = np.abs(rows @ rows.T)[np.triu_indices(600, 1)]
    assert figure_anatomy.expected_row_cosine(columns) == pytest.approx(cosines.mean(), rel=0.01)
    assert Anatomy.of(NETWORK, drawn(), drawn().w0).random_rows[0].tolist() == [
        figure_anatomy.expected_row_cosine(3),
        figure_anatomy.expected_row_cosine(4),
    ]


def test_a_run_that_never_escaped_has_no_anatomy_and_leaves_the_others_alone():
    draws = drawn()
    w = 0.3 * draws.w0
    w[1] = torch.nan
    at, others = Anatomy.of(NETWORK, draws, w), Anatomy.of(NETWORK, draws.take(np.array([0, 2])), w[[0, 2]])
    for name, array in at.arrays("stop").items():
        assert np.isnan(array[1]).all(), name
        assert array[[0, 2]] == pytest.approx(others.arrays("stop")[name], rel=1e-13, nan_ok=True), name


@pytest.mark.parametrize("network", [NETWORK, deep_relu([4, 5, 3], 3)], ids=["squared ReLU", "ReLU"])
def test_rounding_moves_a_drift_by_less_than_its_bound(network):
    """Steps so short that the drift itself is below rounding: all that is measured then is rounding."""
    draws, steps = drawn(network), 400
    w = draws.w0.clone()
    for _ in range(steps):
        pull = network.forward_and_pull(w, draws.x, lambda outputs: HALF_SUM.residual(outputs, draws.y))[1]
        w = w + 1e-9 * pull
    start, at = (Anatomy.of(network, draws, weights) for weights in (draws.w0, w))
    moved = figure_anatomy.drift(start, at)
    assert (moved < figure_anatomy.drift_rounding(steps)).all()
    assert (moved > 0).any()
    assert figure_anatomy.drift_rounding(steps) < 1e-12, "the bound is one of rounding"


def test_a_drift_falls_with_the_step():
    draws, found = drawn(), []
    for steps in (50, 200):
        w = draws.w0.clone()
        for _ in range(steps):
            pull = NETWORK.forward_and_pull(w, draws.x, lambda outputs: HALF_SUM.residual(outputs, draws.y))[1]
            w = w + 0.05 / steps * pull
        found.append(figure_anatomy.drift(*(Anatomy.of(NETWORK, draws, weights) for weights in (draws.w0, w))))
    assert found[1] / found[0] == pytest.approx(0.25, rel=0.1)
