r"""Lemma B.1, Corollary B.1.1 and Lemma C.2 of two_homogeneous: $\partial F(cw)=c^{L-1}\partial F(w)$ and $w^\top s=LF(w)$.

F is one output or an NCF of mixed sign, s any element of its Clarke subdifferential, at random weights and on kinks. Defects are
relative to the size of what is compared, and their error is rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import sums, zoo
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import on_kink, two_homogeneous
from flowcheck.pipeline.evidence import Found, Measurement

FACTORS = (0.1, 0.5, 3.0, 10.0)
"""The factors c."""
DEAD = 1e-12
"""Gradients below this are rounding: no unit is active on the sample, and both statements read 0 = 0."""


def euler_and_scaling(
    correlation: Correlation, w: Float[Tensor, " k"], around: Float[Tensor, "p k"], degree: float | None = None
) -> tuple[float, float]:
    r"""Largest defects over the generators s of $\partial F(w)$, of either identity, relative to $\|w\|\|s\|$ and $\|s\|$.

    `degree` as claimed, or the network's own. `around` are directions in which the pieces that meet at w are looked for.
    """
    degree = correlation.network.degree if degree is None else degree
    signs = clarke.nearby_signs(correlation.network, w, correlation.x, around)
    s = clarke.generators(correlation, w, signs)
    size = float(s.norm(dim=1).max())
    if size < DEAD:
        return 0.0, 0.0
    euler = float((s @ w - degree * correlation.value(w[None])).abs().max() / w.norm())
    gaps = [clarke.generators(correlation, c * w, signs) / c ** (degree - 1) - s for c in FACTORS]
    return euler / size, float(torch.stack(gaps).norm(dim=2).max()) / size


def homogeneity(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, points: int) -> Found:
    """The networks of Section 2 (B.1.1 for one output, C.2 for the NCF), with three of other degrees (B.1)."""
    others = [
        zoo.power_net(2, 3, 1.0, (1.0, -1.0), slope=0.2),
        zoo.power_net(2, 3, 3.0, (1.0, -1.0)),
        zoo.squared_relu((2, 2), 3),
    ]
    defects: dict[str, list[tuple[float, float]]] = {"b1": [], "corollary_b11": [], "c2": []}
    at_zero, first = [], torch.eye(len(x)).to(x)[0]
    for network in [*two_homogeneous().values(), *others]:
        around = synthetic.gaussian(rng, 64, network.size).to(x)
        for w in synthetic.gaussian(rng, points, network.size).to(x):
            for at in (w, on_kink(w, x)):
                ncf, single = (euler_and_scaling(Correlation(network, x, v), at, around) for v in (z, first))
                defects["b1"] += [ncf, single]
                if network.degree == 2:
                    defects["c2"].append(ncf)
                    defects["corollary_b11"].append(single)
        if network.degree > 1:
            at_zero.append(float(network.pull(x.new_zeros(1, network.size), x, z).norm()))
    found: dict[str, Measurement] = {}
    for name, rows in defects.items():
        euler, scaling = np.max(rows, axis=0)
        found[f"{name}_euler_defect"] = Measurement(euler, ROUNDING, n=len(rows))
        found[f"{name}_scaling_defect"] = Measurement(scaling, ROUNDING, n=len(rows))
    # products with zero are exact
    return {**found, "b1_zero_defect": Measurement.exact(max(at_zero), len(at_zero))}


def not_homogeneous(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, points: int) -> Found:
    """Where the statements fail: mixed degrees, a third trainable layer, and |w| at c = 0."""
    parts = ((1.0, zoo.power_net(2, 3, 2.0)), (1.0, zoo.power_net(2, 3, 3.0)))
    mixed, three = sums.Mixture("degrees 2 and 3", parts, 2), zoo.deep_relu((3, 3, 3), 3)
    shared, deep = (synthetic.gaussian(rng, points, network.size).to(x) for network in (mixed, three))
    deep, ones = deep.abs(), torch.ones_like(z)
    return {
        "b1_zero_defect_degree_one": Measurement(zero_gap_of_modulus(x), ROUNDING, n=1),
        "b1_euler_defect_mixed_degrees": Measurement(euler_gap(Correlation(mixed, x, z), shared), ROUNDING, n=points),
        "euler_defect_three_trained": Measurement(euler_gap(Correlation(three, x, ones), deep), ROUNDING, n=points),
        "scaling_defect_three_trained": Measurement(scaling_gap(Correlation(three, x, ones), deep), ROUNDING, n=points),
    }


def zero_gap_of_modulus(like: Tensor) -> float:
    """For |w| the subdifferential at 0 is [-1, 1], and c^0 = 1 leaves {1} from w = 1: how far the one is from the other."""
    modulus, one = zoo.power_net(1, 1, 1.0, slope=-1.0), like.new_ones(1, 1)
    absolute, origin = Correlation(modulus, one, one[0]), like.new_zeros(1)
    ends = clarke.generators(absolute, origin, clarke.all_signs(modulus, origin, one))
    return float((ends - absolute.gradient(one)).abs().max())


def euler_gap(correlation: Correlation, w: Float[Tensor, "s k"], degree: float = 2.0) -> float:
    """Smallest relative defect of w.s = degree F(w) over rows of w."""
    s = correlation.gradient(w)
    defect = ((s * w).sum(dim=1) - degree * correlation.value(w)).abs()
    return float((defect / (s.norm(dim=1) * w.norm(dim=1))).min())


def scaling_gap(correlation: Correlation, w: Float[Tensor, "s k"], degree: float = 2.0) -> float:
    """Smallest relative defect of dF(3w) = 3^(degree-1) dF(w) over rows of w."""
    s, scaled = (correlation.gradient(c * w) for c in (1.0, 3.0))
    return float(((scaled - 3 ** (degree - 1) * s).norm(dim=1) / scaled.norm(dim=1)).min())
