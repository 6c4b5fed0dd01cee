r"""Lemma C.1 of two_homogeneous: solutions depend continuously on the multipliers z + f(t), abs(f) <= delta.

The perturbations are piecewise constant. With one sample they only change the clock: u(t) solves (19) at the time $\tau(t)$.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import gradient_flow
from flowcheck.measures.readings import count, largest, log_rate, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-10, 1e-8
NETWORK_LENGTH, KINK_LENGTH = 0.6, 2.0
"""Lengths of time for the network, and for u1|u2|."""
NON_BRANCHING = np.array([[0.3, 0.8], [1.0, 0.2], [-1.0, 0.5], [-1.0, 1.0], [-1.0, 0.0]])
"""Starts of all cases of Lemma E.2."""
EPSILONS = tuple(10.0**-k for k in range(1, 4))
"""For each of them some delta is asked for."""
KEPT = 0.3
"""What is added to delta for a perturbation that does not vanish with it: a control."""
WAITS = [(departure, side) for departure in (0.0, 0.7, 1.4) for side in (1.0, -1.0)]
"""Solutions from the branching point: when they leave it, and to which side."""


class Perturbed(NamedTuple):
    """An NCF, a start of norm one, and the perturbations of its multipliers for delta = 1."""

    ncf: Correlation
    start: Float[Tensor, " k"]
    noise: Float[np.ndarray, "pieces n"]


def smooth(cases: Sequence[Perturbed], deltas: Float[np.ndarray, " d"]) -> Found:
    """Networks with a locally Lipschitz gradient: the largest distance of perturbed and unperturbed solution for each delta.

    Gronwall's inequality says that it is of order one in delta. Raises HypothesisError as `gradient_flow`.
    """
    distances = Refined.of(*(np.array([distance(case, deltas, rtol) for case in cases]) for rtol in (RTOL, COARSE_RTOL)))
    return {
        "c1_deltas": deltas,
        "c1_smooth": distances.value,
        "c1_error_largest": distances[:, -1].largest(),
        "c1_slope": log_rate(deltas, distances.value, distances.error),
        "c1_missing_epsilons": missing(distances.value),
        "c1_missing_epsilons_kept_part": missing(np.array([distance(case, deltas + KEPT, COARSE_RTOL) for case in cases])),
    }


def distance(case: Perturbed, deltas: Float[np.ndarray, " d"], rtol: float) -> Float[np.ndarray, " d"]:
    """Largest distance of the perturbed solutions to the unperturbed one at the ends of the pieces."""
    ncf, noise = case.ncf, case.noise
    sizes = torch.from_numpy(np.append(0.0, deltas)[:, None]).to(ncf.z)  # the first solution is the unperturbed one
    w = case.start.expand(len(sizes), -1)
    apart = torch.zeros_like(w[:, 0])
    for f in torch.from_numpy(noise).to(ncf.z):
        perturbed = Correlation(ncf.network, ncf.x, ncf.z + sizes * f)
        path = gradient_flow(perturbed, w, length=NETWORK_LENGTH / len(noise), clock="time", rtol=rtol)
        w = path.weights_over_delta()
        apart = torch.maximum(apart, (w - w[0]).norm(dim=-1))
    return apart[1:].cpu().numpy()


def kinked(noise: Float[np.ndarray, "s pieces"], deltas: Float[np.ndarray, " d"]) -> Found:
    """u1|u2|: non-branching starts; and from the branching point, against the solution that waits as long, or leaves at once.

    `noise` holds several perturbations for delta = 1.
    """
    times = np.linspace(0.0, KINK_LENGTH, noise.shape[1] + 1)
    plain, own = kink_example.solution(NON_BRANCHING, times), branches(times)
    kink, kept, nearest, fixed = np.zeros((4, len(noise), len(deltas)))
    for row, shape in enumerate(noise):
        for column, delta in enumerate(deltas):
            tau, kept_tau = (np.append(0.0, np.cumsum(np.diff(times) * (1 + size * shape))) for size in (delta, delta + KEPT))
            late = branches(tau)
            kink[row, column] = np.abs(kink_example.solution(NON_BRANCHING, tau) - plain).max()
            kept[row, column] = np.abs(kink_example.solution(NON_BRANCHING, kept_tau) - plain).max()
            nearest[row, column], fixed[row, column] = np.abs(late - own).max(), np.abs(late - own[0]).max()
    # the clock adds up `pieces` steps, and a state of at most 2 e^t moves no faster; exponentials and sums of its own add four
    rounding = np.full(kink.shape, (noise.shape[1] + 4) * sys.float_info.epsilon * 2 * math.exp(KINK_LENGTH))
    found: Found = {
        "c1_kink": kink,
        "c1_nearest": nearest,
        "c1_fixed": fixed,
        "c1_kink_error_largest": largest(kink[:, -1], rounding[:, -1]),
        "c1_branching_nearest_largest": largest(nearest[:, -1], rounding[:, -1]),
        "c1_branching_fixed_smallest": smallest(fixed[:, -1], rounding[:, -1]),
        "c1_kink_missing_epsilons": missing(kink),
        "c1_kink_missing_epsilons_kept_part": missing(kept),
        "c1_branching_missing_epsilons": missing(nearest),
        "c1_branching_fixed_missing_epsilons": missing(fixed),
    }
    slopes = {"kink": kink, "kink_kept_part": kept, "branching_nearest": nearest, "branching_fixed": fixed}
    return {**found, **{f"c1_{name}_slope": log_rate(deltas, error, rounding) for name, error in slopes.items()}}


def missing(distances: Float[np.ndarray, "s d"]) -> Measurement:
    """Pairs of a perturbation and one of the `EPSILONS` that no delta brings the solutions within."""
    return count(distances.min(axis=1)[:, None] > np.array(EPSILONS))


def branches(times: Float[np.ndarray, " p"]) -> Float[np.ndarray, "w p 2"]:
    """The solutions of `WAITS` at these times."""
    return np.array([kink_example.branch(departure, times, side) for departure, side in WAITS])
