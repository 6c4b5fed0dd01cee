r"""Lemma 5.2 of deep_homogeneous, as numbers: when and how NCF flows of degree L > 2 blow up or vanish.

The bounds on T* and on the norm after Eq. (27), and the rates that follow from them; Lemma B.6 up to the time of alignment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from flowcheck.flows.ending import Ends
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.ncf_lemmas import Numbers
from flowcheck.papers.homogeneous.ncf_table import Runs, twice
from flowcheck.papers.homogeneous.trajectories import Followed, follow
from flowcheck.pipeline.evidence import Found, Measurement

NEVER = Ends(settled=-1.0, rest=-1.0, vanished=-math.inf)
"""Ends of flows that are followed for a given time or growth, wherever they go."""


def blow_up(runs: Runs) -> Found:
    """The worst of all runs."""
    unaligned = runs.facts["unaligned"]
    return {
        "blow_up_over_upper_max": runs["over_upper"].largest(),
        "blow_up_over_lower_min": runs["over_lower"].smallest(),
        "norm_excess_min": runs["norm_excess"].smallest(),
        "blow_up_rate_gap_max": runs["rate"].largest(),
        "blow_up_rate_gap_degree_more": runs["rate_degree_more"].smallest(),
        "blow_up_prefactor_gap_max": runs["prefactor"].largest(),
        "decay_rate_gap_max": runs["decay_rate"].largest(),
        "decay_prefactor_gap_max": runs["decay_prefactor"].largest(),
        "unaligned_max": Measurement.count(unaligned.max(), len(unaligned)),
        "log_norm_at_alignment_max": runs["log_norm_at_alignment"].largest(),
    }


def from_kkt_points(families: Iterable[Family], *, grown: float, rtol: float) -> Found:
    """Flows that start at KKT points, where the bound on the norm holds with equality; followed until ln|u| is `grown`."""
    parts = [twice(_excess, follow(family, replace(NEVER, grown=grown), rtol=rtol)) for family in families]
    found = {name: Refined.joined([part[name] for part in parts]) for name in parts[0]}
    return {
        "norm_excess_kkt_start": Refined(np.abs(found["equality"].value), found["equality"].error).largest(),
        "norm_excess_printed": found["printed"].smallest(),
        "norm_excess_rate_raised": found["raised"].largest(),
    }


def _excess(f: Followed) -> dict[str, Numbers]:
    """With the exponent L - 2, with L/2 - 1 as printed, and with a rate that is a tenth too large."""
    gap = f.family.degree - 2
    return {
        "equality": lemmas.norm_excess(f, power=gap),
        "printed": lemmas.norm_excess(f, power=0.5 * gap),
        "raised": lemmas.norm_excess(f, power=gap, rate=1.1),
    }
