"""Lemma 19: the bound of its proof against closed flows, its constants against Hessians, and a function that is not smooth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from flowcheck.papers.continuous_discrete import lemma_19
from flowcheck.papers.continuous_discrete.lemma_19 import Smooth


def test_a_concave_quadratic_meets_the_bound() -> None:
    """Of -b x^2 / 2 - c x from x0 > 0 the flow is ((c + b x0) e^{b t} - c) / b."""
    met = Smooth(lambda q: -0.7 * q - 0.4, 0.7, np.array([1.5]))
    times = np.linspace(0.0, 4.0, 9)
    np.testing.assert_allclose(met.bound(times), ((0.4 + 0.7 * 1.5) * np.exp(0.7 * times) - 0.4) / 0.7, rtol=1e-12)
    np.testing.assert_allclose(met.ratios(4.0, 1e-12), 1.0, rtol=1e-10)


def test_the_ratio_of_a_rotated_quadratic_agrees_with_the_exponential_of_its_matrix() -> None:
    matrix = np.array([[-1.0, 0.3], [0.3, 0.5]])
    beta = float(np.abs(np.linalg.eigvalsh(matrix)).max())
    start = np.array([0.2, -1.0])
    found = Smooth(lambda q: matrix @ q, beta, start).ratios(3.0, 1e-12)
    end = np.linalg.norm(expm(-3.0 * matrix) @ start) / (np.linalg.norm(start) * np.exp(3.0 * beta))
    assert found[-1] == pytest.approx(end, rel=1e-9)


def test_the_constants_bound_the_hessians_of_all_functions() -> None:
    rng = np.random.default_rng(3)
    for one in lemma_19.functions(np.random.default_rng(5), 4):
        for point in rng.normal(scale=2.0, size=(20, len(one.start))):
            step = 1e-5 * np.eye(len(point))
            hessian = np.array([(one.gradient(point + e) - one.gradient(point - e)) / 2e-5 for e in step])
            assert np.linalg.norm(hessian, 2) <= one.smoothness + 1e-6


def test_gradients_are_those_of_the_functions_that_are_named() -> None:
    """Log cosh of a random map: drawn as the library draws it, its value differentiated by autograd."""
    rng = np.random.default_rng(5)
    root, offset = rng.standard_normal((3, 3)) / 2, rng.standard_normal(3)
    quadratic, cosines, log_cosh = lemma_19.functions(np.random.default_rng(5), 1)[1:4]
    q = torch.tensor([0.3, -1.1, 0.8], dtype=torch.float64, requires_grad=True)
    a, b = torch.as_tensor(root), torch.as_tensor(offset)
    values = (q @ (a + a.T) @ q / 4 + b @ q, torch.cos(q).sum() + b @ q, torch.log(torch.cosh(a @ q)).sum())
    for one, value in zip((quadratic, cosines, log_cosh), values, strict=True):
        np.testing.assert_allclose(one.gradient(q.detach().numpy()), torch.autograd.grad(value, q)[0].numpy(), atol=1e-12)


def test_a_quartic_leaves_the_bound_before_it_ends() -> None:
    """Of -x^4 from 1 the flow is (1 - 8 t)^(-1/2); the curvature of its start allows e^{12 t} at most."""
    quartic = Smooth(lambda q: -4 * q**3, 12.0, np.ones(1))
    end = 0.1249
    assert quartic.ratios(end, 1e-12)[-1] == pytest.approx((1 - 8 * end) ** -0.5 / np.exp(12 * end), rel=1e-6)
    found = lemma_19.growth(np.random.default_rng(1), 2)
    assert found["lemma19_quartic_ratio"].value > 2
    assert found["lemma19_reached"].value == found["lemma19_tried"].value
