"""Propositions 2 and 3 along the flow: v·w increases at all times, and it and the norm grow without bound.

The last is a statement at infinity; measured are powers of t.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data.population import Array
from flowcheck.papers.spherical_data.reduced_flow import ReducedPath


def progress(path: ReducedPath) -> dict[str, Float[Array, " s"]]:
    """Smallest increase of v·w = ‖w‖ cos θ between recorded points, of each flow."""
    return {"progress_min": np.diff(np.exp(path.s) * np.tanh(path.q), axis=1).min(axis=1)}


def late_slope(path: ReducedPath) -> float:
    """Slope of ln(v·w) against ln t over the last decade of t, of the one flow of `path`."""
    late = int(np.searchsorted(path.t[0], path.t[0, -1] / 10))
    q, s, t = (part[0, late:] for part in (path.q, path.s, path.t))
    along_v = np.log(np.tanh(q)) + s
    return float((along_v[-1] - along_v[0]) / math.log(t[-1] / t[0]))
