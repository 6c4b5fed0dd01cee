"""One (leaky) ReLU neuron v sigma(x.u) and its non-branching sets (two_homogeneous, Lemma 5.4), for the experiment kkt_points."""

import math

import numpy as np
import pandas as pd
import torch

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.errors import HypothesisError
from flowcheck.flows import flow
from flowcheck.geometry import unit
from flowcheck.integration.adaptive import integrate
from flowcheck.networks import activation, feed_forward, zoo
from flowcheck.papers.two_homogeneous.subdifferentials import sample
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.pipeline.experiment import Context

RTOL, NEAR = 1e-10, 1e-6
"""Tolerance of flows, and the distance of the starts whose separation is measured."""
SLOPE = 0.2
FACTORS = (0.5, 0.999, 1.5, 1.9, 2.1, 3.0, 4.0)
"""Distances of the start from u_* in the worst direction, over gamma; the control of Lemma 5.4 is the last."""


def neuron(slope: float) -> feed_forward.FeedForward:
    """V sigma(x.u) with weights (u, v)."""
    return feed_forward.FeedForward("unit", 3, (feed_forward.Layer(1, activation.Activation(slope)), feed_forward.Layer(1)))


def lemma_54(data_sets: int, directions: int, context: Context) -> Found:
    """From the boundary of S flows move along u_*, by a hyperbolic rotation; from four times as far they do not."""
    inside, outside = [], []
    values: list[float] = []
    margins: list[float] = []
    for draw in range(data_sets):
        rng, (x, z) = context.rng("lemma-5-4-starts", draw), sample(context, f"lemma-5-4-{draw}", 6)
        u, sign, ncf = smooth_points(x, z)
        if not len(u):
            continue
        margin, nearest = (u @ x.T).abs().min(dim=1)
        gamma = (margin / (2 * x.norm(dim=1).max()))[:, None]
        worst = -x[nearest] * (u * x[nearest]).sum(dim=1).sign()[:, None]
        around = [synthetic.unit_vectors(rng, len(u), 3) for _ in range(directions)]
        near = [0.999 * gamma * shift for shift in (worst, *around, 0.3 * around[0])]
        inside.append(compare_rotation(x, z, u, sign, ncf, near))
        outside.append(compare_rotation(x, z, u, sign, ncf, [factor * gamma * worst for factor in FACTORS]))
        values, margins = [*values, *ncf.tolist()], [*margins, *margin.tolist()]
    if not values:
        raise HypothesisError("l54_points", 0, "no draw of the data has a KKT point with N > 0 off the kinks")
    within, far = (pd.concat([pd.DataFrame(rows) for rows in results], ignore_index=True) for results in (inside, outside))
    farthest = far[far["shift"] == len(FACTORS) - 1]
    broken = farthest.iloc[int(farthest["closed_form_gap"].argmax())]
    largest, n, points = within.max(), len(within), len(values)
    error = largest["error"]
    return {
        "l54_factors": np.array(FACTORS),
        "l54_gap_by_factor": far.groupby("shift")["closed_form_gap"].max().to_numpy(),
        "l54_points": Measurement.count(points, data_sets),
        "l54_ncf_min": Measurement(min(values), 1e-12, n=points),
        "l54_margin_min": Measurement(min(margins), 1e-12, n=points),
        **{
            f"l54_{name}": Measurement(largest[name], error, n=n)
            for name in ("closed_form_gap", "parallel_defect", "conservation_defect")
        },
        "l54_product_min": Measurement(within["product_min"].min(), 1e-8, n=n),
        "l54_smallest_gain": Measurement(within["smallest_gain"].min(), 1e-8, n=n),
        "l54_sign_changes": Measurement.count(int(within["sign_changes"].sum()), n),
        "l54_separation_over_bound": Measurement(largest["separation"], largest["separation_error"], n=n),
        "l54_product_min_four_gamma": Measurement(farthest["product_min"].max(), 1e-8, n=len(farthest)),
        "l54_closed_form_gap_four_gamma": Measurement(broken["closed_form_gap"], broken["error"], n=len(farthest)),
        "l54_parallel_defect_four_gamma": Measurement(broken["parallel_defect"], broken["error"], n=len(farthest)),
        "l54_separation_branching": Measurement(branching_neuron(), 1e-8, n=1),
    }


