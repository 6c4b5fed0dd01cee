"""Eq. (66): the closed form is minus the gradient, the printed one is off by twice what the idle units pull."""

import numpy as np
import pytest

from flowcheck.papers.deep_homogeneous import equation_66
from flowcheck.papers.deep_homogeneous.power_saddles import fewer_units
from flowcheck.papers.homogeneous.near_saddles import labels


@pytest.fixture(scope="module")
def saddle():
    return fewer_units(3, np.random.default_rng(0), 1)


def test_the_two_fields_agree_up_to_rounding_and_the_printed_one_does_not(saddle):
    w = np.random.default_rng(1).standard_normal(saddle.network.size)
    found = equation_66.distances(saddle, w)
    assert found["eq66"].value <= found["eq66"].error < 1e-12
    y, split = labels(saddle), saddle.fitted.size

    def loss(w):
        rest = y - saddle.fitted.outputs(w[:split]) - saddle.idle.outputs(w[split:])
        return 0.5 * float(rest @ rest)

    steps = 1e-6 * np.eye(len(w))
    gradient = np.array([(loss(w + step) - loss(w - step)) / 2e-6 for step in steps])
    idle = 2 * saddle.idle.outputs(w[split:])
    off = np.concatenate([saddle.fitted.pull(w[:split], idle), saddle.idle.pull(w[split:], idle)])
    assert found["eq66_printed"].value == pytest.approx(np.linalg.norm(off) / np.linalg.norm(gradient), rel=1e-5)
