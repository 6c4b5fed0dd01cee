"""Flows followed on to twice the arc of their stop: those that converge, those that do not, and residuals of their own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.flows.ending import Ends
from flowcheck.measures.refinement import Refined
from flowcheck.networks import sums, zoo
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous import ncf_table, trajectories
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly
from flowcheck.papers.homogeneous.families import Family, draw_family
from flowcheck.papers.homogeneous.kinds import network_of
from flowcheck.papers.homogeneous.later import DOUBLINGS, _follow, follow_on, kkt_defect, on_kinks
from flowcheck.papers.homogeneous.ncf_experiment import common_metrics
from flowcheck.papers.homogeneous.trajectories import follow
from flowcheck.pipeline.claims import Predicate
from flowcheck.pipeline.judge import confront

torch.set_num_threads(1)
ENDS = Ends(settled=3e-7, rest=1e-8, vanished=-12.0, escaped=8.0)
NEVER = Ends(settled=-1.0, rest=-1.0, vanished=-math.inf)


def rng(seed=3):
    return np.random.Generator(np.random.PCG64(seed))


def family(kind, degree, runs=4, **options):
    return draw_family(kind, kind, network_of(kind, degree, 3, 2, options.pop("slope", 0.0)), rng(), runs, points=6, **options)


def on(flows):
    return follow_on(flows, ~lemmas.outcome(flows.fine, ENDS).open, rtol=1e-8, coarser=10.0)


def outcome_of(found, metric, limit):
    condition = Predicate.model_validate({"metric": metric, "is": "<=", "value": limit, "why": "as in the claims"})
    return confront(condition, found, "predicate").outcome


def test_a_flow_that_has_settled_stays_where_it_is_and_grows_on():
    """U' = 4 u^3 from 1: ln|u| = 4 s, so it rises from A to 2A by as much as up to A."""
    network, one = zoo.power_net(1, 1, 4, slope=1.0), torch.ones(1, 1, dtype=torch.float64)
    later = on(follow(Family("one weight", "polynomial", network, one[None], one, one), ENDS, rtol=1e-8)).fine
    assert later.kkt_defect[0] < 1e-14
    assert later.length_ratio[0] == 0
    assert abs(later.further_rise[0]) < 1e-7
    assert later.rise[0] > 7


def test_limits_of_networks_with_and_without_kinks_are_kkt_points_at_a_later_time():
    smooth, kinked = family("power", 3), family("two_layer", 2, runs=6, slope=0.2)
    for flows in (follow(smooth, ENDS, rtol=1e-9), follow_exactly(kinked, ENDS)):
        later = on(flows).fine
        assert later.kkt_defect.max() < 1e-7
        assert later.length_ratio.max() < 1


def test_both_readings_of_an_exact_flow_are_the_same_flow():
    found = on(follow_exactly(family("two_layer", 2, runs=6, slope=0.2), ENDS))
    np.testing.assert_allclose(found.fine.direction, found.coarse.direction, atol=1e-10)
    np.testing.assert_allclose(found.fine.rise, found.coarse.rise, rtol=1e-9, atol=1e-9)


def test_a_curve_that_runs_for_ever_is_refuted_and_not_only_undecided():
    """The field of the NCF is turned, so that its flow circles, and each doubling is twice as long as the one before."""
    turned = family("power", 3, runs=1)
    turned = replace(turned, network=sums.Rotated(turned.network, 10.0))
    flows = follow(turned, replace(NEVER, longest=0.4), rtol=1e-6, coarser=10.0)
    both = follow_on(flows, np.ones(1, dtype=bool), rtol=1e-6, coarser=10.0)
    assert both.fine.runs_on.all()
    assert both.fine.length_ratio.min() > 1.5
    assert both.fine.kkt_defect.min() > 1e-2
    total = [each.flows.samples.length[:, -1] + each.length for each in both]
    assert outcome_of({"curve_length_max": Refined.of(*total).largest()}, "curve_length_max", 8.0) == "fails"


