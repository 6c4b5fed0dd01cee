"""Figure 2: the two functions of Appendix B; what is said of them: C^2, non-negative, even, of smallest curvature -a."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from mpmath import mp, mpf

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.worst_case import DIGITS, Even, WorstCase
from flowcheck.pipeline.evidence import Found, Measurement

ROUNDING = 1e-35
"""Of quotients of values that have 28 digits before the point, with 60 digits in all."""
DRAWN = WorstCase(a=mpf(1), reach=mpf(2), b=mpf(3), epsilon=mpf("0.5"), width=mpf("0.4"))
"""What is drawn: the paper's cut points lie at 1e13 and its transition is 1e-6 wide, where nothing could be seen."""
GRID = 401
CHANGED = mpf("1.1")
"""What the controls multiply one coefficient by."""


def figure_2(objectives: Sequence[WorstCase]) -> Found:
    """Jumps, signs, curvatures and symmetry of both functions at these constants, and the curves of the figure."""
    with mp.workdps(DIGITS):
        functions = [(o.a, f) for o in [DRAWN, *objectives] for f in (o.first, o.second)]
        jumps = [max(_jumps(f)) for _, f in functions]
        curvature = [min(f.derivative(z, 2) / a for z in _grid(f)) for a, f in functions]
        changed = [(a, _with_changed_transition(f)) for a, f in functions]
        broken = [max(_jumps(g)) for _, g in changed]
        bent = [min(g.derivative(z, 2) / a for z in _grid(g)) for a, g in changed]
        inner = [f.derivative(f.axis + f.pieces[0].right / 3, 2) / o.a for o in [DRAWN, *objectives] for f in (o.second,)]
        lowest = [min(f.derivative(z) for z in _grid(f)) / f.derivative(f.axis) for _, f in functions]
        beyond = [f.derivative(f.pieces[-1].right + 1, order) for _, f in functions for order in range(3)]
        odd = [_asymmetry(f, f.axis) for _, f in functions]
        shifted = [_asymmetry(f, f.axis + (f.pieces[0].right - f.axis) / 10) for _, f in functions]
        z = np.linspace(float(2 * DRAWN.second.axis - DRAWN.second_cut - 2), float(DRAWN.second_cut + 2), GRID)
        curves = {
            f"figure2_{name}": np.array([float(f.derivative(mpf(float(value)))) for value in z])
            for name, f in (("first", DRAWN.first), ("second", DRAWN.second))
        }
        cuts = {
            f"figure2_{name}_cuts": np.array([float(f.axis), *(float(piece.right) for piece in f.pieces)])
            for name, f in (("first", DRAWN.first), ("second", DRAWN.second))
        }
    return {
        "figure2_jump_max": _extreme(jumps, readings.largest),
        "figure2_jump_changed_min": _extreme(broken, readings.smallest),
        "figure2_curvature_min": _extreme(curvature, readings.smallest),
        "figure2_curvature_changed_max": _extreme(bent, readings.largest),
        "figure2_inner_curvature_max": _extreme(inner, readings.largest),
        "figure2_inner_curvature_min": _extreme(inner, readings.smallest),
        "figure2_value_min": _extreme(lowest, readings.smallest),
        "figure2_beyond_max": _extreme([abs(value) for value in beyond], readings.largest),
        "figure2_asymmetry_max": _extreme(odd, readings.largest),
        "figure2_asymmetry_shifted_min": _extreme(shifted, readings.smallest),
        "figure2_z": z,
        **curves,
        **cuts,
    }


def _extreme(values: Sequence[mpf], pick: Callable[..., Measurement]) -> Measurement:
    return pick(np.array([float(value) for value in values]), ROUNDING)


def _jumps(f: Even) -> Iterator[mpf]:
    """Of value, slope and curvature at every cut, relative to the largest term of the polynomial on either side."""
    for left, right in zip(f.pieces, (*f.pieces[1:], None), strict=True):
        for order in range(3):
            here = left.derivative(left.right, order)
            there = right.derivative(left.right, order) if right else mpf(0)
            scale = max(mp.fabs(c) for c in left.coefficients) + (
                max(mp.fabs(c) for c in right.coefficients) if right else mpf(0)
            )
            yield mp.fabs(here - there) / scale


def _with_changed_transition(f: Even) -> Even:
    """The highest coefficient of the last piece multiplied by `CHANGED`."""
    last = f.pieces[-1]
    changed = replace(last, coefficients=(*last.coefficients[:-1], CHANGED * last.coefficients[-1]))
    return Even(f.axis, (*f.pieces[:-1], changed))


def _grid(f: Even) -> list[mpf]:
    """Points in all pieces, their ends among them, and some beyond."""
    shares = [mpf(i) / 40 for i in range(41)]
    starts = [max(piece.left, f.axis) for piece in f.pieces]
    inside = [s + (piece.right - s) * share for s, piece in zip(starts, f.pieces, strict=True) for share in shares]
    return [*inside, f.pieces[-1].right + 1]


def _asymmetry(f: Even, axis: mpf) -> mpf:
    """The largest difference of f at mirrored points, relative to its largest value."""
    points = [axis + (z - f.axis) for z in _grid(f)]
    return max(mp.fabs(f.derivative(z) - f.derivative(2 * axis - z)) for z in points) / f.derivative(f.axis)
