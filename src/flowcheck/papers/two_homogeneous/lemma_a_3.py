r"""Lemma A.3 of two_homogeneous: the chain rule along solutions, and their energy, on kinks.

$\frac d{dt}f(x(t))=\langle x^*,\dot x\rangle$ for all $x^*\in\partial f(x(t))$. So while a solution slides along a kink,
its velocity is orthogonal to the differences of the elements of the subdifferential.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.flows.two_layer_unit import chain_rule_gap, follow_unit
from flowcheck.measures.readings import count
from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import two_layer
from flowcheck.papers.homogeneous.exact_trajectories import SCALE, unit_of, unit_paths
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Found, Measurement

STARTS, ENDS = ((0.5, -1.0), (1.0, -1.0), (0.3, 1.0)), ("rests", "vanishes", "grows")
"""(u_2, u_1) of f = u_1|u_2| that reach u_2 = 0, decay towards the origin along a KKT direction, and grow; and so they end."""
CLOSED_FORM = 4 * sys.float_info.epsilon
"""Rounding of artanh(1/2) or of the root of 3/4, and of the difference to it: three operations on numbers below one."""


def example() -> Family:
    """u_1|u_2| as a two-layer unit, from `STARTS`."""
    starts = torch.tensor(STARTS, dtype=torch.float64, device="cpu")
    one = torch.ones(len(starts), 1, dtype=torch.float64, device="cpu")
    return Family("u1|u2|", "two_layer", two_layer(1, 1, slope=-1.0), one[..., None], one, starts)


def sliding(families: Iterable[Family]) -> Found:
    """Units of two-layer nets that slide: how far ⟨w, u̇⟩ depends on the choice of w in the subdifferential."""
    gaps = np.stack([np.concatenate([_gaps(family, scale) for family in families]) for scale in (1.0, SCALE)])
    along, one_sided = (Refined.of(*gaps[..., side]).with_rounding(ROUNDING) for side in (0, 1))
    return {
        "units_that_slide": count(~np.isnan(along.value)),
        "chain_rule_gap_max": along.largest(),
        "chain_rule_gap_one_sided": one_sided.smallest(),
    }


def _gaps(family: Family, scale: float) -> Float[np.ndarray, "units 2"]:
    """Of every unit along its path, and with the velocity of one side; NaN for a unit that does not slide."""
    slope, width = unit_of(family.network)
    data = (family.x, family.z, family.starts.view(len(family.x), -1, width))
    return np.array(
        [
            [chain_rule_gap(path, x, z, slope, one_sided=side) for side in (False, True)]
            for x, z, units in zip(*(part.cpu().numpy() for part in data), strict=True)
            for path in unit_paths(x, z, slope, scale * units)
        ]
    )


def kink_example() -> Found:
    """The flow of u_1|u_2| from (-1, 1/2): where and when it comes to rest, and its energy with the wrong subgradient."""
    first, last = follow_unit(np.ones((1, 1)), np.ones(1), -1.0, np.array(STARTS[0][:1]), STARTS[0][1]).pieces
    error = max(abs(last.begin - math.atanh(0.5)), abs(last.v + math.sqrt(0.75)), abs(float(last.u[0])))
    t = np.linspace(0.0, 2 * last.begin, 2001)
    u, v = first.at(t, np.zeros_like(t)).T

    def defect(every: int) -> float:
        """Largest, with the energy summed over every so many points."""
        power, times, value = (u**2 + v**2)[::every], t[::every], (v * np.abs(u))[::every]
        energy = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(times))])
        return float(np.abs(value - value[0] - energy).max())

    return {
        "kink_example_error": Measurement(error, CLOSED_FORM),
        "kink_energy_wrong_subgradient": Refined.of(defect(1), defect(2)).number(),
    }
