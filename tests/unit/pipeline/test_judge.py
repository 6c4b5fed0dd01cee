"""The judge: six verdicts, their order, and everything that must never be called supported."""

import dataclasses
import json
import math
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flowcheck.pipeline.claims import LARGEST, Claim, Verdict
from flowcheck.pipeline.evidence import Measurement
from flowcheck.pipeline.judge import ERROR_FACTOR, confront, judge

NAN, INF = math.nan, math.inf
HUGE = sys.float_info.max

# the standard case: error <= 1 is claimed, the broken claim must exceed 2, the hypothesis is defect <= 0.5
ERROR = {"metric": "error", "is": "<=", "value": 1.0, "why": "the theorem"}
BROKEN = {"name": "rate doubled", "metric": "broken", "is": ">", "value": 2.0}
DEFECT = {"metric": "defect", "is": "<=", "value": 0.5, "why": "balanced start"}
TRIVIAL = {"vacuous_above": 10.0, "vacuous_why": "the bound is then far away"}
IMPLIED = {"metric": "chosen", "is": "<=", "value": 1.0, "why": "the theorem", "implied": "runs are chosen by it"}


def claim(predicates=(ERROR,), controls=(BROKEN,), hypotheses=(), **rest):
    return Claim.model_validate(
        {
            "id": "theorem-1",
            "label": "Theorem 1",
            "title": "A bound",
            "location": "Section 1",
            "kind": "theorem",
            "class": "inequality",
            "priority": "A",
            "covers": {"parts": "all of it", "over": "one run"},
            "statement": "error is at most one",
            "experiment": "decay",
            "predicates": list(predicates),
            "controls": list(controls),
            "hypotheses": list(hypotheses),
            **({} if controls else {"no_control": "nothing can fail"}),
            **rest,
        }
    )


def trivial_above(limit):
    """The standard claim, whose predicate holds trivially with a margin above `limit`."""
    return claim([ERROR | TRIVIAL | {"vacuous_above": limit}])


def metrics(error=0.5, broken=3.0, **rest):
    values = {"error": error, "broken": broken, **rest}
    return {name: v if isinstance(v, Measurement) else Measurement.exact(v) for name, v in values.items() if v is not None}


def verdict(the_claim=None, **measured):
    return judge(the_claim or claim(), metrics(**measured)).verdict


def with_hypothesis():
    return claim(hypotheses=[DEFECT])


# ---------------------------------------------------------------------------------------------------------- six verdicts


def test_judge_supports_a_claim_whose_predicate_holds_and_whose_control_fails():
    ruling = judge(claim(), metrics())
    assert ruling.verdict == Verdict.SUPPORTED
    assert ruling.slack == 0.5
    assert ruling.reason == "all 1 predicates hold, all 1 controls fail"


def test_judge_contradicts_a_claim_whose_predicate_fails():
    ruling = judge(claim(), metrics(error=1.5))
    assert ruling.verdict == Verdict.CONTRADICTED
    assert ruling.slack == -0.5
    assert "error <= 1 fails: measured 1.5" in ruling.reason


def test_judge_is_inconclusive_when_a_control_passes():
    ruling = judge(claim(), metrics(broken=0.5))
    assert ruling.verdict == Verdict.INCONCLUSIVE
    assert "no teeth, control 'rate doubled' does not fail" in ruling.reason


def test_judge_calls_a_bound_that_holds_only_trivially_vacuous():
    assert verdict(trivial_above(0.25)) == Verdict.VACUOUS
    assert verdict(trivial_above(0.5)) == Verdict.SUPPORTED  # slack exactly at the limit
    assert verdict(trivial_above(0.75)) == Verdict.SUPPORTED


def test_judge_reports_a_hypothesis_that_the_run_does_not_meet():
    ruling = judge(with_hypothesis(), metrics(defect=0.6))
    assert ruling.verdict == Verdict.HYPOTHESIS_NOT_MET
    assert ruling.reason.startswith("balanced start: defect <= 0.5 fails")


def test_judge_names_the_measured_hypothesis_before_those_that_are_no_number():
    signal = {"metric": "signal", "is": ">", "value": 0.0, "why": "the data must carry a signal"}
    ruling = judge(claim(hypotheses=[DEFECT, signal]), metrics(error=NAN, broken=NAN, defect=NAN, signal=0.0))
    assert ruling.verdict == Verdict.HYPOTHESIS_NOT_MET
    assert ruling.reason.startswith("the data must carry a signal: signal > 0 fails: measured 0")


