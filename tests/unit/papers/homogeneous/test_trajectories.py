"""Random NCF problems, followed and measured: against closed forms, and with the hypotheses violated."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.errors import HypothesisError
from flowcheck.flows.ending import Ends
from flowcheck.networks import sums, zoo
from flowcheck.papers.homogeneous import kkt_search, trajectories
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly, unit_of
from flowcheck.papers.homogeneous.families import Family, draw_family
from flowcheck.papers.homogeneous.kinds import network_of
from flowcheck.papers.homogeneous.later import kkt_defect
from flowcheck.papers.homogeneous.trajectories import follow

torch.set_num_threads(1)
ENDS = Ends(settled=3e-7, rest=1e-8, vanished=-12.0, escaped=8.0)
NEVER = Ends(settled=-1.0, rest=-1.0, vanished=-math.inf)
KINDS = [("power", 3), ("polynomial", 4), ("squared", 4), ("linear", 3), ("two_relu", 2)]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def rng(seed=3):
    return np.random.Generator(np.random.PCG64(seed))


def family(kind, degree, runs=4, **options):
    return draw_family("test", kind, network_of(kind, degree, 3, 2, options.pop("slope", 0.0)), rng(), runs, points=6, **options)


def one_weight(degree, z, start=1.0):
    """The network x w^L with x = 1: its flow is known."""
    network = zoo.power_net(1, 1, degree, slope=1.0)
    return Family("one weight", "polynomial", network, tensor([[[1.0]]]), tensor([[z]]), tensor([[start]]))


@pytest.mark.parametrize(("labels", "signs"), [("negative", [-1]), ("positive", [1]), ("alternating", [1, -1])])
def test_labels_have_the_signs_that_are_asked_for(labels, signs):
    z = family("power", 3, labels=labels).z
    assert np.array_equal(z.sign(), np.resize(signs, z.shape))


def test_inputs_of_a_half_space_are_unit_vectors_with_a_positive_first_coordinate():
    x = family("power", 3, inputs="half_space").x
    assert (x[..., 0] > 0).all()
    assert torch.allclose(x.norm(dim=-1), tensor(1.0))


def test_zero_starts_are_unit_vectors_with_a_vanishing_correlation():
    drawn = family("power", 2, labels="alternating", starts="zero")
    assert (drawn.correlation.value(drawn.starts).abs() < 1e-14).all()
    assert torch.allclose(drawn.starts.norm(dim=1), tensor(1.0))


def test_zero_starts_need_a_correlation_of_both_signs():
    with pytest.raises(ValueError, match="one sign"):
        family("power", 2, labels="negative", starts="zero")


def test_a_network_of_the_wrong_degree_is_refused():
    with pytest.raises(ValueError, match="degree 4, not 3"):
        network_of("squared", 3, 3, 2)


def test_unit_of_refuses_a_network_without_units():
    with pytest.raises(ValueError, match="not a two-layer net"):
        unit_of(zoo.deep_linear((2,), 3))


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_blow_up_of_one_weight_has_its_closed_form(degree):
    both = follow(one_weight(degree, 1.0, 2.0), replace(NEVER, grown=12.0), rtol=1e-10)
    flows, time = both.fine, 1 / (degree * (degree - 2) * 2.0 ** (degree - 2))
    assert flows.blow_up_time == pytest.approx(time, rel=1e-9)
    assert abs(flows.blow_up_time - time) <= both.blow_up_error
    upper, lower = lemmas.blow_up_bounds(flows)
    assert upper == pytest.approx(1, rel=1e-9)
    assert lower == pytest.approx(1, rel=1e-9)
    slope, prefactor = lemmas.blow_up_rate(flows)
    assert abs(slope) < 1e-6
    assert prefactor < 1e-6


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_norm_bound_is_an_equality_from_a_kkt_point_and_false_as_printed(degree):
    flows = follow(one_weight(degree, 1.0), replace(NEVER, grown=12.0), rtol=1e-10).fine
    assert abs(lemmas.norm_excess(flows, power=degree - 2)[0]) < 1e-8
    assert lemmas.norm_excess(flows, power=0.5 * degree - 1)[0] < -0.4
    assert lemmas.norm_excess(flows, power=degree - 2, rate=1.1)[0] == pytest.approx(1 / 1.1 - 1, abs=1e-8)


def test_a_quartic_with_negative_label_vanishes_along_a_negative_kkt_point():
    flows = follow(one_weight(4, -1.0), ENDS, rtol=1e-10).fine
    ended = lemmas.outcome(flows, ENDS)
    assert ended.names.tolist() == ["vanishes"]
    assert lemmas.limit_value(flows)[0] == pytest.approx(-1)
    slope, prefactor = lemmas.decay_rate(flows, ended)
    assert abs(slope[0]) < 1e-6
    assert prefactor[0] < 1e-6


def test_a_flow_that_does_not_end_within_the_longest_arc_stays_open(monkeypatch):
    flows = family("power", 3)
    assert not lemmas.outcome(follow(flows, ENDS, rtol=1e-8).fine, ENDS).open.any()
    monkeypatch.setattr(trajectories, "LONGEST", 1.0)
    assert lemmas.outcome(follow(flows, ENDS, rtol=1e-8).fine, ENDS).open.all()


def test_degree_two_grows_at_the_largest_rate_that_the_bound_allows():
    flows = follow(one_weight(2, 1.0), replace(NEVER, longest=3.0), rtol=1e-10).fine
    fall, rise = lemmas.decay_share(flows)
    assert rise[0] == pytest.approx(1, rel=1e-8)
    assert fall[0] == pytest.approx(-1, rel=1e-8)
    assert lemmas.growth_excess(flows)[0] > 0 > lemmas.growth_excess(flows, factor=2.0)[0]


@pytest.mark.parametrize(("kind", "degree"), KINDS, ids=[kind for kind, _ in KINDS])
def test_identities_hold_and_limits_are_kkt_points(kind, degree):
    positive = {"labels": "positive", "starts": "positive"} if kind == "two_relu" else {}
    drawn = family(kind, degree, runs=2 if positive else 4, **positive)
    flows = follow(drawn, ENDS, rtol=1e-9, coarser=10.0).fine
    ended = lemmas.outcome(flows, ENDS)
    assert not ended.open.any()
    for identity in (lemmas.angle_identity, lemmas.energy_identity, lemmas.norm_identity):
        assert np.abs(identity(flows)).max() < 1e-5
    assert lemmas.increase(flows).min() > -1e-8
    assert np.nanmax(np.abs(lemmas.polygon_gap(flows))) < 0.02
    points = kkt_search.search(drawn, rng(4), 64)
    distance, value, defect = points.nearest(torch.from_numpy(flows.samples.direction[:, -1]))
    assert distance[ended.grows].max() < 1e-4
    assert defect[ended.grows].max() < 1e-6
    assert np.allclose(value[ended.grows], lemmas.limit_value(flows)[ended.grows], rtol=1e-6)
    assert points.nearest(drawn.starts)[0].min() > 1e-2


def test_a_two_layer_net_ends_at_kkt_points_of_its_units():
    drawn = family("two_layer", 2, runs=6, slope=0.2)
    flows = follow_exactly(drawn, ENDS).fine
    assert kkt_defect(drawn, flows.samples.direction[:, -1]).max() < 1e-6
    assert kkt_search.ListedPoints.of(drawn).distance(flows.samples.direction[:, -1]).max() < 1e-4


def test_a_field_that_is_no_gradient_breaks_monotonicity_identities_and_convergence():
    drawn = family("power", 3)
    turned = replace(drawn, network=sums.Rotated(drawn.network, 10.0))
    flows = follow(turned, replace(NEVER, longest=1.2), rtol=1e-7, coarser=10.0).fine
    assert lemmas.increase(flows).max() < -1e-4
    for identity in (lemmas.energy_identity, lemmas.angle_identity):
        assert np.abs(identity(flows)).max(axis=1).min() > 0.1
    assert flows.samples.length[:, -1].min() > 10
    assert kkt_defect(turned, flows.samples.direction[:, -1]).min() > 1e-2


def test_labels_of_zero_are_a_hypothesis_error_that_names_the_signal():
    drawn = family("power", 3)
    with pytest.raises(HypothesisError, match="identically zero") as unmet:
        follow(replace(drawn, z=0 * drawn.z), ENDS, rtol=1e-8)
    assert (unmet.value.metric, unmet.value.measured) == ("signal", 0.0)


def test_a_network_of_mixed_degree_is_a_hypothesis_error_that_names_the_degree():
    drawn = family("power", 3)
    mixture = sums.Mixture("mixture", ((1.0, drawn.network), (0.5, zoo.power_net(2, 3, 2))), 3)
    with pytest.raises(HypothesisError, match="not homogeneous of degree 3") as unmet:
        follow(replace(drawn, network=mixture), ENDS, rtol=1e-8)
    assert unmet.value.metric == "degree_defect"


@pytest.mark.parametrize(("kind", "degree"), KINDS, ids=[kind for kind, _ in KINDS])
def test_kkt_points_of_one_unit_are_lifted_to_kkt_points_of_the_network(kind, degree):
    drawn = family(kind, degree, labels="positive")
    points = kkt_search.search(drawn, rng(), 8)
    assert points.usable.any(dim=1).all()
    assert points.defect[points.usable].max() < 1e-6
    assert torch.allclose(points.weights[points.usable].norm(dim=-1), tensor(1.0))
    started = points.as_starts()
    assert torch.equal(started.x, drawn.x)
    assert Correlation(started.network, started.x, started.z).kkt_residual(started.starts).max() < 1e-6


def test_floor_of_lemma_c7_is_kept_by_growing_flows_and_broken_by_vanishing_ones():
    growing = follow(one_weight(4, 1.0), replace(NEVER, grown=5.0), rtol=1e-9).fine
    vanishing = follow(one_weight(4, -1.0), ENDS, rtol=1e-9).fine
    margin, case = lemmas.floor_margin(growing, lemmas.outcome(growing, ENDS))
    assert margin[0] > -1e-9
    assert case[0] == "positive"
    margin, case = lemmas.floor_margin(vanishing, lemmas.outcome(vanishing, ENDS))
    assert margin[0] < -11
    assert case[0] == "excluded"


def test_kl_exponent_is_one_half_at_a_non_degenerate_maximum_and_a_flat_function_has_none():
    flows = follow(family("linear", 3), ENDS, rtol=1e-10).fine
    exponent, fall = lemmas.kurdyka_lojasiewicz(flows, lemmas.outcome(flows, ENDS))
    assert np.allclose(exponent, 0.5, atol=0.02)
    assert fall.max() < 1e-9
    assert lemmas.flat_fall() > 10


def test_two_readings_tell_how_well_a_flow_is_known():
    """U' = 4 u^3 from 2: ln|u| as a function of s is known, and so is the integral of the speed, which is 0."""
    flows = follow(one_weight(4, 1.0, 2.0), replace(NEVER, grown=12.0), rtol=1e-6)
    exact = math.log(2) + 4 * flows.fine.samples.arc
    assert np.abs(flows.fine.samples.log_norm - exact).max() <= flows.log_norm_error[0] + 1e-13
    assert flows.coarse.samples.node_value.shape[-1] == 2 * flows.fine.samples.node_value.shape[-1]
    assert np.array_equal(flows.fine.samples.arc, flows.coarse.samples.arc)


