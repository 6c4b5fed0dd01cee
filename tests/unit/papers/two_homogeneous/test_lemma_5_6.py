"""Lemma 5.6: blocks of gradients against finite differences; with w_z away from zero they differ by what H_z takes."""

import numpy as np
import pytest

from flowcheck.measures.table import Table
from flowcheck.papers.homogeneous.near_saddles import labels
from flowcheck.papers.two_homogeneous import lemma_5_6
from flowcheck.papers.two_homogeneous.saddle_systems import partly_fitted


def test_the_block_is_the_gradient_of_the_restricted_loss_at_zero_only():
    rng = np.random.default_rng(0)
    saddle = partly_fitted(rng)
    w_n, w_z = rng.standard_normal(saddle.fitted.size), rng.standard_normal(saddle.idle.size)
    found = lemma_5_6.blocks(saddle, w_n, w_z)
    y, steps = labels(saddle), 1e-6 * np.eye(len(w_n))

    def loss(w):
        return 0.5 * float(((saddle.fitted.outputs(w) - y) ** 2).sum())

    restricted = np.array([(loss(w_n + step) - loss(w_n - step)) / 2e-6 for step in steps])
    taken = saddle.fitted.pull(w_n, saddle.idle.outputs(w_z))
    assert found["block_identity"].value <= found["block_identity"].error < 1e-12
    assert found["block_away"].value == pytest.approx(np.linalg.norm(taken) / np.linalg.norm(restricted), rel=1e-6)
    assert found["random_gradient"].value == pytest.approx(np.linalg.norm(restricted) / np.linalg.norm(y), rel=1e-6)
    assert found["restricted_gradient"].value < 1e-12


def test_the_worst_of_all_saddles_is_read():
    rng = np.random.default_rng(1)
    saddles = [partly_fitted(rng) for _ in range(2)]
    blocks = [
        lemma_5_6.blocks(saddle, *(rng.standard_normal(part.size) for part in (saddle.fitted, saddle.idle))) for saddle in saddles
    ]
    found = lemma_5_6.readings_of(Table.of(blocks))
    assert found["block_identity_max"].value == max(block["block_identity"].value for block in blocks)
    assert found["block_away_median"].value == pytest.approx(np.median([block["block_away"].value for block in blocks]))
    assert found["random_gradient_min"].value == min(block["random_gradient"].value for block in blocks)
    assert found["restricted_gradient_max"].n == 2
