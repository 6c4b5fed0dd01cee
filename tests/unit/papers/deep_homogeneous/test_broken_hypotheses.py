"""Without (15), and without separability, the bounds of (16) are passed: flows are stopped at ten times them."""

import numpy as np
import pytest

from flowcheck.papers.deep_homogeneous import broken_hypotheses


def test_w_n_leaves_a_strict_saddle():
    found = broken_hypotheses.strict_saddle_ratios(3, 0.1, [1e-5], 100.0, np.random.default_rng(0))
    assert found.value == pytest.approx([broken_hypotheses.STOPPED], rel=1e-3)
    assert found.error[0] < 0.1


def test_w_z_grows_at_once_in_a_network_that_is_not_separable():
    found = broken_hypotheses.chain_ratios(0.1, [1e-3], np.random.default_rng(0))
    assert found.value == pytest.approx([broken_hypotheses.STOPPED], rel=1e-6)
    assert (found.error < 1e-6).all()
