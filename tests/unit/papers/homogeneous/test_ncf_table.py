"""The table of runs: what it says of flows that are known, and how well."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.flows.ending import Ends
from flowcheck.measures.refinement import Refined
from flowcheck.networks import zoo
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous import ncf_table, no_gradient
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly
from flowcheck.papers.homogeneous.families import Family, draw_family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.homogeneous.kinds import network_of
from flowcheck.papers.homogeneous.later import follow_on
from flowcheck.papers.homogeneous.ncf_experiment import common_metrics, thinned
from flowcheck.papers.homogeneous.trajectories import follow

torch.set_num_threads(1)
ENDS = Ends(settled=3e-7, rest=1e-8, vanished=-12.0, escaped=8.0)


def rng(seed=3):
    return np.random.Generator(np.random.PCG64(seed))


def family(kind, degree, runs=4, **options):
    return draw_family(kind, kind, network_of(kind, degree, 3, 2, options.pop("slope", 0.0)), rng(), runs, points=6, **options)


def one_weight(degree, z, start=1.0):
    """The network x w^L with x = 1: its flow is known."""
    network, one = zoo.power_net(1, 1, degree, slope=1.0), torch.ones(1, 1, dtype=torch.float64)
    return Family("one weight", "polynomial", network, one[None], z * one, start * one)


def read(flows, ascents=8):
    on = follow_on(flows, ~lemmas.outcome(flows.fine, ENDS).open, rtol=1e-8, coarser=100.0)
    return ncf_table.read(flows, on, ENDS, rng(), ascents)


def test_a_blow_up_that_is_known_is_within_its_errors():
    start, degree = 2.0, 4
    runs = read(follow(one_weight(degree, 1.0, start), ENDS, rtol=1e-8), 4)
    exact = {"blow_up_time": 1 / 32, "over_upper": 1.0, "over_lower": 1.0, "norm_excess": 0.0, "rate": 0.0, "limit_value": 1.0}
    for name, value in exact.items():
        assert abs(runs[name].value[0] - value) <= runs[name].error[0] < 1e-5, name
    assert runs.facts["outcome"].tolist() == ["grows"]
    assert runs.facts["upper_error"][0] == runs["over_upper"].error[0]


def test_a_decay_that_is_known_is_within_its_errors_and_says_nothing_of_blow_up():
    runs = read(follow(one_weight(4, -1.0), ENDS, rtol=1e-8), 4)
    for name, value in {"decay_rate": 0.0, "limit_value": -1.0, "start_value": -1.0}.items():
        assert abs(runs[name].value[0] - value) <= runs[name].error[0] + 1e-9, name
    assert math.isnan(runs["over_upper"].value[0])
    assert math.isnan(runs["kkt_distance"].value[0])
    assert runs["over_upper"].largest().n == 0
    assert runs.facts["unaligned"].tolist() == [0]


def test_the_defect_of_an_identity_is_no_larger_than_its_error():
    """The true one is 0."""
    for flows in (follow(family("squared", 4), ENDS, rtol=1e-8), follow_exactly(family("two_layer", 2, slope=0.2), ENDS)):
        for identity in ncf_table.IDENTITIES.values():
            found = ncf_table.largest_defect(identity, flows)
            assert (found.value <= 2 * found.error).all()
            assert found.error.max() < 1e-5


def test_families_are_put_together_with_their_errors_and_their_own_kkt_points():
    parts = [
        read(follow(family("power", 2), ENDS, rtol=1e-8)),
        read(follow_exactly(family("two_layer", 2, slope=0.2), ENDS)),
    ]
    runs = ncf_table.Runs.of(parts)
    assert len(runs) == 8
    assert runs["increase"].error.tolist() == [*parts[0]["increase"].error, *parts[1]["increase"].error]
    assert min(np.nanmin(number.error) for number in runs.numbers.values()) >= ROUNDING
    table = runs.table()
    assert set(table) == {*runs.facts, *runs.numbers}
    assert table.evaluations.dtype == np.int64
    metrics = common_metrics(runs)
    assert metrics["runs_that_grow"].value + metrics["runs_that_vanish"].value + metrics["runs_that_rest"].value == 8
    assert metrics["kkt_distance_max"].value < 1e-4 < 1e-2 < metrics["kkt_distance_random"].value
    assert metrics["kkt_distance_max"].n == metrics["runs_that_grow"].value
    assert metrics["kl_fall_flat"].value == pytest.approx(22.5 - 2 * math.log(10), abs=metrics["kl_fall_flat"].error)


def test_a_change_of_outcome_leaves_no_number():
    flows = follow(family("power", 3), ENDS, rtol=1e-8)
    coarse = flows.coarse
    restless = replace(coarse, samples=replace(coarse.samples, speed=coarse.samples.speed + 1.0))
    again = read(replace(flows, coarse=restless))
    grows = again.ended("grows")
    assert grows.any()
    assert np.isinf(again["rate"].error[grows]).all()


def test_an_infinite_number_does_not_spoil_the_error_of_a_median():
    assert ncf_table._rounded(Refined.of(np.array([1.0, 2.0, np.inf]), np.array([1.0, 2.0, np.inf]))).median().error < 1e-12


def test_a_field_that_is_no_gradient_and_a_mixture_of_degrees_miss_by_far():
    drawn = family("power", 3)
    found = {**no_gradient.rotated_field(drawn, 10.0, 1.2), **no_gradient.mixture_of_degrees(drawn)}
    assert found["increase_rotated"].value < -1e-4
    assert found["length_rotated"].value > 10
    assert found["kkt_defect_rotated"].value > 0.01
    assert min(found[f"{name}_identity_rotated"].value for name in ("angle", "energy")) > 0.1
    assert found["degree_defect_mixture"].value > 0.1
    assert all(number.error < 1e-3 for number in found.values())


def test_without_a_rotation_nothing_is_missed():
    found = no_gradient.rotated_field(family("power", 3), 0.0, 1.2)
    assert found["increase_rotated"].value > -1e-9
    assert max(found[f"{name}_identity_rotated"].value for name in ("angle", "energy")) < 1e-5


@pytest.mark.parametrize("count", [1, 150, 299, 100_000])
def test_curves_are_thinned_to_one_length(count):
    positions = thinned(count)
    assert len(positions) == 300
    assert (np.diff(positions) >= 0).all()
    assert (positions[0], positions[-1]) == (0, count - 1)


def test_the_exponent_of_the_gradient_is_read_along_the_flow():
    runs = read(follow(family("linear", 3), ENDS, rtol=1e-9))
    assert runs["kl_exponent"].median().value == pytest.approx(0.5, abs=0.01)
    assert runs["kl_exponent"].largest().value < lemmas.KL_EXPONENT
