"""Gradient descent over a batch: against a plain loop, and every event against a search through all iterates."""

import functools
import shutil

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from flowcheck import losses
from flowcheck.descent import gradient_descent, native
from flowcheck.networks import activation, feed_forward, sums, zoo
from flowcheck.networks.problem import Objective

NETWORKS = {
    "E1 squared ReLU": zoo.squared_relu((20, 20), 10),
    "E2 deep ReLU": zoo.deep_relu((20, 20, 20), 10),
    "two-layer ReLU": zoo.two_layer(20, 10),
}


def problem(network, runs, seed=0, scale=0.2, n=30):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, network.inputs))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    start = scale * rng.standard_normal((runs, network.size))
    return torch.tensor(x), torch.tensor(rng.uniform(0.5, 2.0, n)), torch.tensor(start)


def numpy_gradient(name, w, x, y):
    """Of 1/2 sum (H - y)^2, written out for each network."""
    if name == "two-layer ReLU":
        pairs = w.reshape(20, 11)
        u, v = pairs[:, :10], pairs[:, 10]
        hidden = np.maximum(x @ u.T, 0)
        r = hidden @ v - y
        gu = ((r[:, None] * (hidden > 0)) * v).T @ x
        return np.concatenate([gu, (hidden.T @ r)[:, None]], axis=1).ravel()
    if name == "E1 squared ReLU":
        w1, w2 = w[:200].reshape(20, 10), w[200:].reshape(20, 20)
        z = np.maximum(w2 @ (w1 @ x.T), 0)
        d = 2 * z * ((z**2).sum(0) - y)
        return np.concatenate([(w2.T @ d @ x).ravel(), (d @ (w1 @ x.T).T).ravel()])
    w1, w2, w3 = w[:200].reshape(20, 10), w[200:600].reshape(20, 20), w[600:].reshape(20, 20)
    a = np.maximum(w1 @ x.T, 0)
    b = np.maximum(w2 @ a, 0)
    c = np.maximum(w3 @ b, 0)
    d3 = (c > 0) * (c.sum(0) - y)
    d2 = (b > 0) * (w3.T @ d3)
    d1 = (a > 0) * (w2.T @ d2)
    return np.concatenate([(d1 @ x).ravel(), (d2 @ a.T).ravel(), (d3 @ b.T).ravel()])


@pytest.mark.parametrize("name", NETWORKS)
def test_two_hundred_steps_are_those_of_a_plain_loop(name):
    network = NETWORKS[name]
    x, y, start = problem(network, 3)
    path = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, step_size=5e-4, steps=200)
    for run in range(3):
        w = start[run].numpy().copy()
        for _ in range(200):
            w -= 5e-4 * numpy_gradient(name, w, x.numpy(), y.numpy())
        assert path.last[run].numpy() == pytest.approx(w, rel=1e-12, abs=1e-12)
        assert np.linalg.norm(w - start[run].numpy()) > 0.05 * np.linalg.norm(w), "the comparison must not be about the start"


def all_iterates(network, x, y, loss, start, step_size, steps):
    w, iterates, values = start.clone(), [start.clone()], []
    for _ in range(steps + 1):
        outputs = network.forward(w, x)
        values.append(loss.value(outputs, y))
        w = w + torch.as_tensor(step_size).reshape(-1, 1) * network.pull(w, x, loss.residual(outputs, y))
        iterates.append(w)
    return torch.stack(iterates[: steps + 1], dim=1), torch.stack(values, dim=1)


