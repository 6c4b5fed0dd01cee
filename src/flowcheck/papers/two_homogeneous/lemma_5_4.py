r"""Lemma 5.4 of two_homogeneous: non-branching sets of one leaky ReLU neuron.

The set of a KKT point is $\|u-u_*\|\le\gamma$, $\mathrm{sign}(v_*)v>\|u\|$. From there flows move along u_*, by a hyperbolic
rotation, and no input changes sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.errors import HypothesisError
from flowcheck.flows.flow import Save, gradient_flow
from flowcheck.geometry import unit
from flowcheck.integration.adaptive import integrate
from flowcheck.measures.readings import count, largest, smallest
from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks import zoo
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import neuron
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, NEAR = 1e-10, 1e-6
"""Tolerance of flows, and the distance of the starts whose separation is measured."""
SLOPE = 0.2
INSIDE = 0.999
"""Distance of starts from u_*, over gamma; one more is within 0.3 of that."""
FACTORS = (0.5, 0.999, 1.5, 1.9, 2.1, 3.0, 4.0)
"""Distances of the start from u_* in the worst direction, over gamma; the control of Lemma 5.4 is the last."""
PHASE = torch.linspace(0.0, 3.0, 31, dtype=torch.float64, device="cpu")
"""K t."""


class KktPoints(NamedTuple):
    """All KKT points with N_* > 0 off the kinks, from those of (90) as Lemma H.1 says: u_*, the sign of v_*, N_*."""

    u: Float[Tensor, "q 3"]
    sign: Float[Tensor, " q"]
    value: Float[Tensor, " q"]


def smooth_points(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"]) -> KktPoints:
    """KKT points of one neuron off its kinks, from the arrangement of its inputs; the output weight has the sign of the value."""
    found = clarke.neuron_kkt_points(x.cpu().numpy(), z.cpu().numpy(), SLOPE)
    points = torch.from_numpy(found[np.abs(x.cpu().numpy() @ found.T).min(axis=0) > 1e-6]).to(x)
    value = zoo.power_net(1, 3, 1.0, slope=SLOPE).forward(points, x) @ z
    return KktPoints(points / math.sqrt(2), value.sign(), value.abs() / 2)


def lemma_54(
    draws: Sequence[tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]], rngs: Iterable[np.random.Generator], directions: int
) -> Found:
    """From the boundary of S flows move along u_*, by a hyperbolic rotation; from four times as far they do not.

    `draws` of the data x, z, each with a generator for the starts: in the worst direction, in random ones, and further inside.
    Raises HypothesisError if no draw has a KKT point with N > 0 off the kinks.
    """
    inside, outside, values, margins = [], [], [], []
    for (x, z), rng in zip(draws, rngs, strict=True):
        points = smooth_points(x, z)
        if not len(points.u):
            continue
        margin, nearest = (points.u @ x.T).abs().min(dim=1)
        gamma = (margin / (2 * x.norm(dim=1).max()))[:, None]
        worst = -x[nearest] * (points.u * x[nearest]).sum(dim=1).sign()[:, None]
        around = [synthetic.unit_vectors(rng, len(points.u), 3).to(x) for _ in range(directions)]
        near = [INSIDE * gamma * shift for shift in (worst, *around, 0.3 * around[0])]
        inside.append(against_rotation(x, z, points, near))
        outside.append(against_rotation(x, z, points, [factor * gamma * worst for factor in FACTORS]))
        values.append(points.value.cpu().numpy())
        margins.append(margin.cpu().numpy())
    if not values:
        raise HypothesisError("l54_points", 0, "no draw of the data has a KKT point with N > 0 off the kinks")
    value, closest = np.concatenate(values), np.concatenate(margins)
    return {
        "l54_points": Measurement.count(len(value), len(draws)),
        "l54_ncf_min": smallest(value, ROUNDING),
        "l54_margin_min": smallest(closest, ROUNDING),
        **within(joined(inside), closest),
        **beyond(joined(outside), closest),
        "l54_separation_branching": branching_neuron(),
    }


def joined(parts: Sequence[dict[str, Refined]]) -> dict[str, Refined]:
    """The points of all draws side by side."""
    return {name: Refined.joined([part[name] for part in parts], axis=1) for name in parts[0]}


def within(found: dict[str, Refined], margin: Float[np.ndarray, " q"]) -> Found:
    """What the lemma says of all starts in S."""
    # a product is over the square of the margin, and one of its factors may be as small
    products = found["product"].with_rounding(ROUNDING / margin)
    return {
        **{f"l54_{name}": found[name].largest() for name in ("closed_form_gap", "parallel_defect", "conservation_defect")},
        "l54_product_min": products.smallest(),
        "l54_smallest_gain": found["gain"].smallest(),
        "l54_sign_changes": count(found["signed_v"].value <= 0),
        "l54_separation_over_bound": found["separation"].largest(),
    }


def beyond(found: dict[str, Refined], margin: Float[np.ndarray, " q"]) -> Found:
    """How far flows are from the closed form by distance of the start, and the worst of them at the largest distance."""
    gap, parallel, products = (found[name] for name in ("closed_form_gap", "parallel_defect", "product"))
    broken, n = int(gap.value[-1].argmax()), gap.value.shape[1]
    return {
        "l54_factors": np.array(FACTORS),
        "l54_gap_by_factor": gap.value.max(axis=1),
        "l54_product_min_four_gamma": largest(products.value[-1], products.error[-1] + ROUNDING / margin),
        "l54_closed_form_gap_four_gamma": Measurement(gap.value[-1, broken], gap.error[-1, broken], n=n),
        "l54_parallel_defect_four_gamma": Measurement(parallel.value[-1, broken], parallel.error[-1, broken], n=n),
    }


def against_rotation(
    x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], points: KktPoints, shifts: Sequence[Float[Tensor, "q 3"]]
) -> dict[str, Refined]:
    """Flows from q = u_* + shift, |p| = 1.01 |q|, over three times 1 / K against the closed form, K = 2 N_*.

    The worst over time for each shift and each point, [shifts, q]: distance from the closed form, smallest product
    (x_i.u_*)(x_i.u(t)) over the square of the margin, component of u(t) - u(0) across u_*, change of v^2 - |u|^2, gain of the
    coefficient along u_*, v in the direction of its sign, and distance of a flow from a start beside it over e^{Kt} times that of
    the starts. Distances are relative to |(u, v)|.
    """
    target, k, side = (torch.cat([part] * len(shifts)) for part in (points.u, 2 * points.value, points.sign))
    phase, q = PHASE.to(x), target + torch.cat(list(shifts))
    start = torch.cat([q, (side * 1.01 * q.norm(dim=1))[:, None]], dim=1)
    shifted = start + NEAR * unit(torch.cat([target, side[:, None]], dim=1))
    both, times = torch.cat([start, shifted]), phase / torch.cat([k, k])[:, None]
    exact, correlation = rotated(start, target, side, phase), Correlation(neuron(SLOPE), x, z)

    def read(rtol: float) -> dict[str, np.ndarray]:
        recorded = gradient_flow(correlation, both, length=times[:, -1], rtol=rtol, save=Save(at=times)).recorded
        assert recorded is not None  # times to record at were given
        w, near = recorded.weights_over_delta().chunk(2)
        size, moved = w.norm(dim=2), w[..., :3] - q[:, None]
        alpha = (moved * target[:, None]).sum(dim=2) / (target**2).sum(dim=1)[:, None]
        products = torch.einsum("rpd,nd->rpn", w[..., :3], x) * (target @ x.T)[:, None]
        invariant = w[..., 3] ** 2 - (w[..., :3] ** 2).sum(dim=2)
        rows = {
            "closed_form_gap": (w - exact).norm(dim=2) / size,
            "product": products.amin(dim=2) / (target @ x.T).abs().amin(dim=1, keepdim=True) ** 2,
            "parallel_defect": (moved - alpha[..., None] * target[:, None]).norm(dim=2) / size,
            "conservation_defect": (invariant - invariant[:, :1]).abs() / size**2,
            "gain": alpha.diff(dim=1),
            "signed_v": w[..., 3] * side[:, None],
            "separation": (near - w).norm(dim=2) / (NEAR * torch.exp(phase)),
        }
        return {name: row.view(len(shifts), len(points.u), -1).cpu().numpy() for name, row in rows.items()}

    found = refined(read, RTOL, 100 * RTOL)
    return {name: row.lowest(2) if name in ("product", "gain", "signed_v") else row.worst(2) for name, row in found.items()}


def rotated(
    start: Float[Tensor, "r 4"], target: Float[Tensor, "r 3"], side: Float[Tensor, " r"], phase: Float[Tensor, " p"]
) -> Float[Tensor, "r p 4"]:
    r"""$v=v_0\cosh Kt+\mathrm{sign}(v_*)a_0\sinh Kt$ and $u=u_0+(a-a_0)\sqrt2u_*$, where $a=\sqrt2u_*^\top u$ is alike."""
    q, v, direction = start[:, :3], start[:, 3], math.sqrt(2) * target
    along, cosh, sinh = (q * direction).sum(dim=1), torch.cosh(phase), torch.sinh(phase)
    exact_v = v[:, None] * cosh + (side * along)[:, None] * sinh
    gain = along[:, None] * (cosh - 1) + (side * v)[:, None] * sinh
    return torch.cat([q[:, None] + gain[..., None] * direction[:, None], exact_v[..., None]], dim=2)


def branching_neuron() -> Measurement:
    """Distance at time 1 of flows that start 1e-12 to either side of a kink that repels: x_1.u = 0 and v z_1 > 0."""
    x = torch.tensor([[1.0, 0.0, 0.0], [-0.5, 0.8, 0.0]], dtype=torch.float64)
    correlation = Correlation(neuron(SLOPE), x, torch.ones(2, dtype=torch.float64))
    start = torch.tensor([[1e-12, 0.5, 0.0, 1.0], [-1e-12, 0.5, 0.0, 1.0]], dtype=torch.float64)

    def distance(rtol: float) -> np.ndarray:
        ends = integrate(lambda w, _: correlation.gradient(w), start, 1.0, rtol=rtol, atol=rtol / 1e4).state
        return np.array([float((ends[0] - ends[1]).norm())])

    return Refined.of(distance(RTOL), distance(100 * RTOL)).largest()
