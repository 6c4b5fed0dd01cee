"""Sections 2 and 3: instances whose flows and constants are known, against integrators and sampling."""

import numpy as np
import pytest
import torch

from flowcheck.curvature.dense import hessian
from flowcheck.papers.continuous_discrete import corollary_4, enclosed_network, theorem_3
from flowcheck.papers.continuous_discrete.beside_the_flow import farthest
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow
from flowcheck.papers.continuous_discrete.theorem_2 import smooth_network, systems


def by_euler(gradient, start, until, steps=200_000):
    w = np.array([start])
    for _ in range(steps):
        w = w - until / steps * gradient(w)
    return w[0]


@pytest.mark.parametrize("name", ["saddle", "bowl", "cosine", "log cosh"])
def test_closed_flows_are_flows_of_their_gradients(name):
    one = theorem_3.closed(name, 0.7, 0.02, 1.0)
    start, end = one.flow(np.array([0.0, 1.0]))
    assert by_euler(one.gradient, start, 1.0, 20_000) == pytest.approx(end, abs=2e-4)


@pytest.mark.parametrize("one", corollary_4.objectives().values(), ids=lambda one: one.name)
def test_flows_of_the_objectives_are_flows_of_their_gradients(one):
    start, end = one.flow(np.array([0.0, 1.0]))
    assert by_euler(one.gradient, start, 1.0, 20_000) == pytest.approx(end, abs=4e-4)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_deep_linear_instance_follows_the_exact_flow_of_equation_59(depth):
    one = theorem_3.deep_linear(depth, -0.5, 0.2, 0.02, 1.0)
    exact = ReparameterisedFlow(np.array([float(depth)]), np.array([-0.5]), np.array([0.2]), 6.0)
    kept = exact.clock[0] <= 1.0
    states = one.flow(exact.clock[0, kept])
    length = np.linalg.norm(states[:, 1:], axis=1) * (states[:, 0] / (depth - 1) ** 0.5) ** (depth - 1)
    assert length == pytest.approx(exact.norm[0, kept], abs=1e-8)


def test_growth_of_closed_instances_bounds_the_curvature_in_their_neighbourhoods():
    rng = np.random.default_rng(2)
    bends = {
        "saddle": lambda w: [-1 + 0 * w[0], 1 + 0 * w[0]],
        "cosine": lambda w: -np.cos(w),
        "log cosh": lambda w: np.cosh(w) ** -2,
    }
    for name, bend in bends.items():
        one = theorem_3.closed(name, 0.3, 0.05, 2.0)
        for share in (0.0, 0.5, 1.0):
            times = one.times[:-1] + share * np.diff(one.times)
            angles = rng.uniform(0, 2 * np.pi, len(times))
            points = one.flow(times) + 0.05 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            assert (-np.min(bend(points.T), axis=0) <= one.growth + 1e-12).all()


def test_distances_are_those_of_a_plain_loop():
    one = theorem_3.closed("bowl", 1.0, 0.02, 2.0)
    w, worst = one.flow(np.zeros(1))[0] + 0.01, 0.0
    for k in range(1, 21):
        w = w - 0.1 * w * np.array([0.5, 1.5])
        worst = max(worst, np.linalg.norm(w - np.exp(-0.1 * k * np.array([0.5, 1.5]))))
    starts = np.array([[1.01, 1.01], [1.01, 1.01]])
    assert farthest(one.gradient, one.flow, starts, np.array([0.1, 3.0]), 2.0) == pytest.approx([worst, 0.0], abs=1e-14)


def test_enclosures_hold_gradient_and_hessian_of_sampled_weights():
    rng = np.random.default_rng(3)
    centre = rng.standard_normal(6)
    box = enclosed_network.enclose(centre, 0.05)
    points = torch.as_tensor(centre + rng.uniform(-0.05, 0.05, (500, 6)))
    values = torch.linalg.eigvalsh(hessian(smooth_network, points))
    slopes = torch.func.vmap(torch.func.grad(smooth_network))(points)
    assert enclosed_network._gradient(points.numpy()) == pytest.approx(slopes.numpy(), abs=1e-12)
    assert torch.linalg.norm(slopes, dim=1).max() <= box.slope
    assert values.abs().max() <= box.smoothness
    assert -values.min() <= box.growth
    bare = enclosed_network.enclose(centre, 1e-12)
    exact = torch.linalg.eigvalsh(hessian(smooth_network, torch.as_tensor(centre)[None]))[0]
    assert bare.growth == pytest.approx(-exact[0].item(), abs=1e-9)
    assert bare.smoothness == pytest.approx(exact.abs().max().item(), abs=1e-9)


def test_the_exponential_of_a_linear_system_is_what_an_integrator_finds():
    for system in systems(np.random.default_rng(4)):
        if system.matrix is not None:
            times = np.linspace(0.0, 3.0, 5)
            assert system.solution(1e-12)(times) == pytest.approx(system.integrated(times, 1e-11), abs=1e-8)


def test_the_extracted_condition_is_the_meant_one_for_a_constant_time():
    flat = theorem_3.closed("saddle", 0.1, 0.02, 1.0)
    flat = theorem_3.replace(flat, growth=0 * flat.growth)
    assert theorem_3.extracted_step(flat) == pytest.approx(flat.admitted, rel=1e-9)
