"""Neuron Pursuit: its parts against autograd and finite differences, its whole against functions that it must recover."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.descent.regression import RegressionDescent
from flowcheck.networks.activation import IDENTITY, RELU, Activation
from flowcheck.networks.zoo import deep_power
from flowcheck.pursuit.candidates import AddedNeuron, Ascent, neuron_correlation
from flowcheck.pursuit.descent import Descent, descend, mean_square
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.pursue import Plan, Pursuit, classification_error, pursue
from flowcheck.pursuit.selection import on_test_error, on_training_error

ACTIVATIONS = {
    "ReLU": RELU,
    "leaky": Activation(0.5),
    "square": Activation(1.0, 2.0),
    "squared ReLU": Activation(0.0, 2.0),
    "absolute": Activation(-1.0),
    "identity": IDENTITY,
}
NAMED = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


def gaussian(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))


def grown(activation, *sizes, seed=0):
    shapes = zip(sizes[1:], sizes, strict=False)
    return Grown(activation, tuple(gaussian(*shape, seed=seed + j) / shape[1] ** 0.5 for j, shape in enumerate(shapes)))


def hypercube(n=300, d=8, seed=0):
    x = torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], (n, d)))
    return x, torch.relu(torch.relu(2 * x[:, 0] + x[:, 2]) - torch.relu(x[:, 2] - x[:, 1]))


QUICK = Ascent(starts=4, iterations=200)
SHORT = Plan(inner=Descent(steps=20_000), ascent=Ascent(starts=5, iterations=400))


# descent


@NAMED
@pytest.mark.parametrize(("precision", "close"), [("float64", 1e-14), ("float32", 2e-6)])
@pytest.mark.parametrize("sizes", [(3, 1, 1, 1), (7, 5, 6, 2), (20, 9, 1), (2, 3, 2, 4, 1)], ids=str)
def test_compiled_steps_are_those_of_autograd(activation, precision, close, sizes):
    begin, x, y = grown(activation, *sizes), 0.5 * gaussian(70, sizes[0]), gaussian(70, sizes[-1])
    w = begin.weights.clone()
    for _ in range(5):
        w.requires_grad_(True)
        ((begin.network.forward(w[None], x).view(70, -1) - y) ** 2).mean().backward()
        w = (w - 0.02 * w.grad).detach()
    for compiled in (True, False):
        run = RegressionDescent(begin.layers, activation, x, y, precision=precision, compile=compiled)
        moved = torch.cat([layer.flatten() for layer in run.advance(5, 0.02)])
        assert run.mode == ("compiled" if compiled else "tensors")
        assert (moved - w).norm() <= close * w.norm()
        assert (w - begin.weights).norm() > 300 * close * w.norm()


def test_steps_in_one_go_are_steps_one_by_one():
    begin, (x, y) = grown(RELU, 8, 3, 2, 1), hypercube()
    once, often = (RegressionDescent(begin.layers, RELU, x, y[:, None], precision="float32") for _ in range(2))
    together = once.advance(10, 0.01)
    for _ in range(10):
        apart = often.advance(1, 0.01)
    assert all(torch.equal(one, other) for one, other in zip(together, apart, strict=True))


def test_without_a_compiler_steps_are_tensors_and_the_mode_says_why(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    begin, (x, y) = grown(RELU, 8, 3, 1), hypercube()
    run = RegressionDescent(begin.layers, RELU, x, y[:, None])
    assert run.mode.startswith("tensors: no-such-compiler")
    assert all(bool(layer.isfinite().all()) for layer in run.advance(2, 0.01))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_step_that_is_far_too_long_is_halved_and_never_ends_in_nan(precision):
    begin, (x, y) = grown(Activation(0.5), 8, 3, 2, 1), hypercube()
    plan = Descent(step_size=1e3, steps=200, looks=100, halvings=60, precision=precision)
    end = descend(begin, x, y[:, None], plan)
    assert end.halvings > 5
    assert end.step_size == 1e3 * 0.5**end.halvings
    assert end.loss < mean_square(begin, x, y[:, None])
    hopeless = descend(begin, x, y[:, None], dataclasses.replace(plan, halvings=0))
    assert hopeless.loss == mean_square(begin, x, y[:, None])
    assert torch.equal(hopeless.grown.weights, begin.weights)


def test_without_looks_the_step_stays_as_it_is():
    begin, (x, y) = grown(Activation(0.5), 8, 3, 2, 1), hypercube()
    end = descend(begin, x, y[:, None], Descent(step_size=0.01, steps=7, looks=0))
    layers = [layer.clone().requires_grad_() for layer in begin.layers]
    for _ in range(7):
        hidden = x
        for layer in layers[:-1]:
            z = hidden @ layer.T
            hidden = torch.where(z > 0, z, 0.5 * z)
        loss = (hidden @ layers[-1].T - y[:, None]).square().mean()
        for layer, slope in zip(layers, torch.autograd.grad(loss, layers), strict=True):
            layer.data -= 0.01 * slope
    assert end.halvings == 0
    for mine, other in zip(end.grown.layers, layers, strict=True):
        assert torch.allclose(mine, other.detach(), rtol=1e-10, atol=1e-12)
    wild = descend(begin, x, y[:, None], Descent(step_size=1e9, steps=50, looks=0))
    assert torch.equal(wild.grown.weights, begin.weights)
    assert wild.loss == mean_square(begin, x, y[:, None])


# the leading term


@NAMED
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_correlation_of_a_neuron_is_what_adding_it_changes(activation, layer, outputs):
    """The limit of the difference quotient with weights of norm delta, of order delta^(p+1)."""
    network, x, residual = grown(activation, 6, 4, 3, 2, outputs), gaussian(30, 6), gaussian(30, outputs, seed=1)
    correlation = neuron_correlation(activation, *network.signals(x, residual)[layer - 1])
    u = gaussian(1, correlation.network.size, seed=2)
    below = correlation.network.below
    delta = 1e-4 if activation.power == 1 else 1e-3
    larger = network.with_neuron(layer, delta * u[0, :below], delta * u[0, below:])
    change = (residual * (larger.predict(x) - network.predict(x))).sum() / delta ** (activation.power + 1)
    assert float(change) == pytest.approx(float(correlation.value(u)), rel=1e-4, abs=1e-5)


@NAMED
def test_the_gradient_of_the_leading_term_is_that_of_autograd(activation):
    neuron, x, u = AddedNeuron(activation, 4, 2), gaussian(30, 6), gaussian(5, 6)
    z = gaussian(30)
    found = Correlation(neuron, x, z).gradient(u)
    u.requires_grad_(True)
    (neuron.forward(u, x) @ z).sum().backward()
    assert torch.allclose(found, u.grad, rtol=1e-12, atol=1e-12)


@NAMED
def test_the_bound_of_the_leading_term_is_one(activation):
    neuron, x = AddedNeuron(activation, 4, 2), gaussian(30, 6)
    u = gaussian(2000, 6)
    outputs = neuron.forward(u / u.norm(dim=1, keepdim=True), x).norm(dim=1)
    assert outputs.max() <= neuron.output_bound(x)
    assert outputs.max() >= 0.2 * neuron.output_bound(x)


# the network


@NAMED
def test_balancing_changes_no_output_and_balances_every_neuron(activation):
    network, x = grown(activation, 6, 4, 3, 2), gaussian(20, 6)
    after = network.balanced()
    assert torch.allclose(after.predict(x), network.predict(x), rtol=1e-12, atol=1e-12)
    for below, above in zip(after.layers[:-1], after.layers[1:], strict=True):
        assert torch.allclose(below.norm(dim=1) ** 2, activation.power * above.norm(dim=0) ** 2, rtol=1e-6)


def test_balancing_leaves_neurons_without_a_side_alone():
    dead = grown(RELU, 3, 2, 1).with_neuron(1, torch.zeros(3, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert bool(dead.balanced().weights.isfinite().all())


# the algorithm


def test_the_worked_example_is_recovered():
    x, y = hypercube()
    found = pursue(x, y, iterations=6, plan=SHORT)
    assert found.stopped == "error"
    fresh, truth = hypercube(1000, seed=1)
    assert float((found.grown.predict(fresh)[:, 0] - truth).abs().max()) < 1e-2
    assert len(found.history) == sum(found.grown.widths) - 1


@pytest.mark.parametrize("depth", [2, 3, 4])
@NAMED
def test_the_training_loss_falls_with_every_neuron(activation, depth):
    """Section 5.1; at any depth, with several outputs."""
    network, x = grown(activation, 5, *[3] * (depth - 1), 2), gaussian(100, 5)
    y = network.predict(x)
    y = y / y.std()
    plan = Plan(ascent=QUICK, inner=Descent(step_size=0.01, steps=500, looks=50, halvings=40))
    found = pursue(x, y, depth=depth, activation=activation, iterations=3, plan=plan)
    losses = [float((y**2).mean()), *(step.loss for step in found.history)]
    assert losses == sorted(losses, reverse=True)
    assert len(found.grown.layers) == depth
    assert all(step.point.is_positive and 0 <= step.point.layer < depth for step in found.history)
    norms = [sum(float(part.square().sum()) for part in step.point.parts) for step in found.history]
    assert np.allclose(norms, 1)


def test_an_added_neuron_is_a_kkt_point_and_balanced():
    """Lemma 19: p |out|^2 = |in|^2."""
    x, y = gaussian(60, 4), gaussian(60, 1)
    plan = Plan(inner=Descent(step_size=0.02, steps=500), ascent=Ascent(starts=3))
    found = pursue(x, y, depth=3, activation=Activation(0.5, 2.0), iterations=3, plan=plan)
    for step in found.history[1:]:
        incoming, outgoing = step.point.parts
        assert step.point.residual < 1e-6
        assert float(incoming.norm() ** 2) == pytest.approx(2 * float(outgoing.norm() ** 2), rel=1e-5)


def test_delta_shrinks_until_the_loss_falls():
    x, y = gaussian(50, 3), gaussian(50, 1)
    far = Plan(first_delta=2.0, inner=Descent(steps=100), ascent=QUICK)
    (step,) = pursue(10 * x, 0.001 * y, depth=3, iterations=1, plan=far).history
    assert step.retries == 4
    assert step.delta == pytest.approx(2.0 * 0.8**4)


def test_without_a_positive_correlation_the_result_says_so():
    """ReLU units can not produce a negative number from inputs that activate none of them: x = 0."""
    found = pursue(torch.zeros(4, 2), torch.ones(4), iterations=3)
    assert found.stopped == "dead starts"
    assert found.history == ()
    assert not bool(found.grown.weights.any())
    assert found.grown.predict(torch.ones(1, 2, dtype=torch.float64)).tolist() == [[0.0]]


def test_dead_starts_are_drawn_again_and_counted():
    x, y = hypercube()
    one = dataclasses.replace(SHORT, ascent=Ascent(1, 0, iterations=200))
    many = dataclasses.replace(SHORT, ascent=Ascent(1, 30, iterations=200))
    dead = [seed for seed in range(8) if pursue(x, y, iterations=1, plan=one, seed=seed).stopped == "dead starts"]
    assert dead
    (step,) = pursue(x, y, iterations=1, plan=many, seed=dead[0]).history
    assert step.point.draws > 1
    assert step.point.dead == step.point.draws - 1
    assert step.point.is_positive


def test_modular_addition_with_classification_error_as_the_end():
    p = 5
    a, b = np.divmod(np.arange(p * p), p)
    one = np.eye(p)
    x = np.concatenate([one[a], one[b], np.ones((p * p, 1))], axis=1)
    plan = Plan(later_delta=0.05, inner=Descent(step_size=0.5, steps=3000, halvings=10), ascent=QUICK)
    found = pursue(
        x, one[(a + b) % p], depth=2, activation=Activation(1.0, 2.0), plan=plan, error=classification_error, tolerance=0.0
    )
    assert found.stopped == "error"
    assert found.history[-1].error == 0


def test_balance_is_kept_after_every_iteration_if_asked_for():
    x, y = hypercube()
    found = pursue(x, y, iterations=3, plan=dataclasses.replace(SHORT, balance=True), tolerance=0)
    for step in found.history:
        first, second, third = step.grown.layers
        assert torch.allclose(first.norm(dim=1), second.norm(dim=0), rtol=1e-6)
        assert torch.allclose(second.norm(dim=1), third.norm(dim=0), rtol=1e-6)


# resume


class KilledError(Exception):
    pass


def kill_after(count):
    def progress(items):
        for done, item in enumerate(items):
            if done == count:
                raise KilledError
            yield item

    return progress


def same(one: Pursuit, other: Pursuit) -> bool:
    equal = torch.equal(one.grown.weights, other.grown.weights) and one.stopped == other.stopped
    for a, b in zip(one.history, other.history, strict=True):
        equal &= a.loss == b.loss and a.point.value == b.point.value and a.delta == b.delta
        equal &= all(torch.equal(s, t) for s, t in zip(a.point.parts, b.point.parts, strict=True))
        equal &= torch.equal(a.grown.weights, b.grown.weights)
    return equal


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_run_that_was_killed_goes_on_to_the_same_last_bit(tmp_path, precision, killed_after):
    x, y = hypercube()
    plan = Plan(inner=Descent(steps=300, precision=precision), ascent=QUICK)
    settings = {"plan": plan, "iterations": 4, "tolerance": 0.0}
    whole = pursue(x, y, **settings)
    with pytest.raises(KilledError):
        pursue(x, y, **settings, checkpoint=tmp_path, progress=kill_after(killed_after))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"iteration-000{killed_after}.npz", "pursuit.json"]
    assert same(pursue(x, y, **settings, checkpoint=tmp_path), whole)
    assert same(pursue(x, y, **settings, checkpoint=tmp_path), whole)  # and one that is complete
    assert len(pursue(x, y, **settings | {"iterations": 2}, checkpoint=tmp_path).history) == 2


def test_a_run_that_is_killed_while_it_writes_leaves_the_iteration_before(tmp_path, monkeypatch):
    x, y = hypercube()
    settings = {"plan": dataclasses.replace(SHORT, inner=Descent(steps=200)), "iterations": 3, "tolerance": 0.0}
    whole, replace, calls = pursue(x, y, **settings), os.replace, []

    def fails(source, target):
        calls.append(target)
        if len(calls) == 4:  # the archive of iteration 2 is written, the file that names it is not
            raise KilledError
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(KilledError):
        pursue(x, y, **settings, checkpoint=tmp_path)
    assert json.loads((tmp_path / "pursuit.json").read_text())["arrays"] == "iteration-0001.npz"
    monkeypatch.undo()
    assert same(pursue(x, y, **settings, checkpoint=tmp_path), whole)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    x, y = hypercube()
    settings = {"plan": Plan(inner=Descent(steps=50), ascent=QUICK), "iterations": 2}
    pursue(x, y, **settings, checkpoint=tmp_path)
    for change in (
        {"seed": 1},
        {"depth": 2},
        {"activation": Activation(0.5)},
        {"plan": Plan(inner=Descent(steps=51), ascent=QUICK)},
    ):
        with pytest.raises(ValueError, match="other data or settings"):
            pursue(x, y, **settings | change, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="other data or settings"):
        pursue(x, 2 * y, **settings, checkpoint=tmp_path)
    archive = tmp_path / "iteration-0002.npz"
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged"):
        pursue(x, y, **settings, checkpoint=tmp_path)
    (tmp_path / "pursuit.json").write_text("{")
    with pytest.raises(ValueError, match="no checkpoint"):
        pursue(x, y, **settings, checkpoint=tmp_path)


# what is refused


GOOD = {"x": gaussian(10, 2), "y": gaussian(10)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.full((10, 2), torch.nan)}, "x holds numbers that are not finite"),
        ({"y": torch.full((10,), torch.inf)}, "y holds numbers that are not finite"),
        ({"y": gaussian(9)}, "got x \\(10, 2\\) and y \\(9, 1\\)"),
        ({"x": gaussian(10)}, "x is \\[n, d\\]"),
        ({"y": gaussian(10, 1, 1)}, "y \\[n\\] or \\[n, c\\]"),
        ({"x": torch.zeros(0, 2), "y": torch.zeros(0)}, "x is \\[n, d\\]"),
        ({"y": torch.zeros(10)}, "y is zero everywhere"),
        ({"depth": 1}, "depth must be a whole number of at least 2"),
        ({"activation": Activation(0.0, 1.5)}, "power of the activation must be a whole number"),
        ({"iterations": 0}, "iterations must be"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"seed": -1}, "seed must be"),
    ],
    ids=str,
)
def test_what_can_not_be_pursued_is_refused_in_one_sentence(change, said):
    with pytest.raises(ValueError, match=said) as refused:
        pursue(**GOOD | {"iterations": 1, "plan": Plan(inner=Descent(steps=1))} | change)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Plan(first_delta=0.0), "first_delta must be positive"),
        (lambda: Descent(step_size=-1.0), "step_size must be positive"),
        (lambda: Descent(looks=-1), "looks must be"),
        (lambda: Ascent(starts=0), "starts must be"),
    ],
    ids=["delta", "step size", "looks", "starts"],
)
def test_no_plan_is_made_of_what_is_none(make, said):
    with pytest.raises(ValueError, match=said) as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e140])
def test_numbers_of_any_size_give_no_network_of_nans(scale):
    x, y = hypercube(50)
    plan = Plan(inner=Descent(steps=100), ascent=QUICK)
    for inputs, labels in ((x, scale * y), (scale * x, y)):
        found = pursue(inputs, labels, iterations=2, plan=plan)
        assert bool(found.grown.weights.isfinite().all())


def test_numbers_that_overflow_are_refused():
    x, y = hypercube(50)
    plan = Plan(inner=Descent(steps=100), ascent=QUICK)
    with pytest.raises(ValueError, match="squares of x overflow"):
        pursue(1e300 * x, y, plan=plan)
    with pytest.raises(ValueError, match="squares of y overflow"):
        pursue(x, 1e300 * y, plan=plan)
    with pytest.raises(ValueError, match="the correlation overflows"):
        pursue(1e120 * x, y, depth=4, activation=Activation(0.0, 3.0), plan=plan)


# selection


def pursuits(*errors_and_lengths):
    x, y = hypercube(50)
    (step,) = pursue(x, y, iterations=1, plan=Plan(inner=Descent(steps=10))).history
    return [
        Pursuit(step.grown, (step,) * (count - 1) + (dataclasses.replace(step, error=error),), "iterations")
        for error, count in errors_and_lengths
    ]


@pytest.mark.parametrize(
    ("training", "test", "paper", "honest"),
    [
        ([(1e-4, 5), (1e-4, 3)], [0.001, 0.004], 1, 1),  # fewest iterations
        ([(1e-4, 5), (1e-5, 7)], [0.3, 0.2], 1, 0),  # lowest test error against fewest iterations
        ([(0.2, 3), (0.1, 3)], [0.3, 0.4], 1, 1),  # lowest training error
        ([(0.2, 3), (1e-4, 9)], [0.004, 0.1], 0, 1),  # one alone meets the first condition
    ],
)
def test_one_step_size_is_selected(training, test, paper, honest):
    found = pursuits(*training)
    assert on_test_error(found, test) == paper
    assert on_training_error(found) == honest


def test_nothing_is_selected_from_nothing():
    with pytest.raises(ValueError, match="no pursuits"):
        on_training_error([])
    with pytest.raises(ValueError, match="2 pursuits, but 1 test errors"):
        on_test_error(pursuits((0.1, 1), (0.1, 1)), [0.1])


def test_a_grown_network_is_the_zoo_s():
    network, x = grown(RELU, 6, 4, 3, 1), gaussian(20, 6)
    assert torch.equal(network.predict(x)[:, 0], deep_power([4, 3], 6).forward(network.weights[None], x)[0])