@pytest.mark.parametrize("nothing", [None, {}], ids=["none", "empty"])
def test_judge_says_not_run_where_nothing_was_measured(nothing):
    ruling = judge(claim(), nothing)
    assert ruling.verdict == Verdict.NOT_RUN
    assert ruling.reason == "there is no evidence: an empty set of measurements proves nothing"
    assert (ruling.slack, ruling.error, ruling.n) == (None, None, None)
    assert [finding.outcome for finding in ruling.predicates + ruling.controls] == ["missing", "missing"]


def test_judge_supports_a_claim_that_says_why_it_can_have_no_control():
    assert verdict(claim(controls=())) == Verdict.SUPPORTED


# ------------------------------------------------------------------------------------------------------------ precedence

MISSING, BAD, GOOD = "missing", "bad", "good"
DEFECTS = {MISSING: None, BAD: 0.6, GOOD: 0.1}
CONTROLS = {MISSING: None, BAD: 0.5, GOOD: 3.0}
ERRORS = {MISSING: None, "fails": 1.5, "undecided": NAN, "vacuous": -100.0, GOOD: 0.5}


def expected_verdict(defect, control, error):
    """DESIGN section 4 in the order in which it is written."""
    if MISSING in (defect, error):
        return Verdict.NOT_RUN
    if defect == BAD:
        return Verdict.HYPOTHESIS_NOT_MET
    if control != GOOD:
        return Verdict.INCONCLUSIVE
    return {
        "undecided": Verdict.INCONCLUSIVE,
        "fails": Verdict.CONTRADICTED,
        "vacuous": Verdict.VACUOUS,
        GOOD: Verdict.SUPPORTED,
    }[error]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("defect", DEFECTS)
def test_judge_asks_its_questions_in_the_order_of_the_design(defect, control, error):
    measured = metrics(error=ERRORS[error], broken=CONTROLS[control], defect=DEFECTS[defect])
    the_claim = claim([ERROR | TRIVIAL], hypotheses=[DEFECT])
    assert judge(the_claim, measured).verdict == expected_verdict(defect, control, error)


def test_judge_contradicts_when_a_clear_failure_stands_beside_an_undecided_predicate():
    other = {"metric": "other", "is": ">=", "value": 0.0, "why": "second half"}
    for predicates in ([ERROR, other], [other, ERROR]):
        both = claim(predicates, [BROKEN | {"against": "error"}])
        assert verdict(both, error=1.5, other=NAN) == Verdict.CONTRADICTED
        assert verdict(both, error=0.5, other=NAN) == Verdict.INCONCLUSIVE
        assert verdict(both, error=0.5, other=-1.0) == Verdict.CONTRADICTED
        assert verdict(both, error=0.5, other=1.0) == Verdict.SUPPORTED


def test_judge_does_not_contradict_on_a_failure_when_a_control_is_toothless():
    assert verdict(error=1.5, broken=0.5) == Verdict.INCONCLUSIVE


def test_slack_is_the_smallest_margin_and_carries_its_own_error_and_count():
    other = {"metric": "other", "is": ">=", "value": 0.0, "why": "second half"}
    both = claim([ERROR, other], [BROKEN | {"against": "error"}])
    ruling = judge(both, metrics(error=Measurement(-9.0, 0.1, n=3), other=Measurement(0.25, 0.01, n=7)))
    assert (ruling.verdict, ruling.slack, ruling.error, ruling.n) == (Verdict.SUPPORTED, 0.25, 0.01, 7)


def test_slack_is_compared_in_units_of_the_threshold_and_of_the_error():
    near = {"metric": "share", "is": "<=", "value": 1000.0, "why": "the theorem"}
    the_claim = claim([ERROR, near], [BROKEN | {"against": "error"}])
    ruling = judge(the_claim, metrics(error=Measurement(0.4, 1e-3), share=Measurement(900.0, 2.0)))
    assert (ruling.metric, ruling.value, ruling.threshold, ruling.slack) == ("share", 900.0, 1000.0, 100.0)
    assert (ruling.over_threshold, ruling.over_error) == (pytest.approx(0.1), pytest.approx(50.0))
    exact = judge(claim([ERROR | {"value": 0.0}], [BROKEN]), metrics(error=-0.25))
    assert (exact.over_threshold, exact.over_error) == (0.25, None), "a threshold of 0 has the unit 1, an exact number no error"


