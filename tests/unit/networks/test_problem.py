"""Objectives and correlations take what users give and refuse in one sentence what does not fit."""

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import gradient_flow
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.losses import HALF_SUM
from flowcheck.networks.hypotheses import degree_defect, require_degree, require_signal
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import deep_linear, deep_relu, power_net

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
    "labels": (X, [1, 2], r"3 points, but x is \(3, 2\) and [yz] \(2,\)"),
    "nothing": (np.zeros((0, 2)), np.zeros(0), "there is no data"),
    "runs": (np.zeros((4, 3, 2)), np.zeros((5, 3)), "x is for 4 runs and [yz] for 5"),
    "nan": ([[1.0, float("nan")], [1.0, 1.0], [1.0, 1.0]], Y, "x holds numbers that are not finite"),
    "infinite label": (X, [1.0, float("inf"), 0.0], "holds numbers that are not finite"),
}


@pytest.mark.parametrize("kind", [lambda x, y: Objective(NET, x, y, HALF_SUM), lambda x, y: Correlation(NET, x, y)])
@pytest.mark.parametrize(("x", "y", "message"), UNFIT.values(), ids=UNFIT)
def test_data_that_do_not_fit_are_refused(kind, x, y, message):
    with pytest.raises(ValueError, match=message):
        kind(x, y)


@pytest.mark.parametrize(("start", "message"), [([1.0, 2.0, 0.0, 0.0], "start is rows of them"), ([[1.0, 2.0]], "has 4 weights")])
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


class Single(Network):
    """u x in single precision: what it loses is no property of the mathematics."""

    name, inputs, size, degree, has_lipschitz_gradient, blocks = "single", 2, 2, 1.0, True, (slice(0, 2),)

    def forward(self, w, x):
        return w.float() @ x.float().mT


class Column(Single):
    name = "column"

    def forward(self, w, x):
        return (w @ x.mT)[..., None]


@pytest.mark.parametrize(
    ("network", "found"), [(Single(), r"float32 of shape \(1, 3\)"), (Column(), r"float64 of shape \(1, 3, 1\)")]
)
def test_a_network_that_does_not_compute_in_float64_is_refused_before_anything_is_said_of_its_degree(network, found):
    for make in (lambda: Objective(network, X, Y, HALF_SUM), lambda: Correlation(network, X, Y)):
        with pytest.raises(ValueError, match=rf"must give float64 outputs of shape \(1, 3\), got {found}") as caught:
            make()
        assert type(caught.value) is ValueError


def test_a_network_that_is_dead_at_most_weights_is_not_accused():
    """Each of its eight layers of one ReLU halves the share of weights at which it is alive: at none of the first 64."""
    network = deep_relu([1] * 8, 1)
    assert degree_defect(network, [[1.0]], network.degree) < 1e-10
    assert require_signal(network, [[1.0]], [1.0]) == pytest.approx(1.0)
    assert degree_defect(network, [[1.0]], network.degree + 1) > 0.1


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200])
def test_data_of_any_size_have_their_degree_and_their_signal(size):
    net = deep_linear([2], 2)
    x = size * torch.tensor([[1.0, 0.5], [0.0, 2.0]], dtype=torch.float64)
    assert degree_defect(net, x, 2) < 1e-10
    assert require_signal(net, x, [size, -size]) == pytest.approx(
        require_signal(net, x / size, [1.0, -1.0]), rel=1e-12 if size > 1e-300 else 1e-3
    )


def test_outputs_that_leave_float64_are_said_to_do_so():
    with pytest.raises(ValueError, match=r"outputs leave float64 at random weights, with inputs up to 1e\+160") as caught:
        require_degree(NET, [[1e160, 1.0]])
    assert type(caught.value) is ValueError


class Hasty(Network):
    """A network whose forward saves a tensor, and spoils what it is given."""

    name, inputs, size, degree, has_lipschitz_gradient, blocks = "hasty", 1, 1, 1.0, True, (slice(0, 1),)

    def __init__(self, spoiled):
        self.spoiled = spoiled

    def forward(self, w, x):
        (w if self.spoiled == "weights" else x).relu_()
        return w @ x.mT


@pytest.mark.parametrize("spoiled", ["weights", "inputs"])
@pytest.mark.parametrize("kind", [lambda net, x: Objective(net, x, [1.0], HALF_SUM), lambda net, x: Correlation(net, x, [1.0])])
def test_a_network_that_writes_into_what_it_is_given_is_refused(kind, spoiled):
    x = torch.tensor([[-1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="forward of hasty changes what it is given; it must give new tensors"):
        kind(Hasty(spoiled), x)
    assert x.item() == -1.0
