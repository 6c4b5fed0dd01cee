"""Lemma 3 of spherical_data on samples: the sign of g in the lower half plane, on the axis of v and in a disc."""

from __future__ import annotations

import math

import pandas as pd

from flowcheck.measures.readings import count
from flowcheck.papers.spherical_data.growth_map import CLEAR, polar
from flowcheck.pipeline.evidence import Found


def signs(points: pd.DataFrame) -> Found:
    """Points x, y whose `sampled` growth clearly has the sign that the lemma excludes: below, on the axis, and in its disc.

    Clear is what lies beyond `CLEAR` times the standard `error`. Controls: the left half plane in place of the lower one, the
    upper one in place of the axis, a disc of four times the size.
    """
    r, cosine, across = polar(points)
    inside, wide = ((cosine > 0) & (r <= size / math.pi * cosine) for size in (4.0, 16.0))
    grows = (points.sampled > CLEAR * points.error).to_numpy()
    shrinks = (points.sampled < -CLEAR * points.error).to_numpy()
    asked = {
        "clear_growth_below": (grows, cosine <= 0),
        "clear_growth_left": (grows, across <= 0),
        "clear_shrinking_on_axis": (shrinks, (across == 0) & (cosine > 0)),
        "clear_shrinking_above": (shrinks, cosine > 0),
        "clear_shrinking_in_disc": (shrinks, inside),
        "clear_shrinking_in_disc_four_times": (shrinks, wide),
    }
    return {name: count(sign[where]) for name, (sign, where) in asked.items()}
