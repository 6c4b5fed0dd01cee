"""NCF flows for L = 2 (two_homogeneous: Lemma 5.3 with Eqs. (32)-(34), Lemmas A.3, A.4, C.3, C.4, C.7).

Random problems on squared-ReLU, quadratic, deep ReLU and two-layer leaky ReLU nets, each flow followed until it has grown in a
fixed direction, vanished, or come to rest. Two-layer nets are followed in closed form, sliding along kinks included.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch

from flowcheck.flows.two_layer_unit import chain_rule_gap, follow_unit
from flowcheck.networks.zoo import two_layer
from flowcheck.papers.homogeneous import ncf_experiment as experiment
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.ncf_experiment import Parameters
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, main

ENDS = ("rests", "vanishes", "grows")
STARTS = ((0.5, -1.0), (1.0, -1.0), (0.3, 1.0))
"""(u_2, u_1) of f = u_1|u_2| that reach u_2 = 0, decay towards the origin, and grow."""


def cell(p: Parameters, context: Context) -> Evidence:
    starts = torch.tensor(STARTS, dtype=torch.float64)
    one = torch.ones(len(starts), 1, dtype=torch.float64)
    example = Family("u1|u2|", "two_layer", two_layer(1, 1, slope=-1.0), one[..., None], one, starts)
    return Evidence(arrays=experiment.cell(p, context, [example]) | sliding(p, context) | kink_example())


def sliding(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Units of the two-layer families that slide: how far ⟨w, u̇⟩ depends on the choice of w in the subdifferential."""
    gaps = []
    for name, settings in p.families.items():
        if settings.kind != "two_layer":
            continue
        family = p.family(name, context)
        starts = family.starts.view(p.runs, settings.units, -1)
        for x, z, units in zip(family.x.numpy(), family.z.numpy(), starts.numpy(), strict=True):
            paths = [follow_unit(x, z, settings.slope, unit[:-1], unit[-1]) for unit in units]
            gaps += [[chain_rule_gap(u, x, z, settings.slope, one_sided=side) for side in (False, True)] for u in paths]
    return {"sliding_gaps": np.array(gaps)}


def kink_example() -> dict[str, np.ndarray]:
    """The flow of u_1|u_2| from (-1, 1/2): where and when it comes to rest, and its energy with the wrong subgradient."""
    first, last = follow_unit(np.ones((1, 1)), np.ones(1), -1.0, np.array([0.5]), -1.0).pieces
    error = max(abs(last.begin - math.atanh(0.5)), abs(last.v + math.sqrt(0.75)), abs(float(last.u[0])))
    t = np.linspace(0.0, 2 * last.begin, 2001)
    u, v = first.at(t, np.zeros_like(t)).T
    power = u**2 + v**2
    energy = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(t))])
    return {"kink_error": np.array(error), "kink_wrong": np.abs(v * np.abs(u) - v[0] * abs(u[0]) - energy).max()}


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, runs, arrays = experiment.gather(cells)
    experiment.common_metrics(evidence, p, runs, arrays)
    grows, exact = (
        runs.outcome == "grows",
        runs.family.map(lambda name: name not in p.families or p.families[name].kind == "two_layer"),
    )
    experiment.extreme(evidence, runs, "log_growth_min", "log_growth", error="log_norm_error", smallest=True, where=grows)
    experiment.extreme(evidence, runs, "stopped_value_max", "end_value", error=experiment.ROUNDING, where=~grows)
    experiment.extreme(evidence, runs, "growth_excess_min", "growth_excess", error="growth_error", smallest=True)
    experiment.extreme(evidence, runs, "growth_excess_doubled", "growth_excess_doubled", error="growth_error", smallest=True)
    example = runs.family == "u1|u2|"
    experiment.extreme(evidence, runs, "fall_share_max", "fall_share", error=1e-6, where=~example)
    fastest = runs.fall_share[example].max()  # decays along a KKT direction, where the bound is attained
    evidence.measure("fall_share_rate_lowered", fastest / 0.9, error=1e-6, n=1)
    experiment.extreme(evidence, runs, "energy_identity_kinks_max", "energy_identity", error="identity_error", where=exact)
    gaps = arrays["sliding_gaps"]
    slide = ~np.isnan(gaps[:, 0])
    evidence.measure("units_that_slide", slide.sum(), error=0.0, n=len(gaps))
    evidence.measure("chain_rule_gap_max", np.nanmax(gaps[:, 0]), error=experiment.ROUNDING, n=slide.sum())
    evidence.measure("chain_rule_gap_one_sided", np.nanmin(gaps[:, 1]), error=experiment.ROUNDING, n=slide.sum())
    evidence.measure("kink_example_error", float(arrays["kink_error"]), error=1e-15)
    evidence.measure("kink_energy_wrong_subgradient", float(arrays["kink_wrong"]), error=1e-6)
    mismatches = np.sum(runs.outcome[example].to_numpy() != np.array(ENDS))
    evidence.measure("kink_example_mismatches", mismatches, error=0.0, n=len(ENDS))
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
