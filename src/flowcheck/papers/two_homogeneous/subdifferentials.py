"""Clarke subdifferentials of two-homogeneous networks: homogeneity, the normalised NCF, the chain rule, definability along lines.

Lemmas A.1, A.2, B.1, C.2, C.6 and Corollary B.1.1 of two_homogeneous, for the experiment kkt_points.
"""

import math

import numpy as np
import sympy as sp
import torch

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import sums, zoo
from flowcheck.networks.network import Network
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.pipeline.experiment import Context

ROUNDING = 1e-13
SCALES = (0.1, 0.5, 3.0, 10.0)
"""The factors c of dF(cw) = c^(L-1) dF(w)."""
DEAD = 1e-12
"""Gradients below this are rounding: no unit is active on the sample, and both statements read 0 = 0."""


def two_homogeneous() -> dict[str, Network]:
    """The example classes of Section 2."""
    return {
        "squared ReLU": zoo.power_net(3, 3, 2.0, (1.0, -1.0, 1.0)),
        "squared leaky ReLU": zoo.power_net(3, 3, 2.0, (1.0, -1.0, 1.0), slope=0.3),
        "two-layer ReLU": zoo.two_layer(2, 3),
        "two-layer leaky ReLU": zoo.two_layer(2, 3, 0.2),
        "deep ReLU, two trained": zoo.relu_two_trainable((4, 3), 3, (1.0, -1.0, 1.0)),
    }


