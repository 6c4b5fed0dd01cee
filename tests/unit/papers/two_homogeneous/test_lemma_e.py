"""Lemmas E.1 and E.2: what the checks find where the lemmas hold, and that they notice where they do not."""

import math

import numpy as np
import pytest
import sympy as sp

from flowcheck.papers.two_homogeneous import kink_example, lemma_e
from flowcheck.papers.two_homogeneous.kink_example import Solutions


def test_identities_are_proved_and_broken_ones_are_not():
    found = lemma_e.proofs()
    assert {name: (number.value, number.n) for name, number in found.items()} == {
        "e1_symbolic_failures": (0, 3),
        "e1_broken_symbolic_failures": (1, 1),
        "e2_symbolic_failures": (0, 4),
        "e2_broken_symbolic_failures": (2, 2),
    }


def test_zero_is_told_from_what_is_not():
    t = sp.symbols("t", positive=True)
    assert lemma_e.is_zero(sp.cosh(2 * t) - 2 * sp.sinh(t) ** 2 - 1)
    assert lemma_e.is_zero((sp.sin(t) ** 2 + sp.cos(t) ** 2 - 1) * sp.exp(t))
    assert not lemma_e.is_zero(sp.cosh(2 * t) - 2 * sp.cosh(t) ** 2)


def test_a_solution_that_waits_is_as_far_from_its_limit_as_at_the_start():
    assert lemma_e.distance_from_limit(7.0) == pytest.approx(math.sqrt(2 - math.sqrt(2)), abs=lemma_e.DIRECTION)
    # the direction is at the angle arctan(tanh 5), the limit at pi / 4: a chord
    chord = 2 * math.sin((math.pi / 4 - math.atan(math.tanh(5.0))) / 2)
    assert lemma_e.distance_from_limit(0.0) == pytest.approx(chord, abs=1e-14)


def test_the_inclusion_holds_up_to_differences_and_not_at_twice_the_velocity():
    found = lemma_e.lemma_e1()
    holds, doubled = found["e1_inclusion_residual"], found["e1_inclusion_residual_rate_doubled"]
    assert holds.value < holds.error < 1e-7
    assert doubled.value > 1.0
    assert found["branch_curves"].shape == (10, 250, 2)


def test_every_case_gets_starts_of_its_own_kind():
    above, right, left, diagonal = np.split(lemma_e.random_starts(np.random.default_rng(0), 50), 4)
    assert (np.abs(above[:, 1]) > np.abs(above[:, 0])).all()
    assert (np.abs(right[:, 1]) <= right[:, 0]).all()
    assert (np.abs(left[:, 1]) < -left[:, 0]).all()
    assert left[0, 1] == 0  # the half-line that absorbs
    assert (np.abs(diagonal[:, 1]) == -diagonal[:, 0]).all()


STARTS = np.array([[0.3, 0.8], [1.0, -0.2], [-1.0, 0.5], [-0.7, -0.7]])


def test_events_find_the_closed_form_and_its_hit():
    found = lemma_e.lemma_e2(STARTS)
    assert found["e2_event_gap"].value < 1e-10
    assert found["e2_event_gap_sign_flipped"].value > 1.0
    assert found["hits"].tolist() == pytest.approx([np.inf, np.inf, math.atanh(0.5), np.inf])
    assert (found["e2_hit_time_gap"].n, found["e2_hit_mismatches"].value) == (1, 0)
    assert found["e2_invariant_defect"].value < 1e-10
    # the field is one-sided Lipschitz with constant 1 here, and is not at the branching point
    assert found["e2_separation_over_bound"].value == pytest.approx(1.0, abs=1e-5)
    # a shift along an axis grows to (cosh 2, sinh 2)
    assert found["e2_separation"].value == pytest.approx(1e-10 * math.sqrt(math.cosh(4)), rel=0.1)
    assert found["e2_separation_branching"].value == pytest.approx(2 * math.sinh(2), rel=1e-6)


def test_a_start_where_solutions_branch_is_refused():
    with pytest.raises(ValueError, match="branching"):
        lemma_e.lemma_e2(np.array([[1.0, 0.0]]))


def test_a_hit_that_only_one_method_sees_is_counted():
    times = np.linspace(0.0, lemma_e.LENGTH, 5)
    exact = Solutions(kink_example.solution(STARTS, times), kink_example.hit_time(STARTS))
    unseen = Solutions(exact.states, np.full(4, np.inf))
    found = lemma_e.against_events(STARTS, exact, unseen, unseen)
    assert found["e2_hit_mismatches"].value == 1
    assert found["e2_hit_time_gap"].n == 0  # nothing is left to compare


def test_distances_are_the_largest_over_time_and_shifts_with_the_largest_change():
    exact = Solutions(np.zeros((2, 3, 2)), np.full(2, np.inf))
    fine, coarse = np.zeros((4, 2, 3, 2)), np.zeros((4, 2, 3, 2))
    fine[3, 0, 1], fine[1, 1, 2], coarse[0, 0, 0] = (3.0, 4.0), (0.0, 2.0), (1.0, 0.0)
    runs = [Solutions(states.reshape(8, 3, 2), np.full(8, np.inf)) for states in (fine, coarse)]
    found = lemma_e.apart(exact, *runs, np.array([1.0, 2.0, 4.0]))
    assert found.value.tolist() == [2.5, 0.5]
    assert found.error.tolist() == [2.5, 0.5]


def test_polygons_drift_by_a_step_where_the_kink_absorbs_and_leave_where_solutions_branch():
    found = lemma_e.polygons(np.random.default_rng(1), 5, 400)
    absorbed, left = found["e2_euler_drift_over_step"], found["e2_euler_drift_over_step_branching_side"]
    assert absorbed.value <= math.sqrt(2) + absorbed.error
    assert (absorbed.n, left.n) == (5, 5)
    # from u1 = 0.1 a solution that leaves at once is at 0.1 (cosh 1, sinh 1); a polygon leaves in its first step
    assert left.value == pytest.approx(400 * 0.1 * math.hypot(math.cosh(1) - 1, math.sinh(1)), rel=0.02)
