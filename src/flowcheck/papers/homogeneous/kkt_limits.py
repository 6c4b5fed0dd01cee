r"""KKT residual and NCF where flows end, with the rounding of both (Lemma 5.3 of two_homogeneous, 5.2 of deep_homogeneous)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.alignment.reference import Reference
from flowcheck.flows.ending import Ending
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Measurement


@dataclass(frozen=True)
class Limits:
    """Where NCF flows end [S]: how, and the residual and the value there."""

    branch: Int[np.ndarray, " s"]
    residual: Refined
    value: Refined

    @classmethod
    def of(cls, network: Network, x: Float[Tensor, "n d"], z: Float[Tensor, "s o"], ends: Reference) -> Limits:
        """Value and gradient are sums, known to `ROUNDING` of the sum of the sizes of their terms.

        These are the terms of the same network with the sizes of inputs and weights, where fixed layers have entries of one sign
        and no slope is beyond 1.
        """
        outputs, terms = network.forward_and_pull(ends.limit.abs(), x.abs(), lambda _: z.abs())
        length = network.pull(ends.limit, x, z).norm(dim=-1)
        rests = ends.branch == Ending.RESTS
        relative = terms.norm(dim=-1) / length.where(~rests, z.norm(dim=-1))
        residual = (2 * ROUNDING * relative).where(ends.kink_error == 0, ends.kink_error)
        value = ROUNDING * (outputs.abs() * z.abs()).sum(dim=-1)
        return cls(
            ends.branch.cpu().numpy(),
            Refined(ends.residual.cpu().numpy(), residual.cpu().numpy()),
            Refined(ends.value.cpu().numpy(), value.cpu().numpy()),
        )


def largest_residual(parts: Sequence[Limits]) -> Measurement:
    """Of all flows."""
    return Refined.joined([part.residual for part in parts]).largest_of_all()


def smallest_value(parts: Sequence[Limits]) -> Measurement:
    """Of flows that do not vanish: a KKT point of negative value is where one vanishes."""
    return Refined.joined([part.value[part.branch != Ending.VANISHES] for part in parts]).smallest_of_all()
