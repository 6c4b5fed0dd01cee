"""When the loss of a growing case has fallen by a hundredth, in numbers, and what it costs to follow w until then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowcheck.alignment.study import Escapes
from flowcheck.measures.readings import count
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.early_alignment import refined
from flowcheck.pipeline.evidence import Measurement

COARSE, FINE = 1e-2, 1e-6
"""Deltas between which the cost is compared."""


def times(found: Escapes) -> Refined:
    r"""$\hat t$ [R, D]; NaN where the loss does not fall."""
    return refined(found.time, found.coarse)


def missing(parts: Sequence[Escapes]) -> Measurement:
    """Runs that did not reach that loss."""
    return count(np.concatenate([np.isnan(times(found).value).ravel() for found in parts]))


def evaluations_growth(parts: Sequence[Escapes], deltas: Sequence[float]) -> Measurement:
    """Right-hand sides from delta = 1e-6 over those from 1e-2, the largest of any trajectory: a quotient of two counts."""
    counted = [found.evaluations.cpu().numpy() for found in parts]
    growth = np.concatenate([each[:, deltas.index(FINE)] / each[:, deltas.index(COARSE)] for each in counted])
    return Measurement.exact(float(growth.max()), n=len(growth))


def time_growth(time: Refined, deltas: Sequence[float]) -> Refined:
    """The time from delta = 1e-6 over that from 1e-2 [R]: what a method with fixed steps in that time would need."""
    fine, coarse = (time[:, deltas.index(delta)] for delta in (FINE, COARSE))
    ratio = fine.value / coarse.value
    return Refined(ratio, ratio * (fine.error / fine.value + coarse.error / coarse.value))
