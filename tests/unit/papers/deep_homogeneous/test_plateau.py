"""The escape, predicted by the flow and met by descent: on y = ab, whose flow is p' = 2p(1 - p) for the output p = ab."""

import math

import numpy as np
import pytest
import torch

from flowcheck.losses import MEAN
from flowcheck.networks.zoo import deep_linear
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.plateau import ROWS, Plateau, recorded_iterations

PLATEAU = Plateau(deep_linear([1], 1), loss_ratio=0.99, rtol=1e-9)
DELTA = 1e-2


def products(count, points=1):
    """Runs that fit y = 1 by ab from a = b, on one point that is repeated: the half sum then is `points` times as large."""
    x = torch.ones(count, points, 1, dtype=torch.float64)
    return Draws(np.arange(count), x, x[..., 0], torch.full((count, 2), 0.5**0.5, dtype=torch.float64))


def escape_time(delta, points=1):
    """The loss is (1 - p)² over (1 - p0)², and logit p grows at the rate 2 for each point."""
    start = 0.5 * delta**2
    end = 1 - math.sqrt(0.99) * (1 - start)
    return 0.5 * math.log(end / (1 - end) * (1 - start) / start) / points


@pytest.mark.parametrize("points", [1, 4])
def test_the_flow_escapes_when_the_closed_form_says(points):
    assert PLATEAU.escape_times(products(2, points), DELTA).numpy() == pytest.approx(escape_time(DELTA, points), rel=1e-7)


def test_scales_may_differ_and_a_coarse_tolerance_is_coarser():
    fine, coarse = (PLATEAU.flow(products(2), torch.tensor([1e-2, 1e-4], dtype=torch.float64), rtol) for rtol in (None, 1e-3))
    exact = np.array([escape_time(1e-2), escape_time(1e-4)])
    gaps = [np.abs(path.plain_time().numpy() / exact - 1).max() for path in (fine, coarse)]
    assert gaps[0] < 1e-10 < gaps[1] < 1e-2


def test_blocks_of_flows_are_the_flows():
    seen = []

    def progress(blocks):
        seen.extend(blocks)
        return blocks

    times = PLATEAU.escape_times(products(ROWS + 3), DELTA, progress)
    assert times.shape == (ROWS + 3,)
    assert len(seen) == 2


def test_descent_escapes_where_the_flow_does_and_stops_just_before():
    draws, steps = products(2, points=4), 400
    times = PLATEAU.escape_times(draws, DELTA)
    path = PLATEAU.descent(draws, DELTA, times, steps, curves=True)
    (crossing,) = path.crossings
    assert crossing.iteration.numpy() == pytest.approx(steps, rel=0.02)
    ratio = (1 - crossing.weights_before.prod(dim=-1)) ** 2 / (1 - 0.5 * DELTA**2) ** 2
    assert ((ratio >= 0.99) & (ratio < 0.9915)).all()
    assert torch.equal(PLATEAU.stop(draws, DELTA, times, steps), crossing.weights_before)
    assert path.measured["cosine"].numpy() == pytest.approx(1.0)  # a = b throughout
    wrong = PLATEAU.descent(draws, DELTA, 0.8 * times, steps)
    assert (wrong.crossings[0].iteration == -1).all(), "a wrong prediction must show"


def test_each_loss_has_the_step_size_that_makes_up_for_its_factor():
    draws = products(1, points=4)
    times = PLATEAU.escape_times(draws, DELTA)
    half_sum, mean = (PLATEAU.stop(draws, DELTA, times, 100, *loss) for loss in ((), (MEAN,)))
    assert torch.allclose(half_sum, mean, rtol=1e-12)


def test_most_of_what_is_recorded_is_near_the_end():
    record = recorded_iterations(1000, 100)
    assert (np.diff(record) > 0).all()
    assert {0, 950, 1000, 1100} <= set(record.tolist())
    assert (record >= 950).mean() > 0.45
