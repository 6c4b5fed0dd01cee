r"""The escape comes at the blow-up time of the NCF flow, in rescaled time (deep_homogeneous, Section 5.1.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from torch import Tensor

from flowcheck.alignment.reference import COARSER, REFERENCE_RTOL, reference
from flowcheck.alignment.study import Escapes, Study
from flowcheck.measures.readings import rate, smallest_of_all
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.early_alignment import refined
from flowcheck.papers.homogeneous.escapes import COARSE, FINE, evaluations_growth, missing, times
from flowcheck.pipeline.evidence import Found, Measurement

LARGEST_DELTA = 1e-2
"""Of a fit: the correction of relative order delta^(L-2) is then at most 1 %."""


class Escaped(NamedTuple):
    """Of one network: its degree, the blow-up times of its NCF flows [R], and the escapes [R, D]."""

    degree: float
    blow_up: Refined
    found: Escapes

    @classmethod
    def of(cls, study: Study, deltas: Sequence[float]) -> Escaped:
        """For growing cases of the square loss."""
        found = study.escapes(deltas)
        return cls(study.network.degree, blow_up_times(study, found.rows), found)


def blow_up_times(study: Study, rows: Int[Tensor, " r"]) -> Refined:
    """T* of some cases: what a coarser integration moves it by, and what the tail that is not integrated may miss."""
    cases, ends = study.cases.take(rows), study.ends
    tolerances = {"smallest_epsilon": study.epsilons[-1], "rtol": COARSER * REFERENCE_RTOL}
    coarse = reference(study.network, study.x, cases.z, cases.starts, **tolerances)
    return refined(ends.blow_up[rows], coarse.blow_up).with_rounding(ends.blow_up_error[rows].cpu().numpy())


def readings(escapes: Mapping[str, Escaped], deltas: Sequence[float]) -> Found:
    r"""Slopes of $\ln t$ on $\ln\delta$, the gap to the blow-up time at the smallest delta, the cost; for figures, all."""
    found: dict[str, Measurement | np.ndarray] = {"escape_deltas": np.array(deltas)}
    gaps = []
    for name, (degree, blow_up, escaped) in escapes.items():
        time = times(escaped)
        x = np.broadcast_to(np.log(np.array(deltas)), time.value.shape)
        log_time = np.log(time.value) - (degree - 2) * x
        use = np.isfinite(log_time) & (x <= math.log(LARGEST_DELTA))
        found[f"escape_time_slope_{name}"] = rate(x, log_time, time.error / time.value, use)
        gaps.append(gap(time[:, -1], blow_up))
        found |= {f"{name}_escape_log_time": log_time, f"{name}_escape_misalignment": escaped.misalignment.cpu().numpy()}
    every = [escaped.found for escaped in escapes.values()]
    return found | {
        "escapes_missing": missing(every),
        "escape_time_gap_max": Refined.joined(gaps).largest_of_all(),
        "evaluations_growth": evaluations_growth(every, deltas),
    }


def gap(time: Refined, blow_up: Refined) -> Refined:
    """Relative distance of escape times to blow-up times [R]."""
    return Refined(np.abs(time.value / blow_up.value - 1), (time.error + blow_up.error) / blow_up.value)


def euler_growth(escaped: Escaped, deltas: Sequence[float]) -> Measurement:
    """Control: how the steps of Euler's method in plain time would grow from delta = 1e-2 to 1e-6."""
    time, x = times(escaped.found), np.log(np.array(deltas))
    log_time = np.log(time.value) - (escaped.degree - 2) * x
    ends = [deltas.index(delta) for delta in (FINE, COARSE)]
    growth = np.exp(log_time[:, ends[0]] - log_time[:, ends[1]])
    return smallest_of_all(growth, growth * (time.error / time.value)[:, ends].sum(axis=1))
