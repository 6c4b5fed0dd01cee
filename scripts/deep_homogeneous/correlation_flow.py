"""NCF flows for L > 2 (deep_homogeneous: Lemma 5.2, Lemmas A.1-A.3, B.1-B.6, D.1).

Random problems on power, polynomial, squared-ReLU and deep linear nets, each flow followed until it has blown up along a fixed
direction, vanished, or come to rest; flows that start at KKT points; flows of degree 2, which stay finite.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from flowcheck.data.synthetic import gaussian
from flowcheck.flows.ending import Ends
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import power_net
from flowcheck.papers.deep_homogeneous import euler_identities, gronwall
from flowcheck.papers.homogeneous import kkt_search
from flowcheck.papers.homogeneous import ncf_experiment as experiment
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.families import Family
from flowcheck.papers.homogeneous.ncf_experiment import FamilySettings
from flowcheck.papers.homogeneous.trajectories import follow
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, main

NEVER = Ends(settled=-1.0, rest=-1.0, vanished=-math.inf)
"""Ends of flows that are followed for a given time, wherever they go."""


class Parameters(experiment.Parameters):
    """`finite_time`: how long flows of degree 2 are followed. `grown`: ln|u| to which flows from KKT points are."""

    finite_time: float = Field(gt=0)
    grown: float = Field(gt=0)
    gronwall_cases: int = Field(ge=2)
    gronwall_steps: int = Field(ge=2)


def cell(p: Parameters, context: Context) -> Evidence:
    return Evidence(arrays=experiment.cell(p, context) | from_kkt_points(p, context) | degree_two(p, context) | tools(p, context))


def from_kkt_points(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Flows of the power nets that start at KKT points, where the bound after Eq. (27) holds with equality."""
    excess = []
    for name in p.families:
        family = p.family(name, context)
        if family.kind != "power" or p.families[name].labels != "mixed":
            continue
        there = kkt_search.search(family, context.rng("kkt start", name), p.ascents).as_starts()
        flows, gap = follow(there, replace(NEVER, grown=p.grown), rtol=p.rtol), family.degree - 2
        cases = ((gap, 1.0), (0.5 * gap, 1.0), (gap, 1.1))
        excess.append([lemmas.norm_excess(flows, power=power, rate=rate) for power, rate in cases])
    return {"kkt_excess": np.concatenate(excess, axis=1)}


