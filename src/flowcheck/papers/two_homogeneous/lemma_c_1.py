r"""Lemma C.1 of two_homogeneous: solutions depend continuously on the multipliers z + f(t), abs(f) <= delta.

The perturbations are piecewise constant. With one sample they only change the clock: u(t) solves (19) at the time $\tau(t)$.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import gradient_flow
from flowcheck.measures.readings import log_rate
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-10, 1e-8
NETWORK_LENGTH, KINK_LENGTH = 0.6, 2.0
"""Lengths of time for the network, and for u1|u2|."""
NON_BRANCHING = np.array([[0.3, 0.8], [1.0, 0.2], [-1.0, 0.5], [-1.0, 1.0], [-1.0, 0.0]])
"""Starts of all cases of Lemma E.2."""
WAITS = [(departure, side) for departure in (0.0, 0.7, 1.4) for side in (1.0, -1.0)]
"""Solutions from the branching point: when they leave it, and to which side."""


def smooth(
    ncf: Correlation,
    start: Float[Tensor, " k"],
    noise: Float[np.ndarray, "pieces n"],
    deltas: Float[np.ndarray, " d"],
) -> Found:
    """A network with a locally Lipschitz gradient: the largest distance of perturbed and unperturbed solution for each delta.

    Gronwall's inequality says that it is of order one in delta. Raises HypothesisError as `gradient_flow`.
    """
    starts = start.expand(len(deltas) + 1, -1)
    sizes = torch.from_numpy(np.append(0.0, deltas)[:, None]).to(ncf.z)  # the first solution is the unperturbed one

    def distances(rtol: float) -> Float[np.ndarray, " d"]:
        w, largest = starts, torch.zeros_like(starts[:, 0])
        for f in torch.from_numpy(noise).to(ncf.z):
            perturbed = Correlation(ncf.network, ncf.x, ncf.z + sizes * f)
            path = gradient_flow(perturbed, w, length=NETWORK_LENGTH / len(noise), clock="time", rtol=rtol)
            w = path.weights_over_delta()
            largest = torch.maximum(largest, (w - w[0]).norm(dim=-1))
        return largest[1:].cpu().numpy()

    found = Refined.of(distances(RTOL), distances(COARSE_RTOL))
    return {
        "c1_deltas": deltas,
        "c1_smooth": found.value,
        "c1_error_smallest": Measurement(found.value[-1], found.error[-1], n=1),
        "c1_slope": log_rate(deltas, found.value[None], found.error[None]),
    }


def kinked(noise: Float[np.ndarray, " pieces"], deltas: Float[np.ndarray, " d"]) -> Found:
    """u1|u2|: non-branching starts; and from the branching point, against the solution that waits as long, or leaves at once."""
    times = np.linspace(0.0, KINK_LENGTH, len(noise) + 1)
    clocks = [np.append(0.0, np.cumsum(np.diff(times) * (1 + delta * noise))) for delta in deltas]
    plain, own = kink_example.solution(NON_BRANCHING, times), branches(times)
    kink = np.array([np.abs(kink_example.solution(NON_BRANCHING, tau) - plain).max() for tau in clocks])
    nearest = np.array([np.abs(branches(tau) - own).max() for tau in clocks])
    fixed = np.array([np.abs(branches(tau) - own[0]).max() for tau in clocks])
    # the clock adds up `pieces` steps, and a state of at most 2 e^t moves no faster; exponentials and sums of its own add four
    rounding = (len(noise) + 4) * sys.float_info.epsilon * 2 * math.exp(KINK_LENGTH)
    return {
        "c1_kink": kink,
        "c1_nearest": nearest,
        "c1_fixed": fixed,
        "c1_kink_error_smallest": Measurement(kink[-1], rounding, n=len(NON_BRANCHING)),
        "c1_branching_nearest_smallest": Measurement(nearest[-1], rounding, n=len(own)),
        "c1_branching_fixed_smallest": Measurement(fixed[-1], rounding, n=len(own)),
    }


def branches(times: Float[np.ndarray, " p"]) -> Float[np.ndarray, "w p 2"]:
    """The solutions of `WAITS` at these times."""
    return np.array([kink_example.branch(departure, times, side) for departure, side in WAITS])
