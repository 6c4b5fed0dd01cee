r"""Lemma C.6 of two_homogeneous: the subdifferential of the normalised NCF $\mathcal N(u)/\|u\|^2$ and its smallest element.

It is $\{(I-uu^\top/\|u\|^2)s/\|u\|^2\}$ over $s\in\partial\mathcal N(u)$, and its smallest element comes from that of
$\partial\mathcal N(u)$. Gaps are relative to the largest generator of the set.
"""

from __future__ import annotations

import math

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import change
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import on_kink, two_homogeneous
from flowcheck.pipeline.evidence import Found, Measurement

NEARBY = 1e-8
"""Distance at which gradients stand for their limits."""
Number = tuple[float, float]
"""A number and its error."""


def lemma_c6(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, points: int) -> Found:
    """All of it at points on kinks of the networks of Section 2, and the identity for norms by computer algebra."""
    rows: list[dict[str, Number]] = []
    for network in two_homogeneous().values():
        correlation, around = Correlation(network, x, z), synthetic.gaussian(rng, 64, network.size).to(x)
        for w in synthetic.gaussian(rng, points, network.size).to(x):
            u = on_kink(w, x) * (0.5 + float(rng.random()))
            s = clarke.generators(correlation, u, clarke.nearby_signs(network, u, x, around))
            rows.append(forms(correlation, u, s) | limits(correlation, u, s, around[:8]) | smallest_elements(s, u))
    return {**{name: largest(*np.array([row[name] for row in rows]).T) for name in rows[0]}, **proofs()}


def projected(s: Float[Tensor, "*p k"], u: Float[Tensor, " k"]) -> Float[Tensor, "*p k"]:
    r"""The elements of the set: $(I-uu^\top/\|u\|^2)s/\|u\|^2$."""
    r2 = float(u @ u)
    return (s - (s @ u)[..., None] * u / r2) / r2


def largest_norm(elements: Float[Tensor, "p k"]) -> float:
    """Of the rows."""
    return float(elements.norm(dim=1).max())


def forms(correlation: Correlation, u: Float[Tensor, " k"], s: Float[Tensor, "p k"]) -> dict[str, Number]:
    r"""The other form, $s/\|u\|^2-2\mathcal N(u)u/\|u\|^4$; the identity for squared norms, and a term that is printed in it."""
    r2, value, elements = float(u @ u), float(correlation.value(u[None])), projected(s, u)
    size = largest_norm(elements)
    squared, extra = (s**2).sum(dim=1) / r2**2 - 4 * value**2 / r2**3, 4 * value**2 / r2**4
    return {
        "c6_forms_gap": (largest_norm(elements - (s / r2 - 2 * value * u / r2**2)) / size, ROUNDING),
        "c6_norm_identity_defect": (float(((elements**2).sum(dim=1) - squared).abs().max()) / size**2, ROUNDING),
        "c6_norm_identity_defect_printed": (extra / size**2, ROUNDING),
    }


def limits(
    correlation: Correlation, u: Float[Tensor, " k"], s: Float[Tensor, "p k"], around: Float[Tensor, "q k"]
) -> dict[str, Number]:
    """Largest distance of gradients nearby from the hull of the set; its error is its change at twice the distance from u."""
    elements = projected(s, u)
    hull, size = elements.cpu().numpy(), largest_norm(elements)

    def distances(near: Tensor) -> tuple[np.ndarray, np.ndarray]:
        value, r2 = correlation.value(near)[:, None], (near**2).sum(dim=1, keepdim=True)
        gradients = correlation.gradient(near) / r2 - 2 * value * near / r2**2
        return clarke.enclosed_hull_distance(gradients.cpu().numpy(), hull)

    distance, slack = distances(u + NEARBY * around)
    worst = int(distance.argmax())
    farther, _ = distances(u + 2 * NEARBY * around[worst : worst + 1])
    (moved,) = change(distance[worst : worst + 1], farther)
    return {"c6_limits_gap": (distance[worst] / size, (moved + slack[worst]) / size)}


def smallest_elements(s: Float[Tensor, "p k"], u: Float[Tensor, " k"]) -> dict[str, Number]:
    """The projected smallest element against the smallest of the set, and another element, if there is one, against it.

    Their error is rounding, and how far these elements move if the generators are given in the opposite order.
    """
    elements = projected(s, u)
    size = largest_norm(elements)
    (least, best), (other_least, other_best) = (
        (projected(smallest(order), u), smallest(projected(order, u))) for order in (s, s.flip(0))
    )
    moved = float((best - other_best).norm()) / size + ROUNDING
    other = largest_norm(elements - best) / size if len(s) > 1 else math.nan
    return {
        "c6_smallest_element_gap": (float((least - best).norm()) / size, moved + float((least - other_least).norm()) / size),
        "c6_smallest_element_gap_other_element": (other, moved),
    }


def smallest(elements: Float[Tensor, "p k"]) -> Float[Tensor, " k"]:
    """The smallest element of the hull."""
    return torch.from_numpy(clarke.min_norm_point(elements.cpu().numpy())).to(elements)


def proofs() -> Found:
    r"""$\|s/r^2-2\mathcal Nu/r^4\|^2=\|s\|^2/r^4-4\mathcal N^2/r^6$ with $s^\top u=2\mathcal N$, $\|u\|=r$, and as printed."""
    r, n, squared_norm = sp.symbols("r N S", positive=True)
    expanded = squared_norm / r**4 - 2 * (2 * n) * (2 * n) / r**6 + 4 * n**2 * r**2 / r**8
    residual = expanded - (squared_norm / r**4 - 4 * n**2 / r**6)
    return {
        "c6_symbolic_failures": Measurement.count(sp.simplify(residual) != 0, 1),
        "c6_symbolic_failures_printed": Measurement.count(sp.simplify(residual - 4 * n**2 / r**8) != 0, 1),
    }
