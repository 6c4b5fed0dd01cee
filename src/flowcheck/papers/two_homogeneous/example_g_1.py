r"""Example G.1 of two_homogeneous: for squared leaky ReLU and even labels the NCF is a quadratic form, $(1+a^2)u^\top Mu$.

$M=\sum_iy_ix_ix_i^\top$; inputs come in pairs $\pm x_i$; a is the slope. With odd labels, as printed, it is none. Points are
taken as ascents leave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.geometry import angle
from flowcheck.measures.readings import count, largest, smallest
from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks import activation, zoo
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Found, Measurement

SLOPES = (0.0, 0.3, -1.5, 2.0)
RTOL, COARSE_RTOL = 1e-9, 1e-8
ASCENTS = 1e-10, 1e-9
"""Tolerances of ascents: theirs, and the one that errors are measured with."""
E_FOLDINGS = 12.0
"""By which the direction of a flow approaches the top eigenvector."""


@dataclass(frozen=True)
class Example:
    """Half of the data, M with its eigenvalues, ascending, and its eigenvectors, one in each row; and a slope."""

    x: Float[Tensor, "n 3"]
    y: Float[Tensor, " n"]
    slope: float
    matrix: Float[Tensor, "3 3"]
    eigenvalues: Float[Tensor, " 3"]
    vectors: Float[Tensor, "3 3"]

    @classmethod
    def of(cls, x: Float[Tensor, "n 3"], y: Float[Tensor, " n"], slope: float) -> Example:
        matrix = torch.einsum("n,ni,nj->ij", y, x, x)
        eigenvalues, vectors = torch.linalg.eigh(matrix)
        return cls(x, y, slope, matrix, eigenvalues, vectors.T)

    def correlation(self, parity: float) -> Correlation:
        """The NCF of all data: with (-x_i, parity y_i) added."""
        network = zoo.power_net(1, 3, 2.0, slope=self.slope)
        return Correlation(network, torch.cat([self.x, -self.x]), torch.cat([self.y, parity * self.y]))

    @property
    def slowest_rate(self) -> float:
        """At which the direction of u' = 2 (1 + a^2) Mu approaches the top eigenvector."""
        return float(2 * (1 + self.slope**2) * (self.eigenvalues[-1] - self.eigenvalues[-2]))

    def flow(self, starts: Float[Tensor, "s 3"], rtol: float) -> dict[str, np.ndarray]:
        """Angles between the ends of NCF flows and the matrix exponential, and the top eigenvector."""
        path = gradient_flow(
            self.correlation(1.0), starts, length=E_FOLDINGS / self.slowest_rate, rtol=rtol, method=Method(order=8)
        )
        exact = starts @ torch.matrix_exp(2 * (1 + self.slope**2) * self.matrix * float(path.time[0]))
        top = self.vectors[-1] * (exact @ self.vectors[-1:].T).sign()
        return {"gap": angle(path.direction, exact).cpu().numpy(), "angle": angle(path.direction, top).cpu().numpy()}

    def ascent_angles(self, starts: Float[Tensor, "s 3"], tolerance: float) -> np.ndarray:
        """Angles between the ends of ascents and the top eigenvector."""
        ends = ascend(self.correlation(1.0), starts, tolerance=tolerance).points
        top = self.vectors[-1].expand_as(ends) * (ends @ self.vectors[-1:].T).sign()
        return angle(ends, top).cpu().numpy()


def identity_defect(slope: float, sign: float) -> float:
    r"""Largest defect of $\sigma(t)\pm\sigma(-t)=(1+a^2)t^2$ on [-2, 2]."""
    sigma, t = activation.Activation(slope, 2.0), torch.linspace(-2, 2, 41, dtype=torch.float64, device="cpu")
    return float((sigma(t) + sign * sigma(-t) - (1 + slope**2) * t**2).abs().max())


def is_identity(sign: int) -> bool:
    """The same for all real a, by computer algebra: once for a above 1, once for a below."""
    a, beyond = sp.symbols("a", real=True), sp.symbols("s", nonnegative=True)
    high, low = sp.Max(1, a), sp.Min(1, a)  # sigma(x) = high^2 x^2 for x > 0 and low^2 x^2 for x < 0
    residual = high**2 + sign * low**2 - (1 + a**2)
    return all(sp.expand(residual.subs(a, side)) == 0 for side in (1 + beyond, 1 - beyond))


def stacked(rows: list[Tensor]) -> np.ndarray:
    """One row for each slope."""
    return torch.stack(rows).cpu().numpy()


def example_g1(x: Float[Tensor, "n 3"], y: Float[Tensor, " n"], starts: Float[Tensor, "s 3"]) -> Found:
    """Eigenvectors of M are the KKT points, and ascents and flows end at the top one, for every slope."""
    examples = [Example.of(x, y, slope) for slope in SLOPES]
    flows = [refined(partial(own.flow, starts), RTOL, COARSE_RTOL) for own in examples]
    ascents = [Refined.of(*(own.ascent_angles(starts, tolerance) for tolerance in ASCENTS)) for own in examples]
    even, odd = ([own.correlation(parity) for own in examples] for parity in (1.0, -1.0))
    vectors, eigenvalues = examples[0].vectors, examples[0].eigenvalues
    return {
        "g1_identity_defect": largest(np.array([identity_defect(slope, 1.0) for slope in SLOPES]), ROUNDING),
        "g1_identity_defect_printed": smallest(np.array([identity_defect(slope, -1.0) for slope in SLOPES]), ROUNDING),
        "g1_symbolic_failures": Measurement.count(not is_identity(1), 1),
        "g1_symbolic_failures_printed": Measurement.count(not is_identity(-1), 1),
        "g1_matrix_norm": Measurement(float(torch.linalg.matrix_norm(examples[0].matrix, 2)), ROUNDING, n=1),
        "g1_eigenvector_residual": largest(stacked([ncf.tangential(vectors).norm(dim=1) for ncf in even]), ROUNDING),
        "g1_eigenvector_residual_odd": smallest(stacked([ncf.kkt_residual(vectors).max() for ncf in odd]), ROUNDING),
        "g1_sign_mismatches": count(stacked([(ncf.value(vectors) >= 0) != (eigenvalues >= 0) for ncf in even])),
        "g1_ascent_angle": Refined.joined(ascents).with_rounding(ROUNDING).largest(),
        "g1_flow_gap": Refined.joined([found["gap"] for found in flows]).largest(),
        "g1_flow_angle": Refined.joined([found["angle"] for found in flows]).largest(),
    }