@pytest.mark.parametrize(
    ("kind", "sign", "threshold", "value", "factor"),
    [
        ("ratio", "<=", 1.0, 0.25, 4.0),
        ("ratio", ">=", 0.1, 0.3, 3.0),
        ("excess", ">=", 0.0, 1.5, 2.5),
        ("excess", "<=", 0.0, -0.75, 4.0),
        ("log", "<=", 0.0, -math.log(8.0), 8.0),
        ("log", "<=", 0.0, -1e4, 1e30),
        ("ratio", "<=", 1.0, 0.0, None),
        ("excess", "<=", 0.0, -1.0, None),
        ("excess", "<=", 0.0, 0.5, None),  # it fails: there is nothing to be loose
        (None, "<=", 1.0, 0.25, None),
    ],
)
def test_a_bound_is_as_loose_as_the_factor_between_it_and_what_it_bounds(kind, sign, threshold, value, factor):
    bound = {"metric": "error", "is": sign, "value": threshold, "why": "the theorem", "bound": kind}
    miss = {"is": "<" if sign == ">=" else ">", "value": threshold - 1 if sign == ">=" else threshold + 1}
    ruling = judge(claim([bound], [BROKEN | miss]), metrics(error=value, broken=-10.0 if sign == ">=" else 10.0))
    assert ruling.predicates[0].looseness == (None if factor is None else pytest.approx(factor))
    assert ruling.looseness == ruling.predicates[0].looseness


def test_the_typical_run_has_its_own_looseness_and_its_absence_decides_nothing():
    the_claim = claim([ERROR | {"bound": "ratio", "typical": "error_median"}])
    assert "error_median" in the_claim.metrics()
    (finding,) = judge(the_claim, metrics(error=0.5, error_median=0.125)).predicates
    assert (finding.looseness, finding.typical) == (pytest.approx(2.0), pytest.approx(8.0))
    without = judge(the_claim, metrics(error=0.5))
    assert (without.verdict, without.predicates[0].typical) == (Verdict.SUPPORTED, None)
    with pytest.raises(ValueError, match="'typical' is for bounds, and 'error' has no 'bound'"):
        claim([ERROR | {"typical": "error_median"}])


def test_slack_passes_over_a_count_that_meets_its_limit_exactly():
    count = {"metric": "violations", "is": "<=", "value": 0.0, "why": "none among n"}
    both = claim([ERROR, count], [BROKEN | {"against": "error"}])
    ruling = judge(both, metrics(error=Measurement(0.4, 0.01), violations=Measurement.exact(0.0, n=50)))
    assert (ruling.verdict, ruling.slack) == (Verdict.SUPPORTED, pytest.approx(0.6))
    failed = judge(both, metrics(error=Measurement(0.4, 0.01), violations=Measurement.exact(2.0, n=50)))
    assert (failed.verdict, failed.slack) == (Verdict.CONTRADICTED, -2.0)
    strict = claim([ERROR, count | {"is": "<"}], [BROKEN | {"against": "error"}])
    missed = judge(strict, metrics(error=Measurement(0.4, 0.01), violations=Measurement.exact(0.0, n=50)))
    assert (missed.verdict, missed.slack) == (Verdict.CONTRADICTED, 0.0)


# ------------------------------------------------------------------------------------------- numbers that are no numbers

NOT_NUMBERS = {
    "value NaN": Measurement.exact(NAN),
    "value +inf": Measurement.exact(INF),
    "value -inf, an infinite slack": Measurement.exact(-INF),
    "error NaN": Measurement(0.5, NAN),
    "error inf": Measurement(0.5, INF),
}


