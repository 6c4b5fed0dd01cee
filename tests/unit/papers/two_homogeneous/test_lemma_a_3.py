"""Lemma A.3 on kinks: units that slide, and the closed form of u1|u2|."""

import math

import numpy as np
import pytest
import torch

from flowcheck.flows.ending import Ends
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly
from flowcheck.papers.homogeneous.families import draw_family
from flowcheck.papers.homogeneous.kinds import network_of
from flowcheck.papers.two_homogeneous import kink_example, lemma_a_3

torch.set_num_threads(1)


def test_the_example_ends_as_its_closed_form_says():
    ends = Ends(settled=3e-7, rest=1e-8, vanished=-12.0, escaped=8.0)
    flows = follow_exactly(lemma_a_3.example(), ends).fine
    assert lemmas.outcome(flows, ends).names.tolist() == list(lemma_a_3.ENDS)
    starts = np.array([[v, u] for u, v in lemma_a_3.STARTS])
    times = flows.samples.time[0, :40]
    states = kink_example.solution(starts[:1], times)[0]
    log_norm = np.log(np.linalg.norm(states, axis=1))
    assert np.abs(flows.samples.log_norm[0, :40] - log_norm).max() < 1e-14


def test_the_rest_point_is_met_and_the_wrong_subgradient_misses_the_energy():
    found = lemma_a_3.kink_example()
    assert found["kink_example_error"].value < 1e-14
    # beyond the kink v|u| is -v u: it falls by as much as the energy says that it rises
    t = math.atanh(0.5)
    v, u = -math.cosh(2 * t) + 0.5 * math.sinh(2 * t), 0.5 * math.cosh(2 * t) - math.sinh(2 * t)
    exact = abs(v * abs(u) + 0.5 - (v * u + 0.5))
    wrong = found["kink_energy_wrong_subgradient"]
    assert abs(wrong.value - exact) < wrong.error < 1e-5


def test_sliding_units_obey_the_chain_rule_and_one_sided_velocities_do_not():
    drawn = draw_family("leaky", "two_layer", network_of("two_layer", 2, 3, 3, 0.2), np.random.default_rng(3), 8, points=8)
    found = lemma_a_3.sliding([drawn])
    assert 1 <= found["units_that_slide"].value < found["units_that_slide"].n == 24
    assert found["chain_rule_gap_max"].value < 1e-12
    assert found["chain_rule_gap_one_sided"].value > 1e-6
    assert found["chain_rule_gap_max"].n == found["units_that_slide"].value


def test_where_no_unit_slides_there_is_no_gap():
    positive = draw_family("one", "two_layer", network_of("two_layer", 2, 3, 1, 0.2), np.random.default_rng(3), 1, points=2)
    found = lemma_a_3.sliding([positive])
    if found["units_that_slide"].value == 0:
        assert found["chain_rule_gap_max"].n == 0
        assert math.isnan(found["chain_rule_gap_max"].value)
    else:
        pytest.fail("the draw is one that slides")
