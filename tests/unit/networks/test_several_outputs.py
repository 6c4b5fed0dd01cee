"""Networks with several outputs for a sample: one table, closed form against autograd against finite differences.

Outputs are flat, sample by sample; the inner product with z is that of matrices, so what holds for scalar networks holds here.
"""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import ascend, largest_jacobian, largest_output
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.flows.stabilised import stabilised_flow
from flowcheck.losses import HALF_SUM, LOGISTIC, Loss, cross_entropy, one_hot
from flowcheck.networks import hypotheses
from flowcheck.networks.activation import RELU, relu_power
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.sums import Mixture, Rotated, Separable
from flowcheck.networks.zoo import deep_linear, deep_power, power_net
from flowcheck.saddles.units import Units

SAMPLES, INPUTS = 5, 3
MATRIX = ((1.0, -0.5), (0.3, 2.0), (-1.0, 0.7))
NETWORKS = {
    "scalar: squared ReLU": power_net(3, INPUTS, 2.0),
    "scalar: three layers": deep_power((3, 2), INPUTS, 2.0),
    "linear, two layers, three outputs": deep_linear((4,), INPUTS, 3),
    "linear, three layers, two outputs": deep_linear((3, 4), INPUTS, 2),
    "ReLU, two layers, two outputs": deep_power((4,), INPUTS, 1.0, outputs=2),
    "squared ReLU, two layers, three outputs": deep_power((4,), INPUTS, 2.0, outputs=3),
    "leaky squared, three layers, two outputs": deep_power((3, 2), INPUTS, 2.0, slope=0.2, outputs=2),
    "units of squared ReLU": FeedForward("units", INPUTS, (Layer(3, relu_power(2)),), "units"),
    "fixed last layer": FeedForward("fixed", INPUTS, (Layer(2, relu_power(3)), Layer.constant(MATRIX)), "units"),
    "ReLU after the last layer": FeedForward("deep", INPUTS, (Layer(3, RELU), Layer(2, RELU)), "units"),
    "sum of equal parts": Separable("sum", (deep_power((2,), INPUTS, 2.0, outputs=2),) * 2),
    "sum of parts": Separable("sum", tuple(deep_power((width,), INPUTS, 2.0, outputs=2) for width in (1, 3))),
}
VECTOR = {name: network for name, network in NETWORKS.items() if network.outputs_per_sample > 1}
BOUNDED = {name: network for name, network in NETWORKS.items() if not isinstance(network, Separable)}


def over(networks):
    return pytest.mark.parametrize("network", networks.values(), ids=networks)


def draw(network, count=4, seed=11):
    """Inputs, a vector z and unit weights."""
    rng = np.random.Generator(np.random.PCG64(seed))
    x = synthetic.sphere_inputs(rng, SAMPLES, INPUTS)
    z = synthetic.gaussian(rng, SAMPLES * network.outputs_per_sample)
    return x, z, synthetic.unit_vectors(rng, count, network.size)


@over(NETWORKS)
def test_outputs_are_flat_and_sample_by_sample(network):
    x, _, w = draw(network)
    outputs = network.forward(w, x)
    assert outputs.shape == (len(w), SAMPLES * network.outputs_per_sample)
    alone = [network.forward(w, x[i : i + 1]) for i in range(SAMPLES)]
    torch.testing.assert_close(outputs, torch.cat(alone, dim=1), rtol=1e-13, atol=1e-15)


