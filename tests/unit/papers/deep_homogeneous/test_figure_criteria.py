"""When the figures count as reproduced."""

import numpy as np
import pytest

from flowcheck.measures.statistics import clopper_pearson
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy
from flowcheck.papers.deep_homogeneous.figure_criteria import Criteria, between, fractions, meets, monotone

CRITERIA = Criteria(growth=3.0, across=2.0, rise=10.0, half_way=0.5, random_rows=0.07, balance=0.1)
BROKEN = {"aligned_permuted", "balance_two_to_one"} | {
    f"{name}_shuffled_W{layer}" for name in ("remainder", "leading") for layer in (1, 2)
}


def state(**changed):
    """One run at its escape that meets every criterion, ten times as large as its start, but for what is changed."""
    meeting = {
        "norm": [1.0],
        "cosine": [0.995],
        "cosine_permuted": [0.9],
        "cosine_over_degree": [0.25],
        "rows": [[0.95, 0.65]],
        "random_rows": [[0.25, 0.18]],
        "shares": [[0.498, 0.502]],
        "singular": [[[0.7, 0.05, 0.04], [0.7, 0.05, 0.04]]],
        "shuffled": [[[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]]],
        "invariants": [[0.0]],
    }
    return Anatomy(**{name: np.array(value) for name, value in (meeting | changed).items()})


START = state(norm=[0.1], cosine=[0.3], rows=[[0.2, 0.2]], shares=[[0.3, 0.7]], singular=[[[0.4, 0.3, 0.2], [0.4, 0.3, 0.2]]])


def missed(met):
    return {name for name, hits in met.items() if not hits[0]}


def test_a_run_whose_rest_stays_as_it_was_meets_every_criterion_and_breaks_every_control():
    assert missed(meets(CRITERIA, START, state())) == BROKEN


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"norm": [0.25], "shares": [[0.468, 0.532]]}, {"grown"}),
        ({"cosine": [0.97]}, {"aligned"}),  # 10 sqrt(0.06) = 2.4
        ({"cosine": [0.9]}, {"aligned", "rise"}),
        ({"rows": [[0.59, 0.65]]}, {"rows_W1"}),
        ({"shares": [[0.49, 0.51]]}, {"balance"}),
        ({"singular": [[[0.7, 0.09, 0.04], [0.7, 0.05, 0.04]]]}, {"remainder_W1"}),  # 10 * 0.09 > 2 * 0.4
        ({"singular": [[[0.7, 0.05, 0.04], [0.7, 0.4, 0.04]]]}, {"remainder_W2", "low_rank_W2"}),
        ({"singular": [[[0.6, 0.05, 0.04], [0.7, 0.05, 0.04]]]}, {"leading_W1"}),  # 100 (0.5 - 0.36) > 4
        ({"cosine": [np.nan], "norm": [np.nan]}, None),
    ],
)
def test_what_does_not_is_named(changed, expected):
    met = meets(CRITERIA, START, state(**changed))
    if expected is None:
        assert not met["aligned"].any()
        assert not met["grown"].any()
    else:
        assert missed(met) - BROKEN == expected


def test_controls_that_hold_are_seen():
    same = state(cosine_permuted=[0.99], shuffled=[[[0.7, 0.05, 0.04], [0.7, 0.05, 0.04]]])
    assert missed(meets(CRITERIA, START, same)) == {"balance_two_to_one"}
    # conserved shares of matrices whose balance is two to one
    other = state(shares=[[2 / 3 + (0.3 - 2 / 3) / 100, 1 / 3 + (0.7 - 1 / 3) / 100]])
    assert not missed(meets(CRITERIA, START, other)) & {"balance_two_to_one"}


def test_a_start_does_not_meet_what_it_is_compared_with():
    met = meets(CRITERIA, START, START)
    assert {"grown", "rise", "rows_W1", "rows_W2", "low_rank_W1", "low_rank_W2"} <= missed(met)
    assert met["random_start"][0]
    assert not meets(CRITERIA, state(norm=[0.1]), state())["random_start"][0]


def test_a_loss_that_rises_before_the_escape_is_not_monotone():
    iterations = np.array([0, 10, 20, 30])
    loss = np.array([[1.0, 0.9, 0.8, 0.7], [1.0, 0.9, 0.91, 0.7], [1.0, 0.9, 0.8, 0.9]])
    assert monotone(iterations, loss, np.array([40, 40, 25]), 1e-9).tolist() == [True, False, True]
    assert monotone(iterations, loss, np.array([-1, -1, -1]), 1e-9).tolist() == [True, False, False]
    assert monotone(iterations, loss, np.array([40, 40, 40]), 0.2).tolist() == [True, True, True]


def test_fractions_have_intervals_and_other_states_have_no_controls_of_their_own():
    met = {"aligned": np.array([True, True, False]), "remainder_shuffled_W1": np.array([True, False, False])}
    found = fractions(met)
    assert found["aligned_fraction"].interval == clopper_pearson(2, 3)
    assert found["remainder_shuffled_W1_fraction"].value == pytest.approx(1 / 3)
    assert set(fractions(met, "start")) == {"aligned_fraction_start"}


def test_both_ends_lie_between():
    assert between(np.array([0.9, 1.0, 1.5, 2.0, np.nan]), (1.0, 2.0)).tolist() == [False, True, True, True, False]