@pytest.mark.parametrize("loss", [losses.MEAN, losses.LOGISTIC_DOUBLED], ids=["square", "logistic"])
def test_records_and_crossings_are_those_of_all_iterates(loss):
    network = NETWORKS["E2 deep ReLU"]
    x, y, start = problem(network, 5, scale=0.12)
    rates = torch.tensor([0.002, 0.02, 0.05, 0.1, 0.11], dtype=torch.float64) * (0.05 if loss.kind == "logistic" else 1)
    record = [0, 1, 7, 10, 23, 150]
    path = gradient_descent.gradient_descent(
        Objective(network, x, y, loss), start, step_size=rates, steps=150, record=record, loss_ratios=(0.99, 0.6)
    )
    iterates, values = all_iterates(network, x, y, loss, start, rates, 150)
    assert torch.allclose(path.weights, iterates[:, record], rtol=1e-12, atol=1e-13)
    assert torch.allclose(path.loss, values[:, record], rtol=1e-12)
    assert torch.allclose(path.norm, iterates[:, record].norm(dim=-1), rtol=1e-12)
    assert (path.diverged == -1).all()
    for crossing in path.crossings:
        for run in range(5):
            below = torch.nonzero(values[run] < crossing.ratio * values[run, 0])
            expected = int(below[0]) if len(below) else -1
            assert crossing.iteration[run] == expected
            if expected >= 0:
                assert torch.allclose(crossing.weights_before[run], iterates[run, expected - 1], rtol=1e-12, atol=1e-13)
            else:
                assert crossing.weights_before[run].isnan().all()
    assert path.crossings[0].happened.any() and not path.crossings[1].happened.all(), "both cases occur"


def test_a_run_does_not_depend_on_its_batch():
    network = NETWORKS["E1 squared ReLU"]
    x, y, start = problem(network, 6)
    objective = Objective(network, x, y, losses.HALF_SUM)
    go = functools.partial(gradient_descent.gradient_descent, objective, steps=60, loss_ratios=(0.9,))
    together = go(start, step_size=torch.linspace(1e-4, 6e-4, 6, dtype=torch.float64))
    alone = go(start[4:5], step_size=5e-4)
    assert torch.allclose(together.last[4], alone.last[0], rtol=1e-13, atol=1e-14)
    assert together.crossings[0].iteration[4] == alone.crossings[0].iteration[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_runs_with_data_of_their_own_are_runs_one_by_one(name):
    network = NETWORKS[name]
    problems = [problem(network, 1, seed=seed) for seed in range(3)]
    x, y, start = (torch.stack(part) for part in zip(*problems, strict=True))
    together = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start[:, 0], step_size=1e-3, steps=50)
    for run, (xi, yi, wi) in enumerate(problems):
        alone = gradient_descent.gradient_descent(Objective(network, xi, yi, losses.HALF_SUM), wi, step_size=1e-3, steps=50)
        assert torch.allclose(together.last[run], alone.last[0], rtol=1e-12, atol=1e-13)


def test_a_run_that_diverges_is_stopped_and_reported_and_the_others_go_on():
    network = NETWORKS["E1 squared ReLU"]
    x, y, start = problem(network, 3)
    rates = torch.tensor([5e-4, 3.0, 5e-4], dtype=torch.float64)
    options = {"steps": 80, "record": gradient_descent.every(80, 20), "loss_ratios": (0.5,)}
    path = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, step_size=rates, **options)
    with np.errstate(all="ignore"):
        iterates, values = all_iterates(network, x, y, losses.HALF_SUM, start[1:2], 3.0, 20)
    first = int(torch.nonzero(~torch.isfinite(values[0]))[0])
    assert path.diverged.tolist() == [-1, first, -1]
    assert first <= 20
    assert torch.allclose(path.last[1], iterates[0, first - 1], rtol=1e-9)
    assert path.loss[1, 1:].isinf().all()
    assert not path.crossings[0].happened[1]
    for tensor in (path.last, path.weights, path.norm):
        assert torch.isfinite(tensor).all()
    healthy = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start[::2], step_size=5e-4, **options)
    assert torch.allclose(path.last[::2], healthy.last, rtol=1e-13, atol=1e-14)
    assert path.crossings[0].iteration[::2].tolist() == healthy.crossings[0].iteration.tolist()


