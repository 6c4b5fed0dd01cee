"""Atlas: alignment at the escape over degree and scale, inside and outside of the theorems (ours, beyond deep_homogeneous).

ReLU^p networks of degree p >= 2, whose gradient is locally Lipschitz, and networks without that: ReLU^p with 1 < p < 2, and deep
ReLU networks. Each is followed from delta w_0 until its loss has fallen by a hundredth; there 1 - cos between the weights and the
gradient of the NCF is read, as in Figure 1(b).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck.data.synthetic import noisy_teacher_labels, sphere_inputs, unit_vectors
from flowcheck.flows.events import loss_ratio_below
from flowcheck.flows.flow import loss_flow
from flowcheck.losses import HALF_SUM
from flowcheck.measures.statistics import clopper_pearson
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import deep_relu, power_net
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

NETWORKS: dict[str, dict[str, Network]] = {
    "smooth": {f"power_{power:g}": power_net(4, 3, power) for power in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)},
    "low_power": {f"power_{power:g}": power_net(4, 3, power) for power in (1.25, 1.5, 1.75)},
    "deep_relu": {f"relu_{depth}": deep_relu((6,) * depth, 3) for depth in (2, 3, 4, 5)},
}
"""Families: with a locally Lipschitz gradient, and two without."""


class Parameters(ParametersModel):
    degrees: dict[str, float]
    seeds: int = Field(ge=3)
    samples: int = Field(ge=4)
    noise: float = Field(ge=0)
    deltas: list[float]
    small_delta: float
    aligned: float = Field(gt=0, lt=1)
    arc: float = Field(gt=0)
    rtol: float = Field(gt=0)


def escapes(p: Parameters, name: str, network: Network, context: Context) -> dict[str, np.ndarray]:
    """1 - cos where the loss has fallen by a hundredth, [seeds, deltas], NaN where it has not; at two tolerances."""
    rng = context.rng(name)
    x = sphere_inputs(rng, p.samples, network.inputs)
    y = noisy_teacher_labels(rng, network, x, p.seeds, p.noise)
    starts = unit_vectors(rng, p.seeds, network.size)
    arrays = {
        "degree_defect": np.array(require_degree(network, x, p.degrees[name])),
        "signal": np.array([require_signal(network, x, labels) for labels in y]),
    }
    row = torch.arange(p.seeds).repeat_interleave(len(p.deltas)).repeat(2)
    scales = torch.tensor(p.deltas, dtype=x.dtype).repeat(2 * p.seeds)
    path = loss_flow(
        network,
        x,
        y[row],
        HALF_SUM,
        starts[row],
        scales,
        rtol=torch.tensor([p.rtol, 4 * p.rtol], dtype=x.dtype).repeat_interleave(len(row) // 2),
        until=[loss_ratio_below(0.99)],
        length=p.arc / y.norm(dim=-1)[row],
        locate_kinks=False,  # deep networks slide along many; the tolerance keeps a flow near them at a tenth of the cost
    )
    gradient = network.pull(path.direction, x, y[row])
    cosine = (gradient * path.direction).sum(dim=-1) / gradient.norm(dim=-1)
    apart = torch.where(path.ended_by == 0, 1 - cosine, torch.nan).view(2, p.seeds, -1)
    arrays["misalignment"], arrays["coarse"] = apart.numpy()
    return arrays


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale(p.deltas)
    every = {f"{family}/{name}": network for family, networks in NETWORKS.items() for name, network in networks.items()}
    found = {key: escapes(p, key.partition("/")[2], every[key], context) for key in context.progress(every, what="networks")}
    return Evidence(arrays={f"{network}/{key}": value for network, arrays in found.items() for key, value in arrays.items()})


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, whole = Evidence(), cells["all"].arrays
    evidence.measure("degree_defect", max(float(v) for k, v in whole.items() if k.endswith("/degree_defect")), error=0.0)
    evidence.measure("signal", min(float(v.min()) for k, v in whole.items() if k.endswith("/signal")), error=0.0)
    evidence.measure("scale_min", min(p.deltas), error=0.0)
    one, tenth, small = (p.deltas.index(delta) for delta in (1.0, 0.1, p.small_delta))
    rows = []
    for family, networks in NETWORKS.items():
        fine, coarse = (np.stack([whole[f"{family}/{name}/{key}"] for name in networks]) for key in ("misalignment", "coarse"))
        median = np.nanmedian(fine, axis=1)
        error = np.abs(median - np.nanmedian(coarse, axis=1))
        worst, best = int(median[:, small].argmax()), int(median[:, one].argmin())
        n = int(np.isfinite(fine[:, :, small]).sum())
        evidence.measure(f"misalignment_{family}_max", median[worst, small], error=error[worst, small], n=n)
        evidence.measure(f"misalignment_at_one_{family}_min", median[best, one], error=error[best, one], n=n)
        gain = median[:, small] / median[:, tenth]
        evidence.measure(f"improvement_{family}_max", gain.max(), error=(error[:, small] / median[:, tenth]).max(), n=n)
        aligned = int((fine[:, :, small] <= p.aligned).sum())
        evidence.measure(f"aligned_fraction_{family}", aligned / n, error=0.0, interval=clopper_pearson(aligned, n), n=n)
        evidence.measure(f"not_escaped_{family}", int(np.isnan(fine).sum()), error=0.0, n=fine.size)
        evidence.arrays |= {f"median_{family}": median, f"names_{family}": np.array(list(networks))}
        for name, runs in zip(networks, fine, strict=True):
            for delta, each in zip(p.deltas, runs.T, strict=True):
                rows += [{"family": family, "network": name, "delta": delta, "misalignment": value} for value in each]
    evidence.arrays["deltas"] = np.array(p.deltas)
    evidence.runs = pd.DataFrame(rows)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
