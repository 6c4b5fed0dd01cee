"""The batched integrator against scipy, closed forms and its own order."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import DOP853, RK45, solve_ivp

from flowcheck.integration.adaptive import integrate
from flowcheck.integration.chebyshev import integrate_stabilised
from flowcheck.integration.crossings import first_root
from flowcheck.integration.runge_kutta import RungeKutta

torch.set_num_threads(1)

PERIOD = 2 * math.pi


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def oscillator(y, index):
    return torch.stack([y[:, 1], -y[:, 0]], dim=-1)


def predators(y, index):
    """Lotka and Volterra."""
    a, b = y.unbind(dim=-1)
    return torch.stack([a * (1 - b), b * (a - 1)], dim=-1)


START = [2.0, 0.7]


def exact(points):
    """Solution of `predators` from START at a point or several, by scipy."""
    last = float(np.max(points))
    solved = solve_ivp(
        lambda t, y: predators(tensor(y)[None], None)[0].numpy(), (0, last), START, "DOP853", points, rtol=1e-13, atol=1e-14
    )
    return torch.from_numpy(solved.y.T)


def one_step(order, h, start=None):
    method, start = RungeKutta(order, torch.zeros(1, dtype=torch.float64)), tensor([START]) if start is None else start
    step = method.advance(lambda y: predators(y, None), start, predators(start, None), tensor([h]))
    return step.end, method.interpolant(lambda y: predators(y, None), step)


@pytest.mark.parametrize(("order", "counts"), [(5, (56, 80, 112, 160)), (8, (10, 12, 14, 17, 20))])
def test_the_error_falls_with_the_order_of_the_pair(order, counts):
    errors = []
    for count in counts:
        y = tensor([START])
        for _ in range(count):
            y, _ = one_step(order, 3 / count, y)
        errors.append(float((y - exact([3.0])).norm()))
    assert -order - 0.7 < np.polyfit(np.log(counts), np.log(errors), 1)[0] < -order + 0.3


@pytest.mark.parametrize(("order", "dense_order", "widths"), [(5, 4, (0.05, 0.3)), (8, 7, (0.1, 0.5))])
def test_dense_output_has_its_order(order, dense_order, widths):
    """The error inside one step falls with one power more than the order of the interpolant."""
    fractions, errors = np.linspace(0.05, 0.95, 19), []
    for h in np.geomspace(*widths, 6):
        dense = one_step(order, h)[1]
        inside = torch.cat([dense(tensor([x])) for x in fractions])
        errors.append(float((inside - exact(fractions * h)).norm(dim=-1).max()))
    assert np.polyfit(np.log(np.geomspace(*widths, 6)), np.log(errors), 1)[0] == pytest.approx(dense_order + 1, abs=0.4)


@pytest.mark.parametrize("order", [5, 8])
def test_the_pairs_and_their_dense_output_are_those_of_scipy(order):
    solver = {5: RK45, 8: DOP853}[order]
    reference = solver(lambda t, y: predators(tensor(y)[None], None)[0].numpy(), 0, START, 1, first_step=0.3, rtol=1e3, atol=1e3)
    reference.step()
    end, dense = one_step(order, reference.t)
    np.testing.assert_allclose(end[0].numpy(), reference.y, rtol=1e-14)
    np.testing.assert_allclose(dense(tensor([0.37]))[0].numpy(), reference.dense_output()(0.37 * reference.t), rtol=1e-13)


@pytest.mark.parametrize("order", [5, 8])
def test_trajectories_have_their_own_lengths_and_records(order):
    start, lengths, points = (
        tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
        tensor([10.0, 3.0, 0.0]),
        torch.linspace(0, 10, 41).double(),
    )
    run = integrate(oscillator, start, lengths, rtol=1e-10, atol=1e-10, order=order, record_at=points, keep_steps=True)
    assert run.s.tolist() == lengths.tolist()
    assert run.ended_by.tolist() == [-1, -1, -1]
    for row, (a, b) in enumerate(start.tolist()):
        seen = points <= lengths[row]
        assert torch.isnan(run.recorded[row, ~seen]).all()
        exact = a * points[seen].cos() + b * points[seen].sin()
        torch.testing.assert_close(run.recorded[row, seen, 0], exact, rtol=0, atol=3e-9)
        steps = int(run.steps[row])
        assert torch.isnan(run.step_s[row, steps + 1 :]).all()
        assert (run.step_s[row, : steps + 1].diff() > 0).all()
        assert torch.equal(run.step_state[row, steps], run.state[row])
        assert float(run.step_s[row, steps]) == float(lengths[row])
    assert int(run.evaluations[2]) < int(run.evaluations[1]) < int(run.evaluations[0])


@pytest.mark.parametrize("order", [5, 8])
def test_a_trajectory_is_the_same_alone_and_in_a_batch(order):
    start = 0.5 + torch.rand(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = integrate(predators, start, 3.0, atol=1e-8, rtol=1e-8, order=order)
    for row in range(len(start)):
        alone = integrate(predators, start[row : row + 1], 3.0, atol=1e-8, rtol=1e-8, order=order)
        torch.testing.assert_close(alone.state[0], together.state[row], rtol=0, atol=1e-12)
        assert int(alone.evaluations[0]) == int(together.evaluations[row])


@pytest.mark.parametrize("order", [5, 8])
def test_events_end_trajectories_at_full_order(order):
    """The cosine falls to 0.3 and the sine rises to 0.5: the second happens first from (1, 0), the first from (cos 1, -sin 1)."""
    start = tensor([[1.0, 0.0], [math.cos(1), -math.sin(1)], [0.1, -0.1]])
    events = [lambda y, index: 0.3 - y[:, 0], lambda y, index: -y[:, 1] - 0.5]
    run = integrate(oscillator, start, 20.0, rtol=1e-11, atol=1e-11, order=order, events=events)
    assert run.ended_by.tolist() == [1, 1, 0]
    torch.testing.assert_close(run.s, tensor([math.pi / 6, 0.0, 0.0]), rtol=0, atol=1e-10)
    torch.testing.assert_close(run.state[0], tensor([math.cos(math.pi / 6), -0.5]), rtol=0, atol=1e-10)
    assert abs(float(run.state[0, 1]) + 0.5) < 1e-14


def test_the_first_of_two_events_in_one_step_ends_the_trajectory():
    events = [lambda y, index: y[:, 0] - 0.8, lambda y, index: y[:, 0] - 0.7, lambda y, index: y[:, 0] - 2]
    run = integrate(lambda y, index: torch.ones_like(y), tensor([[0.0]]), 10.0, atol=1.0, events=events)
    assert run.ended_by.tolist() == [1]
    assert float(run.state) == pytest.approx(0.7, abs=1e-15)


def bouncing(y, mode, index):
    """The solution of y' = 1 for y < 0 and 3 + y for y > 0."""
    return torch.where(mode > 0, 3 + y, torch.ones_like(y))