def test_descent_can_end_when_all_runs_have_crossed():
    network = NETWORKS["E1 squared ReLU"]
    x, y, start = problem(network, 4)
    options = {"step_size": 5e-4, "steps": 5000, "loss_ratios": (0.9,)}
    path = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, stop_when_crossed=True, **options)
    assert path.crossings[0].happened.all()
    assert (
        int(path.crossings[0].iteration.max())
        < path.iterations[-1]
        <= int(path.crossings[0].iteration.max()) + gradient_descent.BLOCK
    )


def test_the_caller_measures_at_recorded_iterations_and_may_drop_the_weights():
    network = NETWORKS["two-layer ReLU"]
    x, y, start = problem(network, 4)
    path = gradient_descent.gradient_descent(
        Objective(network, x, y, losses.MEAN),
        start,
        step_size=0.01,
        steps=20,
        record=gradient_descent.every(20, 8),
        keep_weights=False,
        measure=lambda w: {"outputs": network.forward(w, x), "first": w[:, 0]},
    )
    assert path.weights is None
    assert path.iterations.tolist() == [0, 8, 16, 20]
    assert path.measured["outputs"].shape == (4, 4, 30)
    assert torch.equal(path.measured["first"][:, -1], path.last[:, 0])


def test_a_network_without_a_closed_pull_descends_by_autograd():
    network = sums.Mixture("mixture", ((1.0, zoo.power_net(3, 4, 2)), (0.5, zoo.power_net(3, 4, 3))), degree=2)
    x, y, start = problem(network, 2)
    path = gradient_descent.gradient_descent(Objective(network, x, y, losses.MEAN), start, step_size=0.01, steps=15)
    iterates, _ = all_iterates(network, x, y, losses.MEAN, start, 0.01, 15)
    assert torch.allclose(path.last, iterates[:, -1], rtol=1e-12)


NATIVE = {
    "E1 squared ReLU": zoo.squared_relu((20, 20), 10),
    "E2 deep ReLU": zoo.deep_relu((20, 20, 20), 10),
    "one layer, signs": zoo.power_net(20, 2, 2, signs=[1.0, -1.0] * 10),
    "odd widths, fixed output": zoo.relu_two_trainable((5, 7), 3, [1.0, -1.0, 2.0, 1.0, -1.0, 1.0, 0.5]),
    "deep linear": zoo.deep_linear((5, 6, 7), 3),
    "leaky, cubic": zoo.power_net(6, 3, 3, slope=0.3),
    "polynomial": zoo.power_net(5, 4, 3, slope=1.0),
    "broken power": zoo.power_net(6, 3, 1.5),
    "fixed inner layer": feed_forward.FeedForward(
        "fixed inner",
        3,
        (
            feed_forward.Layer(4, activation.Activation(0.5)),
            feed_forward.Layer.constant([[1.0, 2.0, 0.0, -1.0], [0.5, 0.0, 1.0, 1.0]]),
            feed_forward.Layer(5, activation.relu_power(2)),
            feed_forward.Layer(2),
            feed_forward.Layer(3, activation.Activation(-0.5)),
        ),
    ),
    "wide": zoo.deep_relu((33, 41), 9),
}
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@needs_compiler
@pytest.mark.parametrize("name", NATIVE)
def test_compiled_blocks_are_the_plain_ones(name):
    network, loss = NATIVE[name], losses.HALF_SUM if list(NATIVE).index(name) % 2 else losses.LOGISTIC_DOUBLED
    x, y, start = problem(network, 3, n=37, scale=0.2)
    x, y = torch.stack([x, 2 * x, x]), torch.stack([y, y, -y])
    step = torch.tensor([[1e-3], [2e-3], [1e-3]], dtype=torch.float64)
    objective = Objective(network, x, y, loss)
    compiled = native.native_block(objective, start)(start, step, 7)
    plain = gradient_descent.plain_block(objective, start, step, 7)
    for mine, reference in zip(compiled, plain, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-12, atol=1e-14)
    assert (plain[1] - start).norm() > 1e-4 * start.norm(), "the comparison must not be about the start"


