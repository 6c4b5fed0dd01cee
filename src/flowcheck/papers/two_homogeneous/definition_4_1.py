"""Definition 4.1 of two_homogeneous: a locally Lipschitz gradient makes every start non-branching."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.papers.two_homogeneous.kink_example import Solutions
from flowcheck.pipeline.evidence import Found

RTOL, COARSE_RTOL = 1e-10, 1e-8
SEPARATION = 1e-4
"""Distance of two starts."""
TIMES = np.linspace(0.05, 0.5, 10)


def definition_41(ncf: Correlation, starts: Float[Tensor, "s k"], shifts: Float[Tensor, "s k"]) -> Found:
    r"""Solutions from starts that differ by `SEPARATION` times unit vectors: ln(distance / distance at the start) - K t.

    For squared ReLU units, whose $\nabla\mathcal N$ has the Lipschitz constant $K=\sum_i2|z_i|\|x_i\|^2$. Control: the two sides
    of the branching point of u1|u2|, with the K = 1 that holds on either. Raises HypothesisError as `gradient_flow`.
    """
    lipschitz = 2.0 * float((ncf.z.abs() * ncf.x.norm(dim=1) ** 2).sum())
    both, times = torch.cat([starts, starts + SEPARATION * shifts]), torch.from_numpy(TIMES).to(starts)

    def excess(rtol: float) -> Float[np.ndarray, "s p"]:
        path = gradient_flow(ncf, both, length=0.5, save=Save(at=times), clock="time", rtol=rtol)
        assert path.recorded is not None  # times to record at were given
        a, b = path.recorded.weights_over_delta().chunk(2)
        return (((a - b).norm(dim=-1) / SEPARATION).log() - lipschitz * times).cpu().numpy()

    def branching(sides: Solutions) -> Float[np.ndarray, " p"]:
        return np.log(np.linalg.norm(sides.states[0] - sides.states[1], axis=-1) / SEPARATION) - TIMES

    ((fine, coarse),) = kink_example.at_two_tolerances([np.array([[1.0, SEPARATION / 2], [1.0, -SEPARATION / 2]])], TIMES)
    # both tolerances round a distance alike
    at_branching = Refined.of(branching(fine), branching(coarse)).with_rounding(sys.float_info.epsilon / SEPARATION)
    return {
        "nonbranching_excess": Refined.of(excess(RTOL), excess(COARSE_RTOL)).worst(axis=1).largest(),
        "nonbranching_excess_branching": replace(at_branching.smallest(), n=1),
    }