@pytest.mark.parametrize("order", [5, 8])
def test_kinks_are_located_and_counted(order):
    start = tensor([[-1.0], [-3.0], [1.0]])
    run = integrate(bouncing, start, 2.0, rtol=1e-10, atol=1e-10, order=order, kinks=lambda y, index: y)
    torch.testing.assert_close(run.state, tensor([[3 * math.e - 3], [-1.0], [4 * math.e**2 - 3]]), rtol=1e-9, atol=0)
    assert run.kinks.tolist() == [1, 0, 0]


def test_two_kinks_in_one_step_are_met_one_after_the_other():
    """The solution of y' = 1 below 0.3, 2 up to 0.4, 4 above: one trial step would pass both."""

    def rhs(y, mode, index):
        return (2 ** (mode > 0).sum(dim=-1, keepdim=True)).to(y)

    run = integrate(rhs, tensor([[0.0]]), 1.0, atol=1e3, kinks=lambda y, index: torch.cat([y - 0.3, y - 0.4], dim=-1))
    assert float(run.state) == pytest.approx(0.4 + 4 * (1 - 0.3 - 0.05), abs=1e-12)
    assert run.kinks.tolist() == [2]


@pytest.mark.parametrize("order", [5, 8])
def test_evaluations_are_the_calls_that_were_made(order):
    calls = torch.zeros(3, dtype=torch.int64)

    def rhs(y, mode, index):
        calls[index] += 1
        return bouncing(y, mode, index)

    run = integrate(
        rhs,
        tensor([[-1.0], [-3.0], [1.0]]),
        tensor([2.0, 1.5, 0.7]),
        atol=1e-6,
        order=order,
        kinks=lambda y, index: y,
        events=[lambda y, index: y[:, 0] - 2.5],
        record_at=tensor([0.1, 0.2, 1.0]),
    )
    assert run.kinks.tolist() == [1, 0, 0]
    assert run.ended_by.tolist() == [0, -1, 0]
    assert run.evaluations.tolist() == calls.tolist()


