"""Runs of descent for Figures 1, 3 and 4."""

import numpy as np
import pytest
import torch

from flowcheck.losses import MEAN
from flowcheck.networks.problem import Objective
from flowcheck.papers.two_homogeneous.figure_runs import STEP_ROUNDING, Recorded, Repeated, descend, recorded_iterations, repeat
from flowcheck.papers.two_homogeneous.toy_problem import NETWORK, SADDLE, labelled

RNG = np.random.default_rng(8)
ANGLE = torch.from_numpy(RNG.uniform(-np.pi, np.pi, 12))
DATA = labelled(torch.stack([torch.cos(ANGLE), torch.sin(ANGLE)], dim=1))
FIT = Objective(NETWORK, DATA.x, DATA.y, MEAN)
START = torch.from_numpy(RNG.normal(size=(3, 40)))
SIGNS = torch.from_numpy(RNG.choice([-1.0, 1.0], (3, 40)))
ZERO, STEPS = torch.zeros_like(SADDLE), torch.tensor([1e-3, 2e-3, 1e-2], dtype=torch.float64, device="cpu")


def by_hand(w, step, steps):
    """Plain descent on the mean of the squares, in numpy."""
    x, y, path = DATA.x.numpy(), DATA.y.numpy(), [w]
    for _ in range(steps):
        u = path[-1].reshape(20, 2)
        active = np.maximum(u @ x.T, 0.0)
        z = (active**2).sum(axis=0) - y
        path.append(path[-1] - step * (4.0 / len(y) * (active * z) @ x).ravel())
    return np.array(path)


def go(start=START, centre=ZERO, kept=0.5, steps=60):
    return descend(FIT, start, centre, step_size=STEPS, steps=steps, points=10, loss_kept=kept)


def test_recorded_iterations_are_even_and_half_as_many_even_in_the_logarithm():
    found = recorded_iterations(1000, 10)
    assert {0, 100, 200, 900, 1000, 1, 6, 32, 178} <= set(found.tolist())
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("centre", [ZERO, SADDLE], ids=["origin", "saddle"])
def test_runs_are_plain_descent(centre):
    found = go(centre=centre)
    for run in range(3):
        w = by_hand(START[run].numpy(), float(STEPS[run]), 60)[found.iterations]
        moved, neurons = w - centre.numpy(), w.reshape(-1, 20, 2)
        assert found.distance[run] == pytest.approx(np.linalg.norm(moved, axis=1), rel=1e-10)
        assert found.fitted_distance[run] == pytest.approx(np.linalg.norm(moved[:, :20], axis=1), rel=1e-10)
        assert found.angles[run] == pytest.approx(np.arctan2(neurons[..., 1], neurons[..., 0]), abs=1e-10)


def test_the_phase_ends_before_the_loss_falls_below_its_share():
    found = go(kept=0.9)
    for run in range(3):
        w = by_hand(START[run].numpy(), float(STEPS[run]), 60)
        outputs = (np.maximum(w.reshape(-1, 20, 2) @ DATA.x.numpy().T, 0.0) ** 2).sum(axis=1)
        loss = ((outputs - DATA.y.numpy()) ** 2).mean(axis=1)
        end = int(np.argmax(loss < 0.9 * loss[0])) - 1
        assert 0 <= end < 59
        assert found.phase_end[run] == end
        neurons = w[end].reshape(20, 2)
        assert found.phase_angles[run] == pytest.approx(np.arctan2(neurons[:, 1], neurons[:, 0]), abs=1e-10)


def test_a_phase_that_does_not_end_lasts_to_the_last_step():
    found = go(kept=1e-9)
    assert (found.phase_end == 60).all()
    assert np.array_equal(found.phase_angles, found.angles[:, -1])


def both(signs):
    return repeat(FIT, START, ZERO, signs, step_size=STEPS, steps=60, coarsening=4, points=10, loss_kept=0.5)


def test_runs_are_repeated_with_larger_steps_and_from_disturbed_starts():
    found = both(SIGNS)
    assert np.array_equal(found.fine.loss, go().loss)
    coarse = descend(FIT, START, ZERO, step_size=4 * STEPS, steps=15, points=10, loss_kept=0.5)
    assert np.array_equal(found.coarse.loss, coarse.loss)
    gap = np.abs(found.disturbed.distance[:, 0] - found.coarse.distance[:, 0])
    assert np.all((gap > 0) & (gap <= STEP_ROUNDING * 60 * found.coarse.distance[:, 0]))


def test_without_a_disturbance_nothing_changes():
    found = both(torch.zeros_like(SIGNS))
    assert np.array_equal(found.disturbed.angles, found.coarse.angles)


def test_batches_are_joined_run_by_run():
    whole = both(SIGNS)
    parts = [
        repeat(FIT, START[i:j], ZERO, SIGNS[i:j], step_size=STEPS[i:j], steps=60, coarsening=4, points=10, loss_kept=0.5)
        for i, j in ((0, 1), (1, 3))
    ]
    joined = Repeated.joined(parts)
    for name in ("loss", "angles", "phase_angles", "phase_end"):
        assert getattr(joined.fine, name) == pytest.approx(getattr(whole.fine, name), rel=1e-12)
    paths = joined.fine.paths()
    assert len(paths) == 3
    assert paths[2].loss_ratio[0] == 1.0
    assert np.array_equal(paths[2].angles, joined.fine.angles[2])


def test_no_tensor_is_made_without_saying_where():
    with torch.device("meta"):
        found = both(SIGNS)
    assert isinstance(found.fine, Recorded)
    assert np.isfinite(found.fine.angles).all()
