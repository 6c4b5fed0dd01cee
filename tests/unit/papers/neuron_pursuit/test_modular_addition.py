"""Modular addition: the data pair by pair, spectra against sines that are put in, and a network built from them."""

import numpy as np
import pytest
import torch

from flowcheck.papers.neuron_pursuit import modular_addition
from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.pursue import Plan, classification_error


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def sines(prime):
    """Gromov's network: (cos(ka + s) + cos(kb + t))^2, read off at k(a + b) + s + t, for all k and sixteen pairs of phases.

    The squares of single cosines cancel over the phases.
    """
    first, second = [], []
    at = 2 * np.pi * np.arange(prime) / prime
    for k in range(1, (prime - 1) // 2 + 1):
        for s in np.arange(4) * np.pi / 2:
            for t in np.arange(4) * np.pi / 2:
                first.append([*np.cos(k * at + s), *np.cos(k * at + t), 0.0])
                second.append(np.cos(k * at + s + t))
    return Grown(modular_addition.SQUARE, (torch.tensor(np.array(first)), torch.tensor(np.array(second).T.copy())))


def test_every_pair_is_there_once_with_its_sum(rng):
    data = modular_addition.pairs(7, 30, rng)
    for row, label in zip(data.x, data.y, strict=True):
        a, b = row[:7].argmax(), row[7:14].argmax()
        assert label.argmax() == (a + b) % 7
        assert row.sum() == 3
        assert row[14] == 1
    assert len(torch.unique(data.x, dim=0)) == 49
    assert data.training.sum() == 30


def test_permuted_labels_are_the_same_labels_elsewhere(rng):
    plain, permuted = modular_addition.pairs(7, 30, rng), modular_addition.pairs(7, 30, rng, permuted=True)
    assert torch.equal(plain.y.sum(dim=0), permuted.y.sum(dim=0))
    assert 0.5 < classification_error(permuted.y, plain.y) < 1


def test_a_network_of_sines_adds_and_its_neurons_have_one_frequency(rng):
    grown, data = sines(7), modular_addition.pairs(7, 30, rng)
    assert classification_error(grown.predict(data.x), data.y) == 0
    found, share = modular_addition.frequencies(grown)
    assert found.tolist() == [1] * 16 + [2] * 16 + [3] * 16
    assert share == pytest.approx(np.ones(48), abs=1e-12)


def test_blocks_at_different_frequencies_have_nothing_in_common():
    at = 2 * np.pi * np.arange(11) / 11
    first = np.array([[*np.cos(at), *np.cos(2 * at), 0.0]])
    grown = Grown(modular_addition.SQUARE, (torch.tensor(first), torch.tensor(np.cos(at))[:, None]))
    assert modular_addition.frequencies(grown)[1] == pytest.approx([0.0], abs=1e-12)


def test_energies_are_parseval_shares(rng):
    rows = rng.standard_normal((4, 11))
    shares = modular_addition.energies(rows)
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))
    wave = np.exp(-2j * np.pi * 3 * np.arange(11) / 11)
    centred = rows - rows.mean(axis=1, keepdims=True)
    assert shares[:, 2] == pytest.approx(2 * abs(rows @ wave) ** 2 / 11 / (centred**2).sum(axis=1))


def test_the_largest_neurons_have_nine_tenths():
    first = torch.diag(torch.tensor([3.0, 1.0, 0.1], dtype=torch.float64))
    grown = Grown(modular_addition.SQUARE, (first, torch.zeros(1, 3, dtype=torch.float64)))
    assert modular_addition.heavy(grown).tolist() == [True, True, False]  # 9 of 10.01 is less than nine tenths


def test_a_small_run_is_read_as_it_went(rng):
    plan = Plan(later_delta=0.05, ascent=Ascent(tolerance=1e-6), inner=Descent(step_size=2.0, steps=300))
    data = modular_addition.pairs(5, 25, rng)
    found = modular_addition.learn(data, plan, 3, 1)
    assert [step.point.layer for step in found.history] == [0, 1, 1]
    drawn = modular_addition.picture(data, found)
    assert drawn["picture_right"][-1].mean() == pytest.approx(1 - found.history[-1].error)
    assert drawn["picture_iterations"].tolist() == [2, 3]
    part = modular_addition.pairs(5, 20, rng)
    again = modular_addition.learn(part, plan, 3, 1)
    rows = modular_addition.history("second", part, again)
    read = modular_addition.read("second", part, again, rows, 3)
    assert read["iterations_to_zero_training_error_second"].value == 4
    assert read["training_error_second"].value == again.history[-1].error > 0
    assert read["test_error_second"].n == 5