def smooth_points(x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All (v_*, u_*) with N_* > 0 off the kinks, from the KKT points of (90) as Lemma H.1 says: u_*, the sign of v_*, N_*."""
    found = clarke.neuron_kkt_points(x.numpy(), z.numpy(), SLOPE)
    points = torch.from_numpy(found[np.abs(x.numpy() @ found.T).min(axis=0) > 1e-6])
    value = zoo.power_net(1, 3, 1.0, slope=SLOPE).forward(points, x) @ z
    return points / math.sqrt(2), value.sign(), value.abs() / 2


def compare_rotation(
    x: torch.Tensor,
    z: torch.Tensor,
    u: torch.Tensor,
    sign: torch.Tensor,
    ncf: torch.Tensor,
    shifts: list[torch.Tensor],
) -> dict[str, np.ndarray]:
    """Flows from q = u_* + shift, |p| = 1.01 |q|, over three times 1 / K against the closed form, K = 2 N_*; one row each."""
    target, k, side = (torch.cat([part] * len(shifts)) for part in (u, 2 * ncf, sign))
    q = target + torch.cat(shifts)
    start = torch.cat([q, (side * 1.01 * q.norm(dim=1))[:, None]], dim=1)
    shifted = start + NEAR * unit(torch.cat([target, side[:, None]], dim=1))
    network, phase = neuron(SLOPE), torch.linspace(0.0, 3.0, 31, dtype=x.dtype)
    both, times = torch.cat([start, shifted]), phase / torch.cat([k, k])[:, None]
    runs = []
    for rtol in (RTOL, 100 * RTOL):
        recorded = flow.gradient_flow(
            Correlation(network, x, z), both, length=times[:, -1], rtol=rtol, save=flow.Save(at=times)
        ).recorded
        assert recorded is not None  # times to record at were given
        runs.append(recorded.weights_over_delta())
    (fine, near), (other, other_near) = (run.chunk(2) for run in runs)
    direction, size = math.sqrt(2) * target, fine.norm(dim=2)
    along, v, cosh, sinh = (q * direction).sum(dim=1), start[:, 3], torch.cosh(phase), torch.sinh(phase)
    exact_v = v[:, None] * cosh + (side * along)[:, None] * sinh
    gain = along[:, None] * (cosh - 1) + (side * v)[:, None] * sinh
    exact = torch.cat([q[:, None] + gain[..., None] * direction[:, None], exact_v[..., None]], dim=2)
    moved = fine[..., :3] - q[:, None]
    alpha = (moved * target[:, None]).sum(dim=2) / (target**2).sum(dim=1)[:, None]
    products = torch.einsum("rpd,nd->rpn", fine[..., :3], x) * (target @ x.T)[:, None]
    invariant = fine[..., 3] ** 2 - (fine[..., :3] ** 2).sum(dim=2)
    separation, other_separation = (
        (b - a).norm(dim=2) / (NEAR * torch.exp(phase)) for a, b in ((fine, near), (other, other_near))
    )
    rows = {
        "shift": torch.arange(len(shifts)).repeat_interleave(len(u)),
        "error": ((fine - other).norm(dim=2) / size).amax(dim=1),
        "closed_form_gap": ((fine - exact).norm(dim=2) / size).amax(dim=1),
        "product_min": products.amin(dim=(1, 2)) / (target @ x.T).abs().amin(dim=1) ** 2,
        "parallel_defect": ((moved - alpha[..., None] * target[:, None]).norm(dim=2) / size).amax(dim=1),
        "conservation_defect": ((invariant - invariant[:, :1]).abs() / size**2).amax(dim=1),
        "smallest_gain": alpha.diff(dim=1).amin(dim=1),
        "sign_changes": (fine[..., 3] * side[:, None] <= 0).any(dim=1),
        "separation": separation.amax(dim=1),
        "separation_error": (separation - other_separation).abs().amax(dim=1),
    }
    return {name: row.numpy() for name, row in rows.items()}


def branching_neuron() -> float:
    """Distance at time 1 of flows that start 1e-12 to either side of a kink that repels: x_1.u = 0 and v z_1 > 0."""
    x = torch.tensor([[1.0, 0.0, 0.0], [-0.5, 0.8, 0.0]], dtype=torch.float64)
    z, network = torch.tensor([1.0, 1.0], dtype=torch.float64), neuron(SLOPE)
    start = torch.tensor([[1e-12, 0.5, 0.0, 1.0], [-1e-12, 0.5, 0.0, 1.0]], dtype=torch.float64)
    ends = integrate(lambda w, _: network.pull(w, x, z), start, 1.0, rtol=1e-10, atol=1e-14).state
    return float((ends[0] - ends[1]).norm())
