r"""What Figures 1 and 3 have in common: a study is one network in one precision, with some draws of its weights and some r.

Beside the runs that a figure shows each study has one with its digits in another order, which differs by rounding only, and
broken ones with a step size far beyond what the Hessian allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from flowcheck.data.mnist import Digits
from flowcheck.descent.vector_code import Precision
from flowcheck.papers.continuous_discrete import mnist_networks
from flowcheck.papers.continuous_discrete import step_comparison as steps
from flowcheck.pipeline.evidence import Found

LARGE = 500
"""A step size so many times the paper's is beyond two over the largest eigenvalue of the Hessian, by an order of magnitude."""
BROKEN = 20
"""So many iterations of it are made, and recorded."""


class Study(BaseModel):
    """What is run of one network in one precision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Precision
    draws: list[Annotated[int, Field(ge=0, le=10**6)]] = Field(min_length=1)
    ratios: list[Annotated[int, Field(ge=2, le=1000)]] = Field(min_length=1)
    iterations: int = Field(ge=1, le=10**7)
    interval: int = Field(ge=1, le=10**7)


def reordered(data: Digits, order: Int[np.ndarray, " n"]) -> Digits:
    """The same digits; `order` is a permutation of them."""
    return Digits(data.inputs[order], data.labels[order], data.source, data.surrogate)


def run(
    study: Study, begin: steps.Begin, other: steps.Begin, value: Callable[[Tensor], Tensor], counted: int | None = None
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The curves of a study, and a row for each draw and r.

    Args:
        begin: all draws of the study.
        other: the first of them, with the digits in another order.
        value: the loss of each row of weights.
        counted: how many weights count in distances; all if left out.
    """
    recipe = steps.Recipe(mnist_networks.STEP_SIZE, study.iterations, study.interval, tuple(study.ratios))
    coarse = list(steps.path(begin, recipe, 1))
    found = steps.compare(begin, value, recipe, coarse, counted)
    apart = steps.between((w[:1] for w in coarse), steps.path(other, recipe, 1), counted)[0]
    rows = steps.table(found, study.draws, apart if study.precision == "float64" else 0.0)
    large = steps.Recipe(LARGE * mnist_networks.STEP_SIZE, BROKEN, 1, (2,))
    broken = steps.table(steps.compare(begin, value, large, counted=counted), study.draws, 0.0).drop(columns="ratio")
    table = rows.merge(broken, on="draw", suffixes=("", "_large_step"))
    table.insert(0, "precision", study.precision)
    return {name: getattr(found, name) for name in ("records", "loss", "distance", "drift")} | {"reordered": apart}, table


def labelled(studies: Mapping[str, Study], curves: Mapping[str, Mapping[str, np.ndarray]]) -> Found:
    """The curves of all studies for the figures, under the names of their studies, with their draws and r.

    And the drift that the first order predicts for each r from that of the first r.
    """
    found: dict[str, np.ndarray] = {}
    for name, arrays in curves.items():
        found |= {f"{name}_{key}": array for key, array in arrays.items()}
        ratios = np.array(studies[name].ratios)
        size = (1 - 1 / ratios)[:, None, None]
        found |= {f"{name}_draws": np.array(studies[name].draws), f"{name}_ratios": ratios}
        found |= {f"{name}_prediction": arrays["drift"][:1] * size / size[:1]}
    return found
