r"""Propositions 2 and 3 along the flow and under descent: v·w increases at all times, and it and the norm grow without bound.

The last is a statement at infinity. What the flow does there is known: along v, $\dot r=\mathbb E|x_1|/(1+e^{r|x_1|})$, which is
$p\pi^2/(12r^2)$ to leading order, p the density of $|x_1|$ at 0. So $r^3$ grows at the constant rate $p\pi^2/4$, which is the
unit of late growth here. A logarithm, or any other power of t, is 0 or infinite in it.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import Refined, refined
from flowcheck.papers.spherical_data import broken_flows, reduced_flow
from flowcheck.papers.spherical_data.descent import PopulationPath
from flowcheck.papers.spherical_data.full_weights import FullFlow
from flowcheck.papers.spherical_data.population import Array, SphericalLaw, gauss_legendre, law
from flowcheck.papers.spherical_data.reduced_flow import ReducedPath
from flowcheck.pipeline.evidence import Found

LATE = np.array([0.0, 1e7, 1e8])
"""Times of late growth: of a start of norm 20 its cube is below 1e-3 of what the first of them adds."""
MARGIN, MARGIN_NODES = 0.5, 64
"""Smallest |v·x| where there is a margin, and nodes of the quadrature over the points that keep it."""


def progress(path: ReducedPath) -> dict[str, Float[Array, " s"]]:
    """Smallest increase of v·w = ‖w‖ cos θ between recorded points, of each flow."""
    return {"progress_min": np.diff(np.exp(path.s) * np.tanh(path.q), axis=1).min(axis=1)}


def cube_rate(which: SphericalLaw) -> float:
    """pπ²/4, the late rate of ‖w‖³ for N = 1: p is E 2/(πρ), ρ the norm in a plane, in which the angle is uniform."""
    return 0.5 * math.pi * float(which.radius_weights @ (1.0 / which.radius_nodes))


def late_growth(
    which: SphericalLaw, q0: Float[Array, " s"], s0: Float[Array, " s"], rtol: float
) -> dict[str, Float[Array, " s"]]:
    """Growth of the cubes of ‖w‖ and of v·w from t = 1e7 to 1e8 over that of `cube_rate`, less one, of each flow, N = 1."""
    q, s = reduced_flow.in_time(which, 1, q0, s0, LATE, rtol=rtol)
    norm = np.exp(s)
    late = {"late_norm_gap": norm, "late_along_v_gap": norm * np.tanh(q)}
    return {name: np.abs(cube_growth(size[:, 1:], LATE[1:], cube_rate(which)) - 1.0) for name, size in late.items()}


def cube_growth(size: Float[Array, "*s 2"], times: Float[Array, " 2"], rate: float) -> Float[Array, "*s"]:
    """Growth of the cube between two times, over the rate times the time between them."""
    return np.asarray(np.diff(size**3, axis=-1)[..., 0] / (rate * (times[1] - times[0])))


def late_descent_gap(path: PopulationPath) -> Float[Array, " s"]:
    """Growth of the cube of v·w over the last nine tenths of all steps, over that of `cube_rate`, less one, of each run."""
    sums = np.cumsum(path.step_sizes, axis=1)
    first = 1 + (sums >= 0.1 * sums[:, -1:]).argmax(axis=1)
    gaps = []
    for along, total, n in zip(path.along, sums, first, strict=True):
        growth = cube_growth(along[[n, -1]], total[[n - 1, -1]], cube_rate(path.law))
        gaps.append(abs(float(growth) - 1.0))
    return np.array(gaps)


def broken(fine: FullFlow, coarse: FullFlow) -> Found:
    """The same gap, and the smallest increase of v·w, along a flow that only shrinks; and the gap for points with a margin.

    `coarse` is the flow followed less exactly. With a margin the norm grows like the logarithm of t.
    """

    def measure(flow: FullFlow) -> dict[str, float]:
        growth = cube_growth(flow.norm[broken_flows.LATE], flow.times[broken_flows.LATE], cube_rate(flow.law))
        return {"late_gap_flipped": abs(float(growth) - 1.0), "progress_flipped": float(np.diff(flow.w_e @ flow.v).min())}

    margins = Refined.of(*(_margin_gap(rtol) for rtol in (reduced_flow.RTOL, reduced_flow.COARSE_RTOL)))
    return {name: each.number() for name, each in (refined(measure, fine, coarse) | {"late_gap_margin": margins}).items()}


def _margin_gap(rtol: float) -> float:
    """The flow along v for points of the circle with |v·x| of at least `MARGIN`, from norm one, in ln(1 + t)."""
    nodes, weights = gauss_legendre(MARGIN_NODES)
    along = np.cos(math.acos(MARGIN) * nodes)

    def rate(u: float, r: Array) -> Array:
        return np.exp(u) * 0.5 * weights @ (along / (1.0 + np.exp(along * r)))[None].T

    u = np.log1p(LATE)
    r = solve(rate, u[-1], np.ones(1), "DOP853", u, rtol=rtol, atol=rtol).y[0]
    return float(abs(cube_growth(r[1:], LATE[1:], cube_rate(law("circle"))) - 1.0))
