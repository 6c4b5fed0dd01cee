r"""Lemma D.1 of deep_homogeneous: NCF flows of degree two do not blow up, $\|u(T)\|\le\|u_0\|e^{2T\beta\|z\|}$.

The printed proof has $\|u_0\|^2+e^{4T\beta\|z\|}$ in place of the product, which $x w^2$ refutes. The same data with $x w^3$ blow
up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous.lemma_5_2 import NEVER
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.ncf_lemmas import Numbers
from flowcheck.papers.homogeneous.ncf_table import twice
from flowcheck.papers.homogeneous.trajectories import Flows, Followed, follow
from flowcheck.pipeline.evidence import Found, Measurement

START, TIME = 3.0, 5.0
"""Start of the flow of one weight, and how long it is followed."""


def no_blow_up(families: Iterable[Family], *, time: float, grown: float, rtol: float) -> Found:
    """Flows of degree two, followed for a long time; and when they reach ln|u| = `grown`, over the bound on T* of degree 3."""

    def measure(f: Followed) -> dict[str, Numbers]:
        s = f.samples
        over = s.log_norm >= grown
        since = np.where(over.any(axis=1), np.take_along_axis(s.time, over.argmax(axis=1)[:, None], 1)[:, 0], np.nan)
        return {
            "share": lemmas.decay_share(f)[1],
            "reached": s.time[:, -1],
            "over": since * 3 * np.where(s.value[:, 0] > 0, s.value[:, 0], np.nan),
        }

    parts = [twice(measure, follow(family, replace(NEVER, longest=time), rtol=rtol)) for family in families]
    found = {name: Refined.joined([part[name] for part in parts]) for name in parts[0]}
    return {
        "finite_rise_share_max": found["share"].largest(),
        "finite_time_min": found["reached"].smallest(),
        "degree_two_time_over_upper": found["over"].largest(),
    }


def one_weight(degree: int, *, rtol: float) -> Flows:
    """H(x; w) = x w^L from w = 3 with x = z = 1."""
    one = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    family = Family("one weight", "polynomial", power_net(1, 1, degree, slope=1.0), one[None], one, START * one)
    return follow(family, replace(NEVER, longest=TIME), rtol=rtol)


def sharp(*, rtol: float) -> Found:
    """The flow of x w^2, which attains the bound: with nine tenths of the rate, with the printed sum; and the flow of x w^3."""

    def measure(f: Followed) -> dict[str, Numbers]:
        s = f.samples
        log_excess = 2 * s.log_norm - np.logaddexp(2 * math.log(START), 4 * s.time)
        return {"lowered": lemmas.decay_share(f)[1] / 0.9, "log_excess": log_excess.max(axis=1)}

    found, cubic = twice(measure, one_weight(2, rtol=rtol)), one_weight(3, rtol=rtol)
    return {
        "finite_rise_share_rate_lowered": found["lowered"].largest(),
        "finite_printed_log_excess": found["log_excess"].number(),
        "finite_time_degree_three": Measurement(cubic.fine.blow_up_time[0], cubic.blow_up_error[0]),
    }
