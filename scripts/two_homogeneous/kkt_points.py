"""Clarke subdifferentials and KKT points (two_homogeneous): Lemmas 5.4, A.1, A.2, B.1, C.2, C.5, C.6, H.1, Examples G.1 and G.2.

Smooth points, and points on kinks of (leaky) ReLU networks, where the subdifferential is the hull of the gradients of the pieces
that meet there.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import sympy as sp
import torch
from pydantic import Field

from flowcheck.correlation import clarke
from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.flows import events, flow
from flowcheck.geometry import angle, unit
from flowcheck.networks import activation, zoo
from flowcheck.papers.two_homogeneous.leaky_neuron import SLOPE, lemma_54, neuron
from flowcheck.papers.two_homogeneous.subdifferentials import (
    ROUNDING,
    homogeneity,
    hypotheses,
    lemma_a1,
    lemma_a2,
    normalised,
    not_homogeneous,
    sample,
    two_homogeneous,
)
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

ITERATIONS = 150
UNIT_SLOPES = (0.0, 0.2, -0.5)
SQUARED_SLOPES, TWO_LAYER_SLOPES = (0.0, 0.3, -1.5, 2.0), (0.0, 0.3, -0.5, 2.0)
PRINTED_SQUARE = 1 / math.sqrt(2.0)
"""The value of v^2 that Example G.2 prints; its next sentence has v = 1 / sqrt 2."""


class Neurons(NamedTuple):
    """Data, and KKT points (u, v) of one neuron by slope, smooth and on kinks."""

    x: torch.Tensor
    z: torch.Tensor
    smooth: dict[float, list[torch.Tensor]]
    kinked: dict[float, list[torch.Tensor]]


class Parameters(ParametersModel):
    points: int = Field(ge=4, description="random weights for each network of the homogeneity checks")
    starts: int = Field(ge=20, description="starts of each ascent")
    samples: int = Field(ge=50, description="gradients sampled around each kink, and lines of Lemma A.1")
    data_sets: int = Field(ge=1, description="draws of the data for Lemma 5.4")
    resolution: int = Field(ge=500, description="points on each line of Lemma A.1")


def cell(p: Parameters, context: Context) -> Evidence:
    neurons = neuron_points(p, context)
    evidence = Evidence.of(
        [
            hypotheses(context),
            homogeneity(p.points, context),
            not_homogeneous(p.points, context),
            normalised(p.points, context),
            lemma_a1(p.samples, p.resolution, context),
            lemma_a2(p.points, p.samples, context),
            kkt_conditions(p, context, neurons),
            lemma_h1(p, context, neurons),
            lemma_54(p.data_sets, p.points, context),
            example_g1(p, context),
            example_g2(p, context),
        ]
    )
    kinds = ("smooth", "kinked", "one_gradient", "random")
    rows = [pd.DataFrame({"points": kind, "defect": evidence.arrays[f"c5_{kind}"]}) for kind in kinds]
    evidence.runs = pd.concat(rows, ignore_index=True)
    return evidence


@dataclass(frozen=True)
class OnFaces(Correlation):
    """The NCF on faces n.u = 0, one for each row of a batch: gradients lose their component along the normal."""

    normals: torch.Tensor

    def gradient(self, u: torch.Tensor) -> torch.Tensor:
        gradient = super().gradient(u)
        return gradient - (gradient * self.normals).sum(dim=1, keepdim=True) * self.normals


def both_ways(correlation: Correlation, starts: torch.Tensor) -> list[torch.Tensor]:
    """Distinct converged KKT points with N != 0 of ascents of N and of -N: maxima, and minima."""
    found = [ascend(replace(correlation, z=sign * correlation.z), starts, iterations=ITERATIONS) for sign in (1.0, -1.0)]
    return [ends.points[row] for ends in found for row in ends.distinct() if float(ends.value[row].abs()) > 1e-6]


def neuron_points(p: Parameters, context: Context) -> Neurons:
    """For each slope the KKT points (u, v) of one neuron: from ascents, and on the kinks x_i.u = 0 from ascents within them.

    The latter are kept where 0 is in the tangential subdifferential. Data x, z and points by slope: smooth, and kinked.
    """
    rng, (x, z) = context.rng("neurons"), sample(context, "neurons", 8)
    smooth, kinked = {}, {}
    for slope in UNIT_SLOPES:
        correlation = Correlation(neuron(slope), x, z)
        smooth[slope] = both_ways(correlation, synthetic.unit_vectors(rng, p.starts, 4))
        normals = torch.cat([x, torch.zeros(len(x), 1).to(x)], dim=1).repeat(8, 1)
        starts = synthetic.unit_vectors(rng, len(normals), 4)
        starts = starts - (starts * normals).sum(dim=1, keepdim=True) * normals
        candidates = both_ways(OnFaces(neuron(slope), x, z, normals), starts)
        pieces = [clarke.all_signs(neuron(slope), w, x) for w in candidates]
        certified = [clarke.clarke_residual(correlation, w, own) < 1e-8 for w, own in zip(candidates, pieces, strict=True)]
        kinked[slope] = [w for w, holds in zip(candidates, certified, strict=True) if holds]
    return Neurons(x, z, smooth, kinked)


def kkt_conditions(p: Parameters, context: Context, neurons: Neurons) -> Found:
    """Lemma C.5: at KKT points of five networks some s in dN(u) equals 2N(u)u; on kinks one gradient alone does not."""
    rng, (x, z) = context.rng("c5"), sample(context, "c5", 7)
    gaps, kinked, alone, factor, random = [], [], [], [], []
    for network in two_homogeneous().values():
        correlation, starts = Correlation(network, x, z), synthetic.unit_vectors(rng, p.starts, network.size)
        points = both_ways(correlation, starts)
        gaps += [inclusion(correlation, u, 2.0) for u in points]
        factor += [inclusion(correlation, u, 1.0) for u in points]
        random += [inclusion(correlation, u, 2.0) for u in starts[: p.points]]
    for slope, points in neurons.kinked.items():
        correlation = Correlation(neuron(slope), neurons.x, neurons.z)
        kinked += [inclusion(correlation, u, 2.0) for u in points]
        for u in points:
            gradient = correlation.gradient(u[None])[0]
            alone.append(float((gradient - 2 * correlation.value(u[None]) * u).norm() / gradient.norm()))
    return {
        "c5_smooth": np.array(gaps),
        "c5_kinked": np.array(kinked),
        "c5_one_gradient": np.array(alone),
        "c5_random": np.array(random),
        "c5_inclusion_defect": Measurement(max(gaps + kinked), 1e-9, n=len(gaps + kinked)),
        "c5_kink_points": Measurement.count(len(kinked), len(UNIT_SLOPES)),
        "c5_inclusion_defect_random": Measurement(min(random), 1e-9, n=len(random)),
        "c5_inclusion_defect_half_multiplier": Measurement(min(factor), 1e-9, n=len(factor)),
        "c5_inclusion_defect_one_gradient": Measurement(max(alone, default=math.nan), 1e-9, n=len(alone)),
    }


def inclusion(correlation: Correlation, u: torch.Tensor, degree: float) -> float:
    """Distance of degree N(u) u from dN(u), relative to the largest generator."""
    signs = clarke.nearby_signs(correlation.network, u, correlation.x, synthetic.gaussian(np.random.default_rng(0), 64, len(u)))
    s = clarke.generators(correlation, u, signs)
    target = degree * correlation.value(u[None]) * u
    return float(clarke.hull_distance(target[None].numpy(), s.numpy())[0] / s.norm(dim=1).max())


def lemma_h1(p: Parameters, context: Context, neurons: Neurons) -> Found:
    """KKT points of one two-layer neuron found by ascent, kinks included, are balanced and give KKT points of (90)."""
    x, z, balance, residual, lifted, values = neurons.x, neurons.z, [], [], [], []
    around = synthetic.gaussian(context.rng("h1-around"), 64, 3)
    for slope in UNIT_SLOPES:
        single, pair = (Correlation(network, x, z) for network in (zoo.power_net(1, 3, 1.0, slope=slope), neuron(slope)))
        for w in [*neurons.smooth[slope], *neurons.kinked[slope]]:
            u, sign = math.sqrt(2) * w[:3], w[3:].sign()
            balance.append(abs(abs(float(w[3])) - math.sqrt(0.5)))
            residual.append(clarke.clarke_residual(single, u, clarke.nearby_signs(single.network, u, x, around)))
            values.append(float(pair.value(w[None]) - sign * single.value(u[None]) / 2))
            tilted = torch.cat([0.6 * unit(u[None])[0], 0.8 * sign])
            lifted.append(clarke.clarke_residual(pair, tilted, clarke.all_signs(pair.network, tilted, x)))
    kinks = sum(len(points) for points in neurons.kinked.values())
    return {
        "h1_balance_gap": Measurement(max(balance), 1e-9, n=len(balance)),
        "h1_residual_of_direction": Measurement(max(residual), 1e-9, n=len(residual)),
        "h1_value_gap": Measurement(np.abs(values).max(), 1e-12, n=len(values)),
        "h1_kink_points": Measurement.count(kinks, len(UNIT_SLOPES)),
        "h1_residual_unbalanced": Measurement(min(lifted), 1e-9, n=len(lifted)),
        **balance_along_flows(p, context, x, z.abs()),
    }


def balance_along_flows(p: Parameters, context: Context, x: torch.Tensor, z: torch.Tensor) -> Found:
    """From unbalanced starts with N > 0 the norm diverges while v^2 - |u|^2 is kept: |v| / |u| goes to 1.

    Labels of one sign: then v > 0, every kink is convex in u, and no flow slides along one.
    """
    network = neuron(SLOPE)
    starts = synthetic.unit_vectors(context.rng("h1-flows"), 8 * p.points, 4)
    starts = starts[(Correlation(network, x, z).value(starts) > 0.05) & ((starts[:, 3] ** 2 - 0.5).abs() > 0.1)][: p.points]
    path = flow.gradient_flow(Correlation(network, x, z), starts, until=[events.growth_reaches(1e4)], rtol=1e-7)
    w, first = path.direction, starts[:, 3].abs() / starts[:, :3].norm(dim=1)
    ratio = w[:, 3].abs() / w[:, :3].norm(dim=1)
    return {
        "h1_flow_ratio_gap": Measurement(float((ratio - 1).abs().max()), 1e-6, n=len(starts)),
        "h1_flow_ratio_gap_start": Measurement(float((first - 1).abs().min()), ROUNDING, n=len(starts)),
    }


def symmetric(context: Context, name: str, parity: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Half of the inputs and labels, and the set with (-x_i, parity y_i) added."""
    x, y = sample(context, name, 7)
    return x, y, torch.cat([x, -x]), torch.cat([y, parity * y])


