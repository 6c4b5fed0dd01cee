"""Lemma 5.2 as numbers: equality from KKT points, and what the controls miss by."""

import numpy as np
import pytest
import torch

from flowcheck.flows.ending import Ends
from flowcheck.papers.deep_homogeneous import lemma_5_2
from flowcheck.papers.homogeneous import kkt_search, ncf_table
from flowcheck.papers.homogeneous.families import draw_family
from flowcheck.papers.homogeneous.kinds import network_of
from flowcheck.papers.homogeneous.later import follow_on
from flowcheck.papers.homogeneous.trajectories import follow

torch.set_num_threads(1)
ENDS = Ends(settled=3e-7, rest=1e-8, vanished=-12.0, escaped=8.0)


def family(degree, **options):
    rng = np.random.default_rng(5)
    return draw_family("power", "power", network_of("power", degree, 3, 2), rng, 4, points=6, **options)


@pytest.mark.parametrize("degree", [3, 4])
def test_the_norm_bound_is_attained_from_kkt_points_and_false_with_the_printed_exponent(degree):
    starts = kkt_search.search(family(degree, labels="positive"), np.random.default_rng(6), 16).as_starts()
    found = lemma_5_2.from_kkt_points([starts], grown=10.0, rtol=1e-9)
    assert found["norm_excess_kkt_start"].value < 1e-6
    assert found["norm_excess_printed"].value < -0.3
    assert found["norm_excess_rate_raised"].value == pytest.approx(1 / 1.1 - 1, abs=1e-6)
    assert all(number.n == len(starts.starts) and number.error < 1e-6 for number in found.values())


def test_blow_up_keeps_its_bounds_and_rates_and_not_those_of_another_degree():
    flows = follow(family(4, labels="positive"), ENDS, rtol=1e-8)
    runs = ncf_table.read(
        flows, follow_on(flows, np.ones(4, dtype=bool), rtol=1e-8, coarser=10.0), ENDS, np.random.default_rng(7), 16
    )
    found = lemma_5_2.blow_up(runs)
    assert found["blow_up_over_upper_max"].value < 1 < found["blow_up_over_lower_min"].value
    assert found["norm_excess_min"].value > 0
    assert found["blow_up_rate_gap_max"].value < 0.02 < 0.1 < found["blow_up_rate_gap_degree_more"].value
    assert found["unaligned_max"].value == 0