def test_the_two_readings_of_a_two_layer_net_differ_by_rounding_and_quadrature():
    drawn = family("two_layer", 2, runs=4, slope=0.2)
    flows = follow_exactly(drawn, ENDS)
    assert flows.value_error.max() < 1e-11
    assert (flows.log_norm_error <= 1e-11 * np.abs(flows.fine.samples.log_norm).max(axis=1).clip(1)).all()
    fine, coarse = (lemmas.energy_identity(each) for each in (flows.fine, flows.coarse))
    assert 0 < np.abs(fine - coarse).max() < 1e-8


def test_rules_integrate_polynomials_of_their_degree_on_every_interval():
    mesh = np.array([[0.0, 0.5, 2.0, np.nan]])
    nodes, weights = trajectories.Quadrature(3).nodes(mesh), trajectories.Quadrature(3).weights(mesh)
    assert (weights * nodes**5).sum(axis=-1)[0, :2] == pytest.approx([0.5**6 / 6, (2**6 - 0.5**6) / 6])
    assert np.isnan(weights[0, 2]).all()


def test_points_are_listed_in_three_dimensions_and_for_two_layer_nets_only():
    with pytest.raises(ValueError, match="not a two-layer net"):
        kkt_search.ListedPoints.of(family("linear", 3))
    plane = draw_family("plane", "two_layer", network_of("two_layer", 2, 2, 1), rng(), 2, points=3)
    with pytest.raises(ValueError, match="in 3 dimensions, not 2"):
        kkt_search.ListedPoints.of(plane)
