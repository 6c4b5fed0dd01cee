"""The networks of Section 2 have degree two; weights are moved onto kinks."""

import pytest
import torch

from flowcheck.data import synthetic
from flowcheck.networks.hypotheses import degree_defect
from flowcheck.papers.two_homogeneous.example_networks import neuron, on_kink, two_homogeneous

NETWORKS = two_homogeneous()


@pytest.fixture
def x(rng):
    return synthetic.sphere_inputs(rng, 5, 3)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_examples_are_two_homogeneous(network, x):
    assert degree_defect(network, x, 2) < 1e-12


def test_the_neuron_is_v_times_leaky_relu(x):
    w = torch.tensor([[0.3, -0.2, 0.9, -1.5]], dtype=torch.float64)
    inner = x @ w[0, :3]
    assert neuron(0.2).forward(w, x)[0].tolist() == pytest.approx((-1.5 * torch.maximum(inner, 0.2 * inner)).tolist())


def test_weights_on_a_kink_have_one_preactivation_at_zero_and_all_other_units_as_before(x, rng):
    w = synthetic.gaussian(rng, 9)
    moved = on_kink(w, x)
    assert float(moved[:3] @ x[0]) == pytest.approx(0.0, abs=1e-15)
    assert torch.equal(moved[3:], w[3:])
    assert not torch.equal(moved[:3], w[:3])
