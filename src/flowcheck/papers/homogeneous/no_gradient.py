"""What is read where a hypothesis fails: of the flow of a field that is no gradient, and of a network of no degree.

The field of an NCF is turned within pairs of weights (`sums.Rotated`), so that its flow circles; the network is a mixture of two
degrees.
"""

from __future__ import annotations

import math

from flowcheck.flows.ending import Ends
from flowcheck.networks.hypotheses import degree_defect
from flowcheck.networks.sums import Mixture, Rotated
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.homogeneous.later import kkt_defect
from flowcheck.papers.homogeneous.ncf_lemmas import Numbers
from flowcheck.papers.homogeneous.ncf_table import largest_defect, twice
from flowcheck.papers.homogeneous.trajectories import Followed, follow
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSER = 1e-7, 10.0
ROWS = 2
"""Flows that are followed."""


def rotated_field(family: Family, rotation: float, arc: float) -> Found:
    """The first flows of the family with a rotated field, followed over an arc: the mildest violation of each statement.

    The family is to have an even number of weights: the last one of an odd number would not turn.
    """
    network = Rotated(family.network, rotation)
    turned = Family("rotated", family.kind, network, family.x[:ROWS], family.z[:ROWS], family.starts[:ROWS])
    flows = follow(turned, Ends(-1.0, -1.0, -math.inf, longest=arc), rtol=RTOL, coarser=COARSER)
    found = twice(_readings, flows)
    return {
        "increase_rotated": found["increase"].largest(),
        "length_rotated": found["length"].smallest(),
        "kkt_defect_rotated": found["kkt_defect"].smallest(),
        "energy_identity_rotated": largest_defect(lemmas.energy_identity, flows).smallest(),
        "angle_identity_rotated": largest_defect(lemmas.angle_identity, flows).smallest(),
    }


def _readings(f: Followed) -> dict[str, Numbers]:
    """The residual is that of the NCF, where its rotated field leads to."""
    defect = kkt_defect(f.family, f.samples.direction[:, -1])
    return {"increase": lemmas.increase(f), "length": f.samples.length[:, -1], "kkt_defect": defect}


def mixture_of_degrees(family: Family) -> Found:
    """The defect of the degree of power units to which such of one degree more are added."""
    network = family.network
    above = power_net(network.size // network.inputs, network.inputs, network.degree + 1)
    defect = degree_defect(Mixture("mixture", ((1.0, network), (0.5, above)), network.degree), family.x[0], network.degree)
    return {"degree_defect_mixture": Measurement(defect, ROUNDING * (1 + defect))}
