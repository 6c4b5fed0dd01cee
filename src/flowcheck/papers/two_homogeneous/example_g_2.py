r"""Example G.2 of two_homogeneous: for one two-layer leaky ReLU neuron and odd labels the NCF is bilinear, $(1+a)v\,q^\top u$.

$q=\sum_iy_ix_i$; inputs come in pairs $\pm x_i$; a is the slope. The kinks of $x_i$ and $-x_i$ cancel, so none needs to be
located. Points are taken as ascents leave them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.geometry import angle, unit
from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined, refined
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.two_homogeneous.example_networks import neuron
from flowcheck.pipeline.evidence import Found, Measurement

SLOPES = (0.0, 0.3, -0.5, 2.0)
PRINTED_SQUARE = 1 / math.sqrt(2.0)
"""The value of v^2 that Example G.2 prints; its next sentence has v = 1 / sqrt 2."""
RTOL, COARSE_RTOL = 1e-9, 1e-8
E_FOLDINGS = 10.0
"""Length of the flows times (1 + a) |q|."""


@dataclass(frozen=True)
class Example:
    """Half of the data, and a slope."""

    x: Float[Tensor, "n 3"]
    y: Float[Tensor, " n"]
    slope: float

    @property
    def q(self) -> Float[Tensor, " 3"]:
        return self.y @ self.x

    @property
    def direction(self) -> Float[Tensor, " 3"]:
        return self.q / self.q.norm()

    @property
    def rate(self) -> float:
        """(1 + a) |q|, at which v + q.u / |q| grows."""
        return (1 + self.slope) * float(self.q.norm())

    @property
    def correlation(self) -> Correlation:
        """The NCF of all data: with (-x_i, -y_i) added."""
        return Correlation(neuron(self.slope), torch.cat([self.x, -self.x]), torch.cat([self.y, -self.y]))

    def flow(self, starts: Float[Tensor, "s 4"], rtol: float) -> dict[str, np.ndarray]:
        """Angles between the ends of NCF flows and the hyperbolic rotation, and the pair with v and q.u of one sign."""
        method = Method(order=8, locate_kinks=False)
        path = gradient_flow(self.correlation, starts, length=E_FOLDINGS / self.rate, rtol=rtol, method=method)
        exact = rotated(starts, self.direction)
        pair = exact[:, 3:].sign() * corners(self.direction)[0]
        return {"gap": angle(path.direction, exact).cpu().numpy(), "angle": angle(path.direction, pair).cpu().numpy()}


def rotated(starts: Float[Tensor, "s 4"], direction: Float[Tensor, " 3"]) -> Float[Tensor, "s 4"]:
    """The solution after `E_FOLDINGS`: v and a = q.u / |q| turn hyperbolically, the rest of u stays."""
    phase, v, a = starts.new_tensor(E_FOLDINGS), starts[:, 3], starts[:, :3] @ direction
    exact_v, exact_a = v * phase.cosh() + a * phase.sinh(), a * phase.cosh() + v * phase.sinh()
    return torch.cat([starts[:, :3] + (exact_a - a)[:, None] * direction, exact_v[:, None]], dim=1)


def corners(direction: Float[Tensor, " 3"]) -> Float[Tensor, "4 4"]:
    """The KKT points with N != 0: plus and minus q / |q| with plus and minus 1, over sqrt 2."""
    signs = [(a, b) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    return torch.stack([torch.cat([a * direction, direction.new_tensor([b])]) / math.sqrt(2) for a, b in signs])


def printed_corners(direction: Float[Tensor, " 3"]) -> Float[Tensor, "4 4"]:
    """The same with the printed value of v^2."""
    points = corners(direction)
    return torch.cat([points[:, :3] * math.sqrt(2 * (1 - PRINTED_SQUARE)), points[:, 3:] * math.sqrt(2 * PRINTED_SQUARE)], dim=1)


def example_g2(x: Float[Tensor, "n 3"], y: Float[Tensor, " n"], rng: np.random.Generator, points: int) -> Found:
    """All KKT points and their values, and where ascents and flows end; x and y are half of the data.

    Starts of flows and ascents are at least 0.2 away from the hyperplane that ends in neither pair.
    """
    examples = [Example(x, y, slope) for slope in SLOPES]
    direction = examples[0].direction
    across = unit(synthetic.gaussian(rng, points, 3).to(x) @ (torch.eye(3).to(x) - torch.outer(direction, direction)))
    flat = torch.cat([across, x.new_zeros(points, 1)], dim=1)
    starts = synthetic.unit_vectors(rng, 4 * points, 4).to(x)
    starts = starts[(starts[:, 3] + starts[:, :3] @ direction).abs() > 0.2][:points]
    right, wrong, signs = corners(direction), printed_corners(direction), x.new_tensor([1.0, -1.0, -1.0, 1.0])
    flows = [refined(partial(own.flow, starts), RTOL, COARSE_RTOL) for own in examples]
    listed, printed, value, square = [], [], [], []
    for own in examples:
        ncf = own.correlation
        listed.append(ncf.tangential(torch.cat([right, flat])).norm(dim=1) / own.rate)
        printed.append(ncf.tangential(wrong).norm(dim=1) / own.rate)
        value.append((ncf.value(right) - own.rate / 2 * signs).abs())
        square.append(ascend(ncf, starts).points[:, 3] ** 2)
    squares = stacked(square)
    return {
        "g2_q_norm": Measurement(float(examples[0].q.norm()), ROUNDING, n=1),
        "g2_kkt_residual": largest(stacked(listed), ROUNDING),
        "g2_kkt_residual_printed_square": smallest(stacked(printed), ROUNDING),
        "g2_value_gap": largest(stacked(value), ROUNDING),
        "g2_square_gap": largest(np.abs(squares - 0.5), ROUNDING),
        "g2_square_gap_printed": smallest(np.abs(squares - PRINTED_SQUARE), ROUNDING),
        "g2_flow_gap": Refined.joined([found["gap"] for found in flows]).largest(),
        "g2_flow_angle": Refined.joined([found["angle"] for found in flows]).largest(),
        # of Lemma H.1: points with N = 0 need not be balanced
        "h1_balance_gap_zero_points": smallest((flat[:, 3].abs() - math.sqrt(0.5)).abs().cpu().numpy(), ROUNDING),
    }


def stacked(rows: list[Tensor]) -> np.ndarray:
    """One row for each slope."""
    return torch.stack(rows).cpu().numpy()