@pytest.mark.parametrize("measurement", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_judge_is_inconclusive_on_a_predicate_that_is_no_number(measurement):
    ruling = judge(trivial_above(1.0), metrics(error=measurement))
    assert ruling.verdict == Verdict.INCONCLUSIVE
    assert "both must be finite numbers" in ruling.reason
    assert ruling.slack is None


@pytest.mark.parametrize("measurement", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_judge_is_inconclusive_on_a_control_that_is_no_number(measurement):
    assert verdict(broken=measurement) == Verdict.INCONCLUSIVE


@pytest.mark.parametrize("measurement", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_judge_calls_a_hypothesis_that_is_no_number_not_met(measurement):
    assert verdict(with_hypothesis(), defect=measurement) == Verdict.HYPOTHESIS_NOT_MET


def test_judge_calls_an_undecided_hypothesis_not_met():
    assert verdict(with_hypothesis(), defect=Measurement(0.4, 0.02)) == Verdict.HYPOTHESIS_NOT_MET
    assert verdict(with_hypothesis(), defect=Measurement(0.4, 0.005)) == Verdict.SUPPORTED
    assert verdict(with_hypothesis(), defect=Measurement.exact(0.4, interval=(0.3, 0.6))) == Verdict.HYPOTHESIS_NOT_MET


def test_a_margin_that_overflows_stays_a_number_that_json_can_hold():
    lowest = claim([ERROR | {"value": LARGEST}], controls=())
    ruling = judge(lowest, metrics(error=-HUGE))
    assert ruling.slack == HUGE
    json.dumps(ruling.model_dump(mode="json"), allow_nan=False)
    assert judge(lowest, metrics(error=Measurement(-HUGE, HUGE))).verdict == Verdict.INCONCLUSIVE


# ---------------------------------------------------------------------------------------------------------- missing, empty


def test_judge_says_not_run_when_the_metric_of_a_predicate_is_missing():
    ruling = judge(claim(), metrics(error=None))
    assert (ruling.verdict, ruling.reason) == (Verdict.NOT_RUN, "metric error was not measured")


def test_judge_says_not_run_when_the_metric_of_a_hypothesis_is_missing():
    assert verdict(with_hypothesis(), defect=None) == Verdict.NOT_RUN


def test_judge_is_inconclusive_when_the_metric_of_a_control_is_missing():
    assert verdict(broken=None) == Verdict.INCONCLUSIVE


def test_judge_is_inconclusive_when_one_of_two_controls_passes():
    second = BROKEN | {"name": "labels permuted", "metric": "second"}
    two = claim(controls=[BROKEN, second])
    assert verdict(two, second=3.0) == Verdict.SUPPORTED
    assert verdict(two, second=0.5) == Verdict.INCONCLUSIVE
    assert verdict(two, broken=0.5, second=3.0) == Verdict.INCONCLUSIVE


@pytest.mark.parametrize("value", [0.5, 1.5, NAN], ids=["holds", "fails", "mean of nothing"])
def test_judge_says_not_run_for_a_predicate_measured_on_an_empty_set(value):
    assert verdict(error=Measurement.exact(value, n=0)) == Verdict.NOT_RUN


def test_judge_says_not_run_for_a_hypothesis_measured_on_an_empty_set():
    assert verdict(with_hypothesis(), defect=Measurement.exact(0.1, n=0)) == Verdict.NOT_RUN


def test_judge_is_inconclusive_when_a_control_was_measured_on_an_empty_set():
    assert verdict(broken=Measurement.exact(3.0, n=0)) == Verdict.INCONCLUSIVE


def test_judge_accepts_a_measurement_of_one():
    assert verdict(error=Measurement.exact(0.5, n=1), broken=Measurement.exact(3.0, n=1)) == Verdict.SUPPORTED


# --------------------------------------------------------------------------------------------------- control, not resolved


def test_judge_is_inconclusive_when_a_control_misses_by_less_than_it_says():
    assert verdict(broken=1.5) == Verdict.INCONCLUSIVE  # misses the predicate (1), not by the margin that it names (2)


def test_judge_is_inconclusive_when_the_miss_of_a_control_is_within_its_error():
    assert verdict(broken=Measurement(3.0, 0.2)) == Verdict.INCONCLUSIVE
    assert verdict(broken=Measurement(3.0, 0.1)) == Verdict.SUPPORTED


def test_judge_is_inconclusive_when_the_interval_of_a_control_straddles_its_threshold():
    assert verdict(broken=Measurement.exact(3.0, interval=(1.9, 4.0))) == Verdict.INCONCLUSIVE
    assert verdict(broken=Measurement.exact(3.0, interval=(2.1, 4.0))) == Verdict.SUPPORTED


# ------------------------------------------------------------------------------------------------------ error and interval


@pytest.mark.parametrize(
    ("value", "error", "verdict_"),
    [
        (0.5, 0.05, Verdict.SUPPORTED),  # margin exactly ten errors: "smaller than ten times" is what is refused
        (0.5, math.nextafter(0.05, 1), Verdict.INCONCLUSIVE),
        (1.5, 0.05, Verdict.CONTRADICTED),
        (1.5, math.nextafter(0.05, 1), Verdict.INCONCLUSIVE),
        (1.0, 1e-300, Verdict.INCONCLUSIVE),
    ],
)
def test_judge_wants_a_margin_of_ten_errors_on_either_side(value, error, verdict_):
    assert ERROR_FACTOR == 10
    assert verdict(error=Measurement(value, error)) == verdict_


INTERVALS = {
    "inside": ((0.4, 0.6), 0.5, Verdict.SUPPORTED),
    "end on the threshold, which <= admits": ((0.4, 1.0), 0.5, Verdict.SUPPORTED),
    "straddling": ((0.4, 1.1), 0.5, Verdict.INCONCLUSIVE),
    "straddling, value beyond": ((0.4, 1.6), 1.5, Verdict.INCONCLUSIVE),
    "beyond": ((1.1, 1.6), 1.5, Verdict.CONTRADICTED),
    "begins on the threshold": ((1.0, 1.6), 1.5, Verdict.INCONCLUSIVE),
    "a point": ((0.5, 0.5), 0.5, Verdict.INCONCLUSIVE),
    "NaN below": ((NAN, 0.6), 0.5, Verdict.INCONCLUSIVE),
    "NaN above": ((0.4, NAN), 0.5, Verdict.INCONCLUSIVE),
    "all the line": ((-INF, INF), 0.5, Verdict.INCONCLUSIVE),
    "half the line, on the good side": ((-INF, 0.6), 0.5, Verdict.INCONCLUSIVE),
}


@pytest.mark.parametrize(("interval", "value", "verdict_"), INTERVALS.values(), ids=INTERVALS)
def test_judge_wants_the_whole_interval_on_one_side(interval, value, verdict_):
    assert verdict(error=Measurement.exact(value, interval=interval)) == verdict_


def test_the_numerical_error_is_held_against_the_nearer_end_of_the_interval():
    assert verdict(error=Measurement(0.5, 0.02, interval=(0.4, 0.6))) == Verdict.SUPPORTED
    assert verdict(error=Measurement(0.5, 0.02, interval=(0.4, 0.9))) == Verdict.INCONCLUSIVE
    assert verdict(error=Measurement(1.5, 0.02, interval=(1.1, 1.6))) == Verdict.INCONCLUSIVE
    assert judge(claim(), metrics(error=Measurement.exact(0.5, interval=(0.4, 0.9)))).slack == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        ("<=", "holds", "holds", "fails"),
        ("<", "holds", "fails", "fails"),
        (">=", "fails", "holds", "holds"),
        (">", "fails", "fails", "holds"),
    ],
)
def test_strict_and_non_strict_comparison_differ_at_equality_only(comparison, below, equal, above):
    condition = claim([ERROR | {"is": comparison}], controls=()).predicates[0]
    values = (math.nextafter(1.0, 0.0), 1.0, math.nextafter(1.0, 2.0))
    found = [confront(condition, metrics(error=value), "predicate").outcome for value in values]
    assert found == [below, equal, above]


def test_a_finding_records_what_was_measured_and_nothing_json_cannot_hold():
    finding = judge(claim(), metrics(error=Measurement(NAN, INF, (NAN, 1.0), 4))).predicates[0]
    assert (finding.value, finding.error, finding.interval, finding.n) == (None, None, None, 4)
    finding = judge(claim(), metrics(error=Measurement(0.5, 0.01, (0.4, 0.6), 4))).predicates[0]
    assert (finding.value, finding.error, finding.interval, finding.n) == (0.5, 0.01, (0.4, 0.6), 4)


# ---------------------------------------------------------------------------------------- claims without teeth are refused


@pytest.mark.parametrize(
    ("predicate", "control"),
    [
        (("<=", 1.0), ("<", 0.5)),
        (("<=", 1.0), ("<=", 2.0)),
        (("<=", 1.0), (">", 0.5)),
        (("<=", 1.0), (">=", 1.0)),
        ((">=", 1.0), (">", 2.0)),
        ((">=", 1.0), ("<=", 1.0)),
        ((">", 1.0), ("<", 1.5)),
    ],
    ids=str,
)
def test_a_control_that_could_pass_its_predicate_is_refused_with_the_claim(predicate, control):
    with pytest.raises(ValidationError, match="threshold on the wrong side"):
        claim(
            [ERROR | {"is": predicate[0], "value": predicate[1]}],
            [BROKEN | {"is": control[0], "value": control[1]}],
        )


@pytest.mark.parametrize(
    ("predicate", "control"),
    [(("<=", 1.0), (">", 1.0)), (("<", 1.0), (">=", 1.0)), ((">", 1.0), ("<=", 1.0)), (("<", 1.0), (">", 1.0))],
    ids=str,
)
def test_a_control_may_begin_where_its_predicate_ends(predicate, control):
    claim([ERROR | {"is": predicate[0], "value": predicate[1]}], [BROKEN | {"is": control[0], "value": control[1]}])


@pytest.mark.parametrize("order", [1, -1], ids=["lower side first", "upper side first"])
def test_a_control_of_a_two_sided_check_must_miss_one_side_whatever_their_order(order):
    sides = [ERROR | {"is": ">=", "value": 0.9}, ERROR | {"is": "<=", "value": 1.1}][::order]
    for against in ({}, {"against": "error"}):
        for broken in ({"is": "<", "value": 0.5}, {"is": ">", "value": 2.0}):
            two_sided = claim(sides, [BROKEN | broken | against])
            assert two_sided.predicate_of(two_sided.controls[0]).comparison == {"<": ">=", ">": "<="}[broken["is"]]
        with pytest.raises(ValidationError, match="threshold on the wrong side"):
            claim(sides, [BROKEN | {"is": "<", "value": 1.0} | against])


def test_a_claim_needs_controls_or_the_reason_why_there_are_none_and_not_both():
    with pytest.raises(ValidationError, match="and has neither"):
        claim(controls=(), no_control="")
    with pytest.raises(ValidationError, match="and has both"):
        claim(no_control="a reason is given")


def test_a_claim_without_predicates_is_refused():
    with pytest.raises(ValidationError, match="predicates"):
        claim(predicates=())


@pytest.mark.parametrize("threshold", [NAN, INF, -INF])
def test_a_threshold_is_a_finite_number(threshold):
    with pytest.raises(ValidationError, match="finite"):
        claim([ERROR | {"value": threshold}])
    with pytest.raises(ValidationError):
        trivial_above(threshold)


def test_the_control_of_a_claim_with_several_metrics_says_which_one_it_tests():
    other = {"metric": "other", "is": ">=", "value": 0.0, "why": "second half"}
    with pytest.raises(ValidationError, match="'against' is None; allowed: 'error', 'other'"):
        claim([ERROR, other])
    with pytest.raises(ValidationError, match="'against' is 'nothing'; allowed: 'error', 'other'"):
        claim([ERROR, other], [BROKEN | {"against": "nothing"}])


# ------------------------------------------------------------------------------------------- what cannot be talked round


def test_a_tight_predicate_of_another_unit_does_not_hide_that_a_bound_is_trivial():
    count = {"metric": "n_runs", "is": ">=", "value": 19.5, "why": "a count"}
    both = claim([ERROR | TRIVIAL | {"value": 1e6, "vacuous_above": 3.0}, count], [BROKEN | {"value": 2e6, "against": "error"}])
    ruling = judge(both, metrics(error=0.5, broken=3e6, n_runs=20.0))
    assert ruling.verdict == Verdict.VACUOUS
    assert ruling.reason.startswith("error <= 1e+06 holds only trivially")


def test_a_predicate_that_is_implied_neither_supports_nor_contradicts():
    both = claim([ERROR, IMPLIED], [BROKEN | {"against": "error"}])
    ruling = judge(both, metrics(error=0.5, chosen=0.9999))
    assert ruling.verdict == Verdict.SUPPORTED
    assert ruling.reason == "all 2 predicates hold, 1 of them implied, all 1 controls fail"
    assert ruling.slack == 0.5  # not the one that the runs were chosen with
    assert ruling.weak == []  # nothing can break what is implied
    assert ruling.predicates[1].implied == "runs are chosen by it"
    assert judge(both, metrics(error=1.5, chosen=0.5)).verdict == Verdict.CONTRADICTED
    for chosen in (1.5, NAN):
        unfit = judge(both, metrics(error=0.5, chosen=chosen))
        assert unfit.verdict == Verdict.INCONCLUSIVE
        assert unfit.reason.startswith("measured otherwise than the run was chosen (runs are chosen by it): chosen <= 1")


def test_a_claim_of_implied_predicates_alone_is_refused():
    with pytest.raises(ValidationError, match="all predicates are 'implied'"):
        claim([IMPLIED])


@pytest.mark.parametrize("half", ["vacuous_above", "vacuous_why"])
def test_a_limit_of_triviality_has_a_reason(half):
    with pytest.raises(ValidationError, match=f"'error' has the {'limit' if half == 'vacuous_above' else 'reason'} only"):
        claim([ERROR | {half: TRIVIAL[half]}])


@pytest.mark.parametrize("value", [1e31, -1e308, HUGE])
@pytest.mark.parametrize("role", ["predicates", "hypotheses", "controls"])
def test_a_condition_that_no_number_can_fail_is_refused(role, value):
    condition = {"predicates": ERROR, "hypotheses": DEFECT, "controls": BROKEN}[role]
    with pytest.raises(ValidationError, match="value"):
        claim(**{role: [condition | {"value": value}]})


@pytest.mark.parametrize("reason", [" ", "x", "   ", "...", "no control"])
def test_a_reason_for_no_control_is_said_in_words(reason):
    with pytest.raises(ValidationError):
        claim(controls=(), no_control=reason)


@pytest.mark.parametrize("why", ["", "   ", "-?!", "12"])
def test_a_reason_for_a_threshold_is_said_in_words(why):
    with pytest.raises(ValidationError, match="words"):
        claim([ERROR | {"why": why}])


def test_a_control_measures_neither_a_hypothesis_nor_what_it_is_to_break():
    with pytest.raises(ValidationError, match="measures 'defect', which is a hypothesis"):
        claim(controls=[BROKEN | {"metric": "defect"}], hypotheses=[DEFECT])
    with pytest.raises(ValidationError, match="measures 'error', which is what it is to break"):
        claim(controls=[BROKEN | {"metric": "error"}])


PASSING = {"name": "the corrected constant", "metric": "corrected"}


def test_a_check_that_fails_must_be_able_to_pass():
    printed = claim(controls=(), passes=[PASSING])
    assert verdict(printed, error=1.5, corrected=0.5) == Verdict.CONTRADICTED
    for broken in (1.2, NAN, Measurement(0.99, 0.01), None):
        ruling = judge(printed, metrics(error=1.5, corrected=broken))
        assert ruling.verdict == Verdict.INCONCLUSIVE
        assert "the check cannot pass, 'the corrected constant' does not" in ruling.reason
    assert verdict(printed, error=0.5, corrected=0.5) == Verdict.SUPPORTED


def test_what_must_pass_is_held_against_its_own_predicate():
    other = {"metric": "other", "is": ">=", "value": 3.0, "why": "second half"}
    both = claim([ERROR, other], controls=(), passes=[PASSING | {"against": "other"}])
    assert verdict(both, error=1.5, other=4.0, corrected=3.5) == Verdict.CONTRADICTED
    assert verdict(both, error=1.5, other=4.0, corrected=0.5) == Verdict.INCONCLUSIVE
    with pytest.raises(ValidationError, match="passing check 'the corrected constant': 'against' is None"):
        claim([ERROR, other], controls=(), passes=[PASSING])
    with pytest.raises(ValidationError, match="measures 'error', which is the predicate itself"):
        claim(controls=(), passes=[PASSING | {"metric": "error"}])


def test_a_claim_with_nothing_beside_its_predicate_is_weak():
    assert judge(claim(controls=()), metrics(error=1.5)).weak == ["no control breaks it, and no measure shows that it can pass"]
    assert judge(claim(controls=(), passes=[PASSING]), metrics(error=1.5, corrected=0.5)).weak == []


def test_what_proves_little_is_said():
    other = {"metric": "other", "is": "<=", "value": 1e9, "why": "second half"}
    both = claim(
        [ERROR, ERROR | {"is": ">="}, other],
        [BROKEN | {"against": "error"}, {"name": "nearly", "metric": "other", "is": ">", "value": 1.5, "against": "error"}],
    )
    ruling = judge(
        both, metrics(error=Measurement(0.5, 0.01, n=1), broken=Measurement(1.0001, 1e-9), other=Measurement(2.0, 0.1))
    )
    assert ruling.weak == [
        "no control breaks 2 of 3 predicates: error >= 1, other <= 1e+09",
        "one run stands behind error",
        "control 'rate doubled' misses by 0.0002 of the slack that the claim has",
        "control 'nearly' is a predicate of the claim too: other",
    ]
    assert judge(claim(), metrics()).weak == []


# -------------------------------------------------------------------------------------------------------------- properties

floats = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0, NAN, INF, -INF, HUGE, -HUGE, 5e-324, 1e-300])
finite = st.floats(-LARGEST, LARGEST)
comparisons = st.sampled_from(["<=", ">=", "<", ">"])


