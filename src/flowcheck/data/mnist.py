"""Handwritten digits to train on: so many of MNIST, chosen as the authors of continuous_discrete choose them, normalised.

Which digits these are depends on what can be had, and `Digits.source` says it: it belongs to every number that rests on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.arguments import instance, whole
from flowcheck.data.mnist_files import TRAINING, find

MEAN, DEVIATION = 0.1307, 0.3081
"""Of the pixels of the 60,000 training images, scaled to [0, 1]; torchvision's constants."""
FIRST = 50_000
"""Training images of which the authors' code takes every fiftieth."""


@dataclass(frozen=True)
class Digits:
    """Images as rows of 784 normalised pixels, their labels, and where they come from.

    Attributes:
        inputs: pixels of each image, row by row of it, with the mean taken off and divided by the standard deviation.
        labels: 0 to 9.
        source: which digits these are, in words.
        surrogate: that they are no digits of MNIST.
    """

    inputs: Float[Tensor, "n 784"]
    labels: Int[Tensor, " n"]
    source: str
    surrogate: bool = False


def digits(folder: str | Path | None, *, count: int = 1000, allow_surrogate: bool = True) -> Digits:
    """`count` digits, float64, from a folder with the files of MNIST; without one, fetched or replaced, see `mnist_files`.

    Every k-th image, with k the whole part of the number of images over `count`: of the first 50,000 training images (for 1,000
    these are the indices 0, 50, ..., 49950 of the authors' code), or else of the 10,000 test images. A surrogate is normalised by
    mean and deviation of its own pixels, as the paper says of its data.

    Raises ConfigError, in one sentence that names the file, if a file is not the canonical one, and if only a surrogate could be
    had and it is not allowed; ValueError if there are fewer digits than `count`.
    """
    wanted = whole("count", count, 1)
    if folder is not None:
        instance("folder", folder, str, Path)
    raw = find(None if folder is None else Path(folder), allow_surrogate=allow_surrogate)
    there = min(len(raw.labels), FIRST) if raw.pair is TRAINING else len(raw.labels)
    if wanted > there:
        raise ValueError(f"count must be at most {there}, the number of {raw.pair.said}, got {wanted}")
    indices = np.arange(wanted) * (there // wanted)
    mean, deviation = MEAN, DEVIATION
    if raw.pair.surrogate:
        mean, deviation = (float(moment) for moment in (np.mean(raw.images / 255.0), np.std(raw.images / 255.0)))
    pixels = raw.images[indices].reshape(wanted, -1) / 255.0
    return Digits(
        torch.from_numpy((pixels - mean) / deviation),
        torch.from_numpy(raw.labels[indices].astype(np.int64)),
        f"{raw.pair.said}: {wanted:,} of {there:,}, indices {_said(indices)}",
        raw.pair.surrogate,
    )


def _said(indices: Int[np.ndarray, " n"]) -> str:
    """The first two and the last of evenly spaced ones."""
    return ", ".join(map(str, indices)) if len(indices) < 4 else f"{indices[0]}, {indices[1]}, ..., {indices[-1]}"
