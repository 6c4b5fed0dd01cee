r"""The time of escape grows with $\ln(1/\delta)$ (two_homogeneous, Section 5.1): for L = 2 there is no blow-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowcheck.alignment.study import Escapes, Study
from flowcheck.measures.readings import rate
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.escapes import evaluations_growth, missing, time_growth, times
from flowcheck.pipeline.evidence import Found, Measurement


class Escaped(NamedTuple):
    r"""Of one network: $\mathcal N(u_*)$ of each growing case [R], and the escapes [R, D]."""

    value: Float[np.ndarray, " r"]
    found: Escapes

    @classmethod
    def of(cls, study: Study, deltas: Sequence[float]) -> Escaped:
        """For growing cases of the square loss."""
        found = study.escapes(deltas)
        return cls(study.ends.value[found.rows].cpu().numpy(), found)

    def scaled(self) -> Refined:
        r"""$2\mathcal N(u_*)t$ [R, D]."""
        time, rate = times(self.found), 2 * self.value[:, None]
        return Refined(rate * time.value, rate * time.error)


def readings(escapes: Mapping[str, Escaped], deltas: Sequence[float], aligned: float) -> Found:
    r"""Slope of $2\mathcal N(u_*)t$ on $\ln(1/\delta)$ where $1-\cos$ is at most `aligned` at escape; the cost; for figures, all.

    As controls without that rule, and with the rate of degree one.
    """
    scaled = {name: each.scaled() for name, each in escapes.items()}
    apart = {name: each.found.misalignment.cpu().numpy() for name, each in escapes.items()}
    every, every_apart = Refined.joined(list(scaled.values())), np.concatenate(list(apart.values()))
    there = np.isfinite(every.value)
    use = there & (every_apart <= aligned)
    x = np.broadcast_to(np.log(1 / np.array(deltas)), every.value.shape)
    found: dict[str, Measurement | np.ndarray] = {"escape_deltas": np.array(deltas)}
    found |= {f"{name}_escape_time": each.value for name, each in scaled.items()}
    found |= {f"{name}_escape_misalignment": each for name, each in apart.items()}
    parts = [each.found for each in escapes.values()]
    growth = Refined.joined([time_growth(times(part), deltas) for part in parts])
    return found | {
        "escape_time_slope_L2": rate(x, every.value, every.error, use),
        "escape_time_slope_any_alignment": rate(x, every.value, every.error, there),
        "escape_time_slope_degree_one": rate(x, 0.5 * every.value, 0.5 * every.error, use),
        "escapes_missing": missing(parts),
        "evaluations_growth": evaluations_growth(parts, deltas),
        "euler_growth_median": Measurement(np.median(growth.value), growth.error.max(), n=len(growth.value)),
    }