@st.composite
def measurements(draw, values=floats, errors=floats, most=5):
    """Numbers with an error, or exact, with or without an interval, which holds the value where none is NaN."""
    value, n = draw(values), draw(st.none() | st.integers(0, most))
    interval = draw(st.none() | st.tuples(values, values))
    if interval is not None and not any(map(math.isnan, (value, *interval))):
        interval = min(value, *interval), max(value, *interval)
    error = abs(draw(st.just(0.0) | errors))
    return Measurement.exact(value, n, interval) if error == 0 else Measurement(value, error, interval, n)


OPPOSITE = {"<=": ">", "<": ">=", ">=": "<", ">": "<="}


@st.composite
def claims(draw, thresholds=finite):
    predicates, controls = [], []
    for index in range(draw(st.integers(1, 3))):
        predicate = {"metric": f"p{index}", "is": draw(comparisons), "value": draw(thresholds), "why": "because"}
        predicate |= draw(st.just({}) | st.builds(lambda limit: TRIVIAL | {"vacuous_above": limit}, st.floats(1e-3, 1e3)))
        predicate["implied"] = draw(st.sampled_from(["", IMPLIED["implied"]])) if index else ""
        predicates.append(predicate)
        if draw(st.booleans()) or index == 0:
            control = {"is": OPPOSITE[predicate["is"]], "value": predicate["value"], "against": predicate["metric"]}
            controls.append({"name": f"control {index}", "metric": f"c{index}"} | control)
    hypotheses = [{"metric": "h", "is": draw(comparisons), "value": draw(thresholds), "why": "start"}] * draw(st.integers(0, 1))
    return claim(predicates, controls, hypotheses)


