r"""Growth of the norm: the maximum of $x/(1+e^x)$, which Lemma 3(i) bounds by 0.3, and the slope of $\cos\theta$ at its ends."""

from __future__ import annotations

import numpy as np
import sympy as sp

from flowcheck.measures.enclosure import enclose_maximum
from flowcheck.papers.spherical_data.bounds import GROWTH_CAP
from flowcheck.pipeline.evidence import Found, Measurement

QUOTIENT = 1e-15
"""Rounding of one division, and of the decimal constant below the line."""


def enclosed(width: float) -> Found:
    """The maximum of x / (1 + e^x), which Lemma 3(i) bounds by 0.3, enclosed by interval arithmetic.

    Control: x e^-x, which takes its place for the exponential loss and has the maximum 1/e.
    """
    (low, high), boxes = enclose_maximum(lambda x, exp: x / (1 + exp(x)), 0.0, 40.0, width)
    exponential, _ = enclose_maximum(lambda x, exp: x * exp(-x), 0.0, 40.0, width)
    x = np.linspace(0.0, 6.0, 2401)
    return {
        # ends of an enclosure are exact: rounding is inside
        "growth_cap_upper_end": Measurement.exact(high),
        "growth_cap_lower_end": Measurement.exact(low),
        "growth_cap_over_paper": Measurement(high / GROWTH_CAP, QUOTIENT),
        "growth_cap_exponential_loss": Measurement(exponential[0] / GROWTH_CAP, QUOTIENT),
        "growth_cap_boxes": Measurement.count(len(boxes)),
        "x": x,
        "share": x / (1.0 + np.exp(x)),
        "boxes": np.array(boxes),
    }


def slopes() -> Found:
    """The slope of cos θ at its ends, where the growth of the norm changes sign at most once between."""
    theta = sp.symbols("theta")
    slope = sp.diff(sp.cos(theta), theta)
    return {
        "growth_slope_at_zero_angle": Measurement.exact(float(slope.subs(theta, 0))),
        "growth_slope_at_right_angle": Measurement.exact(float(slope.subs(theta, sp.pi / 2))),
    }