def test_sliding_along_a_kink_without_a_mode_for_it_is_an_error():
    with pytest.raises(RuntimeError, match=r"trajectory 1 at s = 0\.5.*slides along a kink"):
        integrate(
            lambda y, mode, index: -mode * index[:, None],
            tensor([[0.5], [0.5]]),
            2.0,
            atol=1e-6,
            kinks=lambda y, index: y,
            max_kinks=50,
        )


def test_blow_up_is_an_error_that_names_trajectory_and_place():
    """The solution of y' = y^2 from 1/2 blows up at s = 2."""
    with pytest.raises(RuntimeError, match=r"trajectory 1 at s = (1\.99999|2\.0000)"):
        integrate(lambda y, index: y**2 * index[:, None], tensor([[0.5], [0.5]]), 3.0, rtol=1e-4, atol=1e-4)


def test_a_right_hand_side_that_is_not_finite_is_an_error_and_not_a_result():
    def root(y, index):
        return torch.sqrt(y) - 2

    with pytest.raises(RuntimeError, match=r"trajectory 0 at s = .*not finite"):
        integrate(root, tensor([[1.0]]), 5.0, atol=1e-9)
    with pytest.raises(RuntimeError, match="trajectory 0 at s = 0: the right-hand side is not finite"):
        integrate(root, tensor([[-1.0]]), 5.0, atol=1e-9)


def test_too_many_steps_are_an_error():
    with pytest.raises(RuntimeError, match=r"trajectory 0 at s = .*: more than 10 steps"):
        integrate(oscillator, tensor([[1.0, 0.0]]), 1e3, atol=1e-9, max_steps=10)


@pytest.mark.parametrize("order", [5, 8])
def test_projection_keeps_a_manifold(order):
    def project(y):
        return y / y.norm(dim=-1, keepdim=True)

    run = integrate(
        oscillator,
        tensor([[1.0, 0.0]]),
        PERIOD,
        rtol=1e-6,
        atol=1e-6,
        order=order,
        project=project,
        record_at=torch.linspace(0, 6, 7).double(),
    )
    torch.testing.assert_close(run.recorded.norm(dim=-1), torch.ones(1, 7, dtype=torch.float64), rtol=0, atol=1e-15)
    torch.testing.assert_close(run.state, tensor([[1.0, 0.0]]), rtol=0, atol=1e-5)


