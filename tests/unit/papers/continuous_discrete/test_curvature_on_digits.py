"""The spectrum in the span of the digits is that of the whole Hessian; bounds and controls along short runs."""

import numpy as np
import pandas as pd
import pytest
import torch

from flowcheck.curvature.dense import hessian_at
from flowcheck.data.mnist import Digits
from flowcheck.descent.input_span import InputSpan
from flowcheck.losses import cross_entropy, one_hot
from flowcheck.networks.tied import TiedNetwork
from flowcheck.papers.continuous_discrete import curvature_on_digits as on_digits
from flowcheck.papers.continuous_discrete import mnist_networks
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("below", [0.0, 1.0], ids=["ReLU", "linear"])
def test_the_ends_of_the_spectrum_are_those_of_the_whole_network(below):
    network = TiedNetwork.fully_connected([9, 4, 5, 3], 1.0, below)
    x = torch.from_numpy(RNG.standard_normal((6, 4)) @ RNG.standard_normal((4, 9)))  # a span of four dimensions
    problem = TrainingLoss(network, x, one_hot([0, 1, 2, 0, 1, 2], 3), cross_entropy(3))
    w = torch.from_numpy(RNG.standard_normal(network.size))
    inside = on_digits.InSpan.of(problem, InputSpan.of(x))
    assert inside.problem.network.size == network.size - 5 * 4
    torch.testing.assert_close(inside.value(inside.weights(w)), problem.at(w), rtol=1e-12, atol=1e-12)
    exact = torch.linalg.eigvalsh(hessian_at(problem.at, w))
    found = inside.spectrum(w, RNG)
    assert found.smallest.value == pytest.approx(float(exact[0]), rel=1e-6)
    assert found.largest.value == pytest.approx(float(exact[-1]), rel=1e-6)
    assert inside.below(w, RNG) >= float(exact[0]) - 1e-12


@pytest.fixture
def narrow(monkeypatch):
    """Networks of Figure 1 with few units and few products."""
    monkeypatch.setattr(mnist_networks, "WIDTHS", (784, 6, 14, 10))  # the last layer has a kernel, as in Figure 1
    monkeypatch.setattr(on_digits, "PRODUCTS", 20)
    images = RNG.standard_normal((12, 784))
    return Digits(torch.from_numpy(images), torch.arange(12) % 10, "noise", True)


def run_of(network, **given):
    return on_digits.Run(network=network, draw=0, step_size=1e-3, records=[0, 3, 40], **given)


def test_a_start_has_the_norm_that_is_asked_for(narrow):
    start = run_of("linear", norm=0.14).start(np.random.default_rng(0))
    assert np.linalg.norm(start) == pytest.approx(0.14)
    assert np.array_equal(run_of("relu").start(np.random.default_rng(0)), mnist_networks.xavier(np.random.default_rng(0)))


@pytest.mark.parametrize(("network", "norm"), [("linear", None), ("linear", 0.14), ("relu", None)])
def test_the_bounds_hold_on_a_short_run_and_not_beside_it(narrow, network, norm):
    run = run_of(network, norm=norm)
    start = run.start(np.random.default_rng(1))
    rows = pd.DataFrame(list(on_digits.along(run, narrow, start, np.random.default_rng(2))))
    table = rows.assign(run="one", network=network, norm=norm).astype({"norm": float})
    for bound in on_digits.BOUNDS:
        if bound not in table:
            table[bound] = np.nan
    assert table["iteration"].tolist() == [0, 3, 40]
    assert table["loss"].is_monotonic_decreasing
    assert table["drift"].iloc[0] == 0 < table["drift"].iloc[-1] < 1e-3
    assert table["epsilon"].iloc[0] == pytest.approx(np.linalg.norm(start))
    found = on_digits.readings_of(table)
    names = run.bounds
    assert ("proposition8" in names) == (network == "linear" and norm is not None)
    assert ("lemma7" in names) == (network == "linear")
    for name in names:
        assert found[f"{network}_{name}_ratio_max"].value <= found[f"{network}_{name}_probable_ratio_max"].value
        assert found[f"{network}_{name}_ratio_max"].value < 1
    assert found[f"{network}_lemma11_rescaled_ratio_max"].value > (1.1 if network == "linear" else 0)
    for name in names:  # a smaller bound is missed by more
        if name not in ("lemma11", "proposition12"):
            share = found[f"{network}_{name}_rescaled_ratio_max"].value / found[f"{network}_lemma11_rescaled_ratio_max"].value
            assert share == pytest.approx(table["lemma11"].iloc[-1] / table[name].iloc[-1])
    assert found[f"{network}_kinks"].value == 0
    assert found[f"{network}_residual_max"].value < 0.1
    if norm is None:
        ends = on_digits.depth_at_the_end(table)
        assert 0 < ends[f"{network}_end_over_lowest_max"].value <= 1
        assert ends[f"{network}_other_start_over_lowest_min"].value > 0


def test_kinks_are_counted_and_a_linear_network_has_none():
    x = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    w = torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64)  # the first unit is on its kink at the first input
    for below, count in ((0.0, 1), (1.0, 0)):
        network = TiedNetwork.fully_connected([2, 1, 2], 1.0, below)
        problem = TrainingLoss(network, x, one_hot([0, 1], 2), cross_entropy(2))
        assert on_digits._kinks(problem, w) == count
