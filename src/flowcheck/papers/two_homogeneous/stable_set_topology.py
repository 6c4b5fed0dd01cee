r"""Counts of critical points of many draws (ours): on the sphere maxima - saddles + minima = 2, so none is missed."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.papers.two_homogeneous import stable_sets
from flowcheck.papers.two_homogeneous.landscape import Landscape
from flowcheck.pipeline.evidence import Found, Measurement

FLAT = 0.3
"""Curvature below which a draw of the data is left out: it has, or nearly has, a set of KKT points that are not isolated."""
LOST = 1e-4
"""Distance from the nearest maximum at which a flow or an ascent has not ended there."""


def census(draws: Iterable[tuple[Landscape, Float[Tensor, "s 3"]]]) -> tuple[Found, pd.DataFrame]:
    """Over landscapes with directions: every one ends at a maximum, and the counts of critical points are those of a sphere.

    Also a table of the draws that are kept, numbered in their order.
    """
    lost, missing, followed, left_out, rows = 0, 0, 0, 0, []
    for number, (drawn, starts) in enumerate(draws):
        if float(drawn.points.curvature.abs().min()) < FLAT:
            left_out += 1
            continue
        _, distance = stable_sets.nearest(drawn.limits(starts), drawn.maxima)
        ends = ascend(drawn.ncf, starts)
        by_ascent, gap = stable_sets.nearest(ends.points[ends.distinct()], drawn.maxima)
        lost, missing, followed = lost + int((distance > LOST).sum()), missing + int((gap > LOST).sum()), followed + len(starts)
        rows.append([number, *drawn.counts, len(set(by_ascent.tolist()))])
    table = pd.DataFrame(rows, columns=["draw", "maxima", "saddles", "minima", "found_by_ascent"])
    without_minima, n = table["maxima"] - table["saddles"], len(table)
    return {
        "draws_kept": Measurement.count(n, n + left_out),
        "draws_left_out": Measurement.count(left_out, n + left_out),
        "draw_directions_lost": Measurement.count(lost, followed),
        "draw_ascents_lost": Measurement.count(missing, followed),
        "draw_euler_defects": Measurement.count(int((without_minima + table["minima"] != 2).sum()), n),
        "draw_euler_defects_without_minima": Measurement.count(int((without_minima != 2).sum()), n),
    }, table