def degree_two(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Lemma D.1: flows of degree 2 for a long time, and the printed bound on x w^2 with x = z = 1; the same data for x w^3."""
    share, reached, over = [], [], []
    for kind in ("power", "polynomial"):
        family = p.family(f"{kind} of degree 2", context, FamilySettings(kind=kind, degree=2))
        flows = follow(family, replace(NEVER, longest=p.finite_time), rtol=p.rtol)
        share.append(lemmas.decay_share(flows)[1])
        reached.append(flows.samples.time[:, -1])
        grown = flows.samples.log_norm >= p.grown
        since = np.where(
            grown.any(axis=1), np.take_along_axis(flows.samples.time, grown.argmax(axis=1)[:, None], 1)[:, 0], np.nan
        )
        over.append(since * 3 * np.where(flows.samples.value[:, 0] > 0, flows.samples.value[:, 0], np.nan))
    printed, blow_up = (one_weight(degree, p) for degree in (2, 3))
    log_excess = 2 * printed.samples.log_norm - np.logaddexp(2 * math.log(3.0), 4 * printed.samples.time)
    return {
        "finite_share": np.concatenate(share),
        "finite_time": np.concatenate(reached),
        "finite_over": np.concatenate(over),
        "lowered_share": lemmas.decay_share(printed)[1] / 0.9,
        "printed_excess": log_excess.max(),
        "degree_three_time": blow_up.blow_up_time[0],
    }


def one_weight(degree: int, p: Parameters) -> lemmas.Followed:
    """H(x; w) = x w^L from w = 3 with x = z = 1."""
    one = torch.ones(1, 1, dtype=torch.float64)
    family = Family("one weight", "polynomial", power_net(1, 1, degree, slope=1.0), one[None], one, 3.0 * one)
    return follow(family, replace(NEVER, longest=5.0), rtol=p.rtol)


def tools(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Lemmas A.2, A.3, B.1 and B.2 at random weights and on random functions."""
    rng, found = context.rng("tools"), {}
    factors = torch.from_numpy(np.geomspace(1e-3, 1e3, p.runs))
    for name in p.families:
        family = p.family(name, context)
        w = gaussian(rng, p.runs, family.network.size)
        found[name] = asdict(euler_identities.defects(family.network, family.x[0], family.z[0], w, factors))
    worst = {key: max(row[key] for row in found.values()) for key in next(iter(found.values()))}
    three, four = (power_net(3, p.dimension, degree) for degree in (3, 4))
    w, mixture = gaussian(rng, p.runs, three.size), Mixture("mixture", ((1.0, three), (0.5, four)), 3)
    mixed = asdict(euler_identities.defects(mixture, family.x[0], family.z[0], w, factors))
    less = asdict(euler_identities.defects(four, family.x[0], family.z[0], w, factors, degree=3.0))
    return (
        {f"defect_{key}": np.array(value) for key, value in worst.items()}
        | {f"mixture_{key}": np.array(mixed[key]) for key in list(mixed)[:4]}
        | {"less_normalised_projection": np.array(less["normalised_projection"])}
        | gronwalls(p, context)
    )


def gronwalls(p: Parameters, context: Context) -> dict[str, np.ndarray]:
    """Lemma A.3 on random functions, with two step sizes; a decreasing alpha in its second part; its printed lower limit."""

    def random(increasing: bool, steps: int) -> gronwall.Excess:
        return gronwall.random_excess(context.rng("gronwall", increasing), p.gronwall_cases, steps, increasing=increasing)

    def constant(value: float) -> Callable[[float], np.ndarray]:
        return lambda t: np.full(1, value)

    fine, coarse = ([random(up, n) for up in (False, True)] for n in (p.gronwall_steps, p.gronwall_steps // 2))
    falling = gronwall.excess(lambda t: np.full(1, 1.0 - t), constant(1.0), constant(0.0), 0.0, 1.0, p.gronwall_steps)
    printed = gronwall.excess(constant(1.0), constant(1.0), constant(0.0), -1.0, 1.0, p.gronwall_steps)
    general = np.array([np.concatenate([run.general for run in runs]).max() for runs in (fine, coarse)])
    monotone = np.array([runs[1].monotone.max() for runs in (fine, coarse)])
    return {
        "gronwall_general": general,
        "gronwall_monotone": monotone,
        "gronwall_falling": falling.monotone[0],
        "gronwall_from_zero": printed.from_zero[0],
    }


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    evidence, runs, arrays = experiment.gather(cells)
    experiment.common_metrics(evidence, p, runs, arrays)
    blow_up_metrics(evidence, runs)
    equality, printed, raised = arrays["kkt_excess"]
    evidence.measure("norm_excess_kkt_start", np.abs(equality).max(), error=1e-9, n=len(equality))
    evidence.measure("norm_excess_printed", printed.min(), error=1e-6, n=len(printed))
    evidence.measure("norm_excess_rate_raised", raised.max(), error=1e-6, n=len(raised))
    n = len(arrays["finite_share"])
    evidence.measure("finite_rise_share_max", arrays["finite_share"].max(), error=1e-6, n=n)
    evidence.measure("finite_rise_share_rate_lowered", float(arrays["lowered_share"][0]), error=1e-6, n=1)
    evidence.measure("finite_time_min", arrays["finite_time"].min(), error=1e-9, n=n)
    evidence.measure("finite_time_degree_three", float(arrays["degree_three_time"]), error=1e-6)
    evidence.measure("finite_printed_log_excess", float(arrays["printed_excess"]), error=1e-6)
    over = arrays["finite_over"]
    evidence.measure("degree_two_time_over_upper", np.nanmax(over), error=1e-6, n=int(np.isfinite(over).sum()))
    for name, value in arrays.items():
        if name.startswith(("defect_", "mixture_", "less_")):
            evidence.measure(name, float(value), error=1e-12)
    for name in ("general", "monotone"):
        fine, coarse = arrays[f"gronwall_{name}"]
        evidence.measure(f"gronwall_{name}_max", fine, error=abs(fine - coarse), n=p.gronwall_cases)
    evidence.measure("gronwall_falling_alpha", float(arrays["gronwall_falling"]), error=1e-8)
    evidence.measure("gronwall_from_zero", float(arrays["gronwall_from_zero"]), error=1e-8)
    return evidence


def blow_up_metrics(evidence: Evidence, runs: pd.DataFrame) -> None:
    def worst(name: str, column: str, error: str | float, *, smallest: bool = False) -> None:
        experiment.extreme(evidence, runs, name, column, error=error, smallest=smallest)

    worst("blow_up_over_upper_max", "over_upper", "upper_error")
    worst("blow_up_over_lower_min", "over_lower", "lower_error", smallest=True)
    worst("norm_excess_min", "norm_excess", "norm_excess_error", smallest=True)
    worst("blow_up_rate_gap_max", "rate", 1e-6)
    worst("blow_up_rate_gap_degree_more", "rate_degree_more", 1e-6, smallest=True)
    worst("blow_up_prefactor_gap_max", "prefactor", 1e-6)
    worst("decay_rate_gap_max", "decay_rate", 1e-6)
    worst("decay_prefactor_gap_max", "decay_prefactor", 1e-6)
    worst("unaligned_max", "unaligned", 0.0)
    worst("log_norm_at_alignment_max", "log_norm_at_alignment", "log_norm_error")


if __name__ == "__main__":
    main(Parameters, cell, gather)
