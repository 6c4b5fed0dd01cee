"""Ends of spectra against whole spectra; what is certain, and how often what is probable fails."""

import numpy as np
import pytest
import torch

from flowcheck.curvature import dense
from flowcheck.curvature.hessian_products import HessianProducts
from flowcheck.curvature.lanczos import Spectrum, spectrum_ends
from flowcheck.losses import cross_entropy, one_hot
from flowcheck.networks.tied import TiedNetwork

RNG = np.random.default_rng(11)


def diagonal(values):
    entries = torch.as_tensor(np.asarray(values, dtype=float))
    return lambda v: entries * v


def gaussian(size):
    return torch.from_numpy(RNG.standard_normal(size))


@pytest.mark.parametrize("below", [0.0, 1.0])
def test_both_ends_of_the_hessian_of_a_network(below):
    network = TiedNetwork.fully_connected([6, 8, 5, 3], 1.0, below)
    x, y = torch.from_numpy(RNG.standard_normal((9, 6))), one_hot(np.arange(9) % 3, 3)
    loss, w = cross_entropy(3, "mean"), gaussian(network.size)

    def value(w):
        return loss.value(network.forward(w[None], x), y)[0]

    exact = torch.linalg.eigvalsh(dense.hessian_at(value, w))
    products = HessianProducts(value, w)
    found = spectrum_ends(products, gaussian(network.size), rtol=1e-9)
    for pair, end in ((found.smallest, exact[0]), (found.largest, exact[-1])):
        assert pair.value == pytest.approx(float(end), rel=1e-8)
        assert float((exact - pair.value).abs().min()) <= pair.residual + 1e-13
        image = products(pair.vector)
        assert float((image - pair.value * pair.vector).norm()) == pytest.approx(pair.residual, rel=1e-3, abs=1e-13)
        assert float(pair.vector.norm()) == pytest.approx(1.0, rel=1e-14)
    assert found.smallest.value >= float(exact[0]) - 1e-12
    assert found.largest.value <= float(exact[-1]) + 1e-12
    assert found.products + 2 == products.count
    low, high = found.probable()
    assert low <= float(exact[0]) + 1e-12
    assert high >= float(exact[-1]) - 1e-12


def test_the_error_is_what_was_asked_for_and_products_are_fewer_for_less():
    values = np.concatenate([[-1.0, -0.97], np.linspace(-0.5, 10, 498)])
    counts = []
    for rtol in (1e-3, 1e-6, 1e-9):
        found = spectrum_ends(diagonal(values), gaussian(500), ends=("smallest",), rtol=rtol)
        assert abs(found.smallest.value + 1.0) <= found.smallest.estimate <= 2 * rtol
        assert found.largest is None
        counts.append(found.products)
    assert counts[0] < counts[1] < counts[2] < 150


def test_an_estimate_is_deceived_by_a_cluster_and_what_is_certain_and_probable_is_not():
    values = np.concatenate([[-1.0], np.linspace(-0.9995, -0.999, 4), np.linspace(-0.5, 10, 495)])
    found = spectrum_ends(diagonal(values), gaussian(500), ends=("smallest",), rtol=1e-4)
    assert found.smallest.value + 1.0 > found.smallest.estimate
    assert np.abs(values - found.smallest.value).min() <= found.smallest.residual
    assert found.probable()[0] <= -1.0 <= found.smallest.value


def test_more_products_make_what_is_probable_narrower():
    values, start = np.concatenate([[-1.0], np.linspace(0, 1, 1999)]), gaussian(2000)
    bounds = []
    for least in (1, 60, 120):
        found = spectrum_ends(diagonal(values), start, ends=("smallest",), rtol=1e-2, least_products=least)
        assert found.products > least
        bounds.append(found.probable()[0])
    assert bounds[0] < bounds[1] < bounds[2] < -1.0
    assert bounds[2] > -1.1
    assert (
        spectrum_ends(diagonal(values), start, ends=("smallest",), rtol=1e-2, most_products=20, least_products=90).products == 20
    )


def test_an_eigenvalue_that_stands_many_times_is_found():
    found = spectrum_ends(diagonal([-2.0] * 30 + [1.0] * 30 + [4.0] * 30), gaussian(90))
    assert found.exhausted
    assert found.steps == 3
    assert (found.smallest.value, found.largest.value) == (pytest.approx(-2.0, rel=1e-13), pytest.approx(4.0, rel=1e-13))
    assert found.probable() == (found.low, found.high)


