"""Descent of classifiers: C and tensors, in either precision, against autograd on all inputs."""

import shutil

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.input_span import InputSpan
from flowcheck.losses import HALF_SUM, cross_entropy, one_hot
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedLayer, TiedNetwork

WIDTHS = ([7, 5, 3], [12, 6, 5, 4], [9, 11, 7, 5, 2], [5, 1, 2])
ROUNDING = {"float64": 1e-13, "float32": 3e-6}
"""Of weights of size one after a hundred steps that move them by a tenth."""
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
MODES = [pytest.param(True, marks=needs_compiler, id="compiled"), pytest.param(False, id="tensors")]


def problem(widths, below, runs, n=37, seed=0):
    """Inputs of a span of three dimensions less than they have entries, where they have as many."""
    rng = np.random.default_rng(seed)
    rank = max(1, widths[0] - 3)
    x = torch.tensor(rng.standard_normal((n, rank)) @ rng.standard_normal((rank, widths[0])))
    network = TiedNetwork.fully_connected(widths, 1.0, below)
    labels = one_hot(rng.integers(0, widths[-1], n), widths[-1])
    start = torch.tensor(rng.uniform(-1, 1, (runs, network.size)))
    return Objective(network, x, labels, cross_entropy(widths[-1], "mean")), start


def by_autograd(objective, start, sizes, steps):
    w = start.clone()
    for _ in range(steps):
        w.requires_grad_(True)
        (slope,) = torch.autograd.grad(objective.value(w).sum(), w)
        w = (w - sizes[:, None] * slope).detach()
    return w


@pytest.mark.parametrize("compile", MODES)
@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize("below", [1.0, 0.0], ids=["linear", "ReLU"])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_a_hundred_steps_are_those_of_autograd(widths, below, precision, compile):
    objective, start = problem(widths, below, 3)
    sizes = torch.tensor([1e-3, 2e-3, 5e-3], dtype=torch.float64)
    runs = ClassifierDescent(objective, start, step_size=sizes, precision=precision, compile=compile)
    assert runs.mode == ("compiled" if compile else "tensors")
    runs.advance(30)
    runs.advance(70)
    expected = by_autograd(objective, start, sizes, 100)
    assert float((expected - start).norm(dim=1).min()) > 0.01
    assert float((runs.weights() - expected).abs().max()) < ROUNDING[precision]
    assert runs.iteration == 100


@pytest.mark.parametrize("compile", MODES)
@pytest.mark.parametrize("below", [1.0, 0.0], ids=["linear", "ReLU"])
def test_a_run_does_not_depend_on_the_runs_beside_it(below, compile):
    objective, start = problem([12, 6, 5, 4], below, 4)
    together = ClassifierDescent(objective, start, step_size=0.01, precision="float32", compile=compile)
    alone = ClassifierDescent(objective, start[2:3], step_size=0.01, precision="float32", compile=compile)
    together.advance(20)
    alone.advance(20)
    gap = float((together.weights()[2:3] - alone.weights()).abs().max())
    assert gap < (1e-14 if compile else 1e-6)  # single precision in the same order, read in double precision


@needs_compiler
@pytest.mark.parametrize("size", [0.01, 30.0])
def test_large_and_small_outputs_have_the_softmax_of_torch(size):
    """Outputs from thousandths to hundreds: the exponential is summed in powers."""
    objective, start = problem([5, 4, 6], 1.0, 1, n=200, seed=3)
    runs = ClassifierDescent(objective, size * start, step_size=1e-3)
    runs.advance(1)
    expected = by_autograd(objective, size * start, torch.tensor([1e-3], dtype=torch.float64), 1)
    assert float((runs.weights() - expected).abs().max()) < 1e-14 * size


def test_the_first_layer_never_moves_across_the_span():
    objective, start = problem([12, 6, 5, 4], 0.0, 1)
    span = InputSpan.of(objective.x)
    assert span.rank == 9
    runs = ClassifierDescent(objective, start, step_size=0.05)
    runs.advance(50)
    moved = (runs.weights() - start)[0, : 6 * 12].view(6, 12)
    across = moved - moved @ span.basis @ span.basis.mT
    assert float(across.abs().max()) < 1e-14
    assert float(moved.norm()) > 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": cross_entropy(4)}, "mean cross-entropy"),
        ({"loss": HALF_SUM}, "mean cross-entropy"),
        ({"network": TiedNetwork.fully_connected([12, 6, 5, 4], 1.0, 0.5)}, "linear or ReLU"),
        ({"y": torch.full((37 * 4,), 0.25, dtype=torch.float64)}, "one class for each sample"),
        ({"network": TiedNetwork("one", (TiedLayer.dense(4, 12),))}, "2 to 15 layers"),
    ],
)
def test_what_it_does_not_know_is_refused(change, said):
    objective, start = problem([12, 6, 5, 4], 0.0, 1)
    given = {name: getattr(objective, name) for name in ("network", "x", "y", "loss")} | change
    other = Objective(**given)
    with pytest.raises(ValueError, match=said):
        ClassifierDescent(other, start[:, : other.network.size], step_size=0.1)


def test_a_convolution_is_no_dense_layer():
    convolution = TiedNetwork("tied", (TiedLayer.convolution((1, 1), (3, 3), 2), TiedLayer.dense(2, 4)), 1.0, 0.0)
    objective = Objective(convolution, torch.randn(5, 9), one_hot([0, 1, 0, 1, 1], 2), cross_entropy(2, "mean"))
    with pytest.raises(ValueError, match="no fully connected network"):
        ClassifierDescent(objective, torch.zeros(1, convolution.size), step_size=0.1)


@pytest.mark.parametrize("step_size", [0.0, -1.0, float("nan")])
def test_a_step_size_is_positive(step_size):
    objective, start = problem([7, 5, 3], 1.0, 1)
    with pytest.raises(ValueError, match="step_size"):
        ClassifierDescent(objective, start, step_size=step_size)


def test_an_unknown_precision_is_refused():
    objective, start = problem([7, 5, 3], 1.0, 1)
    with pytest.raises((ValueError, TypeCheckError), match="precision"):
        ClassifierDescent(objective, start, step_size=0.1, precision="float16")


def test_a_span_that_is_known_already_changes_nothing_and_another_is_refused():
    objective, start = problem([7, 5, 3], 0.0, 2)
    span, (other, _) = InputSpan.of(objective.x), problem([7, 5, 3], 0.0, 2, seed=1)
    runs = [ClassifierDescent(objective, start, step_size=0.01, compile=False, span=given) for given in (None, span)]
    for one in runs:
        one.advance(3)
    assert torch.equal(*(one.weights() for one in runs))
    for wrong in (InputSpan.of(other.x), InputSpan.of(objective.x[:5]), InputSpan.of(objective.x[:, :4])):
        with pytest.raises(ValueError, match="span is not that of the objective's inputs"):
            ClassifierDescent(objective, start, step_size=0.01, span=wrong)


def test_inputs_that_are_zero_span_nothing():
    with pytest.raises(ValueError, match="spans nothing"):
        InputSpan.of(np.zeros((3, 2)))


def test_steps_are_counted():
    objective, start = problem([7, 5, 3], 1.0, 1)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        ClassifierDescent(objective, start, step_size=0.1).advance(0)
