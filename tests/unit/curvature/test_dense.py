"""Whole Hessians against second differences and against a function whose Hessian is known."""

import torch

from flowcheck.curvature import dense


def loss(w):
    return (w[0] * w[1] - 1.0) ** 2 / 2 + torch.exp(w[2])


def test_the_hessian_of_a_product_in_closed_form():
    w = torch.tensor([[2.0, 3.0, 0.5], [0.0, 0.0, -1.0]], dtype=torch.float64)
    found = dense.hessian(loss, w)
    a, b, c = w.T
    residual = a * b - 1
    expected = torch.zeros(2, 3, 3, dtype=torch.float64)
    expected[:, 0, 0], expected[:, 1, 1], expected[:, 2, 2] = b**2, a**2, torch.exp(c)
    expected[:, 0, 1] = expected[:, 1, 0] = residual + a * b
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    assert torch.equal(found, found.mT)


def test_second_differences_agree():
    w, h = torch.tensor([0.7, -1.2, 0.3], dtype=torch.float64), 1e-4
    found = dense.hessian_at(loss, w)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = h
        second = (loss(w + step) - 2 * loss(w) + loss(w - step)) / h**2
        assert abs(second - found[i, i]) < 1e-6


def test_the_smallest_eigenvalue_at_a_saddle_is_minus_one():
    w = torch.zeros(1, 3, dtype=torch.float64)
    torch.testing.assert_close(dense.smallest_eigenvalue(loss, w), torch.tensor([-1.0], dtype=torch.float64))
