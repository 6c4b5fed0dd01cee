"""Both statements of Theorem 5.1 on numbers that are made up, against loops; and what NCF flows end in."""

from dataclasses import replace

import numpy as np
import pytest

from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.theorem_5_1 import Dichotomy, decades, endings, from_here_on, margin, over_sweeps

EPSILON = np.array([0.1, 0.03])


def plain(norm, misalignment, eta, epsilon):
    """The dichotomy of two_homogeneous."""
    return np.maximum(np.minimum(norm - eta, (1 + 1.5 / eta) * epsilon - misalignment), 2 * epsilon - norm)


def judged(compared, largest=1.0):
    cases = len(compared.loss)
    return Dichotomy.at(compared, np.full(cases, 0.5), np.full(cases, largest), plain)


def test_a_condition_holds_from_here_on_only_if_it_holds_at_all_smaller_scales():
    holds = np.array([[True, False, True, True], [False, True, True, False]])
    assert from_here_on(holds).tolist() == [[False, False, True, True], [False, False, False, False]]


def test_where_one_of_norm_and_angle_decides_the_error_of_the_other_does_not_count():
    norm, apart = Refined(np.array([0.7, 5.0, 0.01]), np.full(3, 0.2)), Refined(np.array([0.0, 0.3, 1.0]), np.full(3, 1e-3))
    found = margin(plain, norm, apart, 0.5, 0.1)
    np.testing.assert_allclose(found.value, [0.2, 0.1, 0.19])
    # the norm decides, then the angle, then the second alternative: the norm again
    np.testing.assert_allclose(found.error, [0.2, 1e-3, 0.2])


def test_a_margin_that_no_error_moves_has_its_rounding():
    found = margin(plain, Refined(np.array([5.0]), np.array([1e-3])), Refined(np.array([0.3]), np.zeros(1)), 0.5, 0.1)
    assert 0 < found.error[0] < 1e-15


def test_only_deltas_from_which_on_the_deviation_stays_small_are_judged(made_up):
    one = judged(made_up([[[0.2, 0.2], [0.05, 0.05], [0.2, 0.01], [0.01, 0.01]]]))
    # 0.2 at the third delta spoils the second; for the smaller epsilon 0.05 is too far
    assert one.close().valid[0].tolist() == [[False, False], [False, False], [False, True], [True, True]]
    np.testing.assert_allclose(one.deviation.value[0, :, 0], np.array([0.2, 0.05, 0.2, 0.01]) / 0.1)


def test_the_readings_are_those_of_a_loop_with_the_errors_of_their_own_runs(made_up):
    rng = np.random.default_rng(0)
    compared = made_up(0.05 * rng.random((5, 4, 2)), norm=1.2, apart=0.1)
    whole = judged(compared)
    found = whole.readings("some_")
    for name in ("deviation", "excess"):
        ratio = getattr(compared, name).value / EPSILON
        at = np.unravel_index(ratio.argmax(), ratio.shape)
        assert found[f"some_{name}_ratio_max"].value == ratio.max()
        assert found[f"some_{name}_ratio_max"].error == getattr(compared, name).error[at] / EPSILON[at[-1]]
    assert found["some_dichotomy_margin_min"].value == pytest.approx((1 + 3) * 0.03 - 0.1)
    assert found["some_dichotomy_margin_min"].n == 40
    with_nothing = Dichotomy.joined([whole.where(np.zeros(4, dtype=bool)[:, None]), whole])
    assert with_nothing.smallest_margin() == whole.smallest_margin()


def test_a_number_that_is_none_is_not_passed_over(made_up):
    compared = made_up(np.full((1, 2, 2), 0.01))
    compared.norm.value[0, 1, 0] = np.nan
    assert np.isnan(judged(compared).smallest_margin().value)


def test_an_epsilon_above_the_largest_and_an_end_that_is_not_resolved_say_nothing(made_up):
    compared = made_up(np.full((2, 1, 2), 0.01))
    compared.resolved[1] = False
    assert judged(compared, largest=0.05).valid.tolist() == [[[False, True]], [[False, False]]]


def test_delta_number_e_belongs_to_epsilon_number_e(made_up):
    compared = made_up(np.arange(4.0).reshape(1, 2, 2))
    np.testing.assert_allclose(judged(compared).diagonal().deviation.value, np.array([[0.0, 3.0]]) / EPSILON)


def test_a_case_without_a_delta_is_counted_and_one_that_is_not_asked_is_not(made_up):
    """Far from its direction at the smallest delta for the smaller epsilon: 1 - cos = 0.2 where 4 epsilon is allowed."""
    apart = np.array([[[0.0, 0.0], [0.2, 0.2]]])
    far = made_up(np.full((1, 2, 2), 0.01), misalignment=Refined(apart, np.full_like(apart, 1e-3)))
    near, unasked = made_up(np.full((1, 2, 2), 0.01)), judged(far, largest=0.01)
    found = over_sweeps([(far, judged(far)), (near, judged(near)), (far, unasked)], bounded=False)
    assert (found["cases_without_delta_bar"].value, found["cases_without_delta_bar"].n) == (1, 4)
    assert found["dichotomy_margin_min"].value == pytest.approx(0.12 - 0.2)  # whatever happens there
    assert found["deviation_ratio_max"].value == pytest.approx(0.01 / 0.03)


def test_delta_bar_is_found_from_the_theorem_and_not_from_the_proof(made_up):
    """0.05 from u is too far for the proof at epsilon = 0.03, and near enough for one of the alternatives."""
    deviation = np.array([[[0.05, 0.05], [0.01, 0.01]]])
    compared = made_up(deviation, norm=1.2)
    found = over_sweeps([(compared, judged(compared))], bounded=False)
    assert found["delta_bar_log10_min"].value == 0
    assert found["close_delta_log10_min"].value == -1
    wide = made_up(deviation, norm=1.2, excess=Refined(4 * deviation, np.full_like(deviation, 1e-4)))
    bounded = over_sweeps([(wide, judged(wide))], bounded=True)
    assert bounded["cases_without_delta_bar"].value == 1  # 0.04 beyond a bound that leaves 0.03
    assert over_sweeps([(wide, judged(wide))], bounded=False)["cases_without_delta_bar"].value == 0


def test_a_flow_that_leaves_its_direction_at_small_deltas_is_not_passed_over(made_up):
    """A made-up flow that refutes the theorem: aligned at large deltas, and elsewhere at all small ones."""
    apart = np.array([[[0.0, 0.0], [0.5, 0.5], [0.5, 0.5]]])
    refutes = made_up(np.full((1, 3, 2), 0.01), misalignment=Refined(apart, np.full_like(apart, 1e-3)))
    found = over_sweeps([(refutes, judged(refutes))], bounded=False)
    assert found["cases_without_delta_bar"].value == 2
    assert found["dichotomy_margin_min"].value < -0.3


def test_flows_of_a_quadratic_end_along_the_larger_label(quadratic):
    study = quadratic.study()
    found = endings([study, study])
    assert (found["cases_direction"].value, found["cases_collapse"].value, found["cases_rest"].value) == (2, 0, 0)
    assert found["kkt_residual_max"].value < 2e-6
    assert found["kkt_value_min"].value == pytest.approx(quadratic.value, abs=1e-10)
    unknown = replace(study, ends=replace(study.ends, residual=study.ends.residual * np.nan))
    assert np.isnan(endings([study, unknown])["kkt_residual_max"].value)


def test_decades_are_those_between_the_extremes():
    assert decades([1e-3, 0.1, 1e-8]).value == pytest.approx(7.0)
    assert decades([0.1]).value == 0
