"""Theorem 5.3 on paths that are made up, where every margin is known, and on flows from one saddle."""

import dataclasses
import math

import numpy as np
import pytest

from flowcheck.measures.table import Table
from flowcheck.papers.deep_homogeneous import theorem_5_3
from flowcheck.papers.deep_homogeneous.power_saddles import collapsing_saddle, fewer_units
from flowcheck.papers.deep_homogeneous.theorem_5_3 import Constants
from flowcheck.saddles.constants import reach
from flowcheck.saddles.departure import Departure, ResidualFlow, draw_starts

EPSILONS = [0.1, 0.03]
TARGET = np.array([1.0, 0.0, 0, 0, 0, 0, 0, 0, 0])
U = ResidualFlow(lambda t: (1 + t) * TARGET, TARGET, np.array([1.0, 2.0]), np.array([2.0, 3.0]), 1.0)
TAU, DELTA = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.1, 0.01])


@pytest.fixture(scope="module")
def saddle():
    return fewer_units(3, np.random.default_rng(0), 1)


def made_up(distance):
    """w_z / delta is u plus `distance` [s] across the target, w_n stays at a distance of delta / 5."""
    across = np.zeros((2, 4, 9))
    across[..., 1] = distance[:, None]
    a = np.zeros((2, 4, 3))
    a[..., 0] = 0.2
    return Departure(DELTA, TAU, a, across, np.stack([U.curve(t) for t in TAU]), 0)


def test_margins_of_a_made_up_path(saddle):
    constants = Constants.of(saddle, U, 0.3, EPSILONS)
    assert constants.eta == 0.6
    assert [c.epsilon for c in constants.proof] == EPSILONS
    found = theorem_5_3.judge(made_up(np.array([0.05, 0.01])), U, constants)
    bounds = [1 - 6 * epsilon for epsilon in EPSILONS]
    # both deltas are judged, with the first epsilon where u = 2 and with the second where u = 3
    cosines = [2 / math.hypot(2, 0.05), 3 / math.hypot(3, 0.05)]
    assert found["cosine"] == pytest.approx(min(c - b for c, b in zip(cosines, bounds, strict=True)))
    assert found["margin"] == pytest.approx(found["cosine"])
    assert found["norm"] == pytest.approx(math.hypot(2, 0.01) - 0.3)
    assert found["within"] == pytest.approx(0.05 / 0.03)
    assert (found["bar"], found["close_bar"], found["missing"], found["asked"]) == (-1.0, -2.0, 0.0, 2.0)
    assert found["stay"] == pytest.approx(max(0.2 / math.sqrt(c.c) for c in constants.proof))
    assert found["size"] == pytest.approx(max(math.hypot(2, 0.05) / 2.1, math.hypot(3, 0.05) / 3.03))


def test_a_deviation_that_returns_at_a_smaller_delta_leaves_no_delta_from_which_on_flows_are_close(saddle):
    found = theorem_5_3.judge(made_up(np.array([0.01, 0.05])), U, Constants.of(saddle, U, 0.3, EPSILONS))
    assert found["close_bar"] == -math.inf
    assert found["bar"] == -1.0, "the alternatives hold all the same"


def test_a_path_for_which_neither_alternative_holds_is_judged_though_nothing_is_close(saddle):
    found = theorem_5_3.judge(made_up(np.array([9.0, 8.0])), U, Constants.of(saddle, U, 0.3, EPSILONS))
    assert found["within"] > 1
    assert found["margin"] < 0
    assert found["cosine"] < 0
    assert found["size"] > 1
    assert (found["missing"], found["bar"]) == (1.0, -math.inf)
    assert all(math.isnan(found[name]) for name in ("eq72", "sufficient"))


def test_large_weights_that_leave_the_saddle_break_the_bound_and_leave_no_delta_bar(saddle):
    constants, path = Constants.of(saddle, U, 0.3, EPSILONS), made_up(np.array([0.01, 0.01]))
    far = dataclasses.replace(path, a=1e9 * path.a)
    found = theorem_5_3.judge(far, U, constants)
    assert found["stay"] > 1
    assert found["margin"] > 0
    assert found["missing"] == 1.0


def test_an_epsilon_for_which_the_bound_on_the_cosine_says_nothing_is_not_asked(saddle):
    found = theorem_5_3.judge(made_up(np.array([0.01, 0.01])), U, Constants.of(saddle, U, 0.15, EPSILONS))
    assert found["asked"] == 1.0, "1 - 11 * 0.1 is below 0, 1 - 11 * 0.03 is not"


def test_eta_is_two_where_u_goes_to_zero(saddle):
    collapse = dataclasses.replace(U, target=None)
    assert Constants.of(saddle, collapse, 1.0, EPSILONS).eta == 2.0
    assert Constants.of(saddle, collapse, 0.4, EPSILONS).eta == 0.8
    assert Constants.of(saddle, collapse, 1.0, EPSILONS).proof[1] == reach(saddle, 0.03, 2.0, 3.0)


def test_flows_from_two_saddles_keep_the_bounds_and_controls_do_not():
    rows = []
    for build in (lambda rng: fewer_units(3, rng, 1), collapsing_saddle):
        rng = np.random.default_rng(2)
        saddle = build(rng)
        (start,) = draw_starts(saddle, 1, np.array(EPSILONS[:1]), 100.0, rng).starts
        row, shown = theorem_5_3.run(saddle, start, gamma=1.0, epsilons=EPSILONS[:1], delta=np.array([0.1, 1e-2]))
        assert ("cosine" in shown) != saddle.collapses
        rows.append(row)
    found = theorem_5_3.readings_of(Table.of(rows))
    assert found["dichotomy_margin_min"].value > 0
    assert (found["starts_without_delta_bar"].value, found["unasked_share"].value, found["runs"].value) == (0, 0, 2)
    for name in ("stay_bound_ratio_max", "size_bound_ratio_max", "deviation_over_epsilon_max", "collapse_ratio_max"):
        assert found[name].value < 1
    assert found["equation_72_log_ratio_max"].value < 0
    assert found["collapse_norm_ratio_printed"].value > 1
    assert found["cosine_margin_min"].value > 0 > found["cosine_margin_wrong_residual"].value
    assert found["cosine_margin_min"].n == 1
    assert found["kkt_residual_max"].value < 1e-6
    assert all(number.error < 1e-2 * max(1, abs(number.value)) for number in found.values())
