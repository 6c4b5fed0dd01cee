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
Layers = Annotated[list[Threshold], Field(min_length=1)]
"""A number for each layer."""
Range = Annotated[tuple[Threshold, Threshold], INCREASING]
Met = dict[str, Bool[np.ndarray, " s"]]
"""Criterion -> yes or no for each run."""
STORIES = ("rise", "random_start", "aligned_permuted")
"""Criteria that compare with the start, or are a control themselves: controls from other weights do not have them."""


class Criteria(ParametersModel):
    """Reading tolerances of the figures, per layer where they are lists. `typical` ones are asked of half of the seeds."""

    norm: Threshold
    growth: Range
    cosine: Threshold
    cosine_typical: Threshold
    initial_cosine: Threshold
    cosine_rise: Threshold
    initial_rows: Layers
    initial_ratio: Threshold
    rows: Layers
    ratio: Layers
    share: Range
    rows_typical: Layers | None = None
    strong_rows: Threshold | None = None
    ratio_typical: Layers | None = None
    third_ratio: Threshold | None = None
    leading: Range | None = None
    bulk: Range | None = None


def meets(c: Criteria, start: Anatomy, at: Anatomy) -> Met:
    """Each criterion on the weights of a set of runs."""
    growth, ratio = at.norm / start.norm, at.ratio()
    within = {
        "small_norm": (at.norm <= c.norm) & between(growth, c.growth),
        "aligned": at.cosine >= c.cosine,
        "aligned_typical": at.cosine >= c.cosine_typical,
        "aligned_permuted": at.cosine_permuted >= c.cosine,
        "rise": (start.cosine <= c.initial_cosine) & (at.cosine - start.cosine >= c.cosine_rise),
        "random_start": (start.rows <= c.initial_rows).all(axis=-1) & (start.ratio() >= c.initial_ratio).all(axis=-1),
        "shares": between(at.shares, c.share).all(axis=-1),
    }
    within |= per_layer("rows", at.rows >= c.rows) | per_layer("low_rank", ratio <= c.ratio)
    if c.rows_typical is not None:
        within |= per_layer("rows_typical", at.rows >= c.rows_typical)
    if c.strong_rows is not None:
        within["strong_rows"] = (at.strong_rows >= c.strong_rows).all(axis=-1)
    if c.ratio_typical is not None:
        within |= per_layer("low_rank_typical", ratio <= c.ratio_typical)
    if c.third_ratio is not None:
        within["rank_two_W1"] = at.ratio(2)[:, 0] <= c.third_ratio
    if c.leading is not None:
        within["leading"] = between(at.singular[..., 0], c.leading).all(axis=-1)
    if c.bulk is not None:
        within |= per_layer("bulk", between(growth[:, None] * ratio, c.bulk))
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
    """Share of the runs that meet each criterion; `where` is the state of a control, which `STORIES` do not have."""
    if not where:
        return {f"{name}_fraction": fraction(hits) for name, hits in met.items()}
    return {f"{name}_fraction_{where}": fraction(hits) for name, hits in met.items() if name not in STORIES}