def example_g1(p: Parameters, context: Context) -> Found:
    """Squared leaky ReLU and even labels: the NCF is (1 + a^2) u.Mu; with odd labels, as printed, it is not."""
    t = torch.linspace(-2, 2, 41, dtype=torch.float64)
    found: dict[str, list[float]] = {
        name: [] for name in ("identity", "identity_printed", "even", "odd", "ascent", "flow", "top", "sign")
    }
    x, y, full, labels = symmetric(context, "g1", 1.0)
    matrix = torch.einsum("n,ni,nj->ij", y, x, x)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    starts = synthetic.unit_vectors(context.rng("g1-starts"), p.points, 3)
    for slope in SQUARED_SLOPES:
        network, sigma = zoo.power_net(1, 3, 2.0, slope=slope), activation.Activation(slope, 2.0)
        even, odd = (Correlation(network, full, torch.cat([y, sign * y])) for sign in (1.0, -1.0))
        found["identity"].append(float((sigma(t) + sigma(-t) - (1 + slope**2) * t**2).abs().max()))
        found["identity_printed"].append(float((sigma(t) - sigma(-t) - (1 + slope**2) * t**2).abs().max()))
        found["even"].append(float(even.tangential(vectors.T).norm(dim=1).max()))
        found["odd"].append(float(odd.kkt_residual(vectors.T).max()))
        found["sign"].append(float(((even.value(vectors.T) >= 0) != (eigenvalues >= 0)).sum()))
        ends = ascend(even, starts).points
        found["ascent"].append(float(angle(ends, vectors[:, -1].expand_as(ends) * (ends @ vectors[:, -1:]).sign()).max()))
        path = flow.gradient_flow(
            Correlation(network, full, labels),
            starts,
            length=12.0 / slowest_rate(eigenvalues, slope),
            rtol=1e-9,
            method=flow.Method(order=8),
        )
        exact = starts @ torch.matrix_exp(2 * (1 + slope**2) * matrix * float(path.time[0]))
        found["flow"].append(float(angle(path.direction, exact).max()))
        found["top"].append(float(angle(path.direction, vectors[:, -1] * (exact @ vectors[:, -1:]).sign()).max()))
    a = sp.symbols("a", real=True)
    high, low = sp.Max(1, a), sp.Min(1, a)  # sigma(x) = high^2 x^2 for x > 0 and low^2 x^2 for x < 0
    identity = (high**2 + low**2 - (1 + a**2)).rewrite(sp.Piecewise)
    n = len(SQUARED_SLOPES)
    return {
        "g1_identity_defect": Measurement(max(found["identity"]), ROUNDING, n=n),
        "g1_identity_defect_printed": Measurement(min(found["identity_printed"]), ROUNDING, n=n),
        "g1_symbolic_failures": Measurement.count(sp.simplify(identity) != 0, 1),
        "g1_symbolic_failures_printed": Measurement.count(
            sp.simplify((high**2 - low**2 - (1 + a**2)).rewrite(sp.Piecewise)) != 0, 1
        ),
        "g1_matrix_norm": Measurement(float(torch.linalg.matrix_norm(matrix, 2)), 1e-14, n=1),
        "g1_eigenvector_residual": Measurement(max(found["even"]), ROUNDING, n=3 * n),
        "g1_eigenvector_residual_odd": Measurement(min(found["odd"]), ROUNDING, n=n),
        "g1_sign_mismatches": Measurement.count(sum(found["sign"]), 3 * n),
        "g1_ascent_angle": Measurement(max(found["ascent"]), 1e-8, n=n * p.points),
        "g1_flow_gap": Measurement(max(found["flow"]), 1e-9, n=n * p.points),
        "g1_flow_angle": Measurement(max(found["top"]), 1e-9, n=n * p.points),
    }


