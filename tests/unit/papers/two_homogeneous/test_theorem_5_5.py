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
    # eta is 1/2; the first epsilon keeps both deltas and is judged where u = 2, the second the smaller one, where u = 3
    bounds, cosines = [1 - 4 * epsilon for epsilon in EPSILONS], [2 / math.hypot(2, 0.05), 3 / math.hypot(3, 0.01)]
    assert found["cosine"] == pytest.approx(min(c - b for c, b in zip(cosines, bounds, strict=True)))
    assert found["bound"] == pytest.approx(0.6)
    assert found["norm"] == pytest.approx(math.hypot(2, 0.01) - 0.5)
    assert found["within"] == pytest.approx(0.01 / 0.03)
    assert found["again"] == 0
    assert found["collapse"] == pytest.approx(math.hypot(3, 0.01) / 0.06)


def test_growth_is_judged_where_the_lemma_claims_it():
    found = theorem_5_5.judge(made_up(np.zeros(2)), U, 1.0, CONSTANTS, EPSILONS)
    # ln(2 delta^2) + 3 t <= 0 up to t = 1.3 for the larger delta and at all times for the smaller
    ratios = [math.log((1 + (1 + t) ** 2) / 2) / (3 * t) for t in TAU[1:]]
    assert found["rate_ratio"] == pytest.approx(max(ratios))
    late = dataclasses.replace(CONSTANTS, radius=0.2)  # only the smaller delta, and before t = 1.77
    assert theorem_5_5.judge(made_up(np.zeros(2)), U, 1.0, late, EPSILONS)["rate_ratio"] == pytest.approx(max(ratios[:2]))


def test_a_deviation_that_returns_at_a_smaller_delta_is_counted_and_nothing_small_leaves_no_margin():
    assert theorem_5_5.judge(made_up(np.array([0.01, 0.05])), U, 1.0, CONSTANTS, EPSILONS)["again"] == 1
    far = theorem_5_5.judge(made_up(np.array([0.5, 0.4])), U, 1.0, CONSTANTS, EPSILONS)
    assert far["within"] > 1
    assert all(math.isnan(far[name]) for name in ("cosine", "norm", "collapse"))


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
                off = 1.5 if (name, k) == ("deviation", 4) else 1 + 1e-5
                row |= {f"{name}_{k}": Measurement(value, 1e-5 * value), f"{name}_{k}_coarse": Measurement(off * value, value)}
        rows.append(row if factor == 1.0 else {name: cell for name, cell in row.items() if not name.startswith("astray")})
    found = theorem_5_5.slopes(Table.of(rows), scales, (1e-7, 1e-4))
    assert found["deviation_slope"].value == pytest.approx(1.0)
    assert (found["deviation_slope"].n, found["deviation_points_dropped"].value) == (6, 2)
    assert found["stay_slope"].error == pytest.approx(2e-5 / math.log(1e3))
    assert found["astray_slope"].value == pytest.approx(0.0, abs=1e-12)
    assert found["astray_slope"].n == 4


def test_flows_from_two_saddles_keep_the_bounds_and_the_control_does_not():
    rows = []
    for build in (figure_4, collapsing):
        rng = np.random.default_rng(2)
        saddle = build(rng)
        (start,), _ = draw_starts(saddle, 1, np.array(EPSILONS), 100.0, rng)
        control = build is figure_4
        row, shown = theorem_5_5.run(
            build.__name__, saddle, start, epsilons=EPSILONS, scales=[1e-2, 1e-4, 1e-5, 1e-6], control=control
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
    assert slopes["astray_slope"].value == pytest.approx(0.0, abs=0.02)
