"""The solution between steps, asked for afterwards: against what was recorded on the way, and against closed forms."""

import math

import pytest
import torch

from flowcheck.integration.adaptive import integrate

torch.set_num_threads(1)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def oscillator(y, index):
    return torch.stack([y[:, 1], -y[:, 0]], dim=-1)


START, LENGTHS, POINTS = (
    tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
    tensor([10.0, 3.0, 0.0]),
    torch.linspace(0, 10, 41).double(),
)


def run(order, **options):
    return integrate(oscillator, START, LENGTHS, rtol=1e-8, atol=1e-8, order=order, keep_dense=True, **options)


@pytest.mark.parametrize("order", [5, 8])
def test_states_between_the_steps_are_those_that_would_have_been_recorded(order):
    seen = run(order, record_at=POINTS)
    asked = seen.dense(POINTS.expand(3, -1), torch.arange(3))
    torch.testing.assert_close(asked, seen.recorded, rtol=0, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("order", [5, 8])
def test_keeping_the_steps_changes_nothing(order):
    plain = integrate(oscillator, START, LENGTHS, rtol=1e-8, atol=1e-8, order=order)
    assert torch.equal(run(order).state, plain.state)
    assert torch.equal(run(order).evaluations, plain.evaluations)


def test_some_trajectories_are_asked_in_any_order_and_points_that_are_no_number_are_passed_over():
    asked = run(8).dense(tensor([[2.5, math.nan, 1.0], [9.0, 11.0, 0.0]]), torch.tensor([1, 0]))
    expected = tensor([[2 * math.sin(2.5), math.nan, 2 * math.sin(1.0)], [math.cos(9.0), math.nan, 1.0]])
    torch.testing.assert_close(asked[..., 0], expected, rtol=0, atol=1e-6, equal_nan=True)


def test_recorded_states_are_put_back_where_the_run_puts_them():
    circle = run(5, project=lambda y: y / y.norm(dim=-1, keepdim=True)).dense(POINTS[None], torch.tensor([0]))
    assert (circle.norm(dim=-1) - 1).abs().max() < 1e-15


def test_a_step_that_ends_at_a_kink_is_seen_in_its_own_piece():
    """Y' = 1 below 1 and 3 above: the solution is linear on both sides, and the step in between is cut at y = 1."""
    rates = tensor([[1.0], [3.0]])
    seen = integrate(
        lambda y, mode, index: rates[(mode[:, 0] > 0).long()],
        tensor([[0.0]]),
        2.0,
        atol=1e-6,
        kinks=lambda y, index: y - 1,
        keep_dense=True,
    )
    points = torch.linspace(0, 2, 21).double()
    asked = seen.dense(points[None], torch.tensor([0]))[0, :, 0]
    torch.testing.assert_close(asked, torch.where(points < 1, points, 3 * points - 2), rtol=0, atol=1e-9)


def test_a_run_without_steps_has_nothing_between_them():
    asked = integrate(oscillator, START, 0.0, atol=1e-8, keep_dense=True).dense(
        tensor([[0.0, 0.5]]).expand(3, -1), torch.arange(3)
    )
    assert torch.equal(asked[:, 0], START)
    assert bool(asked[:, 1].isnan().all())
    assert integrate(oscillator, START, 1.0, atol=1e-8).dense is None


def test_a_trajectory_that_ends_where_it_begins_is_there_beside_one_that_does_not():
    seen = integrate(oscillator, START[:2], tensor([0.0, 1.0]), rtol=1e-8, atol=1e-8, keep_dense=True)
    asked = seen.dense(tensor([[0.0, 0.1], [0.0, 1.0]]), torch.arange(2))
    assert torch.equal(asked[:, 0], START[:2])
    assert bool(asked[0, 1].isnan().all())
    assert torch.allclose(asked[1, 1], seen.state[1])