def sample(context: Context, name: str, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = context.rng(name)
    return synthetic.sphere_inputs(rng, n, 3), synthetic.gaussian(rng, n)


def on_kink(network: Network, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """W moved onto a kink: its first unit is turned until the preactivation of the first input vanishes."""
    moved = w.clone()
    moved[:3] -= (w[:3] @ x[0]) * x[0] / (x[0] @ x[0])
    return moved


def hypotheses(context: Context) -> Found:
    x, z = sample(context, "hypotheses", 6)
    return measure(Presupposed(network, x, z[None], 2) for network in two_homogeneous().values())


def euler_and_scaling(correlation: Correlation, w: torch.Tensor, around: torch.Tensor) -> list[float]:
    """Defects of w.s = L F(w) and dF(cw) = c^(L-1) dF(w), relative to |w||s|, over the generators s of dF(w), F = z.H."""
    degree = correlation.network.degree
    signs = clarke.nearby_signs(correlation.network, w, correlation.x, around)
    s = clarke.generators(correlation, w, signs)
    size = float(s.norm(dim=1).max())
    if size < DEAD:
        return [0.0, 0.0]
    euler = float((s @ w - degree * correlation.value(w[None])).abs().max() / w.norm())
    factors = [c ** (degree - 1) for c in SCALES]
    gaps = [clarke.generators(correlation, c * w, signs) / factor - s for c, factor in zip(SCALES, factors, strict=True)]
    return [euler / size, float(torch.stack(gaps).norm(dim=2).max()) / size]


def homogeneity(points: int, context: Context) -> Found:
    """Lemma B.1, Corollary B.1.1, Lemma C.2: random weights and weights on kinks, single outputs and NCFs of mixed sign."""
    rng, (x, z) = context.rng("weights"), sample(context, "homogeneity", 6)
    others = {
        1.0: zoo.power_net(2, 3, 1.0, (1.0, -1.0), slope=0.2),
        3.0: zoo.power_net(2, 3, 3.0, (1.0, -1.0)),
        4.0: zoo.squared_relu((2, 2), 3),
    }
    defects: dict[str, list[list[float]]] = {"b1": [], "corollary_b11": [], "c2": []}
    at_zero, first = [], torch.eye(len(x)).to(x)[0]
    for network in [*two_homogeneous().values(), *others.values()]:
        around = synthetic.gaussian(rng, 64, network.size)
        for w in synthetic.gaussian(rng, points, network.size):
            for at in (w, on_kink(network, w, x)):
                ncf, single = (euler_and_scaling(Correlation(network, x, v), at, around) for v in (z, first))
                defects["b1"] += [ncf, single]
                if network.degree == 2:
                    defects["c2"].append(ncf)
                    defects["corollary_b11"].append(single)
        if network.degree > 1:
            at_zero.append(float(network.pull(torch.zeros(1, network.size).to(x), x, z).norm()))
    numbers: dict[str, np.ndarray | Measurement] = {}
    for name, rows in defects.items():
        euler, scaling = np.max(rows, axis=0)
        numbers |= {
            f"{name}_euler_defect": Measurement(euler, ROUNDING, n=len(rows)),
            f"{name}_scaling_defect": Measurement(scaling, ROUNDING, n=len(rows)),
        }
    return {**numbers, "b1_zero_defect": Measurement(max(at_zero), 1e-15, n=len(at_zero))}


def not_homogeneous(points: int, context: Context) -> Found:
    """Where the statements fail: mixed degrees, a third trainable layer, and |w| at c = 0."""
    rng, (x, z) = context.rng("not-homogeneous"), sample(context, "not-homogeneous", 6)
    parts = ((1.0, zoo.power_net(2, 3, 2.0)), (1.0, zoo.power_net(2, 3, 3.0)))
    mixed, three = sums.Mixture("degrees 2 and 3", parts, 2), zoo.deep_relu((3, 3, 3), 3)
    shared, deep = synthetic.gaussian(rng, points, mixed.size), synthetic.gaussian(rng, points, three.size).abs()
    # |w|: its subdifferential at 0 is [-1, 1], and c^0 = 1 leaves {1} from w = 1
    modulus, one = zoo.power_net(1, 1, 1.0, slope=-1.0), torch.ones(1, 1).to(x)
    absolute, origin = Correlation(modulus, one, one[0]), torch.zeros(1).to(x)
    ends = clarke.generators(absolute, origin, clarke.all_signs(modulus, origin, one))
    ones = torch.ones(len(x)).to(x)
    return {
        "b1_zero_defect_degree_one": Measurement(float((ends - absolute.gradient(one)).abs().max()), ROUNDING, n=1),
        "b1_euler_defect_mixed_degrees": Measurement(euler_gap(mixed, x, z, shared, 2.0), ROUNDING, n=points),
        "euler_defect_three_trained": Measurement(euler_gap(three, x, ones, deep, 2.0), ROUNDING, n=points),
        "scaling_defect_three_trained": Measurement(scaling_gap(three, x, ones, deep, 2.0), ROUNDING, n=points),
    }


def euler_gap(network: Network, x: torch.Tensor, z: torch.Tensor, w: torch.Tensor, degree: float) -> float:
    """Smallest relative defect of w.s = degree F(w) over rows of w."""
    s = network.pull(w, x, z)
    return float((((s * w).sum(dim=1) - degree * network.forward(w, x) @ z).abs() / (s.norm(dim=1) * w.norm(dim=1))).min())


def scaling_gap(network: Network, x: torch.Tensor, z: torch.Tensor, w: torch.Tensor, degree: float) -> float:
    """Smallest relative defect of dF(3w) = 3^(degree-1) dF(w) over rows of w."""
    s, scaled = (network.pull(c * w, x, z) for c in (1.0, 3.0))
    return float(((scaled - 3 ** (degree - 1) * s).norm(dim=1) / scaled.norm(dim=1)).min())


def normalised(points: int, context: Context) -> Found:
    r"""Lemma C.6: the subdifferential of N(u) / |u|^2, its smallest element, and the identity for norms in the proof."""
    rng, (x, z) = context.rng("c6"), sample(context, "c6", 6)
    forms, limits, smallest, other, norms, printed = [], [], [], [], [], []
    for network in two_homogeneous().values():
        correlation, around = Correlation(network, x, z), synthetic.gaussian(rng, 64, network.size)
        for w in synthetic.gaussian(rng, points, network.size):
            u = on_kink(network, w, x) * (0.5 + float(rng.random()))
            r2, value = float(u @ u), float(correlation.value(u[None]))
            s = clarke.generators(correlation, u, clarke.nearby_signs(network, u, x, around))
            elements = (s - torch.outer(s @ u, u) / r2) / r2
            size = float(elements.norm(dim=1).max())
            forms.append(float((elements - (s / r2 - 2 * value * u / r2**2)).norm(dim=1).max()) / size)
            near = u + 1e-8 * around[:8]
            near_values, near_r2 = correlation.value(near)[:, None], (near**2).sum(dim=1, keepdim=True)
            gradients = correlation.gradient(near) / near_r2 - 2 * near_values * near / near_r2**2
            limits.append(clarke.hull_distance(gradients.numpy(), elements.numpy()).max() / size)
            least = torch.from_numpy(clarke.min_norm_point(s.numpy()))
            projected = (least - (least @ u) * u / r2) / r2
            best = torch.from_numpy(clarke.min_norm_point(elements.numpy()))
            smallest.append(float((projected - best).norm()) / size)
            if len(s) > 1:
                other.append(float((elements - best).norm(dim=1).max()) / size)
            squared, extra = (s**2).sum(dim=1) / r2**2 - 4 * value**2 / r2**3, 4 * value**2 / r2**4
            norms.append(float(((elements**2).sum(dim=1) - squared).abs().max()) / size**2)
            printed.append(extra / size**2)
    r, n, squared_norm = sp.symbols("r N S", positive=True)
    # |s / r^2 - 2 N u / r^4|^2 with s.u = 2 N and |u| = r
    expanded = squared_norm / r**4 - 2 * (2 * n) * (2 * n) / r**6 + 4 * n**2 * r**2 / r**8
    corrected = squared_norm / r**4 - 4 * n**2 / r**6
    count = len(forms)
    return {
        "c6_forms_gap": Measurement(max(forms), ROUNDING, n=count),
        "c6_limits_gap": Measurement(max(limits), 1e-7, n=count),
        "c6_smallest_element_gap": Measurement(max(smallest), 1e-11, n=count),
        "c6_smallest_element_gap_other_element": Measurement(max(other), 1e-11, n=len(other)),
        "c6_norm_identity_defect": Measurement(max(norms), ROUNDING, n=count),
        "c6_norm_identity_defect_printed": Measurement(max(printed), ROUNDING, n=count),
        "c6_symbolic_failures": Measurement.count(sp.simplify(expanded - corrected) != 0, 1),
        "c6_symbolic_failures_printed": Measurement.count(sp.simplify(expanded - corrected - 4 * n**2 / r**8) != 0, 1),
    }


def lemma_a1(lines: int, resolution: int, context: Context) -> Found:
    """A consequence of definability: along lines through weight space an output changes sign a bounded number of times."""
    rng, x = context.rng("lemma-a-1"), synthetic.sphere_inputs(context.rng("lemma-a-1-inputs"), 1, 3)
    network = two_homogeneous()["deep ReLU, two trained"]
    first, second = 4, 3
    # 4 breakpoints of the first layer, on each of 5 pieces 3 preactivations with 2 roots, on each piece a quadratic with 2 roots
    pieces = (first + 1) * (2 * second + 1)
    origin, along = synthetic.gaussian(rng, lines, network.size), synthetic.gaussian(rng, lines, network.size)
    level = torch.from_numpy(rng.normal(size=(lines, 1)))

    def changes(count: int) -> torch.Tensor:
        t = torch.tan((torch.arange(count, dtype=x.dtype) + 0.5) / count * math.pi - math.pi / 2)
        lines_w = (start + t[:, None] * step for start, step in zip(origin, along, strict=True))
        signs = torch.cat([network.forward(w, x) for w in lines_w], dim=1).T - level
        return (signs[:, 1:].sign() != signs[:, :-1].sign()).sum(dim=1)

    coarse, fine = changes(resolution // 4), changes(resolution)
    oscillating = [np.count_nonzero(np.diff(np.sign(np.sin(1 / np.geomspace(1e-4, 1.0, count))))) for count in (10**5, 10**6)]
    return {
        "a1_sign_changes": fine.numpy(),
        "a1_sign_changes_over_bound": Measurement.exact(int(fine.max()) / (2 * pieces), lines),
        "a1_sign_changes_over_bound_oscillating": Measurement.exact(oscillating[0] / (2 * pieces), 1),
        "a1_lines_that_change_sign": Measurement.count(int((fine > 0).sum()), lines),
        "a1_growth_on_refinement": Measurement.exact(int(fine.sum()) / int(coarse.sum()), lines),
    }


def lemma_a2(points: int, samples: int, context: Context) -> Found:
    """Gradients around points where preactivations of both layers vanish lie in the chain rule's hull, which may be larger."""
    rng, (x, z) = context.rng("lemma-a-2"), sample(context, "lemma-a-2", 5)
    network = two_homogeneous()["deep ReLU, two trained"]
    distances, single = [], []
    for w in synthetic.gaussian(rng, points, network.size):
        w = on_kink(network, w, x)
        hidden = torch.relu(w[:12].view(4, 3) @ x[1])
        if float(hidden.norm()) > 0:
            w[12:16] -= (w[12:16] @ hidden) * hidden / (hidden @ hidden)
        chain = clarke.generators(Correlation(network, x, z), w, clarke.all_signs(network, w, x))
        sampled = network.pull(w + 1e-8 * synthetic.gaussian(rng, samples, network.size), x, z)
        scale = float(chain.norm(dim=1).max())
        distances.append(clarke.hull_distance(sampled.numpy(), chain.numpy()).max() / scale)
        single.append(float((sampled - network.pull(w[None], x, z)).norm(dim=1).max()) / scale)
    # sigma(t) - sigma(-t) = t at 0: the chain rule gives [0, 2], the subdifferential is {1}
    relu, line = zoo.power_net(1, 1, 1.0), torch.tensor([[1.0], [-1.0]]).to(x)
    zero, difference = torch.zeros(1).to(x), Correlation(relu, line, torch.tensor([1.0, -1.0]).to(x))
    chain = clarke.generators(difference, zero, clarke.all_signs(relu, zero, line))
    true = clarke.generators(difference, zero, clarke.nearby_signs(relu, zero, line, synthetic.gaussian(rng, 64, 1)))
    return {
        "a2_hull_distance": Measurement(max(distances), 1e-8, n=points * samples),
        "a2_hull_distance_one_piece": Measurement(max(single), 1e-8, n=points * samples),
        "a2_hull_distance_odd_part": Measurement(clarke.hull_distance(true.numpy(), chain.numpy()).max(), ROUNDING, n=len(true)),
        "a2_hull_distance_equality": Measurement(clarke.hull_distance(chain.numpy(), true.numpy()).max(), ROUNDING, n=len(chain)),
    }
