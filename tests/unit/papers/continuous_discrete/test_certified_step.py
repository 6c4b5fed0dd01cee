"""The step of Eq. (7) with measured constants: against `largest_step`, a bowl in closed form, whole Hessians of a network."""

import numpy as np
import pytest
import torch

from flowcheck.curvature.dense import hessian
from flowcheck.integration.discrepancy import deviation_bound, euler, largest_step
from flowcheck.papers.continuous_discrete import certified_step
from flowcheck.papers.continuous_discrete.theorem_2 import smooth_network

TIMES, GROWTH = np.array([0.0, 0.3, 1.0, 1.8]), np.array([2.0, 0.0, -1.5])


def test_the_stretch_is_the_integral_of_the_bound():
    expected = deviation_bound(TIMES, GROWTH, np.ones((3, 2)))[1:]
    assert np.exp(certified_step.log_stretch(TIMES, GROWTH)) == pytest.approx(expected, rel=1e-12)


def test_the_stretch_is_known_where_it_overflows():
    found = certified_step.log_stretch(np.array([0.0, 1.0, 2.0]), np.array([2000.0, 3000.0]))
    assert found == pytest.approx([2000 - np.log(2000), 5000 - np.log(2000)])


def test_orders_compare_the_step_with_that_of_equation_7():
    from flowcheck.measures.refinement import Refined

    far = Refined(np.array([0.0, 0.01, 0.03, 0.02]), np.zeros(4))
    lowest = np.array([-2.0, -1.0, 0.5, 3.0])
    one = certified_step.Measured(0.05, TIMES, far, lowest, np.array([4.0, 5.0, 3.0, 3.5]), np.array([1.0, 0.8, 1.5, 0.1]))
    assert one.growth.tolist() == [1.0, -0.5, -3.0]
    certified = largest_step(TIMES, one.growth, smoothness=5.0, slope=1.5, radius=0.03)
    assert float(one.orders().value) == pytest.approx(np.log10(0.05 / certified))


def test_on_a_bowl_the_deviation_is_that_of_the_exact_flow_and_the_theorem_nearly_sharp():
    one = certified_step.on_bowl(np.random.default_rng(0))
    start, eta = 1.25**0.5, one.step_size
    exact = start * (np.exp(-one.times) - (1 - eta) ** np.round(one.times / eta))
    assert one.deviation.value == pytest.approx(exact, rel=2e-3, abs=1e-12)
    assert one.lowest == pytest.approx(np.ones(5))
    assert one.slope == pytest.approx(start * np.exp(-one.times), rel=1e-3)
    # beta gamma eta (1 - e^-t) over (eta / 2) t e^-t gamma
    assert float(one.orders().value) == pytest.approx(np.log10(2 * np.expm1(0.05) / 0.05), abs=5e-3)


class OnNetwork:
    def __init__(self, step_size):
        self.step_size, self.w = step_size, torch.tensor([0.5, -0.3, 0.8, 0.1, 0.7, -0.4], dtype=torch.float64)

    def advance(self, steps):
        slope = torch.func.grad(smooth_network)
        self.w = euler(lambda _, w: -slope(w), self.w, self.step_size, steps)[-1]

    def weights(self):
        return self.w[None]


def test_constants_along_a_run_are_those_of_whole_hessians():
    one = certified_step.measured(OnNetwork, smooth_network, 0.05, 40, 5, np.random.default_rng(1))
    runs, points = OnNetwork(0.05 / certified_step.FINER), []
    for steps in (0, *[10 * certified_step.FINER] * 4):
        if steps:
            runs.advance(steps)
        points.append(runs.w)
    values = torch.linalg.eigvalsh(hessian(smooth_network, torch.stack(points)))
    assert one.lowest == pytest.approx(values[:, 0].numpy(), rel=certified_step.RTOL)
    assert one.highest == pytest.approx(values[:, -1].numpy(), rel=certified_step.RTOL)
    slopes = torch.func.vmap(torch.func.grad(smooth_network))(torch.stack(points))
    assert one.slope == pytest.approx(torch.linalg.norm(slopes, dim=1).numpy())
    assert (one.deviation.value <= np.concatenate([[0.0], np.exp(one.log_bound)]) + 1e-15).all()
