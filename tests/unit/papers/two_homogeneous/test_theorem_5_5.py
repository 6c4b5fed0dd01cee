"""Theorem 5.5 on paths that are made up, where every margin is known, and on flows from two saddles."""

import dataclasses
import math

import numpy as np
import pytest

from flowcheck.measures.table import Table
from flowcheck.papers.two_homogeneous import theorem_5_5
from flowcheck.papers.two_homogeneous.saddle_systems import collapsing, figure_4
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles.constants import Growth
from flowcheck.saddles.departure import Departure, ResidualFlow, draw_starts

EPSILONS = [0.1, 0.03]
TARGET = np.array([1.0, 0.0])
U = ResidualFlow(lambda t: (1 + t) * TARGET, TARGET, np.array([1.0, 2.0]), np.array([2.0, 3.0]), 1.0)
TAU, DELTA = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.1, 0.01])
CONSTANTS = Growth(radius=1.0, mu1=1.0, mu2=1.0, mu3=1.0, m2=1.5)


def made_up(distance):
    """w_z / delta is u plus `distance` [s] across the target, w_n stays at a distance of delta."""
    across = np.zeros((2, 4, 2))
    across[..., 1] = distance[:, None]
    a = np.zeros((2, 4, 3))
    a[..., 0] = 1.0
    return Departure(DELTA, TAU, a, across, np.stack([U.curve(t) for t in TAU]), 0)


def test_margins_of_a_made_up_path():
    found = theorem_5_5.judge(made_up(np.array([0.05, 0.01])), U, 1.0, CONSTANTS, EPSILONS)
    # eta is 1/2; both epsilons and both deltas are judged, where u = 2 and where u = 3
    cosines = {(u, d): u / math.hypot(u, d) for u in (2, 3) for d in (0.05, 0.01)}
    margins = [cosines[u, d] - 1 + 4 * epsilon for u, epsilon in ((2, 0.1), (3, 0.03)) for d in (0.05, 0.01)]
    assert found["cosine"] == pytest.approx(min(margins))
    assert found["margin"] == pytest.approx(min(margins))
    assert found["norm"] == pytest.approx(math.hypot(2, 0.01) - 0.5)
    assert found["within"] == pytest.approx(0.05 / 0.03)
    assert (found["missing"], found["asked"]) == (0, 2)
    assert found["collapse"] == pytest.approx(math.hypot(3, 0.05) / 0.06)
    # the theorem holds from the larger delta on, closeness at the smaller epsilon from the smaller one only
    assert (found["bar"], found["close_bar"]) == (-1, -2)


def test_an_epsilon_at_which_the_bound_says_nothing_is_not_asked():
    """With eta = 0.05 the bound on the cosine is 1 - 31 epsilon."""
    found = theorem_5_5.judge(made_up(np.array([0.05, 0.01])), U, 0.1, CONSTANTS, EPSILONS)
    assert found["asked"] == 1
    never = theorem_5_5.judge(made_up(np.array([0.05, 0.01])), U, 0.01, CONSTANTS, EPSILONS)
    assert never["asked"] == 0
    assert math.isnan(never["margin"])


def test_a_flow_that_does_not_align_is_judged_where_it_is_far_from_u():
    """A made-up flow that refutes the theorem: it turns away by more, the smaller delta is."""
    found = theorem_5_5.judge(made_up(np.array([0.01, 5.0])), U, 1.0, CONSTANTS, EPSILONS)
    assert found["missing"] == 1
    assert found["margin"] < -0.3
    assert found["bar"] == -math.inf


def test_growth_is_judged_where_the_lemma_claims_it():
    found = theorem_5_5.judge(made_up(np.zeros(2)), U, 1.0, CONSTANTS, EPSILONS)
    # ln(2 delta^2) + 3 t <= 0 up to t = 1.3 for the larger delta and at all times for the smaller
    ratios = [math.log((1 + (1 + t) ** 2) / 2) / (3 * t) for t in TAU[1:]]
    assert found["rate_ratio"] == pytest.approx(max(ratios))
    late = dataclasses.replace(CONSTANTS, radius=0.2)  # only the smaller delta, and before t = 1.77
    assert theorem_5_5.judge(made_up(np.zeros(2)), U, 1.0, late, EPSILONS)["rate_ratio"] == pytest.approx(max(ratios[:2]))


def test_the_literal_delta_meets_the_condition_of_the_lemma_with_equality_and_stays_a_number():
    delta = theorem_5_5.literal_delta(CONSTANTS, 2.0)
    assert 2 * math.exp(2 * 1.5 * 2.0) * delta**2 == pytest.approx(1.0)
    assert theorem_5_5.literal_delta(CONSTANTS, 1e4) == theorem_5_5.SMALLEST_DELTA


def test_slopes_drop_points_that_two_tolerances_do_not_agree_on():
    scales, rows = np.array([1e-1, 1e-4, 1e-5, 1e-6, 1e-7]), []
    for factor in (1.0, 3.0):
        row = {}
        for name, power in (("deviation", 1), ("stay", 1), ("astray", 0)):
            for k, scale in enumerate(scales):
                value = factor * scale**power
                off = 1.5 if (name, k) == ("deviation", 1) else 1 + 1e-5
                row |= {f"{name}_{k}": Measurement(value, 1e-5 * value), f"{name}_{k}_coarse": Measurement(off * value, value)}
        rows.append(row if factor == 1.0 else {name: cell for name, cell in row.items() if not name.startswith("astray")})
    found = theorem_5_5.slopes(Table.of(rows), scales, (1e-7, 1e-4))
    assert found["deviation_slope"].value == pytest.approx(1.0)
    assert (found["deviation_slope"].n, found["deviation_points_dropped"].value) == (2, 2)
    assert found["stay_slope"].error == pytest.approx(2e-5 / math.log(1e3))
    assert found["astray_slope"].value == pytest.approx(0.0, abs=1e-12)
    assert found["astray_slope"].n == 4


def test_flows_from_two_saddles_keep_the_bounds_and_the_control_does_not():
    rows = []
    for build in (figure_4, collapsing):
        rng = np.random.default_rng(2)
        saddle = build(rng)
        (start,) = draw_starts(saddle, 1, np.array(EPSILONS), 100.0, rng).starts
        control = build is figure_4
        row, shown = theorem_5_5.run(
            build.__name__, saddle, start, epsilons=EPSILONS, scales=[1e-2, 1e-4, 1e-5, 1e-6], largest_scale=1.0, control=control
        )
        assert ("cosine" in shown) == control
        rows.append(row)
    runs = Table.of(rows)
    found = theorem_5_5.readings_of(runs)
    for name in ("deviation_over_epsilon_max", "growth_rate_ratio_max", "collapse_ratio_max"):
        assert found[name].value < 1
    assert found["cosine_margin_min"].value > 0 > found["cosine_margin_wrong_residual"].value
    assert found["runs"].value == 2
    slopes = theorem_5_5.slopes(runs, np.array([1e-2, 1e-4, 1e-5, 1e-6]), (1e-7, 1e-4))
    assert slopes["deviation_slope"].value == pytest.approx(1.0, abs=0.02)
    assert slopes["deviation_slope"].interval is None
    assert slopes["astray_slope"].value == pytest.approx(0.0, abs=0.02)