def test_the_basis_stays_orthogonal_where_one_end_is_found_long_before_the_other():
    found = spectrum_ends(diagonal(1.5 ** np.arange(40)), gaussian(40), rtol=0.0)
    assert found.smallest.value == pytest.approx(1.0, rel=1e-7)
    assert found.largest.value == pytest.approx(1.5**39, rel=1e-13)


def test_one_dimension():
    found = spectrum_ends(diagonal([3.0]), [2.0])
    assert (found.smallest.value, found.largest.value, found.smallest.residual) == (3.0, 3.0, 0.0)


def test_an_operator_that_is_zero():
    found = spectrum_ends(lambda v: 0 * v, gaussian(5))
    assert (found.smallest.value, found.largest.value, found.steps) == (0.0, 0.0, 1)


def test_the_smallest_eigenvalue_that_is_zero_ends_by_atol():
    found = spectrum_ends(diagonal(np.linspace(0, 1, 400) ** 2), gaussian(400), ends=("smallest",), rtol=0.0, atol=1e-3)
    assert 0 <= found.smallest.value < 1e-3


def test_the_start_that_misses_an_eigenvector_misses_its_eigenvalue():
    start = gaussian(50)
    start[0] = 0.0
    found = spectrum_ends(diagonal([-5.0, *np.linspace(0, 1, 49)]), start, atol=1e-9)
    assert found.smallest.value == pytest.approx(0.0, abs=1e-9)  # which is why "smallest" is probable only


def test_what_is_not_settled_says_how_far_it_is():
    with pytest.raises(RuntimeError, match=r"after 18 products the smallest eigenvalue is not settled: .* \(residual"):
        spectrum_ends(diagonal(np.linspace(0.1, 1, 3000)), gaussian(3000), ends=("smallest",), most_products=19)


@pytest.mark.parametrize(
    ("multiply", "said"),
    [
        (lambda v: torch.roll(v, 1) * 2 + v.flip(0) * torch.arange(5.0), r"not symmetric: .* differ by [\d.e+-]+ of"),
        (lambda v: v / 0, "the product holds numbers that are not finite"),
        (lambda v: v[:2], "a tensor of 5 numbers, got"),
        (lambda v: 1.0, "a tensor of 5 numbers, got float"),
    ],
)
def test_what_is_no_symmetric_operator_is_refused(multiply, said):
    with pytest.raises(ValueError, match=said):
        spectrum_ends(multiply, [1.0, 2.0, -1.0, 0.5, 3.0])


def worst_spectrum(size, steps):
    """One eigenvalue at 1, the others where the polynomial of the bound is as large as it can be, in [0, 1 - epsilon]."""
    angles = np.cos(np.pi * np.arange(steps) / (2 * steps - 1)) ** 2
    return np.concatenate([[1.0], np.resize(0.75 * (1 - angles), size - 1)])


def test_the_probable_bound_fails_as_seldom_as_it_says_and_is_no_better_than_it_must_be():
    size, steps, risk, draws = 200, 4, 0.2, 600
    values, misses, shorter = worst_spectrum(size, steps), 0, 0
    for _ in range(draws):
        ritz = ritz_of(values, RNG.standard_normal(size), steps)
        one = Spectrum(None, None, size, steps, steps, ritz[0], ritz[-1], False)
        more = Spectrum(None, None, size, 2 * steps, steps, ritz[0], ritz[-1], False)
        misses += one.probable(risk)[1] < 1.0
        shorter += more.probable(risk)[1] < 1.0
    assert misses / draws <= risk
    assert shorter / draws > risk  # with twice the steps in the bound it would be wrong


def ritz_of(values, start, steps):
    """Ritz values by a basis that is made orthogonal by numpy."""
    powers = [start / np.linalg.norm(start)]
    for _ in range(steps - 1):
        new = values * powers[-1]
        for _ in range(2):
            new = new - np.array(powers).T @ (np.array(powers) @ new)
        powers.append(new / np.linalg.norm(new))
    basis = np.array(powers)
    return np.linalg.eigvalsh(basis @ (values[:, None] * basis.T))
