"""Shared by the tests of the rooms of both homogeneous papers: flows in closed form, and comparisons that are made up."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.alignment.study import Study
from flowcheck.flows.ending import Ending
from flowcheck.losses import HALF_SUM, LOGISTIC_DOUBLED
from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous.early_alignment import Compared

LABELS, START = np.array([1.0, 0.5]), np.array([0.8, 0.6])


class Cubic:
    """One cubed unit on the inputs e_1 and e_2: u_i' = 3 y_i u_i^2 blows up, that of the larger y_i u_i first."""

    blow_up = 1 / (3 * LABELS[0] * START[0])

    @staticmethod
    def u(time):
        return START / (1 - 3 * LABELS * START * time)

    @staticmethod
    def study(rtol=1e-8, epsilons=(0.1, 0.03), losses=(HALF_SUM, LOGISTIC_DOUBLED)):
        labels, starts = torch.from_numpy(LABELS)[None], torch.from_numpy(START)[None]
        cases = Cases.of(losses, torch.stack([labels] * len(losses)), starts)
        return Study.begin(power_net(1, 2, 3), torch.eye(2, dtype=torch.float64), losses, cases, epsilons, rtol)


class Quadratic:
    """One squared unit on the inputs e_1 and e_2: w_i' = 2 w_i (y_i - w_i^2), a logistic equation for w_i^2; u_i' = 2 y_i u_i."""

    value, limit = LABELS[0], np.array([1.0, 0.0])

    @staticmethod
    def u(time):
        return START * np.exp(2 * LABELS * time)

    @staticmethod
    def s(time, delta):
        squared = LABELS / (1 + (LABELS / (delta * START) ** 2 - 1) * np.exp(-4 * LABELS * time))
        return np.sqrt(squared) / delta

    @staticmethod
    def study(rtol=1e-9, epsilons=(0.1, 0.01)):
        labels, starts = torch.from_numpy(LABELS)[None], torch.from_numpy(START)[None]
        cases = Cases.of((HALF_SUM,), labels[None], starts)
        return Study.begin(power_net(1, 2, 2), torch.eye(2, dtype=torch.float64), (HALF_SUM,), cases, epsilons, rtol)


@pytest.fixture(scope="session")
def quadratic():
    """A problem of degree two whose flows are known in closed form."""
    torch.set_num_threads(1)
    return Quadratic


@pytest.fixture(scope="session")
def cubic():
    """One of degree three, both losses, whose NCF flow is."""
    torch.set_num_threads(1)
    return Cubic


def _made_up(deviation, norm=1.0, apart=0.0, **changes):
    deviation = np.asarray(deviation)
    cases, shape = len(deviation), deviation.shape
    rng = np.random.default_rng(3)
    some = Refined(np.full(shape, norm), 1e-3 * rng.random(shape))
    found = Compared(
        loss=np.zeros(cases, dtype=int),
        branch=np.full(cases, Ending.GROWS),
        norm_floor=np.ones(cases),
        epsilon=np.array([0.1, 0.03]),
        time=np.ones((cases, 2)),
        largest_norm=np.ones((cases, 2)),
        deltas=np.broadcast_to(10.0 ** -np.arange(shape[1]), shape[:2]),
        resolved=np.ones((cases, 2), dtype=bool),
        moment=Refined(np.ones(shape), np.zeros(shape)),
        deviation=Refined(deviation, 1e-4 * rng.random(shape)),
        excess=Refined(0.5 * deviation, 1e-4 * rng.random(shape)),
        norm=some,
        misalignment=Refined(np.full(shape, apart), 1e-3 * rng.random(shape)),
        path_norm=some,
        path_time=some,
        path_change=some,
    )
    return replace(found, **changes)


@pytest.fixture(scope="session")
def made_up():
    """A comparison with one case for each row of deviations [S, D, E], deltas from 1 on, epsilons 0.1 and 0.03."""
    return _made_up
