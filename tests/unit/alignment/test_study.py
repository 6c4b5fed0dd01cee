"""Flows beside their NCF flows: closed forms, the flow in rescaled time, bounds of Theorem 5.1."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from flowcheck.alignment import reference, study
from flowcheck.alignment import shadow as early
from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import largest_output
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import half_space_inputs, noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.flows.ending import Ending
from flowcheck.flows.flow import gradient_flow
from flowcheck.geometry import angle
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.measures.refinement import Refined
from flowcheck.networks.problem import Objective
from flowcheck.networks.zoo import deep_linear, deep_relu, power_net, two_layer
from flowcheck.papers.deep_homogeneous import bounds as deep_homogeneous
from flowcheck.papers.homogeneous import deviation_rate
from flowcheck.papers.two_homogeneous import bounds as two_homogeneous

RNG = np.random.Generator(np.random.PCG64(31))
ONE = torch.ones((1, 1), dtype=torch.float64)


def test_one_cubed_unit_blows_up_and_aligns_as_the_closed_form_says():
    # H = max(0, w x)^3 with x = z = 1: u' = 3 u^2, u = 1 / (1 - 3 t), so T* = 1/3, and the direction never changes
    ends = reference.reference(power_net(1, 1, 3.0), ONE, ONE, ONE, smallest_epsilon=0.01)
    assert ends.branch.tolist() == [Ending.GROWS]
    assert float(ends.blow_up) == pytest.approx(1 / 3, rel=1e-6)
    assert float(ends.norm_floor) == pytest.approx(1.0)


def test_the_last_step_below_a_growth_is_the_last_of_all_where_the_flow_never_exceeds_it():
    x, start = torch.eye(3, dtype=torch.float64), torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
    ends = reference.reference(power_net(1, 3, 2.0), x, torch.tensor([[1.0, 2.0, 3.0]]).to(x), start, smallest_epsilon=0.01)
    growth = ends.steps.log_growth[0]
    half = float(growth[-1]) / 2
    last = int(ends.below(half)[0])
    assert (growth[: last + 1] <= half).all()
    assert growth[last + 1] > half
    assert int(ends.below(1e9)[0]) == len(growth) - 1


@pytest.mark.parametrize("second", [0.3, 0.9])
def test_a_limit_is_known_to_what_it_turned_at_last(second):
    # u' = 2 z_i u_i for squares on e_1 and e_2: the limit is e_1, approached as exp(-2 (1 - z_2) t)
    x, z = torch.eye(2, dtype=torch.float64), torch.tensor([[1.0, second]], dtype=torch.float64)
    ends = reference.reference(power_net(1, 2, 2.0), x, z, torch.tensor([[0.6, 0.8]]).to(x), smallest_epsilon=0.1)
    missed = float(angle(ends.limit, x[:1]))
    assert 3 * missed <= float(ends.limit_error) <= 100 * missed


def test_a_flow_to_the_origin_is_followed_until_it_is_small():
    # H = (w x)^4 with z = -1: u' = -4 u^3, u = (1 + 8 t)^(-1/2)
    ends = reference.reference(power_net(1, 1, 4.0, slope=1.0), ONE, -ONE, ONE, smallest_epsilon=0.01)
    assert ends.branch.tolist() == [Ending.VANISHES]
    step = ends.moment(0.1)
    _, time = ends.at(step)
    assert float(ends.steps.log_growth[0, step].exp()) <= 0.1
    assert float((1 + 8 * time) ** -0.5) == pytest.approx(float(ends.steps.log_growth[0, step].exp()), rel=1e-5)
    assert float(ends.largest_norm(step)) == pytest.approx(1.0)


def test_a_flow_without_an_active_unit_rests_where_it_is():
    x = half_space_inputs(np.random.Generator(np.random.PCG64(1)), 6, 3)
    start = torch.tensor([[-1.0, 0.0, 0.0]], dtype=torch.float64)
    ends = reference.reference(power_net(1, 3, 4.0), x, -torch.ones((1, 6), dtype=torch.float64), start, smallest_epsilon=0.01)
    assert ends.branch.tolist() == [Ending.RESTS]
    assert float(ends.norm_floor) == pytest.approx(1.0)


@pytest.mark.parametrize("network", [power_net(3, 3, 2.0), power_net(3, 3, 3.0), deep_linear((3, 3), 3)], ids=lambda n: n.name)
def test_the_flow_as_it_stands_is_the_flow_in_rescaled_time(network):
    x, starts = sphere_inputs(RNG, 8, 3), unit_vectors(RNG, 2, network.size)
    y = noisy_teacher_labels(RNG, network, x, 2, 0.3)
    losses = (HALF_SUM, LOGISTIC_DOUBLED)
    cases = early.Cases.of(losses, torch.stack([y, y.sign()]), starts)
    deltas = torch.tensor([0.3, 0.01], dtype=torch.float64)
    run, coarse = early.shadow(
        network, x, losses, cases, deltas.expand(4, -1), torch.full((4, 1), 0.05, dtype=torch.float64), rtol=1e-10
    )
    for case in range(4):
        for column, delta in enumerate(deltas.tolist()):
            path = gradient_flow(
                Objective(network, x, cases.y[case], losses[int(cases.loss[case])]),
                cases.starts[case : case + 1],
                delta,
                rtol=1e-11,
                length=float(run.time[case, column, 0]),
                clock="time",
            )
            torch.testing.assert_close(path.weights_over_delta()[0], run.s[case, column, 0], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(run.s, coarse.s, rtol=1e-6, atol=1e-6)


def test_the_deviation_has_order_l_and_the_prefactor_of_the_first_variation():
    # one cubed unit, x = y = 1: s' = 3 s^2 (1 - delta^3 s^3)
    # v = (u - s) / delta^3 obeys v' = 6 u v + 3 u^5, so v = u^2 (u^2 - 1) / 2
    network, cases = power_net(1, 1, 3.0), early.Cases.of((HALF_SUM,), ONE[None], ONE)
    deltas = torch.logspace(-1, -3, 5, dtype=torch.float64)[None]
    run, coarse = early.shadow(
        network, ONE, (HALF_SUM,), cases, deltas, torch.full((1, 1), math.log(1.5) / 3, dtype=torch.float64), rtol=1e-10
    )
    assert float(run.u[0, -1, 0, 0]) == pytest.approx(1.5, rel=1e-8)
    deviation, error = (part.deviation()[..., -1].numpy() for part in (run, coarse))
    found = deviation_rate.slope(deltas.numpy(), Refined.of(deviation, error), np.array([1.5]))
    assert found.value == pytest.approx(3.0, abs=0.02)
    u = 1.5
    assert deviation[0, -1] / 1e-9 == pytest.approx(u**2 * (u**2 - 1) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("bounds", "edge"), [(deep_homogeneous, lambda e: e / (e + 3)), (two_homogeneous, lambda e: 2 * e / (2 * e + 3))]
)
def test_the_cosine_bound_is_zero_at_the_epsilon_beyond_which_it_says_nothing(bounds, edge):
    eta = np.array([0.2, 0.5, 1.0])
    np.testing.assert_allclose(bounds.cosine_bound(eta, edge(eta)), 0.0, atol=1e-15)


def test_the_scanned_bound_of_outputs_lies_between_ascents_and_the_closed_bound():
    x = sphere_inputs(np.random.Generator(np.random.PCG64(5)), 12, 2)
    network = power_net(3, 2, 2.0)
    starts = unit_vectors(np.random.Generator(np.random.PCG64(6)), 40, network.size)
    scanned = two_homogeneous.squared_relu_beta(x.numpy())
    assert largest_output(network, x, starts) <= scanned <= network.output_bound(x)
    assert scanned <= 1.001 * largest_output(network, x, starts)


def test_cases_with_another_vector_keep_labels_and_starts():
    y = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    cases = early.Cases.of((HALF_SUM,), y[None], torch.tensor([[0.6, 0.8]], dtype=torch.float64))
    other = cases.permuted(np.array([2, 0, 1]))
    assert other.z.tolist() == [[3.0, 1.0, 2.0]]
    assert torch.equal(other.y, cases.y)
    assert torch.equal(other.starts, cases.starts)


def test_a_study_compares_up_to_its_moments_and_gives_up_where_u_is_too_large():
    x, y = torch.eye(2, dtype=torch.float64), torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    cases = early.Cases.of((HALF_SUM,), y[None], torch.tensor([[0.8, 0.6]], dtype=torch.float64))
    whole = study.Study.begin(power_net(1, 2, 3.0), x, (HALF_SUM,), cases, (0.01, 0.1), 1e-8)
    assert whole.epsilons == (0.1, 0.01)
    deltas = torch.tensor([[1e-2, 1e-3]], dtype=torch.float64)
    found = whole.compare(deltas, points=4)
    assert found.resolved.tolist() == [[True, True]]
    torch.testing.assert_close(found.fine.time[0, 0, found.at], whole.times[0], rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found.fine.u[0, 0, found.at].norm(dim=-1), whole.largest_norms[0], rtol=1e-6, atol=0.0)
    assert found.fine.s.shape == found.coarse.s.shape == (1, 2, 8, 2)
    huge = dataclasses.replace(whole)
    huge.__dict__["largest_norms"] = whole.largest_norms.new_tensor([[1.5, 2e8]])
    found = huge.compare(deltas, points=4)
    assert found.resolved.tolist() == [[True, False]]
    # where it is not resolved, u is followed no further than to the moment before
    torch.testing.assert_close(found.fine.time[0, 0, 3], found.fine.time[0, 0, 7])


def test_teachers_without_outputs_are_drawn_again():
    rng = np.random.Generator(np.random.PCG64(2))
    network, x = deep_relu((2, 1, 1, 1), 2), sphere_inputs(rng, 4, 2)
    labels = noisy_teacher_labels(rng, network, x, 50, 0.0)
    assert bool(torch.isfinite(labels).all())
    torch.testing.assert_close(labels.square().mean(dim=-1), torch.ones(50, dtype=torch.float64))


def test_a_limit_on_a_kink_is_a_kkt_point_for_the_subdifferential_and_not_for_one_gradient():
    rng = np.random.default_rng(3)
    x, z, slope = rng.standard_normal((6, 3)), rng.standard_normal(6), 0.2
    network, vector, inputs = two_layer(1, 3, slope), torch.from_numpy(z), torch.from_numpy(x)
    found = 0
    for u in clarke.neuron_kkt_points(x, z, slope):
        value = float(z @ np.maximum(x @ u, slope * (x @ u)))
        if np.abs(x @ u).min() > 1e-9 or abs(value) < 1e-3:
            continue
        direction = torch.from_numpy(np.append(u, np.sign(value)) / np.sqrt(2))
        gradient = network.pull(direction[None], inputs, vector)[0]
        sine = (gradient - (gradient @ direction) * direction).norm() / gradient.norm()
        residual, error = clarke.residual_nearby(Correlation(network, inputs, vector), direction)
        assert residual < 1e-6
        assert 0 < error < 1e-10
        found += int(sine > 1e-3)
    assert found > 0
