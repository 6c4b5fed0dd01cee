r"""Figure 1 (Section 6): fully connected networks, and how far they are from the published curves."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from flowcheck.data.mnist import Digits
from flowcheck.descent.classifier import ClassifierDescent
from flowcheck.descent.input_span import InputSpan
from flowcheck.networks.problem import Objective
from flowcheck.papers.continuous_discrete import mnist_networks, step_studies
from flowcheck.papers.continuous_discrete import step_comparison as steps
from flowcheck.papers.continuous_discrete.published_curves import DECIMALS, published, rms_distance
from flowcheck.pipeline.evidence import Found, Measurement


class Study(step_studies.Study):
    """What is run of one network in one precision."""

    network: mnist_networks.Name


def run(
    study: Study, data: Digits, start: Float[np.ndarray, "s k"], order: Int[np.ndarray, " n"]
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The curves of a study, and a row for each draw and r; `order` is a permutation of the digits."""
    begin, fit = _begin(study, data, start)
    other, _ = _begin(study, step_studies.reordered(data, order), start[:1])
    arrays, table = step_studies.run(study, begin, other, fit.value)
    table.insert(0, "network", study.network)
    return arrays, table


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
