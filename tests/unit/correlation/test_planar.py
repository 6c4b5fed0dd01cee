"""KKT points in the plane against a dense scan, the ascent on the sphere, the network itself and values in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.correlation.planar import PlanarCorrelation, angular_distance, wrap
from flowcheck.networks.zoo import power_net

NEURON = power_net(1, 2, 2)


def toy_labels(x):
    return 5 * np.maximum(x[:, 0], 0) ** 2 + 4 * np.maximum(-x[:, 0], 0) ** 2


def draw(seed, n=50, kind="toy"):
    rng = np.random.Generator(np.random.PCG64(seed))
    x = rng.standard_normal((n, 2))
    if kind != "long":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    if kind == "residual":
        return PlanarCorrelation(x, np.where(x[:, 0] < 0, 4 * x[:, 0] ** 2, 0.0))
    return PlanarCorrelation(x, toy_labels(x) if kind == "toy" else rng.standard_normal(n))


def directions(theta):
    return torch.from_numpy(np.stack([np.cos(theta), np.sin(theta)], axis=-1))


def correlation_of(planar):
    return Correlation(NEURON, torch.from_numpy(planar.x), torch.from_numpy(planar.z))


KINDS = ("toy", "mixed", "long", "residual")


@pytest.mark.parametrize("kind", KINDS)
def test_value_slope_and_residual_are_those_of_the_network(kind):
    planar, theta = draw(1, kind=kind), np.linspace(-3, 3, 41)
    correlation, u = correlation_of(planar), directions(theta)
    across = directions(theta + 0.5 * np.pi)
    assert planar.value(theta) == pytest.approx(correlation.value(u).numpy(), abs=1e-12)
    assert planar.slope(theta) == pytest.approx((correlation.gradient(u) * across).sum(dim=-1).numpy(), abs=1e-12)
    assert planar.kkt_residual(theta) == pytest.approx(correlation.kkt_residual(u).numpy(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_critical_points_are_the_sign_changes_of_a_dense_scan(seed, kind):
    planar = draw(seed, kind=kind)
    grid = np.linspace(-np.pi, np.pi, 20_000, endpoint=False) + 1e-7
    slope = planar.slope(grid)
    slope[planar.in_flat(grid)] = 0.0
    rising = slope > 0
    falls = np.flatnonzero(rising & (np.roll(slope, -1) < 0))
    rises = np.flatnonzero((slope < 0) & np.roll(rising, -1))
    spacing = grid[1] - grid[0]
    assert np.sort(wrap(grid[falls] + 0.5 * spacing)) == pytest.approx(planar.critical.maxima, abs=spacing)
    assert np.sort(wrap(grid[rises] + 0.5 * spacing)) == pytest.approx(planar.critical.minima, abs=spacing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_ascent_on_the_circle_ends_at_critical_points_and_finds_the_highest(seed, kind):
    planar = draw(seed, kind=kind)
    theta = np.linspace(-3.1, 3.1, 60)
    theta = theta[~planar.in_flat(theta)]
    found = ascend(correlation_of(planar), directions(theta), iterations=400)
    ends = torch.atan2(found.points[:, 1], found.points[:, 0]).numpy()
    assert planar.distance_to_critical(ends) == pytest.approx(0, abs=1e-6)
    top = planar.critical.angle[np.argmax(planar.critical.value)]
    assert (angular_distance(ends, top) < 1e-6).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_flow_of_the_angle_ends_at_the_limit(seed, kind):
    planar = draw(seed, kind=kind)
    start = np.linspace(-3.0, 3.0, 13)
    path = solve_ivp(lambda _, theta: planar.slope(theta), (0.0, 50.0), start, rtol=1e-6, atol=1e-7)
    slow = np.abs(planar.slope(path.y[:, -1])) > 1e-3  # near the edge of a flat arc the flow never quite arrives
    limit = planar.limit(start)
    assert angular_distance(path.y[~slow, -1], limit[~slow]) == pytest.approx(0, abs=1e-3)
    assert slow.mean() <= 0.2


def test_equally_spaced_inputs_give_the_values_in_closed_form():
    """Sum of 5 cos^4 over half of 50 directions: 5 x 25 x 3/8 = 46.875; the other half 37.5."""
    angle = 2 * np.pi * np.arange(50) / 50
    x = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    planar = PlanarCorrelation(x, toy_labels(x))
    assert planar.critical.maxima == pytest.approx([0.0, np.pi], abs=1e-9)
    assert planar.value(planar.critical.maxima) == pytest.approx([46.875, 37.5])
    assert planar.maximum == pytest.approx(46.875)
    # by bracketing N' = 0 with scipy's brentq
    assert planar.critical.minima == pytest.approx([-1.6419473426, 1.6419473426], abs=1e-9)
    assert planar.value(planar.critical.minima) == pytest.approx([13.921459567998077] * 2, rel=1e-12)


def test_one_input_has_one_maximum_and_half_a_circle_of_flat_points():
    planar = PlanarCorrelation(np.array([[2.0, 0.0]]), np.array([3.0]))
    assert planar.critical.angle == pytest.approx([0.0])
    assert planar.critical.value == pytest.approx([12.0])
    assert planar.critical.flat == pytest.approx(np.array([[0.5 * np.pi, 1.5 * np.pi]]))
    assert planar.limit(np.array([1.0, -1.0, 2.0, np.pi])) == pytest.approx([0.0, 0.0, 2.0, np.pi])
    assert planar.distance_to_critical(np.array([0.5, 2.0])) == pytest.approx([0.5, 0.0])


def test_one_input_with_a_negative_label_has_a_minimum_and_flow_ends_at_the_edges_of_the_flat_arc():
    planar = PlanarCorrelation(np.array([[0.0, 1.0]]), np.array([-1.0]))
    assert planar.critical.minima == pytest.approx([0.5 * np.pi])
    assert len(planar.critical.maxima) == 0
    assert planar.distance_to_maximum(np.array([0.0])) == pytest.approx([np.pi])
    assert planar.limit(np.array([1.0, 2.0])) == pytest.approx([0.0, np.pi])


@pytest.mark.parametrize("z", [np.zeros(2), np.array([1.0, 1.0])], ids=["no signal", "isotropic"])
def test_a_constant_function_is_flat_everywhere(z):
    x = np.array([[1.0, 0.0], [-1.0, 0.0]]) if not z.any() else np.array([[1.0, 0.0], [0.0, 1.0]])
    x = np.concatenate([x, -x])
    planar = PlanarCorrelation(x, np.concatenate([z, z]))
    assert len(planar.critical.angle) == 0
    assert planar.in_flat(np.linspace(-3, 3, 7)).all()
    assert planar.limit(np.array([0.3, -2.0])) == pytest.approx([0.3, -2.0])


def test_flat_arcs_are_where_every_input_with_weight_is_off():
    planar = draw(3, kind="residual")
    (arc,) = planar.critical.flat
    on_left = planar.x[planar.x[:, 0] < 0]
    phase = np.sort(np.arctan2(on_left[:, 1], on_left[:, 0]) % (2 * np.pi))
    assert arc == pytest.approx([phase[-1] - 1.5 * np.pi - (0 if arc[0] < 0 else -2 * np.pi), phase[0] - 0.5 * np.pi], abs=1e-9)
    theta = np.linspace(*arc, 50)
    assert planar.value(theta) == pytest.approx(0, abs=1e-20)
    assert not planar.in_flat(np.array([arc[0] - 1e-3, arc[1] + 1e-3])).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(1, 12), negative=st.booleans())
def test_every_critical_point_is_stationary_and_maxima_alternate_with_minima(seed, n, negative):
    planar = draw(seed, n=n, kind="mixed" if negative else "toy")
    critical = planar.critical
    assert planar.slope(critical.angle) == pytest.approx(0, abs=1e-9)
    assert np.all(np.diff(critical.angle) > 0)
    assert planar.in_flat(planar.limit(np.linspace(-3, 3, 5))).any() or len(critical.angle) > 0
    turns = critical.turn[critical.turn != 0]
    if len(critical.flat) == 0:
        assert turns.sum() == 0
        assert np.all(turns + np.roll(turns, 1) == 0)
    grid = planar.value(np.linspace(-np.pi, np.pi, 2000))
    assert planar.maximum >= grid.max() - 1e-12


def test_angles_wrap_at_pi():
    assert wrap(np.array([np.pi, -np.pi, 3.5, -3.5, 0.0])) == pytest.approx([np.pi, np.pi, 3.5 - 2 * np.pi, 2 * np.pi - 3.5, 0.0])
    assert angular_distance(np.array([3.1]), -3.1) == pytest.approx([2 * np.pi - 6.2])
