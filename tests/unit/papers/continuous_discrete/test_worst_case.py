"""The objective of Appendix B, its flow and its descent, against the gradient of its pieces and nothing else."""

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.integrate import solve_ivp

from flowcheck.errors import ConfigError
from flowcheck.papers.continuous_discrete import appendix_i14, figure_2, proposition_20
from flowcheck.papers.continuous_discrete.worst_case import DIGITS, Slopes, WorstCase
from flowcheck.papers.continuous_discrete.worst_case_paths import Flow, Start
from flowcheck.papers.continuous_discrete.worst_case_runs import Pair, admitted_times, draw, pairs, smallest_step, step_by_step

CONSTANTS = [(3.0, 1e-3), (1e3, 1e-4)]
WIDE = WorstCase(a=mpf(1), reach=mpf(10_000), b=mpf(6), epsilon=mpf("0.1"), width=mpf("0.3"))
"""With a transition that a general integrator sees."""


@pytest.fixture(scope="module")
def flows():
    return draw(np.random.default_rng(5), CONSTANTS, 2)


@pytest.fixture(scope="module")
def chosen(flows):
    with mp.workdps(DIGITS):
        return list(pairs(flows, 3, [1, 10, 300]))


def test_the_paper_s_cut_points():
    o = WorstCase.of(2.0, 10.0, 0.5)
    with mp.workdps(DIGITS):
        assert o.first_cut == 10 * mp.exp(30) + 1
        assert o.second_cut == 11
        assert o.width == mp.exp(-12) / 2
        assert o.second.axis == mp.exp(-12) / 4 - 1


@pytest.mark.parametrize(("a", "b", "epsilon"), [(0, 3, 0.1), (1, 2.9, 0.1), (1, 3, 1.0), (1, 3, 0.0)])
def test_constants_outside_those_of_the_paper_are_refused(a, b, epsilon):
    with pytest.raises(ConfigError, match="Appendix B takes"):
        WorstCase.of(a, b, epsilon)


def test_slopes_in_double_precision_are_those_of_the_pieces():
    functions = [WIDE.second, WorstCase.of(2.0, 10.0, 0.5).second]
    at = Slopes(functions)
    for distance in (1e-6, 0.5, 1.9, 2.0, 5.0, 7.5, 9.0, 20.0):
        exact = [float(f.derivative(f.axis + mpf(distance), 1)) for f in functions]
        np.testing.assert_allclose(at.at(np.full(2, distance)), exact, rtol=1e-12, atol=1e-12)


def test_the_flow_is_that_of_a_general_integrator():
    start = Start(mpf("0.7"), mpf("0.05"), mpf(3))
    flow = Flow(WIDE, start)

    def velocity(_, q):
        slopes = [WIDE.first.derivative(mpf(float(q[0])), 1), WIDE.second.derivative(mpf(float(q[1])), 1)]
        return [-float(slopes[0]), -float(slopes[1]), -12.0 * q[2]]

    with mp.workdps(DIGITS):
        times = [
            float(t)
            for t in (flow.enters_transition / 2, (flow.enters_transition + flow.enters_isotropic) / 2, flow.leaves * mpf("0.99"))
        ]
        begin = [0.7, float(WIDE.second.axis + start.from_axis), 3.0]
        found = solve_ivp(velocity, (0.0, times[-1]), begin, rtol=1e-11, atol=1e-13, max_step=0.05, t_eval=times).y.T
        exact = [[float(value) for value in flow.at(mpf(t))] for t in times]
    np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-10)
    with pytest.raises(ValueError, match="beyond the cut point"):
        flow.at(flow.leaves * 2)


def test_the_nearest_iterate_is_the_nearest_of_all(chosen):
    few = [pair for pair in chosen if pair.is_small and pair.scaled_step > 1e-2]
    with mp.workdps(DIGITS):
        for pair in few[:6]:
            descent = pair.descent()
            x, y, _ = pair.flow.at(pair.time)
            brute = min(mp.hypot(p - x, q - y) for p, q, _ in (descent.at(k) for k in range(descent.leaves + 1)))
            assert proposition_20.nearest(pair, descent) == brute


def test_descent_in_closed_form_is_descent_step_by_step(chosen):
    followed = [pair for pair in chosen if pair.is_small and pair.scaled_step > 3e-3]
    found = appendix_i14.descent_counts(followed, step_by_step(followed))
    for name in ("lemma72_count_mismatches", "lemma77_count_mismatches", "lemma82_count_mismatches", "lemma78_outside"):
        assert (found[name].value, found[name].n > 0) == (0, True)
    assert found["lemma72_descent_gap_max"].value < 1e-11
    assert found["lemma72_count_mismatches_full_rate"].value == len(followed)


def test_a_smaller_constant_than_the_printed_one_still_misses_and_a_tiny_one_does_not(flows):
    with mp.workdps(DIGITS):
        for flow in flows:
            _, last = admitted_times(flow)
            printed = smallest_step(flow.objective, last)
            ray = [
                proposition_20.ray_distance(pair, pair.descent()) for pair in (Pair(flow, last, printed / f) for f in (1, 1e5))
            ]
            assert ray[0] > flow.objective.epsilon > ray[1]


def test_without_anisotropy_descent_stays_on_the_ray_of_the_flow(chosen):
    found = proposition_20.proposition_20(chosen, proposition_20.table(chosen))
    assert found["proposition20_ray_over_epsilon_isotropic_max"].value < 1e-30
    assert found["proposition20_ray_over_epsilon_min"].value > 100
    assert found["proposition20_third_distance_min"].value > 1


def test_the_critical_step_shrinks_with_time_and_the_distance_grows_with_the_step(flows):
    found = proposition_20.laws(flows[:2], 5)
    assert found["critical_step_rate_in_time"].value == pytest.approx(-1, abs=1e-3)
    assert found["ray_exponent_in_step"].value == pytest.approx(1, abs=0.02)


def test_the_proof_s_inequalities_are_sharp_where_they_are_said_to_be(flows, chosen):
    found = appendix_i14.flow_times(flows) | appendix_i14.inequalities(chosen)
    assert found["lemma75_lower_slack_min"].value == pytest.approx(1 / 6, abs=1e-3)
    assert found["lemma75_upper_slack_min"].value == pytest.approx(1 / 12, abs=1e-3)
    assert 1 <= found["lemma85_distance_min"].value < 1.01
    assert found["lemma77_separation_min"].value > 1


def test_figure_2_has_no_jump_and_a_changed_coefficient_has():
    found = figure_2.figure_2([WorstCase.of(1.0, 3.0, 0.1)])
    assert found["figure2_jump_max"].value < 1e-30
    assert found["figure2_jump_changed_min"].value > 0.1
    assert found["figure2_curvature_min"].value == -1
    assert found["figure2_curvature_changed_max"].value < -1.2


def test_half_of_the_constants_leave_nothing_to_say():
    found = proposition_20.admitted(np.array([3.0, 1e6]), np.array([1e-6, 0.5]))
    assert (found["admitted_decades"] > 0).tolist() == [[True, True], [False, True]]
