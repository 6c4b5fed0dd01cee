"""The leading term of added neurons, against the network itself, autograd, and difference quotients."""

import numpy as np
import pytest
import torch

from flowcheck.networks.activation import RELU
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.leading_term import LeadingTerm, Partition
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import deep_power

CASES = {
    "two layers, square": (deep_power((4,), 3, 2, 1.0), (2,)),
    "three layers, square": (deep_power((3, 4), 3, 2, 1.0), (2, 1)),
    "three layers, cube of a leaky ReLU": (deep_power((3, 3), 2, 3, 0.5), (2, 2)),
    "four layers, leaky ReLU": (deep_power((4, 3, 3), 3, slope=0.2), (3, 2, 2)),
    "four layers, two outputs": (deep_power((3, 4, 3), 2, 2, 0.5, outputs=2), (2, 2, 1)),
    "nothing added to one layer": (deep_power((2, 3), 2, 2, -0.5), (2, 1)),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def term(request):
    network, kept = request.param
    partition = Partition(network, kept)
    rng = np.random.default_rng(3)
    return LeadingTerm(partition, torch.from_numpy(rng.standard_normal(partition.sizes[0])))


def draw(term, runs=3, points=5):
    rng = np.random.default_rng(4)
    return (torch.from_numpy(rng.standard_normal(shape)) for shape in ((runs, term.size), (points, term.inputs)))


def outputs(term, w_z, x):
    return term.partition.network.forward(term.partition.join(term.w_n, w_z), x)


def test_it_is_the_limit_of_the_change_of_the_network(term):
    w, x = draw(term)
    delta = 1e-4 if term.degree < 4 else 1e-2
    change = outputs(term, delta * w, x) - outputs(term, 0 * w, x)
    torch.testing.assert_close(change / delta**term.degree, term.forward(w, x), rtol=0.03, atol=1e-3)


def test_it_has_its_degree(term):
    w, x = draw(term)
    torch.testing.assert_close(term.forward(3.0 * w, x), 3.0**term.degree * term.forward(w, x))


def test_the_closed_form_of_the_pull_is_that_of_autograd(term):
    w, x = draw(term)
    found = term.forward_and_pull(w, x, torch.tanh)
    for mine, other in zip(found, Network.forward_and_pull(term, w, x, torch.tanh), strict=True):
        torch.testing.assert_close(mine, other)


def test_each_neuron_sees_the_derivative_of_the_outputs_by_the_inputs_of_the_next_layer(term):
    """Eq. (21), neuron by neuron: the derivative by autograd through the kept neurons alone."""
    w, x = draw(term, runs=1)
    fitted, activation = term.partition.fitted(term.w_n), term.partition.activation
    a, b, _ = term.partition.added(w)
    total = torch.zeros(len(x), term.outputs_per_sample, dtype=x.dtype)
    below = x.T
    for layer in range(len(a)):
        inner = (fitted[layer + 1] @ activation(fitted[layer] @ below)).requires_grad_()
        top = inner
        for matrix in fitted[layer + 2 :]:
            top = matrix @ activation(top)
        for j in range(a[layer].shape[1]):
            value = b[layer][0, :, j, None] * activation(a[layer][0, j] @ below)
            for output in range(len(top)):
                (slope,) = torch.autograd.grad(top[output].sum(), inner, retain_graph=True)
                total[:, output] += (slope * value).sum(dim=0)
        below = activation(fitted[layer] @ below)
    torch.testing.assert_close(term.forward(w, x), total.reshape(1, -1))


def test_runs_may_have_inputs_of_their_own(term):
    w, _ = draw(term)
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((3, 4, term.inputs)))
    found, pulled = term.forward_and_pull(w, x, torch.tanh)
    for run in range(3):
        one, its_pull = term.forward_and_pull(w[run : run + 1], x[run], torch.tanh)
        torch.testing.assert_close(found[run], one[0])
        torch.testing.assert_close(pulled[run], its_pull[0])


def test_weights_are_split_and_joined(term):
    w = torch.randn(2, term.partition.network.size, dtype=torch.float64)
    w_n, w_z = term.partition.split(w)
    assert torch.equal(term.partition.join(w_n, w_z), w)
    assert (w_n.shape[1], w_z.shape[1]) == term.partition.sizes
    assert term.size == sum(block.numel() for blocks in term.partition.added(w_z[:1]) for block in blocks)


def test_kinks_are_those_of_the_added_neurons():
    partition = Partition(deep_power((2,), 2), (1,))
    term = LeadingTerm(partition, torch.ones(3, dtype=torch.float64))
    w_z = torch.tensor([[1.0, -1.0, 5.0]], dtype=torch.float64)
    assert term.preactivations(w_z, torch.tensor([[2.0, 3.0]], dtype=torch.float64)).tolist() == [[-1.0]]


@pytest.mark.parametrize(
    ("network", "kept", "said"),
    [
        (deep_power((3, 3), 2), (2,), "can be kept"),
        (deep_power((3, 3), 2), (2, 4), "can be kept"),
        (FeedForward("one", 2, (Layer(3, RELU), Layer(1, RELU))), (2,), "the last one is linear"),
        (FeedForward("summed", 2, (Layer(3, RELU), Layer(2))), (2,), "not summed"),
        (FeedForward("two kinds", 2, (Layer(3, RELU), Layer(2), Layer(1))), (2, 2), "one activation"),
    ],
)
def test_what_has_no_such_term_is_refused(network, kept, said):
    with pytest.raises(ValueError, match=said):
        Partition(network, kept)


def test_w_n_of_another_size_is_refused():
    with pytest.raises(ValueError, match="has 3 entries"):
        LeadingTerm(Partition(deep_power((2,), 2), (1,)), torch.ones(4, dtype=torch.float64))
