"""The exact flow of Eq. (59), the bounds of Section 5 and Appendix I.12, and networks near the flow."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowcheck.errors import ConfigError
from flowcheck.networks.linear import balancedness_defect, end_to_end
from flowcheck.papers.continuous_discrete import appendix_i12, deep_linear_bounds, end_to_end_flow, near_the_flow
from flowcheck.papers.continuous_discrete.procedure_13 import balanced_start
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow


@pytest.mark.parametrize(("n", "nu0", "norm0"), [(2, 0.9, 0.2), (3, -0.5, 0.01), (5, -0.99, 0.05)])
def test_the_exact_flow_is_that_of_a_general_integrator(n, nu0, norm0):
    flow = ReparameterisedFlow(np.array([float(n)]), np.array([nu0]), np.array([norm0]), 30.0)
    c = np.arctanh(nu0)
    times = flow.times[::100]
    found = solve_ivp(
        lambda t, y: [n * y[0] * (np.tanh(t + c) - y[0]), y[0] ** (2 / n - 1)],
        (0.0, times[-1]),
        [norm0, 0.0],
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-16,
    ).y
    np.testing.assert_allclose(flow.norm[0, ::100], found[0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(flow.clock[0, ::100], found[1], rtol=1e-10)


def test_between_the_ends_of_panels_it_is_the_flow_with_shorter_panels():
    starts = np.array([2.0, 4.0]), np.array([1.0, -0.9]), np.array([0.2, 0.02])
    flow, finer = (ReparameterisedFlow(*starts, 20.0, panel) for panel in (0.05, 0.025))
    away, s = flow.at(np.full(2, finer.times[301]))
    np.testing.assert_allclose(s, finer.excess[:, 301], rtol=1e-12)
    np.testing.assert_allclose(away, finer.one_minus_nu(finer.times[301:302])[:, 0], rtol=1e-14)


def test_near_the_target_no_digits_are_lost():
    flow = ReparameterisedFlow(np.array([3.0]), np.array([0.0]), np.array([0.2]), 60.0)
    late = flow.gradient[0, flow.times >= 30]
    # the transverse part falls like e^{-t}
    np.testing.assert_allclose(np.diff(np.log(late)), -0.05, rtol=1e-3)


def test_a_start_opposite_to_the_target_is_refused():
    with pytest.raises(ConfigError, match="nu0"):
        ReparameterisedFlow(np.array([3.0]), np.array([-1.0]), np.array([0.2]), 1.0)


def test_the_printed_times_and_integrals_at_two_points_worked_out_by_hand():
    n, nu, norm, accuracy = (np.array([v]) for v in (2.0, 0.0, 0.2, 0.05))
    # 2 * 2 * 1.5^2 / 0.2 * ln(15 * 2 / (0.2 * 0.1))
    assert np.exp(deep_linear_bounds.log_time(n, nu, norm, accuracy))[0] == pytest.approx(45 * np.log(1500))
    bound = deep_linear_bounds.m_integral_bound(n, nu, norm, np.array([1.0]), np.array([1e-3]))
    assert bound[0] == pytest.approx(15 * 8 * 2.25 * 1e-3 / 0.2 + np.log(4 / 0.04) + 5)


def test_procedure_13_is_balanced_and_has_its_product_for_matrices_of_any_rank():
    rng = np.random.default_rng(2)
    for outputs, inputs, rank, widths in [(1, 4, 1, [3, 2]), (3, 4, 2, [2, 5, 2]), (4, 2, 2, [3]), (2, 2, 2, [])]:
        matrix = rng.standard_normal((outputs, rank)) @ rng.standard_normal((rank, inputs))
        layers = balanced_start(matrix, widths)
        product = layers[0]
        for layer in layers[1:]:
            product = layer @ product
        np.testing.assert_allclose(product, matrix, atol=1e-13)
        assert balancedness_defect(layers) < 1e-13
        assert [layer.shape[0] for layer in layers] == [*widths, outputs]


def test_procedure_13_refuses_a_layer_that_is_narrower_than_the_rank():
    with pytest.raises(ConfigError, match="rank 2"):
        balanced_start(np.eye(2), [1])


def test_all_statements_hold_along_the_flow_and_the_changed_ones_do_not():
    found, table = appendix_i12.appendix_i12([2, 3], [0.9, -0.9, -0.999], [0.2], [0.05])
    for name in ("lemma41_lower", "lemma48", "lemma51", "lemma54", "lemma58_0.05", "equation22_0.001", "proposition14_time_0.05"):
        assert found[f"{name}_min"].value >= -1e-9, name
    for name in ("lemma41_lower_half_rate", "lemma48_quarter_power", "lemma53_too_early", "lemma54_fast_rate"):
        assert found[f"{name}_min"].value < -0.1, name
    assert found["lemma46_wrong_turns"].value == 0
    assert len(table["depth"]) == 6


def test_where_the_length_is_smallest():
    flow = appendix_i12.flows_of([3], [0.9, -0.9], [0.2])
    time, cosine, smallest = appendix_i12.turn(flow)
    assert (time[0], smallest[0]) == (0.0, pytest.approx(0.2))
    assert cosine[1] == pytest.approx(smallest[1], rel=1e-6)
    assert smallest[1] <= flow.norm[1].min() * (1 + 1e-12)


def test_the_flow_of_all_weights_is_the_exact_one_only_from_a_balanced_start():
    found = end_to_end_flow.full_flows(np.random.default_rng(1), [3], [-0.5], [0.2], 3, 2)
    assert found["lemma35_gap_max"].value < 1e-7
    assert found["lemma43_norm_gap_max"].value < 1e-7
    assert found["lemma35_gap_unbalanced_min"].value > 1e-2


def test_the_loss_near_the_flow_is_that_of_the_layers():
    target = np.array([0.6, 0.8])
    network = near_the_flow.DeepLinear(3, 2, 2, torch.as_tensor(target))
    points = near_the_flow._points(np.random.default_rng(4), 3, -0.5, 0.2, target, 2)
    flow = ReparameterisedFlow(np.array([3.0]), np.array([-0.5]), np.array([0.2]), near_the_flow.CLOCK_END)
    losses = [float(network.loss(torch.as_tensor(point))) for point in points]
    assert losses[0] == pytest.approx(flow.gradient[0, 0] ** 2 / 2)
    assert losses[-1] == pytest.approx(flow.gradient[0, -1] ** 2 / 2)
    layers = [layer.numpy() for layer in network.layers(torch.as_tensor(points[3]))]
    assert balancedness_defect(layers) < 1e-14
    np.testing.assert_allclose(end_to_end(layers), network.end_to_end(torch.as_tensor(points[3])).numpy())


def test_bounds_near_the_flow_are_met_and_nearly_sharp():
    found = near_the_flow.near_the_flow(np.random.default_rng(3), [2], [0.5], 0.2, 2, 2)
    assert 0.9 < found["lemma62_gradient_max"].value <= 1 + 1e-9
    assert found["lemma64_max"].value <= 1
    assert found["lemma64_without_radius_max"].value > 1


def test_opposite_to_the_target_the_loss_stays_at_one_half():
    assert end_to_end_flow.stays_antiparallel([2, 3])["antiparallel_loss_min"].value == pytest.approx(0.5, abs=1e-6)