@over(NETWORKS)
def test_back_propagation_is_autograd_is_a_difference_quotient(network):
    x, z, w = draw(network)
    outputs, pulled = network.forward_and_pull(w, x, lambda _: z)
    by_autograd = Network.forward_and_pull(network, w, x, lambda _: z)
    torch.testing.assert_close(outputs, by_autograd[0], rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(pulled, by_autograd[1], rtol=1e-12, atol=1e-14)
    h = 1e-6
    for entry in range(network.size):
        step = torch.zeros_like(w)
        step[:, entry] = h
        quotient = ((network.forward(w + step, x) - network.forward(w - step, x)) @ z) / (2 * h)
        torch.testing.assert_close(pulled[:, entry], quotient, rtol=1e-6, atol=1e-7)


@over(NETWORKS)
def test_inputs_of_each_run_and_vectors_of_each_run_are_those_of_single_runs(network):
    x, z, w = draw(network)
    xs = torch.stack([x * (1 + 0.1 * k) for k in range(len(w))])
    zs = torch.stack([z * (1 - 0.2 * k) for k in range(len(w))])
    together = network.forward_and_pull(w, xs, lambda _: zs)
    for k in range(len(w)):
        alone = network.forward_and_pull(w[k : k + 1], xs[k], lambda _, k=k: zs[k])
        torch.testing.assert_close(together[0][k], alone[0][0], rtol=1e-13, atol=1e-15)
        torch.testing.assert_close(together[1][k], alone[1][0], rtol=1e-12, atol=1e-14)


@over(NETWORKS)
def test_degree_and_euler_identity_hold(network):
    x, z, w = draw(network)
    assert hypotheses.require_degree(network, x) < 1e-12
    assert hypotheses.require_signal(network, x, z) > 0
    ncf = Correlation(network, x, z)
    torch.testing.assert_close((ncf.gradient(w) * w).sum(dim=-1), network.degree * ncf.value(w), rtol=1e-11, atol=1e-13)


@over(BOUNDED)
def test_bounds_are_above_what_ascent_finds(network):
    x, _, w = draw(network, count=30)
    assert largest_output(network, x, w) <= network.output_bound(x) * (1 + 1e-12)
    assert largest_jacobian(network, x, w) <= network.jacobian_bound(x) * (1 + 1e-12)


def test_the_bound_of_the_outputs_of_one_linear_layer_is_attained():
    network, x = FeedForward("linear", 1, (Layer(3),), "units"), torch.full((1, 1), 2.0, dtype=torch.float64)
    w = torch.ones(1, 3, dtype=torch.float64) / math.sqrt(3)
    assert network.output_bound(x) == pytest.approx(float(network.forward(w, x).norm()))


@over(VECTOR)
def test_ascent_ends_in_kkt_points_of_the_matrix_inner_product(network):
    x, z, w = draw(network, count=20)
    ncf = Correlation(network, x, z)
    found = ascend(ncf, w)
    kept = found.points[found.converged]
    assert len(kept) > 0
    gradient = ncf.gradient(kept)
    multiplier = network.degree * ncf.value(kept)
    torch.testing.assert_close(gradient, multiplier[:, None] * kept, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_of_a_scalar_network_are_its_runs(copies):
    """Units whose weights are disjoint: output j is the network of unit j alone."""
    scalar, together = power_net(1, INPUTS, 2.0), FeedForward("units", INPUTS, (Layer(copies, relu_power(2)),), "units")
    x, z, w = draw(together)
    outputs = together.forward(w, x).view(len(w), SAMPLES, copies)
    for j in range(copies):
        own = w[:, j * INPUTS : (j + 1) * INPUTS]
        torch.testing.assert_close(outputs[..., j], scalar.forward(own, x))
        pulled = together.pull(w, x, z)[:, j * INPUTS : (j + 1) * INPUTS]
        torch.testing.assert_close(pulled, scalar.pull(own, x, z.view(SAMPLES, copies)[:, j]))
    assert together.blocks == tuple(slice(j * INPUTS, (j + 1) * INPUTS) for j in range(copies))


SMOOTH = {name: VECTOR[name] for name in ("linear, three layers, two outputs", "squared ReLU, two layers, three outputs")}


@over(SMOOTH)
def test_flows_are_those_of_another_integrator(network):
    x, z, w = draw(network, count=2)
    delta, end = 0.5, 0.4

    def other(pull, start, end):
        """Where w' = pull(w) leads."""
        tight = {"rtol": 1e-11, "atol": 1e-13}
        return solve_ivp(lambda _, v: pull(torch.from_numpy(v)[None])[0].numpy(), (0, end), start.numpy(), **tight).y[:, -1]

    scale = delta ** (network.degree - 2)
    own = gradient_flow(Objective(network, x, z, HALF_SUM), w, delta, length=end * scale, clock="time", rtol=1e-9)
    reached = delta * own.log_growth.exp()[:, None] * own.direction
    expected = other(lambda v: network.forward_and_pull(v, x, lambda h: z - h)[1], delta * w[0], end)
    np.testing.assert_allclose(reached[0].numpy(), expected, rtol=1e-6, atol=1e-8)
    ncf = gradient_flow(Correlation(network, x, z), w, length=0.2, clock="time", rtol=1e-9)
    expected = other(lambda v: network.pull(v, x, z), w[0], 0.2)
    np.testing.assert_allclose((ncf.log_growth.exp()[:, None] * ncf.direction)[0].numpy(), expected, rtol=1e-6, atol=1e-8)


def test_a_flow_with_kinks_falls_along_its_loss():
    network = VECTOR["ReLU, two layers, two outputs"]
    x, y, w = draw(network, count=3)
    at = torch.linspace(0.0, 3.0, 30, dtype=x.dtype)
    along = gradient_flow(Objective(network, x, y, HALF_SUM), w, 0.1, length=3.0, rtol=1e-7, save=Save(at=at)).recorded
    weights = 0.1 * along.weights_over_delta()
    losses = HALF_SUM.value(network.forward(weights.flatten(end_dim=1), x), y).view(len(w), -1)
    assert bool((losses.diff(dim=-1) < 0).all())
    assert float(losses[:, -1].max()) < 0.99 * float(losses[:, 0].min())


def test_pieces_at_kinks_are_read_off_as_the_network_is():
    network = VECTOR["ReLU, two layers, two outputs"]
    x, z, w = draw(network)
    signs = torch.where(network.preactivations(w, x) > 0, 1.0, -1.0).to(w)
    torch.testing.assert_close(clarke.piece_forward(network, w, x, signs), network.forward(w, x))
    gradient = clarke.generators(Correlation(network, x, z), w[0], signs[:1])
    torch.testing.assert_close(gradient[0], network.pull(w[:1], x, z)[0])


@over(VECTOR)
def test_descent_with_any_loss_is_the_step_written_out(network):
    x, _, w = draw(network)
    c = network.outputs_per_sample
    labels = one_hot(torch.arange(SAMPLES) % c, c)
    for loss in (HALF_SUM, Loss("square", "mean", outputs_per_sample=c), cross_entropy(c, "mean")):
        path = gradient_descent(Objective(network, x, labels, loss), 0.5 * w, step_size=0.1, steps=3, compile=True)
        v = 0.5 * w
        for _ in range(3):
            leaf = v.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss.value(network.forward(leaf, x), labels).sum(), leaf)
            v = v - 0.1 * gradient
        torch.testing.assert_close(path.last, v, rtol=1e-11, atol=1e-13)


def test_parts_with_different_outputs_do_not_add_up():
    with pytest.raises(ValueError, match="the parts differ in degree, inputs or outputs"):
        Separable("sum", (deep_linear((2,), INPUTS, 2), deep_linear((2,), INPUTS, 3)))


def test_a_mixture_has_parts_of_one_shape():
    with pytest.raises(ValueError, match="the parts differ in weights, inputs or outputs"):
        Mixture("mixture", ((1.0, deep_linear((2,), INPUTS, 2)), (1.0, deep_linear((2,), INPUTS, 3))), 2)


def test_units_near_saddles_are_scalar_and_say_so():
    for network in (NETWORKS["units of squared ReLU"], NETWORKS["fixed last layer"], NETWORKS["sum of equal parts"]):
        with pytest.raises(ValueError, match="units are known for one output, not"):
            Units.of(network, np.ones((2, INPUTS)))


UNFIT = {
    "softmax over other groups": (cross_entropy(2), 4, "has 4 outputs for a sample, and the loss is one of 2"),
    "mean over entries": (Loss("square", "mean"), 4, "has 4 outputs for a sample, and the loss is one of 1"),
    "too few labels": (HALF_SUM, 3, r"5 points with 4 outputs each, but x is \(5, 3\) and y \(15,\)"),
}


@pytest.mark.parametrize(("loss", "count", "message"), UNFIT.values(), ids=UNFIT)
def test_labels_and_losses_that_do_not_fit_the_network_are_refused_wherever_they_meet(loss, count, message):
    network = deep_linear((2,), INPUTS, 4)
    x, _, w = draw(network, count=2)
    y = torch.zeros(SAMPLES * count, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        gradient_descent(Objective(network, x, y, loss), w, step_size=0.1, steps=1)
    with pytest.raises(ValueError, match=message):
        gradient_flow(Objective(network, x, y, loss), w, 0.1, length=1.0)
    with pytest.raises(ValueError, match=message):
        stabilised_flow(Objective(network, x, y, loss), w, 1.0)


def test_steps_of_several_outputs_are_not_run_in_c_and_the_result_says_so():
    network = VECTOR["ReLU, two layers, two outputs"]
    x, y, w = draw(network)
    runs = [
        gradient_descent(Objective(network, x, y, HALF_SUM), w, step_size=0.01, steps=5, compile=flag) for flag in (True, False)
    ]
    assert torch.equal(runs[0].last, runs[1].last)
    assert "several outputs for a sample" in runs[0].mode


@over({name: network for name, network in VECTOR.items() if name in ("units of squared ReLU", "fixed last layer")})
def test_the_lipschitz_bound_is_above_what_differences_find(network):
    x, _, w = draw(network, count=60)
    eye = torch.eye(SAMPLES * network.outputs_per_sample, dtype=torch.float64)
    jacobians = torch.stack([network.pull(w, x, row) for row in eye], dim=1)
    near = w + 1e-4 * synthetic.unit_vectors(np.random.default_rng(4), len(w), network.size)
    moved = torch.stack([network.pull(near, x, row) for row in eye], dim=1)
    largest = (torch.linalg.matrix_norm(moved - jacobians, ord=2) / (near - w).norm(dim=-1)).max()
    assert 0.05 * network.jacobian_lipschitz_bound(x, 1.001) < float(largest) <= network.jacobian_lipschitz_bound(x, 1.001)


def test_flows_of_copies_are_the_flows_of_the_scalar_networks():
    copies = 2
    scalar, together = power_net(1, INPUTS, 3.0), FeedForward("units", INPUTS, (Layer(copies, relu_power(3)),), "units")
    x, y, w = draw(together, count=2)
    path = gradient_flow(Objective(together, x, y, HALF_SUM), w, 0.5, length=0.2 * 0.5, clock="time", rtol=1e-9)
    weights = (0.5 * path.log_growth.exp()[:, None] * path.direction).view(2, copies, INPUTS)
    for j in range(copies):
        own = w[:, j * INPUTS : (j + 1) * INPUTS]
        size = own.norm(dim=1)
        one = gradient_flow(
            Objective(scalar, x, y.view(SAMPLES, copies)[:, j], HALF_SUM), own, 0.5, length=0.2 * 0.5, clock="time", rtol=1e-9
        )
        torch.testing.assert_close(weights[:, j], 0.5 * one.log_growth.exp()[:, None] * one.direction, rtol=1e-6, atol=1e-8)
        assert bool((size > 0).all())


def test_mixtures_and_rotations_have_the_outputs_of_what_they_are_made_of():
    base = deep_power((2,), INPUTS, 2.0, outputs=2)
    assert Mixture("mixture", ((1.0, base), (0.5, base)), 3).outputs_per_sample == 2
    assert Rotated(base, 0.1).outputs_per_sample == 2


def test_labels_of_vector_teachers_have_mean_square_one():
    network = deep_linear((3,), INPUTS, 2)
    rng = np.random.default_rng(0)
    x = synthetic.sphere_inputs(rng, SAMPLES, INPUTS)
    labels = synthetic.noisy_teacher_labels(rng, network, x, 3, 0.0)
    assert labels.shape == (3, 2 * SAMPLES)
    torch.testing.assert_close((labels**2).mean(dim=-1), torch.ones(3, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------------------ losses

LOSSES = {
    "square": HALF_SUM,
    "square of three outputs, mean": Loss("square", "mean", outputs_per_sample=3),
    "logistic": LOGISTIC,
    "logistic of three outputs, mean": Loss("logistic", "mean", scale=2.0, outputs_per_sample=3),
    "cross-entropy": cross_entropy(3),
    "cross-entropy, mean": cross_entropy(3, "mean"),
    "cross-entropy of labels that are no probabilities": Loss("cross_entropy", "sum", scale=0.5, outputs_per_sample=3),
}


def outputs_and_labels(loss, size=1.0):
    rng = np.random.default_rng(3)
    outputs = torch.from_numpy(size * rng.normal(size=(4, 6)))
    if loss.kind == "cross_entropy" and loss.scale == 1:
        return outputs, one_hot(torch.tensor([2, 0]), 3)
    if loss.kind == "cross_entropy":
        return outputs, torch.tensor([1.0, 0.5, -0.2, 0.1, 2.0, 0.3], dtype=torch.float64)
    return outputs, torch.from_numpy(np.sign(rng.normal(size=6)))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_residuals_are_minus_the_gradient_of_the_loss(loss):
    outputs, y = outputs_and_labels(loss)
    leaf = outputs.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss.value(leaf, y).sum(), leaf)
    torch.testing.assert_close(loss.residual(outputs, y), -gradient)
    h = 1e-6
    for entry in range(outputs.shape[1]):
        step = torch.zeros_like(outputs)
        step[:, entry] = h
        quotient = (loss.value(outputs + step, y) - loss.value(outputs - step, y)) / (2 * h)
        torch.testing.assert_close(gradient[:, entry], quotient, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(loss.residual(torch.zeros_like(outputs), y)[0], loss.correlation_vector(y))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.5, 5.0])
def test_the_change_of_the_derivative_does_not_cancel(loss, size):
    import mpmath

    outputs, y = outputs_and_labels(loss, size)
    change = loss.derivative_change(outputs, y)
    with mpmath.workdps(40):
        for i in range(6):
            if loss.kind == "cross_entropy":
                row = [mpmath.mpf(float(o)) for o in outputs[0, i // 3 * 3 : i // 3 * 3 + 3]]
                exact = mpmath.exp(row[i % 3]) / sum(map(mpmath.exp, row)) - mpmath.mpf(1) / 3
                exact *= float(y[i // 3 * 3 : i // 3 * 3 + 3].sum())
            elif loss.kind == "logistic":
                o, label = mpmath.mpf(float(outputs[0, i])), mpmath.mpf(float(y[i]))
                exact = label * (mpmath.mpf(1) / 2 - 1 / (1 + mpmath.exp(o * label)))
            else:
                exact = 2 * mpmath.mpf(float(outputs[0, i]))
            exact *= loss.factor(loss.samples(y))
            largest = float(change[0].abs().max())
            assert abs(float(change[0, i]) - float(exact)) <= 1e-13 * largest


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_derivative_changes_by_no_more_than_its_lipschitz_constant(loss):
    for size in (0.1, 1.0, 10.0):
        outputs, y = outputs_and_labels(loss, size)
        moved = loss.residual(outputs, y)[:, None] - loss.residual(outputs, y)[None]
        apart = (outputs[:, None] - outputs[None]).norm(dim=-1)
        assert bool((moved.norm(dim=-1) <= loss.derivative_lipschitz(y) * apart * (1 + 1e-12)).all())


def test_the_lipschitz_constant_of_two_classes_is_attained():
    loss, y = cross_entropy(2), one_hot(torch.tensor([0]), 2)
    h = 1e-4
    step = loss.residual(torch.tensor([[h, -h]], dtype=torch.float64), y) - loss.residual(
        torch.zeros(1, 2, dtype=torch.float64), y
    )
    assert float(step.norm()) / (h * math.sqrt(2)) == pytest.approx(loss.derivative_lipschitz(y), rel=1e-6)


def test_cross_entropy_of_two_classes_is_the_logistic_loss_of_the_difference():
    classes = torch.tensor([0, 1, 1])
    outputs = torch.from_numpy(np.random.default_rng(2).normal(size=(4, 6)))
    difference = outputs.view(4, 3, 2)[..., 1] - outputs.view(4, 3, 2)[..., 0]
    torch.testing.assert_close(
        cross_entropy(2).value(outputs, one_hot(classes, 2)), LOGISTIC.value(difference, 2.0 * classes - 1)
    )


def test_cross_entropy_of_large_outputs_is_finite():
    loss, y = cross_entropy(3), one_hot(torch.tensor([0]), 3)
    outputs = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], dtype=torch.float64)
    assert loss.value(outputs, y).tolist() == [0.0, 2e4]
    assert bool(torch.isfinite(loss.derivative_change(outputs, y)).all())


def test_the_mean_is_over_samples():
    y, outputs = torch.zeros(6, dtype=torch.float64), torch.ones(1, 6, dtype=torch.float64)
    assert Loss("square", "mean").value(outputs, y).item() == 1.0
    assert Loss("square", "mean", outputs_per_sample=3).value(outputs, y).item() == 3.0
    assert cross_entropy(3, "mean").factor(4) == 0.25


def test_labels_that_are_no_whole_samples_are_refused():
    with pytest.raises(ValueError, match="7 labels y are not those of samples with 3 outputs each"):
        cross_entropy(3).value(torch.zeros(1, 7), torch.zeros(7))
    with pytest.raises(ValueError, match="classes are numbered 0 to 2, found 3"):
        one_hot(torch.tensor([0, 3]), 3)
    with pytest.raises(ValueError, match="classes must be a whole number of at least 2, got 1"):
        cross_entropy(1)
    with pytest.raises(ValueError, match="'half_sum' is not one of sum, mean"):
        cross_entropy(3, "half_sum")