def measured_for(the_claim, draw, values):
    return {name: draw(values) for name in sorted(the_claim.metrics()) if draw(st.integers(0, 9))}


@st.composite
def cases(draw):
    the_claim = draw(claims())
    return the_claim, measured_for(the_claim, draw, measurements())


def satisfies(condition, value):
    return {
        "<=": value <= condition.value,
        "<": value < condition.value,
        ">=": value >= condition.value,
        ">": value > condition.value,
    }[condition.comparison]


@settings(max_examples=500, deadline=None)
@given(cases())
def test_judge_never_supports_a_claim_that_its_own_numbers_violate(case):
    the_claim, measured = case
    if judge(the_claim, measured).verdict not in (Verdict.SUPPORTED, Verdict.VACUOUS):
        return
    for predicate in [*the_claim.predicates, *the_claim.hypotheses]:
        found = measured[predicate.metric]
        assert satisfies(predicate, found.value)
        assert all(satisfies(predicate, end) for end in found.interval or ())
        assert found.n is None or found.n > 0
        assert 0 <= found.error < INF
    for control in the_claim.controls:
        found = measured[control.metric]
        assert not satisfies(the_claim.predicate_of(control), found.value)
        assert math.isfinite(found.value)


@settings(max_examples=500, deadline=None)
@given(cases())
def test_judge_contradicts_only_on_a_resolved_failure_with_working_controls(case):
    the_claim, measured = case
    if judge(the_claim, measured).verdict != Verdict.CONTRADICTED:
        return
    assert any(
        not satisfies(p, (m := measured[p.metric]).value) and abs(p.value - m.value) >= 10 * m.error
        for p in the_claim.predicates
        if not p.implied
    )
    assert all(not satisfies(the_claim.predicate_of(c), measured[c.metric].value) for c in the_claim.controls)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_judge_is_deterministic_never_raises_and_writes_valid_json(case):
    the_claim, measured = case
    first, second = judge(the_claim, measured), judge(the_claim, dict(reversed(measured.items())))
    assert first == second
    assert first.verdict in set(Verdict)
    assert first.reason
    json.dumps(first.model_dump(mode="json"), allow_nan=False)


