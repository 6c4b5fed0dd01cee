"""Objectives and correlations take what users give and refuse in one sentence what does not fit."""

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import gradient_flow
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.losses import HALF_SUM
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import deep_linear, power_net

NET = power_net(units=2, inputs=2, power=2)
X, Y = [[1.0, 2.0], [0.5, -1.0], [2.0, 0.0]], [1, 2, -1]
GIVEN = {
    "lists": (X, Y),
    "arrays": (np.array(X), np.array(Y)),
    "integers": (torch.tensor(X), torch.tensor(Y)),
    "single precision": (torch.tensor(X).float(), torch.tensor(Y).float()),
    "not contiguous": (torch.tensor(X).double().mT.contiguous().mT, torch.tensor(Y)),
}


@pytest.mark.parametrize("kind", [lambda x, y: Objective(NET, x, y, HALF_SUM), lambda x, y: Correlation(NET, x, y)])
@pytest.mark.parametrize("given", GIVEN)
def test_data_become_doubles(kind, given):
    w = torch.tensor([[0.3, 0.1, -0.2, 0.4]], dtype=torch.float64)
    exact = kind(torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64))
    assert torch.equal(kind(*GIVEN[given]).value(w), exact.value(w))


UNFIT = {
    "inputs": ([[1.0], [2.0], [3.0]], Y, r"has 2 inputs, got x \(3, 1\)"),
    "one point": ([1.0, 2.0], [1], r"x is \[n, d\]"),
    "labels": (X, [1, 2], r"3 points, but x is \(3, 2\) and y \(2,\)"),
    "nothing": (np.zeros((0, 2)), np.zeros(0), "there is no data"),
    "runs": (np.zeros((4, 3, 2)), np.zeros((5, 3)), "x is for 4 runs and y for 5"),
    "nan": ([[1.0, float("nan")], [1.0, 1.0], [1.0, 1.0]], Y, "x holds numbers that are not finite"),
    "infinite label": (X, [1.0, float("inf"), 0.0], "holds numbers that are not finite"),
}


@pytest.mark.parametrize("kind", [lambda x, y: Objective(NET, x, y, HALF_SUM), lambda x, y: Correlation(NET, x, y)])
@pytest.mark.parametrize(("x", "y", "message"), UNFIT.values(), ids=UNFIT)
def test_data_that_do_not_fit_are_refused(kind, x, y, message):
    with pytest.raises(ValueError, match=message):
        kind(x, y)


@pytest.mark.parametrize(("start", "message"), [([1.0, 2.0, 0.0, 0.0], "starts are rows"), ([[1.0, 2.0]], "has 4 weights")])
@pytest.mark.parametrize(
    "follow",
    [
        lambda w: gradient_flow(Objective(NET, X, Y, HALF_SUM), w, length=1.0),
        lambda w: gradient_flow(Correlation(NET, X, Y), w, length=1.0),
        lambda w: stabilised_flow(Objective(NET, X, Y, HALF_SUM), w, 1.0),
    ],
)
def test_starts_that_do_not_fit_are_refused(follow, start, message):
    with pytest.raises(ValueError, match=message):
        follow(torch.tensor(start))


def test_as_many_starts_as_data_sets():
    many = Correlation(NET, X, torch.ones(3, 3))
    with pytest.raises(ValueError, match="2 runs on 3 points"):
        gradient_flow(many, torch.ones(2, 4), length=1.0)


def test_a_stabilised_flow_of_many_data_sets_is_refused():
    with pytest.raises(ValueError, match="share one data set"):
        stabilised_flow(Objective(NET, X, torch.ones(2, 3), HALF_SUM), torch.ones(2, 4), 1.0)


def test_the_upper_bound_of_each_data_set():
    net, x, z = deep_linear([2], 2), torch.rand(3, 4, 2, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    each = [float(Correlation(net, *own).upper_bound) for own in zip(x, z, strict=True)]
    assert Correlation(net, x, z).upper_bound.tolist() == pytest.approx(each, rel=1e-15)