@needs_compiler
def test_compiled_descent_meets_the_events_of_the_plain_one():
    network = NETWORKS["E1 squared ReLU"]
    x, y, start = problem(network, 4)
    rates = torch.tensor([5e-4, 5e-4, 3.0, 2e-4], dtype=torch.float64)
    options = {"step_size": rates, "steps": 137, "record": [0, 50, 137], "loss_ratios": (0.9, 0.5)}
    compiled = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, compile=True, **options)
    plain = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, **options)
    assert (compiled.mode, plain.mode) == ("compiled", "eager")
    assert torch.allclose(compiled.weights, plain.weights, rtol=1e-12, atol=1e-13)
    assert compiled.diverged.tolist() == plain.diverged.tolist()
    assert plain.diverged[2] > 0
    for mine, reference in zip(compiled.crossings, plain.crossings, strict=True):
        assert mine.iteration.tolist() == reference.iteration.tolist()


@needs_compiler
def test_a_run_that_diverges_leaves_the_compiled_ones_after_it_alone():
    """Also where widths are padded: what is left in the padding must not reach the next run."""
    network = zoo.deep_relu((7, 5), 3)
    x, y, start = problem(network, 3, scale=0.5)
    step = torch.tensor([[1e200], [1e-3], [1e-3]], dtype=torch.float64)
    block = native.native_block(Objective(network, x, y, losses.HALF_SUM), start)
    together, alone = block(start, step, 9), block(start[1:], step[1:], 9)
    assert not torch.isfinite(together[2][-1, 0])
    assert torch.equal(together[1][1:], alone[1])
    assert torch.equal(together[2][:, 1:], alone[2])


def test_what_cannot_be_compiled_is_run_plainly_and_the_reason_is_stated(monkeypatch):
    network = NETWORKS["two-layer ReLU"]
    x, y, start = problem(network, 2)
    objective, options = Objective(network, x, y, losses.HALF_SUM), {"step_size": 5e-4, "steps": 20}
    path = gradient_descent.gradient_descent(objective, start, compile=True, **options)
    plain = gradient_descent.gradient_descent(objective, start, **options)
    assert path.mode == "eager: two-layer ReLU is not feed-forward"
    assert torch.equal(path.last, plain.last)
    monkeypatch.setenv("CC", "no-such-compiler")
    network = zoo.power_net(3, 2, 2)
    x, y, start = problem(network, 2)
    path = gradient_descent.gradient_descent(
        Objective(network, x, y, losses.HALF_SUM), start, step_size=5e-4, steps=20, compile=True
    )
    assert path.mode.startswith("eager: no-such-compiler: ")
    monkeypatch.setenv("CC", "cc 'never closed")
    assert (
        "CC="
        in gradient_descent.gradient_descent(
            Objective(network, x, y, losses.HALF_SUM), start, step_size=5e-4, steps=20, compile=True
        ).mode
    )


@needs_compiler
@pytest.mark.parametrize(
    "command", ["env cc", "env LC_ALL=C cc -O1", "{launcher} cc", "'{launcher}' cc -Ofast -ffast-math", " cc "]
)
def test_a_compiler_may_have_a_launcher_and_options_which_change_no_number(command, monkeypatch, tmp_path):
    launcher = tmp_path / "ccache"
    launcher.write_text('#!/bin/sh\nexec "$@"\n')
    launcher.chmod(0o755)
    network = zoo.power_net(2, 2, 4)
    x, y, start = problem(network, 2)
    objective, options = Objective(network, x, y, losses.HALF_SUM), {"step_size": 5e-4, "steps": 20, "compile": True}
    plain = gradient_descent.gradient_descent(objective, start, **options)
    monkeypatch.setenv("CC", command.format(launcher=launcher))
    path = gradient_descent.gradient_descent(objective, start, **options)
    assert path.mode == plain.mode == "compiled"
    assert torch.equal(path.last, plain.last)