@pytest.mark.parametrize(("speed", "ratio"), [(lambda s: 1 / s, 1.0), (lambda s: s**-1.5, 0.5**0.5), (lambda s: s, 4.0)])
def test_a_power_law_of_the_speed_decides_at_one(speed, ratio):
    """Curves that are made up: u in the plane turns at that speed."""
    flows = follow(family("power", 3, runs=1), ENDS, rtol=1e-8).fine
    mesh = flows.samples.arc[0] + 1.0

    def run(begin, end):
        points = np.linspace(begin, end, 100_000)
        return np.trapezoid(speed(points), points)

    samples = replace(flows.samples, arc=mesh[None])
    samples.__dict__["length"] = np.array([[run(1.0, end) for end in mesh]])  # it is cached, and so can be made up

    def doubling(rows, direction, arc):
        return direction, np.zeros(1), np.array([run(arc[0], 2 * arc[0])])

    (later,) = _follow([replace(flows, samples=samples)], np.ones(1, dtype=bool), doubling)
    assert later.length_ratio[0] == pytest.approx(ratio, rel=1e-2)
    if ratio != 1.0:  # which rounding decides
        assert later.length[0] == pytest.approx(run(mesh[-1], mesh[-1] * 2 ** (DOUBLINGS if ratio > 1 else 1)), rel=1e-4)


def test_a_flow_that_passes_a_saddle_has_left_it_two_doublings_later():
    """u_1^2 + u_2^2 / 5 from a direction 1e-21 beside e_2, where ln|u| has risen by 8 at an arc of 20: it is gone at 40."""
    network, x = zoo.power_net(1, 2, 2, slope=1.0), torch.eye(2, dtype=torch.float64)[None]
    z, start = torch.tensor([[1.0, 0.2]], dtype=torch.float64), torch.tensor([[1e-21, 1.0]], dtype=torch.float64)
    flows = follow(Family("saddle", "polynomial", network, x, z, start), ENDS, rtol=1e-8)
    assert abs(flows.fine.samples.direction[0, -1, 0]) < 1e-6
    later = on(flows).fine
    assert later.direction[0, 0] == pytest.approx(1.0)
    assert later.length_ratio[0] == 0
    assert later.length[0] == pytest.approx(math.pi / 2, rel=1e-2)


def test_a_flow_that_was_given_up_too_early_decides_nothing(monkeypatch):
    drawn = family("power", 3)
    monkeypatch.setattr(trajectories, "LONGEST", 3.0)
    flows = follow(drawn, ENDS, rtol=1e-8)
    later = on(flows)
    np.testing.assert_array_equal(later.fine.direction, flows.fine.samples.direction[:, -1])
    found = common_metrics(ncf_table.read(flows, later, ENDS, rng(), 8))
    assert found["open_share"].value == 1
    assert outcome_of(found, "kkt_defect_max", 1e-5) == "missing"
    assert outcome_of(found, "curve_length_max", 8.0) == "holds"
    assert found["positive_starts_that_do_not_grow"].value == 0


def test_a_flow_that_runs_on_is_open_whatever_was_told_at_its_stop():
    flows = follow(family("power", 3), ENDS, rtol=1e-8)
    later = on(flows).fine
    running = replace(later, length_ratio=np.array([1.0, 0.0, 0.0, 2.0]))
    assert ncf_table.followed_outcome(running, ENDS).open.tolist() == [True, False, False, True]
    assert not ncf_table.followed_outcome(later, ENDS).open.any()


def test_the_residual_of_units_on_a_kink_is_the_distance_from_all_of_the_set():
    drawn = family("two_layer", 2, runs=6, slope=0.2)
    moved = on_kinks(drawn, drawn.starts.numpy())
    units = moved.reshape(6, -1, 4)
    assert np.abs(np.einsum("shd,sd->sh", units[..., :-1], drawn.x[:, 0].numpy())).max() < 1e-15
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1.0)
    assert kkt_defect(drawn, moved).min() > 1e-3
    # an element of the set is no nearer: the gradient on one side of the kinks
    one_side = drawn.correlation.gradient(torch.from_numpy(moved)).numpy()
    value = drawn.correlation.value(torch.from_numpy(moved)).numpy()
    distance = np.linalg.norm(one_side - 2 * value[:, None] * moved, axis=1) / drawn.bound.numpy()
    assert (kkt_defect(drawn, moved) <= distance + 1e-12).all()
    smooth = family("power", 3)
    assert np.array_equal(on_kinks(smooth, smooth.starts.numpy()), smooth.starts.numpy())
