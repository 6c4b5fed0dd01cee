"""When the figures count as reproduced."""

import numpy as np
import pytest

from flowcheck.measures.statistics import clopper_pearson
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy
from flowcheck.papers.deep_homogeneous.figure_criteria import Criteria, between, fractions, meets, monotone

CRITERIA = Criteria(
    norm=1.5,
    growth=(2.0, 16.0),
    cosine=0.98,
    cosine_typical=0.99,
    initial_cosine=0.6,
    cosine_rise=0.35,
    initial_rows=[0.4, 0.3],
    initial_ratio=0.65,
    rows=[0.9, 0.6],
    ratio=[0.1, 0.1],
    share=(0.49, 0.51),
    rows_typical=[0.9, 0.8],
    strong_rows=0.95,
    ratio_typical=[0.08, 0.08],
    third_ratio=0.09,
    leading=(0.68, 0.712),
    bulk=(0.25, 0.9),
)


def state(**changed):
    """One run that meets every criterion, but for what is changed."""
    meeting = {
        "norm": [1.0],
        "cosine": [0.995],
        "cosine_permuted": [0.99],
        "cosine_over_degree": [0.25],
        "rows": [[0.95, 0.85]],
        "strong_rows": [[0.96, 0.97]],
        "shares": [[0.5, 0.5]],
        "singular": [[[0.7, 0.05, 0.04], [0.7, 0.05, 0.04]]],
        "invariants": [[0.0]],
    }
    return Anatomy(**{name: np.array(value) for name, value in (meeting | changed).items()})


START = state(norm=[0.1], cosine=[0.3], rows=[[0.2, 0.2]], singular=[[[0.4, 0.3, 0.2], [0.4, 0.3, 0.2]]])


def test_a_run_that_looks_like_the_figures_meets_every_criterion():
    met = meets(CRITERIA, START, state())
    assert all(hits.tolist() == [True] for hits in met.values()), met
    assert {"strong_rows", "rank_two_W1", "leading", "bulk_W2", "rows_typical_W1", "low_rank_typical_W2"} <= set(met)


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"norm": [1.7]}, {"small_norm", "bulk_W1", "bulk_W2"}),
        ({"cosine": [0.985]}, {"aligned_typical"}),
        ({"cosine": [0.6]}, {"aligned", "aligned_typical", "rise"}),
        ({"cosine_permuted": [0.9]}, {"aligned_permuted"}),
        ({"rows": [[0.8, 0.7]]}, {"rows_W1", "rows_typical_W1", "rows_typical_W2"}),
        ({"strong_rows": [[0.96, 0.9]]}, {"strong_rows"}),
        ({"shares": [[0.4, 0.6]]}, {"shares"}),
        (
            {"singular": [[[0.7, 0.06, 0.04], [0.7, 0.075, 0.04]]]},
            {"low_rank_W2", "low_rank_typical_W1", "low_rank_typical_W2", "bulk_W2"},
        ),
        ({"singular": [[[0.7, 0.05, 0.05], [0.6, 0.05, 0.04]]]}, {"leading", "low_rank_typical_W2"}),
        ({"cosine": [np.nan], "norm": [np.nan]}, {"aligned", "aligned_typical", "rise", "small_norm", "bulk_W1", "bulk_W2"}),
    ],
)
def test_what_does_not_is_named(changed, missed):
    met = meets(CRITERIA, START, state(**changed))
    assert {name for name, hits in met.items() if not hits[0]} == missed


def test_a_start_that_is_aligned_already_is_not_random_and_does_not_rise():
    met = meets(CRITERIA, state(norm=[0.1]), state())
    assert {name for name, hits in met.items() if not hits[0]} == {"random_start", "rise"}


def test_criteria_that_a_network_does_not_have_are_left_out():
    few = CRITERIA.model_copy(update=dict.fromkeys(("rows_typical", "strong_rows", "ratio_typical", "third_ratio"), None))
    few = few.model_copy(update={"leading": None, "bulk": None})
    plain = {"small_norm", "aligned", "aligned_typical", "aligned_permuted", "rise", "random_start", "shares"}
    assert set(meets(few, START, state())) == plain | {"rows_W1", "rows_W2", "low_rank_W1", "low_rank_W2"}


def test_a_loss_that_rises_before_the_escape_is_not_monotone():
    iterations = np.array([0, 10, 20, 30])
    loss = np.array([[1.0, 0.9, 0.8, 0.7], [1.0, 0.9, 0.91, 0.7], [1.0, 0.9, 0.8, 0.9]])
    assert monotone(iterations, loss, np.array([40, 40, 25]), 1e-9).tolist() == [True, False, True]
    assert monotone(iterations, loss, np.array([-1, -1, -1]), 1e-9).tolist() == [True, False, False]
    assert monotone(iterations, loss, np.array([40, 40, 40]), 0.2).tolist() == [True, True, True]


def test_fractions_have_intervals_and_controls_leave_out_what_compares_with_the_start():
    met = {"aligned": np.array([True, True, False]), "rise": np.array([True, False, False])}
    found = fractions(met)
    assert found["aligned_fraction"].interval == clopper_pearson(2, 3)
    assert found["rise_fraction"].value == pytest.approx(1 / 3)
    assert set(fractions(met, "start")) == {"aligned_fraction_start"}


def test_both_ends_lie_between():
    assert between(np.array([0.9, 1.0, 1.5, 2.0, np.nan]), (1.0, 2.0)).tolist() == [False, True, True, True, False]
