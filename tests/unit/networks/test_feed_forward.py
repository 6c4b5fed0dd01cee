"""Networks and losses: homogeneity, Euler's identity, gradients against autograd and finite differences, closed bounds.

One table of networks with readable ids; closed form against autograd against finite differences.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcheck.data import synthetic
from flowcheck.losses import HALF_MEAN, HALF_SUM, LOGISTIC, LOGISTIC_DOUBLED, MEAN, Loss
from flowcheck.networks import zoo
from flowcheck.networks.activation import Activation
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.network import Network
from flowcheck.networks.sums import Mixture, Separable

MIDDLE = [[0.5, -1.0, 0.25], [1.0, 1.0, -0.5]]

# id: network, degree, number of blocks, Lipschitz gradient
TABLE = {
    "relu^2": (zoo.power_net(4, 3, 2), 2, 4, True),
    "relu^3 with signs": (zoo.power_net(4, 3, 3, [1, -1, 1, -1]), 3, 4, True),
    "relu^2.5": (zoo.power_net(3, 3, 2.5), 2.5, 3, True),
    "relu^1.5": (zoo.power_net(3, 3, 1.5), 1.5, 3, False),
    "leaky^2": (zoo.power_net(3, 3, 2, slope=-0.4), 2, 3, True),
    "polynomial^4": (zoo.power_net(3, 3, 4, slope=1), 4, 3, True),
    "two-layer leaky ReLU": (zoo.two_layer(3, 3, 0.2), 2, 3, False),
    "deep ReLU, two trained": (zoo.relu_two_trainable([4, 3], 3, [1, -1, 0.5]), 2, 1, False),
    "fixed layer between": (
        FeedForward("fixed layer between", 3, (Layer(3, Activation()), Layer.constant(MIDDLE, Activation()), Layer(1))),
        2,
        1,
        False,
    ),
    "squared ReLU": (zoo.squared_relu([4, 3], 3), 4, 1, True),
    "powers inside": (FeedForward("powers inside", 3, (Layer(3, Activation(0, 2)), Layer(2, Activation(0, 2)))), 6, 1, True),
    "deep ReLU": (zoo.deep_relu([3, 4, 2], 3), 3, 1, False),
    "linear^4": (zoo.deep_linear([3, 2, 3], 3), 4, 1, True),
    "separable, unequal parts": (
        Separable("separable", (zoo.power_net(1, 3, 3), zoo.power_net(2, 3, 3, [1, -1]))),
        3,
        3,
        True,
    ),
}
NETWORKS = pytest.mark.parametrize("name", TABLE)
SEEDS = st.integers(0, 10_000)


def draw(name: str, seed: int, runs: int = 3, samples: int = 5):
    network = TABLE[name][0]
    rng = np.random.default_rng(seed)
    return (
        network,
        synthetic.gaussian(rng, runs, network.size),
        synthetic.sphere_inputs(rng, samples, 3),
        synthetic.gaussian(rng, samples),
    )


@NETWORKS
def test_the_table_declares_degree_blocks_and_smoothness(name):
    network, degree, blocks, lipschitz = TABLE[name]
    assert (network.degree, len(network.blocks), network.has_lipschitz_gradient) == (degree, blocks, lipschitz)
    assert [block.stop for block in network.blocks[:-1]] == [block.start for block in network.blocks[1:]]
    assert (network.blocks[0].start, network.blocks[-1].stop) == (0, network.size)


@NETWORKS
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, c=st.floats(1e-3, 1e3))
def test_outputs_are_homogeneous_and_gradients_one_degree_less(name, seed, c):
    network, w, x, z = draw(name, seed)
    outputs = network.forward(w, x)
    assert torch.allclose(network.forward(c * w, x), c**network.degree * outputs, rtol=1e-10, atol=0)
    gradient = network.pull(w, x, z)
    scale = c ** (network.degree - 1) * gradient.abs().max().item()
    assert torch.allclose(network.pull(c * w, x, z), c ** (network.degree - 1) * gradient, rtol=1e-10, atol=1e-12 * scale)


@NETWORKS
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_euler_identity_holds_for_the_chosen_subgradient(name, seed):
    network, w, x, z = draw(name, seed)
    value = network.forward(w, x) @ z
    size = (network.forward(w, x) * z).abs().sum(dim=-1) + 1e-300
    assert ((network.pull(w, x, z) * w).sum(dim=-1) - network.degree * value).abs().max() <= 1e-12 * (size.max() * network.degree)


@NETWORKS
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_the_pull_is_that_of_autograd_and_of_finite_differences(name, seed):
    network, w, x, z = draw(name, seed)
    closed = network.pull(w, x, z)
    automatic = Network.forward_and_pull(network, w, x, lambda _: z)[1]
    assert torch.allclose(closed, automatic, rtol=1e-12, atol=1e-13)
    h = 1e-6
    crossed = (network.preactivations(w, x).abs() < 1e-4).any()  # a difference across a kink is no derivative
    if not crossed:
        direction = synthetic.gaussian(np.random.default_rng(seed + 1), *w.shape)
        difference = (network.forward(w + h * direction, x) - network.forward(w - h * direction, x)) @ z / (2 * h)
        assert torch.allclose((closed * direction).sum(dim=-1), difference, rtol=1e-6, atol=1e-6)


@NETWORKS
def test_outputs_and_pull_come_from_one_pass(name):
    network, w, x, z = draw(name, 3)
    outputs, pulled = network.forward_and_pull(w, x, lambda h: z - h)
    assert torch.equal(outputs, network.forward(w, x))
    assert torch.allclose(pulled, network.pull(w, x, z - outputs), rtol=1e-13, atol=1e-14)


@NETWORKS
def test_runs_do_not_depend_on_their_batch(name):
    network, w, x, z = draw(name, 4)
    alone = torch.cat([network.pull(row[None], x, z) for row in w])
    assert torch.allclose(network.pull(w, x, z), alone, rtol=1e-12, atol=1e-13)


@NETWORKS
def test_blocks_are_those_of_the_jacobian(name):
    """A separable network has no second derivatives across blocks: outputs are sums of what each block gives alone."""
    network, w, x, _ = draw(name, 5)
    if len(network.blocks) > 1:
        alone = torch.zeros_like(network.forward(w, x))
        for block in network.blocks:
            masked = torch.zeros_like(w)
            masked[:, block] = w[:, block]
            alone += network.forward(masked, x)
        assert torch.allclose(alone, network.forward(w, x), rtol=1e-12, atol=1e-13)


@NETWORKS
def test_closed_bounds_hold_on_random_weights_and_where_ascent_ends(name):
    network, _, x, _ = draw(name, 6)
    w = synthetic.unit_vectors(np.random.default_rng(7), 200, network.size)
    for _ in range(30):
        outputs, gradient = network.forward_and_pull(w, x, lambda h: h)
        assert outputs.norm(dim=-1).max() <= network.output_bound(x) * (1 + 1e-12)
        w = torch.nn.functional.normalize(w + torch.nn.functional.normalize(gradient, dim=-1), dim=-1)
    jacobians = torch.stack([network.pull(w, x, row) for row in torch.eye(len(x), dtype=w.dtype)], dim=1)
    assert torch.linalg.matrix_norm(jacobians, ord=2).max() <= network.jacobian_bound(x) * (1 + 1e-12)


@pytest.mark.parametrize("name", ["relu^2", "relu^3 with signs", "relu^2.5", "polynomial^4"])
def test_the_lipschitz_bound_of_the_jacobian_holds_between_random_points(name):
    network, _, x, _ = draw(name, 8)
    rng = np.random.default_rng(9)
    radius = 1.7
    a, b = (radius * rng.random() ** 0.1 * synthetic.unit_vectors(rng, 300, network.size) for _ in range(2))
    eye = torch.eye(len(x), dtype=a.dtype)
    difference = torch.stack([network.pull(a, x, row) - network.pull(b, x, row) for row in eye], dim=1)
    ratio = torch.linalg.matrix_norm(difference, ord=2) / (a - b).norm(dim=-1)
    assert ratio.max() <= network.jacobian_lipschitz_bound(x, radius)


def test_a_network_without_a_closed_bound_says_so():
    network, _, x, _ = draw("squared ReLU", 0)
    assert network.jacobian_lipschitz_bound(x, 1.0) is None
    mixture = Mixture("mixture", ((1.0, network),), 4)
    assert mixture.output_bound(x) is None
    assert mixture.jacobian_bound(x) is None
    assert Separable("sum", (network, Mixture("mixture", ((1.0, network),), network.degree))).output_bound(x) is None


def test_the_bound_of_the_squared_relu_network_is_the_derived_one():
    """deep_homogeneous: |W2 W1|_F <= (|W1|^2 + |W2|^2) / 2 gives sqrt(n) / 4 for unit inputs."""
    x = synthetic.sphere_inputs(np.random.default_rng(0), 16, 3)
    assert zoo.squared_relu([4, 3], 3).output_bound(x) == pytest.approx(1.0, rel=1e-12)


def test_the_subgradient_of_relu_at_zero_is_zero():
    assert Activation().derivative(torch.zeros(1, dtype=torch.float64)).item() == 0.0
    assert Activation(-0.5).derivative(torch.zeros(1, dtype=torch.float64)).item() == -0.5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Activation(0.0, 0.5), "power of at least 1"),
        (lambda: Activation(1.0, 2.5), "whole power"),
        (lambda: FeedForward("x", 2, (Layer.constant([[1.0, 2.0]]),)), "no layer is trainable"),
        (lambda: FeedForward("x", 3, (Layer.constant([[1.0, 2.0]]), Layer(1))), "needs 3 columns"),
        (lambda: Separable("x", (zoo.power_net(1, 2, 2), zoo.power_net(1, 2, 3))), "differ in degree"),
        (lambda: Loss("logistic", "half_sum"), "not one of sum, mean"),
        (lambda: Loss("square", "sum", scale=0.0), "must be positive"),
    ],
    ids=["power", "polynomial", "trainable", "columns", "degree", "normalisation", "scale"],
)
def test_a_network_or_loss_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


LOSSES = {"half sum": HALF_SUM, "half mean": HALF_MEAN, "mean": MEAN, "logistic": LOGISTIC, "logistic doubled": LOGISTIC_DOUBLED}


@pytest.mark.parametrize("name", LOSSES)
def test_the_residual_is_minus_the_derivative_of_the_loss(name):
    loss, rng = LOSSES[name], np.random.default_rng(1)
    y = synthetic.gaussian(rng, 6) if loss.kind == "square" else torch.sign(synthetic.gaussian(rng, 6))
    outputs = synthetic.gaussian(rng, 2, 6).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss.value(outputs, y).sum(), outputs)
    assert torch.allclose(loss.residual(outputs.detach(), y), -gradient, rtol=1e-12, atol=1e-14)
    assert torch.allclose(loss.correlation_vector(y), loss.residual(torch.zeros(1, 6, dtype=y.dtype), y)[0], rtol=1e-14)
    a, b = synthetic.gaussian(rng, 50, 6), synthetic.gaussian(rng, 50, 6)
    ratio = (loss.residual(a, y) - loss.residual(b, y)).norm(dim=-1) / (a - b).norm(dim=-1)
    assert ratio.max() <= loss.derivative_lipschitz(y) * (1 + 1e-12)


def test_both_losses_of_deep_homogeneous_have_the_labels_as_correlation_vector():
    y = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    assert torch.equal(HALF_SUM.correlation_vector(y), y)
    assert torch.equal(LOGISTIC_DOUBLED.correlation_vector(y), y)
    assert torch.equal(MEAN.correlation_vector(y), y * (2 / 3))
