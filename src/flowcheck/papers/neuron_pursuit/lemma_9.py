r"""Lemma 9: at positive KKT points of $p^\top\mathcal H_1$ in w_z, C = 0 and $p\|B_{l+1}[:,j]\|^2=\|A_l[j,:]\|^2$.

With Lemma 19, one neuron, and what Section 3.3 says of $\mathcal H_1$: it is a sum over added neurons.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.measures.table import Row
from flowcheck.networks.leading_term import LeadingTerm, Partition
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.neuron_pursuit.kkt_table import (
    DEPTHS,
    INPUTS,
    POWERS,
    ROUNDING,
    SAMPLES,
    SLOPES,
    Kind,
    norm_gap,
    positive_points,
    problem,
)
from flowcheck.pipeline.evidence import Found, Measurement

KEPT, ADDED = 2, 2
EARLY = 3
"""Steps after which an ascent is nowhere near a KKT point."""


def draw(kind: Kind, rng: np.random.Generator, kept: int = KEPT, added: int = ADDED, outputs: int = 1) -> LeadingTerm:
    """A random network whose hidden layers keep and add so many neurons."""
    hidden = kind.depth - 1
    network = deep_power((kept + added,) * hidden, INPUTS, kind.power, kind.slope, outputs)
    partition = Partition(network, (kept,) * hidden)
    return LeadingTerm(partition, gaussian(rng, partition.sizes[0]))


def neuron_norms(term: LeadingTerm, w_z: Float[Tensor, "s z"]) -> tuple[Float[Tensor, "s j"], Float[Tensor, "s j"]]:
    """Norms of the rows of A and of the columns of B, for all added neurons."""
    a, b, _ = term.partition.added(w_z)
    return torch.cat([m.norm(dim=2) for m in a], dim=1), torch.cat([m.norm(dim=1) for m in b], dim=1)


def between(term: LeadingTerm, w_z: Float[Tensor, "s z"]) -> Float[Tensor, " s"]:
    """Norm of C, the weights between added neurons."""
    parts = [m.flatten(start_dim=1) for m in term.partition.added(w_z).c]
    return torch.cat([w_z.new_zeros(len(w_z), 1), *parts], dim=1).norm(dim=1)


def one_neuron(kind: Kind, rng: np.random.Generator) -> LeadingTerm:
    r"""$h(a,b)=\sum_iq_i^\top b\,\sigma(a^\top r_i)$ of Lemma 19: one neuron with three outgoing weights."""
    return draw(Kind(2, kind.power, kind.slope), rng, kept=1, added=1, outputs=3)


def row(kind: Kind, term: LeadingTerm, rng: np.random.Generator, starts: int, iterations: int) -> Row:
    """One network: largest gap and norm of C over KKT points, and where the lemma does not speak."""
    correlation = problem(term, rng, kind)
    found = positive_points(correlation, rng, kind, starts, iterations)
    into, out = neuron_norms(term, found.points)
    gaps, rest = norm_gap(into, out, kind.power), between(term, found.points)
    numbers: Row = kind._asdict() | {"points": len(gaps), "positive": found.positive, "smooth": kind.is_smooth}
    early = ascend(correlation, unit_vectors(rng, starts, term.size), tolerance=0.0, iterations=EARLY).points
    random = unit_vectors(rng, starts, term.size)
    numbers["random"] = Measurement(float(norm_gap(*neuron_norms(term, random), kind.power).median()), ROUNDING)
    if kind.depth > 2:
        numbers["early"] = Measurement(float(between(term, early).median()), ROUNDING)
    if len(gaps):
        at = int((gaps + found.error).argmax())
        numbers["gap"] = Measurement(float(gaps[at]), float(found.error[at]))
        numbers["wrong"] = Measurement(float(norm_gap(into, out, kind.power + 1).min()), float(found.error.max()))
        if kind.depth > 2:
            numbers["between"] = Measurement(float(rest.max()), float(found.error[int(rest.argmax())]))
    return numbers


def idle_point(rng: np.random.Generator) -> Found:
    """A KKT point with value zero: nothing but weights between added neurons."""
    kind = Kind(3, 2, 1.0)
    term = draw(kind, rng)
    w_z = torch.zeros(1, term.size, dtype=torch.float64)
    whole = term.partition.join(term.w_n, w_z)
    term.partition.blocks(whole).c[0][:] = 1.0 / ADDED
    point = term.partition.split(whole)[1]
    gradient = problem(term, rng, kind).gradient(point)
    assert not bool(gradient.any()), "C appears in the leading term"
    return {"lemma9_between_zero_value": Measurement(float(between(term, point)), ROUNDING)}


def separability(kind: Kind, rng: np.random.Generator, points: int) -> dict[str, float]:
    r"""Distance of $\mathcal N_{p,\mathcal H_1}$ from its sum over added neurons, relative to the terms; gradient by C.

    As a control the same for all that added neurons change in the outputs.
    """
    term = draw(kind, rng)
    x, z, w = sphere_inputs(rng, SAMPLES, INPUTS), gaussian(rng, SAMPLES), unit_vectors(rng, points, term.size)
    ncf, partition = Correlation(term, x, z), term.partition
    alone = _neurons_alone(partition, w)

    def change(w_z: Float[Tensor, "s z"]) -> Float[Tensor, " s"]:
        return (partition.network.forward(partition.join(term.w_n, w_z), x) - partition.network.forward(still, x)) @ z

    still = partition.join(term.w_n, torch.zeros(1, term.size, dtype=torch.float64))
    found = {}
    for name, value in (("leading", ncf.value), ("whole", change)):
        terms = torch.stack([value(part) for part in alone])
        found[name] = float(((value(w) - terms.sum(dim=0)).abs() / terms.abs().sum(dim=0)).max())
    found["between"] = float(between(term, ncf.gradient(w)).max())
    return found


def _neurons_alone(partition: Partition, w: Float[Tensor, "s z"]) -> list[Float[Tensor, "s z"]]:
    """w_z with all weights zero but those of one added neuron, and C: for each of them."""
    alone, whole = [], partition.join(w.new_zeros(partition.sizes[0]), w)
    blocks = partition.blocks(whole)
    for layer, (into, out) in enumerate(zip(blocks.a, blocks.b, strict=True)):
        for j in range(into.shape[1]):
            one = torch.zeros_like(whole)
            rest = partition.blocks(one)
            rest.a[layer][:, j], rest.b[layer][:, :, j] = into[:, j], out[:, :, j]
            alone.append(partition.split(one)[1])
    return alone


def ratios(rng: np.random.Generator, starts: int, iterations: int, smallest: float = 1e-4) -> dict[str, np.ndarray]:
    """For the figure: |in|² / |out|² of neurons with an outgoing norm above `smallest`, by power, at KKT and random points."""
    found: dict[str, np.ndarray] = {}
    for power in POWERS:
        at_points: list[np.ndarray] = []
        at_random: list[np.ndarray] = []
        for depth, slope in itertools.product(DEPTHS, SLOPES):
            kind = Kind(depth, power, slope)
            term = draw(kind, rng)
            points = positive_points(problem(term, rng, kind), rng, kind, starts, iterations).points
            for where, w_z in ((at_points, points), (at_random, unit_vectors(rng, 3, term.size))):
                into, out = neuron_norms(term, w_z)
                where.append((into.square() / out.square())[out > smallest].numpy())
        found |= {f"ratio_p{power}": np.concatenate(at_points), f"random_ratio_p{power}": np.concatenate(at_random)}
    return found
