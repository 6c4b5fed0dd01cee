"""Atlas: alignment at the escape over degree and scale, inside and outside of the theorems (ours, beyond deep_homogeneous).

ReLU^p networks of degree p >= 2, whose gradient is locally Lipschitz, and networks without that: ReLU^p with 1 < p < 2, and deep
ReLU networks. Each is followed from delta w_0 until its loss has fallen by a hundredth; there 1 - cos between the weights and the
gradient of the NCF is read, as in Figure 1(b).
"""

from __future__ import annotations

import warnings
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from flowcheck.data.synthetic import noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.measures import readings
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import deep_relu, power_net
from flowcheck.papers.deep_homogeneous.escape_alignment import misalignment
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import keyed_by

NETWORKS: dict[str, dict[str, Network]] = {
    "smooth": {f"power_{power:g}": power_net(4, 3, power) for power in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)},
    "low_power": {f"power_{power:g}": power_net(4, 3, power) for power in (1.25, 1.5, 1.75)},
    "deep_relu": {f"relu_{depth}": deep_relu((6,) * depth, 3) for depth in (2, 3, 4, 5)},
}
"""Families: with a locally Lipschitz gradient, and two without."""


class Parameters(ParametersModel):
    degrees: Annotated[
        dict[str, Annotated[float, Field(gt=0, le=100)]], keyed_by(name for networks in NETWORKS.values() for name in networks)
    ]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    deltas: list[PositiveFloat]
    small_delta: PositiveFloat
    aligned: float = Field(gt=0, lt=1)
    arc: float = Field(gt=0)
    rtol: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _measures_what_it_compares(self) -> Parameters:
        if missing := [delta for delta in (1.0, 0.1, self.small_delta) if delta not in self.deltas]:
            raise ValueError(f"deltas: {missing[0]:g} must be among them")
        return self


class Drawn(NamedTuple):
    """One network with inputs [n, d], labels [seeds, n] and unit starts [seeds, k]."""

    network: Network
    x: Tensor
    y: Tensor
    starts: Tensor

    def on(self, device: torch.device) -> Drawn:
        return Drawn(self.network, self.x.to(device), self.y.to(device), self.starts.to(device))


def draw(network: Network, rng: np.random.Generator, *, samples: int, seeds: int, noise: float) -> Drawn:
    x = sphere_inputs(rng, samples, network.inputs)
    y = noisy_teacher_labels(rng, network, x, seeds, noise)
    return Drawn(network, x, y, unit_vectors(rng, seeds, network.size))


def fractions(values: np.ndarray, aligned: float, first: int, last: int) -> dict[str, Measurement]:
    """Shares of runs that escape from the last of two scales, that then are aligned, and of those with a tenth of 1 - cos left.

    `values`: 1 - cos by network, run and scale, NaN where a run has not escaped.
    """
    early, late = values[..., first], values[..., last]
    escaped = np.isfinite(late)
    return {
        "escaped_fraction": readings.fraction(escaped),
        "aligned_fraction": readings.fraction(late[escaped] <= aligned),
        "improved_fraction": readings.fraction((late <= 0.1 * early)[escaped]),
    }


def medians(values: np.ndarray) -> np.ndarray:
    """Of the runs of each network from each scale that have escaped; NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.asarray(np.nanmedian(values, axis=1))


def cell(p: Parameters, context: Context) -> Evidence:
    drawn = {
        name: draw(network, context.rng(name), samples=p.samples, seeds=p.seeds, noise=p.noise).on(context.device)
        for networks in NETWORKS.values()
        for name, network in networks.items()
    }
    presupposed = [Presupposed(problem.network, problem.x, problem.y, p.degrees[name]) for name, problem in drawn.items()]
    evidence, rows = Evidence.of([measure(presupposed, p.deltas)]), []
    one, tenth, small = (p.deltas.index(delta) for delta in (1.0, 0.1, p.small_delta))
    for family, networks in context.progress(NETWORKS.items(), what="families"):
        found = []
        for name in networks:
            found.append(misalignment(*drawn[name], p.deltas, arc=p.arc, rtol=(p.rtol, 4 * p.rtol)))
            for delta, each in zip(p.deltas, found[-1][0].T, strict=True):
                rows += [{"family": family, "network": name, "delta": delta, "misalignment": value} for value in each]
        fine, coarse = np.stack(found, axis=1)
        evidence.record(f"misalignment_{family}_median", Refined.of(fine[..., small], coarse[..., small]).median())
        for suffix, last in (("", small), ("_at_one", one)):
            shares = fractions(fine, p.aligned, tenth, last)
            evidence.add({f"{name}_{family}{suffix}": share for name, share in shares.items()})
        evidence.arrays |= {f"median_{family}": medians(fine), f"names_{family}": np.array(list(networks))}
    evidence.arrays["deltas"] = np.array(p.deltas)
    evidence.runs = pd.DataFrame(rows)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
