r"""Neuron Pursuit on modular addition (neuron_pursuit, Section 5.2.2 and Appendix C.2.1): Figures 9 and 11.

Inputs are $[1_a,1_b,1]$, labels $1_c$ with $c=(a+b)\bmod p$; two layers and $\sigma(x)=x^2$, so each iteration adds one neuron.
A neuron has three blocks of length p: its weights on $1_a$ and on $1_b$, and its outgoing weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.measures.readings import fraction, median
from flowcheck.networks.activation import Activation
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.pursue import Plan, Pursuit, Wrap, classification_error, pursue

Run = Literal["first", "second", "third", "permuted"]
"""The first run is that of Figure 9, the next two are those of Figure 11; in the last labels are permuted among all pairs."""

SQUARE = Activation(slope=1.0, power=2)
MASS = 0.9
"""Share of the squared norm of all weights, largest neurons first, of which spectra are read."""
CONCENTRATED = 0.8
"""A neuron has one frequency where this share of the energy of each of its blocks lies there."""
ROUNDING = 1e-12
"""Of a share of energy: sums of some hundred products of float64."""
PICTURES = 4
"""How often the learned function is drawn."""


@dataclass(frozen=True)
class Pairs:
    """All pairs (a, b) as inputs [p^2, 2p + 1] with labels [p^2, p]; `training` says which are trained on."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n p"]
    training: Bool[np.ndarray, " n"]

    @property
    def prime(self) -> int:
        """The number of classes."""
        return self.y.shape[1]


def pairs(prime: int, training: int, rng: np.random.Generator, *, permuted: bool = False) -> Pairs:
    """All pairs, of which so many are drawn for training, without replacement.

    >>> data = pairs(3, 5, np.random.default_rng(0))
    >>> data.x[5].tolist(), data.y[5].tolist()  # 1 + 2 = 0 modulo 3
    ([0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0])
    >>> int(data.training.sum())
    5
    """
    a, b = np.divmod(np.arange(prime * prime), prime)
    one_hot = np.eye(prime)
    labels = one_hot[(a + b) % prime]
    if permuted:
        labels = labels[rng.permutation(len(labels))]
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[rng.permutation(len(labels))[:training]] = True
    inputs = np.concatenate([one_hot[a], one_hot[b], np.ones((len(labels), 1))], axis=1)
    return Pairs(torch.from_numpy(inputs), torch.from_numpy(labels), chosen)


def blocks(grown: Grown) -> Float[np.ndarray, "3 neurons p"]:
    """Of each neuron: the weights on the first summand, on the second one, and the outgoing weights."""
    prime = len(grown.layers[1])
    first, second = grown.layers
    return np.stack([first[:, :prime].numpy(), first[:, prime : 2 * prime].numpy(), second.T.numpy()])


def energies(rows: Float[np.ndarray, "*rows p"]) -> Float[np.ndarray, "*rows k"]:
    r"""Share of each frequency $\pm k$, k = 1 ... (p - 1)/2, in the energy of a row without its mean; 0 if it is constant.

    >>> wave = np.cos(2 * np.pi * 2 * np.arange(7) / 7) + 5
    >>> energies(wave).round(12).tolist()
    [0.0, 1.0, 0.0]
    """
    power = np.abs(np.fft.rfft(rows, axis=-1)[..., 1:]) ** 2
    total = power.sum(axis=-1, keepdims=True)
    return power / np.where(total > 0, total, 1.0)


def frequencies(grown: Grown) -> tuple[Int[np.ndarray, " neurons"], Float[np.ndarray, " neurons"]]:
    """Of each neuron the frequency at which the smallest share of energy among its three blocks is largest, and that share."""
    common = energies(blocks(grown)).min(axis=0)
    return common.argmax(axis=1) + 1, common.max(axis=1)


def heavy(grown: Grown) -> Bool[np.ndarray, " neurons"]:
    """The largest neurons, which have nine tenths of the squared norm of all weights."""
    first, second = grown.layers
    mass = (first.square().sum(dim=1) + second.square().sum(dim=0)).numpy()
    order = np.argsort(-mass)
    before = np.cumsum(mass[order]) - mass[order]
    chosen = np.zeros(len(mass), dtype=bool)
    chosen[order[before < MASS * mass.sum()]] = True
    return chosen


def learn(data: Pairs, plan: Plan, iterations: int, seed: int, progress: Wrap = iter) -> Pursuit:
    """Until no training pair is classified wrongly, and so many iterations at most."""
    x, y = data.x[data.training], data.y[data.training]
    settings = {"depth": 2, "activation": SQUARE, "iterations": iterations, "tolerance": 0.0, "plan": plan, "seed": seed}
    return pursue(x, y, error=classification_error, progress=progress, **settings)  # type: ignore[arg-type]


def history(run: Run, data: Pairs, found: Pursuit) -> pd.DataFrame:
    """One row for each iteration."""
    x, y = data.x[~data.training], data.y[~data.training]
    rows = []
    for number, step in enumerate(found.history, 1):
        row = {"run": run, "iteration": number, "training_error": step.error, "loss": step.loss, "delta": step.delta}
        row |= {"test_error": classification_error(step.grown.predict(x), y), "kkt_value": step.point.value}
        row |= {"kkt_residual": step.point.residual, "retries": step.retries, "step_size": step.step_size}
        rows.append(row)
    return pd.DataFrame(rows)


def read(run: Run, data: Pairs, found: Pursuit, rows: pd.DataFrame, cap: int) -> Found:
    """The numbers of a run, with its name at the end except for the first; one more than `cap` where errors are left."""
    end = "" if run == "first" else f"_{run}"
    grown, last, large = found.grown, rows.iloc[-1], heavy(found.grown)
    _, share = frequencies(grown)
    training, test = int(data.training.sum()), int((~data.training).sum())
    taken = len(rows) if last["training_error"] == 0 else cap + 1
    return {
        f"iterations_to_zero_training_error{end}": Measurement.count(taken),
        f"training_error{end}": Measurement.exact(float(last["training_error"]), training),
        f"test_error{end}": Measurement.exact(float(last["test_error"]), test),
        f"concentration_median{end}": median(share[large], ROUNDING),
        f"one_frequency_fraction{end}": fraction(share[large] >= CONCENTRATED),
        f"spectra_{run}": np.abs(np.fft.rfft(blocks(grown), axis=-1)),
        f"image_{run}": np.abs(np.fft.fft2(np.concatenate([*blocks(grown)[:2]], axis=1))),
    }


def picture(data: Pairs, found: Pursuit) -> dict[str, np.ndarray]:
    """Which neuron was added when: its frequency at the KKT point and in the end, and which pairs are then classified rightly."""
    points = [Grown(SQUARE, (step.point.parts[0].reshape(1, -1), step.point.parts[1].reshape(-1, 1))) for step in found.history]
    at_point = [frequencies(point) for point in points]
    in_end, share = frequencies(found.grown)
    count, right = len(found.history), []
    when = np.unique(np.linspace(1, count, PICTURES + 1).round().astype(int)[1:])
    for number in when:
        outputs = found.history[number - 1].grown.predict(data.x)
        right.append((outputs.argmax(dim=1) == data.y.argmax(dim=1)).numpy().reshape(data.prime, data.prime))
    return {
        "added_frequency": np.array([int(number[0]) for number, _ in at_point]),
        "added_share": np.array([float(energy[0]) for _, energy in at_point]),
        "final_frequency": in_end,
        "final_share": share,
        "picture_iterations": when,
        "picture_right": np.stack(right).astype(float),
    }
