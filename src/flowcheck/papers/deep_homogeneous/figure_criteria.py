"""When Figures 1 to 5 (deep_homogeneous) count as reproduced: criteria on the state of a run, each met or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from flowcheck.measures.readings import fraction
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy, per_layer
from flowcheck.pipeline.evidence import Measurement
from flowcheck.pipeline.experiment import ParametersModel
from flowcheck.pipeline.names import INCREASING

Threshold = Annotated[float, Field(ge=0)]
Range = Annotated[tuple[Threshold, Threshold], INCREASING]
Met = dict[str, Bool[np.ndarray, " s"]]
"""Criterion -> yes or no for each run."""
BROKEN = ("aligned_permuted", "remainder_shuffled", "leading_shuffled", "balance_two_to_one", "random_start")
"""Criteria, or how their names begin, that are controls themselves or ask the start alone: other states do not have them."""


class Criteria(ParametersModel):
    """How the figures are read. What is not along one direction is expected to stay at the size that it has in the start.

    Attributes:
        growth: least growth R of the norm that is growth by a constant factor.
        across: largest size of what must not grow, over its size in the start.
        rise: least factor by which 1 - cos falls.
        half_way: share of the way from the start to matrices of rank one, in the alignment of rows and in s_2 / s_1.
        random_rows: largest distance of the alignment of random rows to its expectation.
        balance: largest change of an invariant of the flow, over the squared norm of the start.
    """

    growth: Threshold
    across: Threshold
    rise: Threshold
    half_way: Threshold
    random_rows: Threshold
    balance: Threshold


def meets(c: Criteria, start: Anatomy, at: Anatomy) -> Met:
    r"""Each criterion on the weights of a set of runs.

    With $w=aw_*+e$, $w_*$ a KKT direction and e of the size of the start, $1-\cos\le\tfrac12\|e\|^2/\|w\|^2$ to leading order; by
    Weyl's inequality $s_2$ of a matrix is at most the norm of its part of e; and differences of $\|W_l\|^2$ are conserved by the
    flow, so that shares of the squared norm differ from 1 over the number of matrices by as much as in the start, over $R^2$.
    """
    growth, layers = at.norm / start.norm, at.shares.shape[-1]
    squared = growth[:, None] ** 2

    def across(cosine: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
        """Size of the part across the gradient of the NCF, over the norm of the start."""
        return np.asarray(growth * np.sqrt(2.0 * np.maximum(1.0 - cosine, 0.0)))

    within = {
        "grown": growth >= c.growth,
        "aligned": across(at.cosine) <= c.across,
        "aligned_permuted": across(at.cosine_permuted) <= c.across,
        "rise": 1.0 - at.cosine <= (1.0 - start.cosine) / c.rise,
        "random_start": (np.abs(start.rows - start.random_rows) <= c.random_rows).all(axis=-1),
    }
    two_to_one = np.array([2.0] + [1.0] * (layers - 1)) / (layers + 1)
    for name, target in (("balance", 1.0 / layers), ("balance_two_to_one", two_to_one)):
        moved = np.abs((at.shares - target) * squared - (start.shares - target))
        within[name] = (moved <= c.balance).all(axis=-1)
    within |= per_layer("rows", at.rows >= start.rows + c.half_way * (1.0 - start.rows))
    within |= per_layer("low_rank", at.ratio() <= c.half_way * start.ratio())
    for suffix, singular in (("", at.singular), ("_shuffled", at.shuffled)):
        within |= per_layer(f"remainder{suffix}", growth[:, None] * singular[..., 1] <= c.across * start.singular[..., 0])
        within |= per_layer(f"leading{suffix}", np.abs(singular[..., 0] ** 2 - 1.0 / layers) * squared <= c.across**2)
    return within


def between(value: np.ndarray, ends: Range) -> np.ndarray:
    """Which values lie within both ends."""
    return (value >= ends[0]) & (value <= ends[1])


def monotone(
    iterations: Int[np.ndarray, " p"], loss: Float[np.ndarray, "s p"], crossing: Int[np.ndarray, " s"], rise: float
) -> Bool[np.ndarray, " s"]:
    """Whether the loss of each run never rises by more than `rise`, relative, between recorded iterations before its escape.

    A run that never escapes, whose `crossing` is -1, is judged to its end.
    """
    before = (iterations[None, 1:] < crossing[:, None]) | (crossing < 0)[:, None]
    return np.where(before, loss[:, 1:] / loss[:, :-1] - 1.0, -1.0).max(axis=1) <= rise


def fractions(met: Mapping[str, Bool[np.ndarray, " s"]], where: str = "") -> dict[str, Measurement]:
    """Share of the runs that meet each criterion; `where` names another state of the runs, a control."""
    if not where:
        return {f"{name}_fraction": fraction(hits) for name, hits in met.items()}
    return {f"{name}_fraction_{where}": fraction(hits) for name, hits in met.items() if not name.startswith(BROKEN)}
