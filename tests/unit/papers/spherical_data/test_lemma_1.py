"""The norm falls, then rises: on real flows, and on a path made by hand that turns twice."""

import numpy as np

from flowcheck.papers.spherical_data import lemma_1, reduced_flow
from flowcheck.papers.spherical_data.flow_table import table
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Measurement

ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 12.0, 120)])


def test_a_flow_turns_once_and_one_that_grows_at_once_not_at_all():
    angle = np.array([0.3, 2.5])
    path = reduced_flow.reduced_flow(law("circle"), 4, reduced_flow.clock(angle), np.zeros(2), ADVANCES)
    found = lemma_1.turns(path)
    assert found["sign_changes"].tolist() == [0, 1]
    assert found["ends_growing"].tolist() == [True, True]
    assert lemma_1.transition(path)["T"][0] == 0.0 < lemma_1.transition(path)["T"][1] < path.t[1, -1]


def test_every_turn_of_a_path_is_counted():
    # tiny norms: g has the sign of q
    q = np.array([[1.0, -1.0, -1.0, 1.0, -1.0]])
    nowhere = reduced_flow.Transition(*np.zeros((3, 1)))
    path = reduced_flow.ReducedPath(law("circle"), 1, q, np.full((1, 5), -20.0), np.arange(5.0)[None], nowhere)
    found = lemma_1.turns(path)
    assert found["sign_changes"].tolist() == [3]
    assert found["ends_growing"].tolist() == [False]


def test_all_flows_of_a_table_are_counted():
    runs = table(law("circle"), 2, np.array([0.3, 2.5]), np.ones(2), ADVANCES, 0.01)
    found = lemma_1.over_flows(runs)
    assert found["sign_changes_max"] == Measurement.count(1, 2)
    assert found["runs_not_growing_at_end"] == Measurement.count(0, 2)
    assert found["transition_time_max"].value == runs["T"].max()
    runs.loc[1, "ends_growing"] = False
    assert lemma_1.over_flows(runs)["runs_not_growing_at_end"] == Measurement.count(1, 2)