# powers of two are exact, and numbers of this size neither overflow nor lose bits when scaled by 2**-30 ... 2**30
moderate = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3) | st.just(0.0) | st.integers(-8, 8).map(float)


def scaled(measurement, factor):
    interval = measurement.interval and (measurement.interval[0] * factor, measurement.interval[1] * factor)
    return dataclasses.replace(measurement, value=measurement.value * factor, error=measurement.error * factor, interval=interval)


@st.composite
def moderate_cases(draw):
    the_claim = draw(claims(moderate))
    values = measurements(moderate, st.floats(1e-6, 1.0))
    return the_claim, measured_for(the_claim, draw, values), draw(st.integers(-30, 30))


@settings(max_examples=500, deadline=None)
@given(moderate_cases())
def test_the_verdict_does_not_depend_on_the_unit(case):
    the_claim, measured, power = case
    factor = 2.0**power
    record = the_claim.model_dump(by_alias=True)
    for condition in [*record["predicates"], *record["controls"], *record["hypotheses"]]:
        condition["value"] *= factor
    for predicate in record["predicates"]:
        if predicate["vacuous_above"] is not None:
            predicate["vacuous_above"] *= factor
    before = judge(the_claim, measured)
    after = judge(Claim.model_validate(record), {name: scaled(m, factor) for name, m in measured.items()})
    assert after.verdict == before.verdict
    if all(predicate.value for predicate in the_claim.predicates):  # a threshold of 0 has no unit
        assert after.slack == (None if before.slack is None else before.slack * factor)
        assert after.over_threshold == before.over_threshold


@settings(max_examples=200, deadline=None)
@given(value=moderate, better=st.floats(0, 10), error=st.floats(0, 1), comparison=comparisons)
@example(value=1.0, better=0.0, error=0.0, comparison="<=")
def test_a_better_value_never_turns_support_into_contradiction(value, better, error, comparison):
    the_claim = claim([ERROR | {"is": comparison}], controls=())
    first = Measurement(value, error) if error else Measurement.exact(value)
    if verdict(the_claim, error=first) == Verdict.SUPPORTED:
        improved = value - better if comparison in ("<=", "<") else value + better
        assert verdict(the_claim, error=dataclasses.replace(first, value=improved)) == Verdict.SUPPORTED