def slowest_rate(eigenvalues: torch.Tensor, slope: float) -> float:
    """The rate at which the direction of u' = 2 (1 + a^2) Mu approaches the top eigenvector."""
    return float(2 * (1 + slope**2) * (eigenvalues[-1] - eigenvalues[-2]))


def example_g2(p: Parameters, context: Context) -> Found:
    """Two-layer leaky ReLU and odd labels: the NCF is (1 + a) v q.u; all its KKT points, and where flows end.

    The kinks of x_i and -x_i cancel, so none needs to be located.
    """
    x, y, full, labels = symmetric(context, "g2", -1.0)
    q = y @ x
    size, direction = float(q.norm()), q / q.norm()
    rng, rows = context.rng("g2-starts"), []
    across = unit(synthetic.gaussian(rng, p.points, 3) @ (torch.eye(3).to(x) - torch.outer(direction, direction)))
    corners = torch.stack(
        [torch.cat([a * direction, torch.tensor([b]).to(x)]) / math.sqrt(2) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    )
    flat = torch.cat([across, torch.zeros(p.points, 1).to(x)], dim=1)
    wrong = torch.cat(
        [corners[:, :3] * math.sqrt(2 * (1 - PRINTED_SQUARE)), corners[:, 3:] * math.sqrt(2 * PRINTED_SQUARE)], dim=1
    )
    starts = synthetic.unit_vectors(rng, 4 * p.points, 4)
    starts = starts[(starts[:, 3] + starts[:, :3] @ direction).abs() > 0.2][: p.points]
    for slope in TWO_LAYER_SLOPES:
        correlation, rate = Correlation(neuron(slope), full, labels), (1 + slope) * size
        value = correlation.value(corners) - rate / 2 * torch.tensor([1.0, -1.0, -1.0, 1.0]).to(x)
        ends = ascend(correlation, starts).points
        path = flow.gradient_flow(
            Correlation(neuron(slope), full, labels),
            starts,
            length=10.0 / rate,
            rtol=1e-9,
            method=flow.Method(order=8, locate_kinks=False),
        )
        phase, v, a = torch.tensor(10.0).to(x), starts[:, 3], starts[:, :3] @ direction
        exact_v, exact_a = v * phase.cosh() + a * phase.sinh(), a * phase.cosh() + v * phase.sinh()
        exact = torch.cat([starts[:, :3] + (exact_a - a)[:, None] * direction, exact_v[:, None]], dim=1)
        pair = exact_v.sign()[:, None] * corners[0]
        kkt = correlation.tangential(torch.cat([corners, flat])).norm(dim=1).max() / rate
        off = correlation.tangential(wrong).norm(dim=1).min() / rate
        rows.append(
            [
                float(t)
                for t in (
                    kkt,
                    off,
                    value.abs().max(),
                    (ends[:, 3] ** 2 - 0.5).abs().max(),
                    (ends[:, 3] ** 2 - PRINTED_SQUARE).abs().min(),
                )
            ]
            + [float(angle(path.direction, exact).max()), float(angle(path.direction, pair).max())]
        )
    (kkt, off, value, square, printed, gap, end), n = np.transpose(rows), len(TWO_LAYER_SLOPES)
    return {
        "g2_q_norm": Measurement(size, ROUNDING, n=1),
        "g2_kkt_residual": Measurement(kkt.max(), ROUNDING, n=n * (4 + p.points)),
        "g2_kkt_residual_printed_square": Measurement(off.min(), ROUNDING, n=4 * n),
        "g2_value_gap": Measurement(value.max(), ROUNDING, n=4 * n),
        "g2_square_gap": Measurement(square.max(), 1e-9, n=n * p.points),
        "g2_square_gap_printed": Measurement(printed.min(), 1e-9, n=n * p.points),
        "g2_flow_gap": Measurement(gap.max(), 1e-8, n=n * p.points),
        "g2_flow_angle": Measurement(end.max(), 1e-8, n=n * p.points),
        "h1_balance_gap_zero_points": Measurement(float((flat[:, 3].abs() - math.sqrt(0.5)).abs().min()), ROUNDING, n=p.points),
    }


if __name__ == "__main__":
    main(Parameters, cell)
