"""Lemmas A.1 and A.2 of two_homogeneous, quoted tools: definable functions and the chain rule of Clarke subdifferentials.

One consequence of either is measured, on the deep ReLU network with two trained layers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import change
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous.example_networks import on_kink, two_homogeneous
from flowcheck.pipeline.evidence import Found, Measurement

NETWORK = two_homogeneous()["deep ReLU, two trained"]
FIRST, SECOND = 4, 3
"""Widths of its trained layers."""
NEARBY = 1e-8
"""Distance at which gradients stand for their limits."""


def lemma_a1(x: Float[Tensor, "1 3"], rng: np.random.Generator, lines: int, resolution: int) -> Found:
    """A consequence of definability: along lines through weight space an output changes sign a bounded number of times.

    There are `FIRST` breakpoints of the first layer, on each of the pieces between them `SECOND` preactivations with two roots,
    and on each piece between those a quadratic with two roots.
    """
    bound = 2 * (FIRST + 1) * (2 * SECOND + 1)
    origin, along = (synthetic.gaussian(rng, lines, NETWORK.size).to(x) for _ in range(2))
    level = torch.from_numpy(rng.normal(size=(lines, 1))).to(x)
    coarse, fine = (sign_changes(x, origin, along, level, count) for count in (resolution // 4, resolution))
    oscillating = np.count_nonzero(np.diff(np.sign(np.sin(1 / np.geomspace(1e-4, 1.0, 10**5)))))
    return {
        "a1_sign_changes": fine,
        # ratios of counts
        "a1_sign_changes_over_bound": Measurement.exact(int(fine.max()) / bound, lines),
        "a1_sign_changes_over_bound_oscillating": Measurement.exact(int(oscillating) / bound, 1),
        "a1_lines_that_change_sign": Measurement.count(int((fine > 0).sum()), lines),
        "a1_growth_on_refinement": Measurement.exact(int(fine.sum()) / int(coarse.sum()), lines),
    }


def sign_changes(
    x: Float[Tensor, "1 3"],
    origin: Float[Tensor, "s k"],
    along: Float[Tensor, "s k"],
    level: Float[Tensor, "s 1"],
    count: int,
) -> np.ndarray:
    """How often the output minus a level changes sign along each line, seen at `count` points at equal angles."""
    t = torch.tan((torch.arange(count, dtype=x.dtype, device=x.device) + 0.5) / count * math.pi - math.pi / 2)
    lines = (start + t[:, None] * step for start, step in zip(origin, along, strict=True))
    signs = (torch.cat([NETWORK.forward(w, x) for w in lines], dim=1).T - level).sign()
    return (signs[:, 1:] != signs[:, :-1]).sum(dim=1).cpu().numpy()


def lemma_a2(x: Float[Tensor, "n 3"], z: Float[Tensor, " n"], rng: np.random.Generator, points: int, samples: int) -> Found:
    """Gradients around points where preactivations of both layers vanish lie in the chain rule's hull, and not in one piece.

    Relative to the largest generator; the error of a distance is its change at twice the distance from the point.
    """
    correlation = Correlation(NETWORK, x, z)
    rows = []
    for w in synthetic.gaussian(rng, points, NETWORK.size).to(x):
        shifts = synthetic.gaussian(rng, samples, NETWORK.size).to(x)
        rows.append(around(correlation, on_both_kinks(w, x), shifts))
    found = {name: replace(largest(*np.array([row[name] for row in rows]).T), n=points * samples) for name in rows[0]}
    return {**found, **odd_part(x, synthetic.gaussian(rng, 64, 1).to(x))}


def on_both_kinks(w: Float[Tensor, " k"], x: Float[Tensor, "n 3"]) -> Float[Tensor, " k"]:
    """The first unit of the first layer is turned onto the kink of the first input, the first of the second onto the second's."""
    w = on_kink(w, x)
    hidden = torch.relu(w[: 3 * FIRST].view(FIRST, 3) @ x[1])
    if float(hidden.norm()) > 0:
        w[3 * FIRST : 4 * FIRST] -= (w[3 * FIRST : 4 * FIRST] @ hidden) * hidden / (hidden @ hidden)
    return w


def around(correlation: Correlation, w: Float[Tensor, " k"], shifts: Float[Tensor, "s k"]) -> dict[str, tuple[float, float]]:
    """Largest distance of the gradients around w from the chain rule's hull and from the gradient at w, each with its error."""
    chain = clarke.generators(correlation, w, clarke.all_signs(correlation.network, w, correlation.x))
    hull, scale = chain.cpu().numpy(), float(chain.norm(dim=1).max())
    sampled, at_w = correlation.gradient(w + NEARBY * shifts), correlation.gradient(w[None])
    distance, slack = clarke.enclosed_hull_distance(sampled.cpu().numpy(), hull)
    single = (sampled - at_w).norm(dim=1).cpu().numpy()
    worst = [int(distance.argmax()), int(single.argmax())]
    farther = correlation.gradient(w + 2 * NEARBY * shifts[worst])
    hull_farther, _ = clarke.enclosed_hull_distance(farther[:1].cpu().numpy(), hull)
    moved = change(
        np.array([distance[worst[0]], single[worst[1]]]), np.array([hull_farther[0], float((farther[1] - at_w[0]).norm())])
    )
    return {
        "a2_hull_distance": (distance[worst[0]] / scale, (moved[0] + slack[worst[0]]) / scale),
        "a2_hull_distance_one_piece": (single[worst[1]] / scale, moved[1] / scale),
    }


def odd_part(like: Tensor, directions: Float[Tensor, "p 1"]) -> Found:
    """For relu(t) - relu(-t) = t at 0 the chain rule gives [0, 2] and the subdifferential is {1}: an inclusion, no equality."""
    relu, line = zoo.power_net(1, 1, 1.0), like.new_tensor([[1.0], [-1.0]])
    zero, difference = like.new_zeros(1), Correlation(relu, line, like.new_tensor([1.0, -1.0]))
    signs = (clarke.all_signs(relu, zero, line), clarke.nearby_signs(relu, zero, line, directions))
    chain, true = (clarke.generators(difference, zero, own).cpu().numpy() for own in signs)
    return {
        "a2_hull_distance_odd_part": largest(*clarke.enclosed_hull_distance(true, chain)),
        "a2_hull_distance_equality": largest(*clarke.enclosed_hull_distance(chain, true)),
    }