def test_roots_are_found_in_few_evaluations():
    calls = []

    def phi(x):
        calls.append(1)
        return tensor([0.3, 0.9, -1.0, 1e-9]) - x**3

    found = first_root(phi, torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(found, tensor([0.3 ** (1 / 3), 0.9 ** (1 / 3), 0.0, 1e-3]), rtol=0, atol=1e-9)
    assert len(calls) < 50


def test_accepted_steps_are_counted_and_kept_without_gaps_where_some_are_rejected():
    run = integrate(predators, tensor([START, [12.0, 0.1]]), 20.0, rtol=1e-6, atol=1e-6, order=5, keep_steps=True)
    evaluations_of_steps = RungeKutta(5, run.state).evaluations * run.steps + 2
    assert (evaluations_of_steps < run.evaluations).all()  # some were rejected in both rows
    assert run.step_s is not None
    assert torch.equal((~torch.isnan(run.step_s)).sum(dim=1), run.steps + 1)
    for row, steps in enumerate(run.steps.tolist()):
        assert (run.step_s[row, : steps + 1].diff() > 0).all()


# ------------------------------------------------------------------------------------------- events that open and close in a step


def turning(y, index):
    """The angle grows at rate 1."""
    return torch.stack([-y[:, 1], y[:, 0]], dim=-1)


def phase(y):
    return torch.atan2(y[:, 1], y[:, 0])


EAST = tensor([[1.0, 0.0]])
BRIEF = {
    "a tent": (lambda y: 0.01 - (phase(y) - 1.2).abs(), 1.19),
    "a parabola": (lambda y: 1e-4 - (phase(y) - 1.2).square(), 1.19),
    "a tent beside its middle": (lambda y: 0.002 - (phase(y) - 1.234).abs(), 1.232),
    "a steep tent": (lambda y: 1.0 - 100 * (phase(y) - 1.2).abs(), 1.19),
    "a tent in the first step": (lambda y: 1e-5 - (phase(y) - 2e-5).abs(), 1e-5),
    "two tents, one after the other": (
        lambda y: torch.maximum(0.01 - (phase(y) - 1.2).abs(), 0.01 - (phase(y) - 1.23).abs()),
        1.19,
    ),
    "a tent, and then what lasts": (lambda y: torch.maximum(0.01 - (phase(y) - 1.2).abs(), phase(y) - 1.22), 1.19),
}


@pytest.mark.parametrize("tolerance", [1e-9, 1e-6, 1e-4])
@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize(("margin", "expected"), BRIEF.values(), ids=BRIEF)
def test_an_event_that_opens_and_closes_within_a_step_ends_the_trajectory(margin, expected, order, tolerance):
    run = integrate(turning, EAST, 2.0, rtol=tolerance, atol=tolerance, order=order, events=[lambda y, _: margin(y)])
    assert run.ended_by.tolist() == [0]
    assert float(run.s) == pytest.approx(expected, abs=200 * tolerance)


@pytest.mark.parametrize("order", [5, 8])
def test_of_two_events_the_one_that_opened_first_ends_the_trajectory_although_it_has_closed(order):
    brief, lasting = (lambda y, _: 0.004 - (phase(y) - 1.2).abs()), (lambda y, _: phase(y) - 1.205)
    run = integrate(turning, EAST, 2.0, rtol=1e-4, atol=1e-4, order=order, events=[lasting, brief])
    assert run.ended_by.tolist() == [1]
    assert float(run.s) == pytest.approx(1.196, abs=1e-3)


@pytest.mark.parametrize("order", [5, 8])
def test_an_event_that_only_comes_near_ends_nothing_and_every_trajectory_has_its_own(order):
    nearest = tensor([-1e-6, 1e-3, -0.5, 1e-3])
    where = tensor([1.2, 1.3, 1.4, 0.5])

    def margin(y, index):
        return nearest[index] - (phase(y) - where[index]).abs()

    run = integrate(turning, EAST.expand(4, 2), 2.0, rtol=1e-6, atol=1e-6, order=order, events=[margin])
    assert run.ended_by.tolist() == [-1, 0, -1, 0]
    torch.testing.assert_close(run.s, tensor([2.0, 1.299, 2.0, 0.499]), rtol=0, atol=1e-4)


def test_a_margin_that_rises_evenly_is_looked_at_a_few_times_only():
    looked = []

    def margin(y, _):
        looked.append(len(y))
        return phase(y) - 1.2

    without = integrate(turning, EAST, 1.2, rtol=1e-4, atol=1e-4, order=8)
    run = integrate(turning, EAST, 2.0, rtol=1e-4, atol=1e-4, order=8, events=[margin])
    assert float(run.s) == pytest.approx(1.2, abs=1e-3)
    assert len(looked) < 2 * int(without.steps) + 26  # two a step, ten to look, and those of the root


def test_what_a_run_leaves_is_taken_by_autograd():
    run = integrate(turning, EAST, 1.0, rtol=1e-6, atol=1e-6, record_at=tensor([0.5]), keep_steps=True)
    found = [part for part in vars(run).values() if isinstance(part, torch.Tensor)]
    assert len(found) == 9
    assert not any(part.is_inference() for part in found)
    leaf = torch.ones_like(run.state, requires_grad=True)
    torch.testing.assert_close(torch.autograd.grad((leaf * run.state).sum(), leaf)[0], run.state)


@pytest.mark.parametrize("order", [5, 8])
def test_looking_inside_steps_changes_no_number_of_a_run_that_has_no_brief_event(order):
    events = [lambda y, _: phase(y) - 1.2]
    plain = integrate(turning, EAST, 1.2, rtol=1e-9, atol=1e-9, order=order)
    run = integrate(turning, EAST, 2.0, rtol=1e-9, atol=1e-9, order=order, events=events, keep_steps=True)
    assert float(run.s) == pytest.approx(1.2, abs=1e-10)
    torch.testing.assert_close(run.state, plain.state, rtol=0, atol=1e-9)
    silent = integrate(turning, EAST, 2.0, rtol=1e-9, atol=1e-9, order=order, events=[lambda y, _: phase(y) - 7], keep_steps=True)
    without = integrate(turning, EAST, 2.0, rtol=1e-9, atol=1e-9, order=order, keep_steps=True)
    assert torch.equal(silent.step_state, without.step_state)
    assert torch.equal(silent.evaluations, without.evaluations)


def test_an_event_opens_and_closes_in_a_piece_beyond_a_kink():
    """Y' = 1, then 2 beyond y = 0.5: the rate of the margin is that of the new piece."""

    def rhs(y, mode, index):
        return torch.where(mode > 0, 2.0, 1.0).to(y)

    events = [lambda y, _: 1e-3 - (y[:, 0] - 0.8).abs()]
    run = integrate(rhs, tensor([[0.0]]), 5.0, atol=1.0, events=events, kinks=lambda y, _: y - 0.5)
    assert run.ended_by.tolist() == [0]
    assert float(run.state) == pytest.approx(0.799, abs=1e-9)


def test_an_event_that_is_no_number_at_the_start_is_refused():
    with pytest.raises(ValueError, match="trajectory 1: event 0 is no number where it begins"):
        integrate(turning, EAST.expand(2, 2), 1.0, atol=1e-9, events=[lambda y, index: torch.where(index == 1, torch.nan, -1.0)])


@pytest.mark.parametrize("length", [-1.0, math.nan])
def test_a_length_that_no_run_can_have_is_refused(length):
    with pytest.raises(ValueError, match=r"length of run 1 is .*; it must be at least 0"):
        integrate(turning, EAST.expand(2, 2), tensor([1.0, length]), atol=1e-9)


# -------------------------------------------------------------------------------------------------------- points to be recorded

GRIDS = {
    "a rounding beyond the end": (torch.arange(4, dtype=torch.float64) * 0.1, 0.3),
    "the same in single precision": (torch.arange(4, dtype=torch.float32) * 0.1, 0.3),
    "a rounding before the start": (tensor([0.1 * 3 - 0.3 - 1e-17, 0.1]) - 1e-17, 0.3),
    "the end": (tensor([0.3]), 0.3),
    "in another order, twice": (tensor([0.3, 0.1, 0.2, 0.1]), 0.3),
    "integers": (torch.tensor([0, 1, 2]), 2.0),
}


@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize(("points", "length"), GRIDS.values(), ids=GRIDS)
def test_a_point_that_rounding_put_beyond_an_end_is_that_end(points, length, order):
    run = integrate(
        lambda y, _: -y, tensor([[1.0]]), length, rtol=1e-11, atol=1e-11, order=order, record_at=points, keep_dense=True
    )
    exact = torch.exp(-points.double().clamp(0, length))
    torch.testing.assert_close(run.recorded[0, :, 0], exact, rtol=0, atol=1e-7 if points.dtype == torch.float32 else 1e-9)
    if points.dtype == torch.float64:
        torch.testing.assert_close(run.dense(points.clamp_min(0)[None], torch.tensor([0]))[0, :, 0], exact, rtol=0, atol=1e-9)


def test_a_point_that_lies_beyond_the_end_is_not_reached():
    run = integrate(lambda y, _: -y, tensor([[1.0]]), 0.3, atol=1e-9, record_at=tensor([0.3 + 1e-9, 0.5]))
    assert torch.isnan(run.recorded).all()


def test_the_end_of_a_length_is_recorded_however_the_steps_to_it_round():
    """The last step is the length less the sum of those before it, and the sum of all is not always the length."""
    lengths = 0.1 + torch.rand(300, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    run = integrate(lambda y, _: -y, torch.ones(300, 1, dtype=torch.float64), lengths, atol=1e-9, record_at=lengths[:, None])
    torch.testing.assert_close(run.recorded[:, 0], run.state, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([-0.1, 0.2], "at least 0, got -0.1"),
        ([math.nan], "not finite: nan at"),
        ([math.inf], "inf at"),
        ([[0.1]] * 3, "S = 2 runs"),
    ],
)
def test_points_that_no_run_passes_are_refused(points, found):
    with pytest.raises(ValueError, match=f"record_at .*{found}"):
        integrate(turning, EAST.expand(2, 2), 1.0, atol=1e-9, record_at=points)


def test_a_right_hand_side_of_another_shape_is_refused_before_it_is_broadcast():
    with pytest.raises(ValueError, match=r"must give float64 of shape \(2, 2\), got float64 of shape \(1, 2\)"):
        integrate(lambda y, _: -y[:1], EAST.expand(2, 2), 1.0, atol=1e-9)


def in_numpy(state, index):
    state.numpy()[:] *= 0.5
    return -state


WRITES = {
    "negated in place": lambda state, index: state.neg_(),
    "a view": lambda state, index: state[:, :1].mul_(2.0).expand_as(state),
    "in numpy": in_numpy,
    "cut where nothing is to be cut": lambda state, index: state.clamp_(min=-1e9),
}


@pytest.mark.parametrize("solver", [lambda f: integrate(f, EAST, 1.0, atol=1e-9), lambda f: integrate_stabilised(f, EAST, 1.0)])
@pytest.mark.parametrize("rhs", WRITES.values(), ids=WRITES)
def test_a_right_hand_side_that_writes_into_its_argument_is_refused(rhs, solver):
    start = EAST.clone()
    with pytest.raises(ValueError, match="the right-hand side changes what it is given; it must give new tensors"):
        solver(rhs)
    assert torch.equal(start, EAST)


def test_an_event_that_writes_into_its_argument_is_refused():
    with pytest.raises(ValueError, match="an event changes what it is given"):
        integrate(turning, EAST, 1.0, atol=1e-9, events=[lambda state, index: state.neg_()[:, 0]])


@pytest.mark.parametrize("solver", [lambda f: integrate(f, EAST, 1.0, atol=1e-9), lambda f: integrate_stabilised(f, EAST, 1.0)])
def test_a_right_hand_side_may_give_its_argument_or_one_tensor_each_time(solver):
    kept = torch.empty_like(EAST)

    def into_one(state, index):
        return torch.neg(state, out=kept)

    for once, plain in ((into_one, lambda state, index: -state), (lambda state, index: state, lambda state, index: 1 * state)):
        found, expected = solver(once), solver(plain)
        assert torch.equal(found.state, expected.state)
        assert torch.equal(found.evaluations, expected.evaluations)