@pytest.mark.parametrize("command", ["no-such-launcher cc", "cc --no-such-option", "cc 'never closed"])
def test_a_compiler_that_fails_is_said_to_fail(command, monkeypatch):
    network = zoo.power_net(2, 2, 4)
    x, y, start = problem(network, 2)
    monkeypatch.setenv("CC", command)
    with pytest.warns(RuntimeWarning, match=r"^steps run without C: .*(no-such|CC=)"):
        path = gradient_descent.gradient_descent(
            Objective(network, x, y, losses.HALF_SUM), start, step_size=5e-4, steps=20, compile=True
        )
    assert path.mode.startswith("eager: ")


@needs_compiler
@pytest.mark.parametrize("compile", [True, False])
def test_labels_that_are_no_doubles_give_what_doubles_give(compile):
    """Compiled code read integers and single precision as doubles: 0.98 for 1.06, and plausible losses for 12 points."""
    network, one = zoo.power_net(units=1, inputs=1, power=2), [[1.0]]
    whole = Objective(network, one, torch.tensor([4]), losses.HALF_SUM)
    path = gradient_descent.gradient_descent(whole, one, step_size=0.01, steps=1, compile=compile)
    assert path.last.item() == pytest.approx(1.06, rel=1e-15)
    network = zoo.power_net(3, 2, 2)
    x, y, start = (part.float() for part in problem(network, 3))
    options = {"step_size": 5e-4, "steps": 20, "compile": compile}
    single = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, **options)
    x, y, start = x.double(), y.double(), start.double()
    double = gradient_descent.gradient_descent(Objective(network, x, y, losses.HALF_SUM), start, **options)
    assert torch.equal(single.last, double.last)
    assert torch.equal(single.loss, double.loss)


@needs_compiler
def test_data_that_are_not_contiguous_are_read_as_they_are():
    network = zoo.power_net(3, 2, 2)
    x, y, start = problem(network, 3)
    spread = torch.stack([x, 7 * x], dim=-1)[..., 0]
    step = torch.full((3, 1), 1e-3, dtype=torch.float64)
    ends = [
        native.native_block(Objective(network, x, y, losses.HALF_SUM), start)(start, step, 5)[1],
        native.native_block(Objective(network, spread, y, losses.HALF_SUM), start)(start, step.expand(3, 2)[:, :1], 5)[1],
    ]
    assert not spread.is_contiguous()
    assert torch.equal(*ends)


def test_records_are_spaced_as_asked():
    assert gradient_descent.every(10, 4).tolist() == [0, 4, 8, 10]
    assert gradient_descent.every(8, 4).tolist() == [0, 4, 8]
    spaced = gradient_descent.log_spaced(1000, 10)
    assert (spaced[0], spaced[1], spaced[-1]) == (0, 1, 1000)
    assert np.all(np.diff(spaced) > 0)
    assert len(spaced) == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"step_size": torch.ones(7, dtype=torch.float64)}, "one number or one for each of 3 runs"),
        ({"steps": 0}, "at least 1, got 0"),
        ({"record": [1, 5, 10]}, "increase from 0"),
        ({"record": [0, 5, 5, 10]}, "increase from 0"),
        ({"loss_ratios": (1.5,)}, "between 0 and 1"),
        ({"stop_when_crossed": True}, "needs loss_ratios"),
        ({"y": torch.ones(7, dtype=torch.float64)}, r"30 points, but x is \(30, 10\) and y \(7,\)"),
        ({"y": torch.ones(7, 30, dtype=torch.float64)}, "3 runs on 30 points"),
        ({"start": torch.ones(3, 7, dtype=torch.float64)}, "weights"),
        ({"start": torch.full((3, 600), 1e100, dtype=torch.float64)}, "initial loss is not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_bad_input_is_refused(change, message):
    network = NETWORKS["E1 squared ReLU"]
    x, y, start = problem(network, 3)
    options = {"start": start, "step_size": 1e-3, "steps": 10} | {k: v for k, v in change.items() if k != "y"}
    with pytest.raises((ValueError, TypeCheckError), match=message):
        gradient_descent.gradient_descent(Objective(network, x, change.get("y", y), losses.MEAN), **options)
