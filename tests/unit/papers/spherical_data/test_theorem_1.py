"""Theorem 1: excesses against the cosines that the theorem itself speaks of, and bounds that must fail."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import reduced_flow, theorem_1
from flowcheck.papers.spherical_data.flow_table import table
from flowcheck.papers.spherical_data.phases import Phases
from flowcheck.papers.spherical_data.population import law

ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 15.0, 120)])
ANGLE, NORM = np.array([0.3, 1.6, 2.9]), np.array([5.0, 1.0, 0.2])


@pytest.fixture(scope="module")
def phases():
    path = reduced_flow.reduced_flow(law("sphere_3"), 1, reduced_flow.clock(ANGLE), np.log(NORM), ADVANCES)
    return Phases(path, NORM[:, None], 0.01)


def test_excesses_are_positive_where_the_theorem_claims_them_and_negative_beyond(phases):
    found = theorem_1.excesses(phases)
    for name in ("first", "second", "second_from_start"):
        assert np.all(found[name] > 0), name
    assert np.all(found["first_beyond"] < 0)
    # the first start grows at once: it has no first phase
    assert np.isinf(found["first"]).tolist() == [True, False, False]


def test_the_excess_of_the_first_phase_is_that_of_the_cosine(phases):
    # cos θ = 1 - 2 / (e^{A1 t + B1} + 1) written out, its exponent recovered from the cosine
    path, c0 = phases.path, phases.path.law.c0
    smallest = []
    for row in (1, 2):
        a1, b1 = 2 * c0 / (math.pi * NORM[row]), -2 * math.log(math.tan(ANGLE[row] / 2))
        seen = (path.q[row] - path.q[row, 0] >= 0.01) & (path.t[row] <= path.transition.t[row])
        bound = 1 - 2 / (np.exp(a1 * path.t[row][seen] + b1) + 1)
        assert np.all(np.tanh(path.q[row][seen]) >= bound)
        exponent = np.log((1 + bound) / (1 - bound)) - b1
        smallest.append((2 * (path.q[row] - path.q[row, 0])[seen] / exponent).min() - 1)
    assert theorem_1.excesses(phases)["first"][1:] == pytest.approx(smallest, abs=1e-9)


def test_printed_constants_put_the_bound_above_the_flow(phases):
    found = theorem_1.printed_margins(phases)
    assert set(found) == {"printed_a2", "printed_root", "printed_a2_root"}
    assert all(margins.min() < -1 for margins in found.values())


def test_the_tightest_flow_of_a_table():
    runs = table(law("sphere_3"), 1, ANGLE, NORM, ADVANCES, 0.01)
    found = theorem_1.tightest(runs)
    first, second = found["theorem1_first_phase_excess_min"], found["theorem1_second_phase_excess_min"]
    assert first.value == runs["first"].min() > 0
    assert (first.n, second.n) == (2, 3)
    assert 0 < first.error < 1e-9
    assert found["theorem1_first_phase_excess_beyond_transition"].value < 0
    assert found["theorem1_printed_margin_min"].value < 0
