"""The same comparison with the bounds: it holds for whole flows of full weights and fails for broken ones."""

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import (
    broken_flows,
    broken_statements,
    full_weights,
    lemma_8,
    reference_run,
    theorem_1,
    theorem_3,
)
from flowcheck.papers.spherical_data.full_weights import Accuracy

ACCURACY, TIMES = Accuracy(1e-8), broken_statements.TIMES


def weights(w, depth):
    return linear.balanced_weights(w, [3] * (depth - 1), np.random.default_rng(0))


def whole(w, depth):
    return broken_statements.as_phases(broken_flows.planar_flow(weights(w, depth), broken_flows.V, TIMES, ACCURACY), 0.01)


def test_full_weights_are_seen_as_a_reduced_flow_with_its_turn():
    flow = broken_flows.planar_flow(weights(reference_run.start(2), 1), broken_flows.V, TIMES, ACCURACY)
    path = full_weights.as_reduced(flow)
    assert path.q.shape == path.s.shape == path.t.shape
    assert np.all(np.abs(path.q) < full_weights.LAST_CLOCK)
    assert np.exp(path.s[0]) == pytest.approx(flow.norm[: path.s.shape[1]])
    assert path.transition.t[0] == pytest.approx(2.449, abs=0.13)  # to within a recorded time


def test_flipped_labels_break_the_lower_bounds_that_hold_for_clean_ones():
    first = theorem_1.excesses(whole(broken_statements.WITH_A_TURN, 1))
    assert min(first["first"][0], first["second"][0], first["second_from_start"][0]) > -1e-3  # T is between recorded times
    deep = theorem_3.excesses(whole(broken_statements.WITH_A_TURN, 4))
    assert min(deep["first"][0], deep["second"][0]) > -1e-3
    for depth, names in ((1, 3), (4, 2)):
        found = broken_statements.flipped(weights(broken_statements.WITH_A_TURN, depth), 0.01, ACCURACY)
        assert len(found) == names
        assert all(-0.5 < number.value < -0.05 for number in found.values())


@pytest.mark.parametrize("depth", [3, 6])
def test_unbalanced_layers_break_the_upper_bound_and_both_bounds_on_the_norm(depth):
    down, up = whole(reference_run.start(2), depth), whole(broken_statements.GROWING, depth)
    assert theorem_3.excesses(down)["upper"][0] < 0
    assert lemma_8.used_shares(down)["lemma8_lower"][0] < 1
    assert lemma_8.used_shares(up)["lemma8_upper"][0] < 1
    starts = (weights(w, depth) for w in (reference_run.start(2), broken_statements.GROWING))
    found = broken_statements.unbalanced_bounds(*starts, 0.01, ACCURACY)
    assert found["theorem3_upper_excess_unbalanced"].value > 1
    assert found["lemma8_lower_ratio_unbalanced"].value > 1.5
    assert found["lemma8_upper_ratio_unbalanced"].value > 1.1
