"""Deep linear networks, gradient descent, bounds, sums, intervals: each against a second way to get the number."""

import math

import numpy as np
import pytest
import torch

from flowcheck.measures.enclosure import enclose_maximum
from flowcheck.measures.statistics import clopper_pearson, mean_interval, slope_interval
from flowcheck.networks import linear
from flowcheck.papers.spherical_data import bounds, descent, population, step_sums

CIRCLE = population.law("circle")


def random_weights(shapes, rng):
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("shapes", [[(1, 3)], [(4, 3), (1, 4)], [(2, 3), (5, 2), (1, 5)]], ids=["N1", "N2", "N3"])
def test_layer_gradients_are_those_of_autograd(shapes):
    rng = np.random.default_rng(0)
    weights, pull = random_weights(shapes, rng), rng.standard_normal(3)
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    (linear.end_to_end(tensors) @ torch.tensor(pull)).backward()
    for mine, tensor in zip(linear.layer_gradients(weights, pull), tensors, strict=True):
        assert mine == pytest.approx(tensor.grad.numpy(), abs=1e-13)


def test_end_to_end_velocity_is_the_change_over_a_small_step_of_the_layers():
    rng = np.random.default_rng(7)
    weights, pull, step = random_weights([(4, 3), (2, 4), (1, 2)], rng), rng.standard_normal(3), 1e-6
    ahead, behind = (
        linear.end_to_end([w - sign * step * g for w, g in zip(weights, linear.layer_gradients(weights, pull), strict=True)])
        for sign in (1, -1)
    )
    assert linear.end_to_end_velocity(weights, pull) == pytest.approx((ahead - behind) / (2 * step), rel=1e-7)


def test_layer_gradients_of_a_batch_are_those_of_its_members():
    rng = np.random.default_rng(1)
    batch, pulls = random_weights([(7, 4, 3), (7, 1, 4)], rng), rng.standard_normal((7, 3))
    together = linear.layer_gradients(batch, pulls)
    for i in range(7):
        for whole, single in zip(together, linear.layer_gradients([w[i] for w in batch], pulls[i]), strict=True):
            assert whole[i] == pytest.approx(single, abs=1e-13)


@pytest.mark.parametrize("norm", [0.3, 1.0, 4.0])
def test_balanced_weights_are_balanced_and_have_the_end_to_end_vector(norm):
    w_e = norm * np.array([0.6, -0.8])
    weights = linear.balanced_weights(w_e, [5, 2, 7], np.random.default_rng(2))
    assert linear.end_to_end(weights) == pytest.approx(w_e, abs=1e-14)
    assert linear.balancedness_defect(weights) < 1e-14


def test_the_paper_s_start_is_balanced_for_norm_one_only():
    rng = np.random.default_rng(3)
    assert linear.balancedness_defect(linear.paper_weights(np.array([0.6, -0.8]), [5, 5, 5], rng)) < 1e-14
    assert linear.balancedness_defect(linear.paper_weights(np.array([1.2, -1.6]), [5, 5, 5], rng)) > 0.1


def test_a_zero_vector_cannot_be_balanced():
    with pytest.raises(ValueError, match="nonzero"):
        linear.balanced_weights(np.zeros(2), [3], np.random.default_rng(0))


def test_population_step_is_a_step_along_the_gradient_of_equation_2():
    v, w, eta = np.array([0.0, 1.0]), np.array([0.7, -1.1]), 3.0
    after = w - eta * population.law_gradient(CIRCLE, w, v)
    along, across = descent.population_step(CIRCLE, np.array([w[1]]), np.array([w[0]]), np.array([eta]))
    assert (across[0], along[0]) == pytest.approx(tuple(after), abs=1e-13)


@pytest.mark.parametrize("eta", [0.0, -1.0])
def test_steps_that_are_not_positive_are_refused(eta):
    with pytest.raises(ValueError, match="positive"):
        descent.population_step(CIRCLE, np.ones(1), np.ones(1), np.array([eta]))


def sgd(weights, seeds, **changes):
    options = {"step_size": 0.05, "batch_size": 50, "steps": 130, "every": 10, "device": torch.device("cpu")} | changes
    return descent.circle_sgd(weights, [np.random.default_rng(s) for s in seeds], **options)


def test_sgd_is_plain_sgd_on_the_network():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3], np.random.default_rng(4))
    path = sgd(weights, [9])
    rng, layers = np.random.default_rng(9), [torch.tensor(w, requires_grad=True) for w in weights]
    for _ in range(130):
        angle = torch.tensor(2 * math.pi * rng.random(50))
        x = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
        y = torch.where(x[:, 1] >= 0, 1.0, -1.0)
        loss = torch.nn.functional.softplus(-y * (x @ layers[0].T @ layers[1].T)[:, 0]).mean()
        for layer, grad in zip(layers, torch.autograd.grad(loss, layers), strict=True):
            layer.data -= 0.05 * grad
    assert path.w_e[0, -1] == pytest.approx((layers[1] @ layers[0]).detach().numpy()[0], abs=1e-12)


