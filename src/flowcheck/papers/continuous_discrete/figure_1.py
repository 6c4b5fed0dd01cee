r"""Figure 1 (Section 6): one study is a network in one precision, with some draws of its weights and some r.

Beside the runs that the figure shows each study has one with its digits in another order, which differs by rounding only, and
broken ones with a step size far beyond what the Hessian allows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field

from flowcheck.data.mnist import Digits
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.dense_code import Precision
from flowcheck.descent.input_span import InputSpan
from flowcheck.networks.problem import Objective
from flowcheck.papers.continuous_discrete import mnist_networks
from flowcheck.papers.continuous_discrete import step_comparison as steps
from flowcheck.papers.continuous_discrete.published_curves import DECIMALS, published, rms_distance
from flowcheck.pipeline.evidence import Found, Measurement

LARGE = 500
"""A step size so many times the paper's is beyond two over the largest eigenvalue of the Hessian, by an order of magnitude."""


class Study(BaseModel):
    """What is run of one network in one precision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: mnist_networks.Name
    precision: Precision
    draws: list[Annotated[int, Field(ge=0, le=10**6)]] = Field(min_length=1)
    ratios: list[Annotated[int, Field(ge=2, le=1000)]] = Field(min_length=1)
    iterations: int = Field(ge=LARGE, le=10**7)
    interval: int = Field(ge=1, le=10**7)


def run(
    study: Study, data: Digits, start: Float[np.ndarray, "s k"], order: Int[np.ndarray, " n"]
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The curves of a study, and a row for each draw and r; `order` is a permutation of the digits."""
    begin, fit = _begin(study, data, start)
    recipe = steps.Recipe(mnist_networks.STEP_SIZE, study.iterations, study.interval, tuple(study.ratios))
    found = steps.compare(begin, fit.value, recipe)
    shuffled = Digits(data.inputs[order], data.labels[order], data.source, data.surrogate)
    alone, other = (_begin(study, digits, start[:1])[0] for digits in (data, shuffled))
    reordered = steps.between(alone, other, recipe)[0]
    rows = steps.table(found, study.draws, reordered if study.precision == "float64" else 0.0)
    large = steps.Recipe(LARGE * mnist_networks.STEP_SIZE, study.iterations // LARGE, 1, (2,))
    broken = steps.table(steps.compare(begin, fit.value, large), study.draws, 0.0).drop(columns="ratio")
    table = rows.merge(broken, on="draw", suffixes=("", "_large_step"))
    table.insert(0, "precision", study.precision)
    table.insert(0, "network", study.network)
    return {name: getattr(found, name) for name in ("records", "loss", "distance", "drift")} | {"reordered": reordered}, table


def _begin(study: Study, data: Digits, start: Float[np.ndarray, "s k"]) -> tuple[steps.Begin, Objective]:
    """Runs from these weights for any step size, and what they minimise."""
    fit = mnist_networks.objective(study.network, data)
    descent = functools.partial(
        ClassifierDescent, fit, torch.from_numpy(start), precision=study.precision, span=InputSpan.of(fit.x)
    )
    return lambda step_size: descent(step_size=step_size), fit


def beside_published(
    name: str, records: Int[np.ndarray, " p"], loss: Float[np.ndarray, "s p"], distance: Float[np.ndarray, "s p"], folder: Path
) -> Found:
    """Root mean square of the differences to the published loss and distance, the mean over draws; other images, other draws.

    How far a reading may be off is what the published decimals leave open.
    """
    theirs = published(folder / f"figure_1_{name}.csv")
    found: dict[str, Measurement | np.ndarray] = {
        f"published_{name}_{key}": getattr(theirs, key) for key in ("iterations", "loss", "distance", "drift")
    }
    for what, ours, curve in (("loss", loss, theirs.loss[0]), ("distance", distance, theirs.distance)):
        gaps = [rms_distance(one, records, curve, theirs.iterations)[0] for one in ours]
        found[f"{name}_published_{what}_rms"] = Measurement(float(np.mean(gaps)), DECIMALS, n=len(gaps))
    return found


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
