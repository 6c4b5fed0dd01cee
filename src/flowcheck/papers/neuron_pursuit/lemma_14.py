r"""Lemmas 14 and 15: gradients of homogeneous functions have one degree less in their own weights, and the same in others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.networks.leading_term import LeadingTerm
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.neuron_pursuit.kkt_table import INPUTS, SAMPLES, Kind
from flowcheck.papers.neuron_pursuit.lemma_9 import draw

FACTORS = (0.1, 0.5, 2.0, 10.0)


def euler(kind: Kind, rng: np.random.Generator) -> dict[str, float]:
    r"""Lemma 14 at a random point: relative defects of $\nabla f(cw)=c^{L-1}\nabla f(w)$ and $w^\top\nabla f=Lf$.

    Also of the first with the gradient left out of its right side, which is how the text has it, and with c^L.
    """
    network = deep_power((3,) * (kind.depth - 1), INPUTS, kind.power, kind.slope)
    x, z, w = sphere_inputs(rng, SAMPLES, INPUTS), gaussian(rng, SAMPLES), unit_vectors(rng, 1, network.size)
    value, gradient = network.forward(w, x) @ z, network.pull(w, x, z)
    degree = network.degree
    scaled = [(c, network.pull(c * w, x, z)) for c in FACTORS]
    return {
        "scaling": max(_distance(other, c ** (degree - 1) * gradient) for c, other in scaled),
        "euler": float(((w * gradient).sum() - degree * value).abs() / (w.norm() * gradient.norm())),
        "other_degree": min(_distance(other, c**degree * gradient) for c, other in scaled),
        "value": min(_distance(other, c ** (degree - 1) * value.expand_as(other)) for c, other in scaled),
    }


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())


def in_other_weights(kind: Kind, rng: np.random.Generator) -> dict[str, float]:
    r"""Lemma 15 for $\mathcal H_1$: defect of $\nabla_{w_n}f(w_n,cw_z)=c^{p+1}\nabla_{w_n}f(w_n,w_z)$, and with c^p."""
    term = draw(kind, rng)
    x, z, w_z = sphere_inputs(rng, SAMPLES, INPUTS), gaussian(rng, SAMPLES), unit_vectors(rng, 1, term.size)

    def gradient(c: float) -> Tensor:
        w_n = term.w_n.clone().requires_grad_()
        (found,) = torch.autograd.grad((LeadingTerm(term.partition, w_n).forward(c * w_z, x) @ z).sum(), w_n)
        return found

    one, scaled = gradient(1.0), [(c, gradient(c)) for c in FACTORS]
    return {
        "lemma15": max(_distance(other, c**term.degree * one) for c, other in scaled),
        "lemma15_other_degree": min(_distance(other, c**kind.power * one) for c, other in scaled),
    }