def test_a_seed_gives_the_same_run_in_any_batch():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    assert np.array_equal(sgd(weights, [1, 2, 3]).w_e[1], sgd(weights, [2]).w_e[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_sgd_on_the_gpu_is_sgd_on_the_cpu():
    weights = linear.balanced_weights(np.array([0.6, -0.8]), [3, 3], np.random.default_rng(5))
    assert sgd(weights, [1, 2], device=torch.device("cuda")).w_e == pytest.approx(sgd(weights, [1, 2]).w_e, abs=1e-10)


@pytest.mark.parametrize(("key", "value"), [("step_size", 0.0), ("batch_size", 0), ("steps", 0), ("every", 0)])
def test_sgd_refuses_sizes_that_are_not_positive(key, value):
    with pytest.raises(ValueError, match="positive"):
        sgd([np.array([[0.6, -0.8]])], [0], **{key: value})


@pytest.mark.parametrize("depth", [1, 2])
def test_deep_bounds_refuse_shallow_networks(depth):
    for call in (
        lambda: bounds.theorem3_first_phase(1.0, 0.0, 1.0, 1.0, depth),
        lambda: bounds.theorem3_second_phase(1.0, 0.0, 1.0, 1.0, depth),
        lambda: bounds.theorem3_upper(1.0, 1.0, 0.0, 1.0, depth),
        lambda: bounds.lemma8_log_norm_bounds(1.0, 1.0, 1.0, depth),
    ):
        with pytest.raises(ValueError, match="depth > 2"):
            call()


def test_bounds_start_where_the_flow_starts():
    q, r = -1.1, 0.7
    for start in (
        bounds.theorem1_first_phase(0.0, q, r, 1.0),
        bounds.theorem1_second_phase(0.0, q, r, 1.0),
        bounds.theorem3_first_phase(0.0, q, r, 1.0, 4),
        bounds.theorem3_second_phase(0.0, q, r, 1.0, 4),
        bounds.theorem3_upper(0.0, r, 2 * q, 1.0, 4),
        bounds.proposition4_exponent(0.0, q, 1.0),
    ):
        assert start == pytest.approx(2 * q, abs=1e-14)
    assert bounds.theorem1_second_phase_printed(0.0, q, r, 1.0, printed_a2=True, printed_root=False) != pytest.approx(2 * q)


def test_reference_values_of_the_figure_s_bounds():
    # Theorem 3 for the start of Figure 1(b): 1 - 2 / ((2t + 1)^(1/pi) / 9 + 1) and F = 4 / (2.4 pi)
    q = -math.log(3.0)
    cosine = 1 - 2 / (21 ** (1 / math.pi) / 9 + 1)
    assert math.tanh(bounds.theorem3_first_phase(10.0, q, 1.0, 1.0, 4) / 2) == pytest.approx(cosine)
    assert bounds.theorem3_upper(1.0, 1.0, 2 * q, 1.0, 4) == pytest.approx(4 / (2.4 * math.pi) * (1.6**2 - 1) + 2 * q)


def test_step_sums_are_the_sums_they_abbreviate():
    eta, norm, c0 = np.array([0.5, 2.0, 0.1]), 1.5, 0.8
    a = (norm / c0) ** 2
    minus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2)) for k in range(3))
    plus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2 + 0.6 / c0**2 * eta[: k + 1])) for k in range(3))
    assert bounds.lemma4_sum(eta, norm, c0)[-1] == pytest.approx(minus)
    assert bounds.lemma5_sum(eta, norm, c0)[-1] == pytest.approx(plus)


def test_continued_step_sums_agree_with_plain_sums():
    n = 3_000_000
    k = np.arange(1.0, n + 1.0)
    plain = np.sum(k**-0.25 / np.sqrt(1.0 + np.cumsum(k**-0.5 + 0.6 * k**-0.25)))
    continued, _ = step_sums.power_slope(-0.25, 0.6, math.log(n))
    assert continued == pytest.approx(plain, rel=1e-4)


def test_enclosure_contains_the_maximum_and_is_narrow():
    (low, high), boxes = enclose_maximum(lambda x, exp: x / (1 + exp(x)), 0.0, 40.0, 1e-4)
    assert low <= 0.27846454276 <= high <= low + 1e-4 + 1e-12
    assert sum(right - left for left, right, _ in boxes) == pytest.approx(40.0)


def test_clopper_pearson_of_known_counts():
    # 16 of 16: lower end 0.025^(1/16)
    assert clopper_pearson(16, 16) == pytest.approx((0.025 ** (1 / 16), 1.0))
    with pytest.raises(ValueError, match="at least one"):
        clopper_pearson(0, 0)


def test_mean_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(11)
    draws = rng.normal(2.0, 0.5, size=(2000, 6))
    covered = [low <= 2.0 <= high for _, (low, high) in map(mean_interval, draws)]
    assert 0.93 < np.mean(covered) < 0.97
    with pytest.raises(ValueError, match="two values"):
        mean_interval(draws[0, :1])


def test_slope_interval_covers_the_slope_as_often_as_it_says():
    rng, x = np.random.default_rng(6), np.linspace(0, 1, 12)
    hits = 0
    for _ in range(400):
        _, (low, high) = slope_interval(x, 2 * x + 0.1 * rng.standard_normal(12))
        hits += low <= 2 <= high
    assert clopper_pearson(hits, 400, 0.999)[0] <= 0.95 <= clopper_pearson(hits, 400, 0.999)[1]
    with pytest.raises(ValueError, match="three points"):
        slope_interval(x[:2], x[:2])
