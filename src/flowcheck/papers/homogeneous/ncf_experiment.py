"""The experiment on NCF flows that both papers share: families of random problems in, one table of runs out.

`cell` follows every family and reads off what the lemmas say; `common_metrics` reduces the table. What only one paper states is
in its script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype
from pydantic import Field

from flowcheck.data.synthetic import unit_vectors
from flowcheck.flows.ending import Ends
from flowcheck.networks import sums
from flowcheck.networks.hypotheses import degree_defect, require_signal
from flowcheck.networks.sums import Mixture
from flowcheck.networks.zoo import power_net
from flowcheck.papers.homogeneous import kkt_search
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly
from flowcheck.papers.homogeneous.families import Family, Inputs, Kind, Labels, Starts, draw_family, network_of
from flowcheck.papers.homogeneous.trajectories import GAUSS_NODES, Followed, follow
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel

ROUNDING = 1e-12
DENSE_OUTPUT = 1e-6
"""What dense output across kinks of the second derivative, and the quadrature over it, add to the error of an identity."""
IDENTITIES = {"angle": lemmas.angle_identity, "energy": lemmas.energy_identity, "norm": lemmas.norm_identity}
CURVE_POINTS = 300


class FamilySettings(ParametersModel):
    kind: Kind
    degree: int = Field(ge=2)
    units: int = Field(default=3, ge=1)
    points: int = Field(default=8, ge=2)
    slope: float = 0.0
    labels: Labels = "mixed"
    inputs: Inputs = "sphere"
    starts: Starts = "sphere"


class Parameters(ParametersModel):
    """`families` by name; `drawn` families have their runs in the figure of flows."""

    families: dict[str, FamilySettings]
    drawn: list[str]
    runs: int = Field(ge=2)
    dimension: int = Field(ge=1)
    ascents: int = Field(ge=1)
    rtol: float = Field(gt=0)
    coarser: float = Field(gt=1)
    settled: float = Field(gt=0)
    rest: float = Field(gt=0)
    vanished: float = Field(lt=0)
    escaped: float = Field(gt=0)
    rotation: float
    rotated_arc: float = Field(gt=0)

    @property
    def ends(self) -> Ends:
        return Ends(self.settled, self.rest, self.vanished, self.escaped)

    def family(self, name: str, context: Context, settings: FamilySettings | None = None) -> Family:
        s = settings or self.families[name]
        return draw_family(
            name,
            s.kind,
            network_of(s.kind, s.degree, self.dimension, s.units, s.slope),
            context.rng("family", name),
            self.runs,
            points=s.points,
            labels=s.labels,
            inputs=s.inputs,
            starts=s.starts,
        )

    def followed(self, family: Family) -> Followed:
        return (
            follow_exactly(family, self.ends)
            if family.kind == "two_layer"
            else follow(family, self.ends, rtol=self.rtol, coarser=self.coarser)
        )


def cell(p: Parameters, context: Context, examples: Iterable[Family] = ()) -> dict[str, np.ndarray]:
    """Every family, its runs as columns `runs_*`; curves `curve_*` of those that are drawn; the broken flows."""
    tables, curves = [], []
    families = [*(p.family(name, context) for name in p.families), *examples]
    for family in context.progress(families, what="families"):
        flows = p.followed(family)
        tables.append(table(p, flows, context.rng("ascent", family.name)))
        if family.name in p.drawn:
            ends = tables[-1].outcome
            # the first run of every outcome, then the first ones
            shown = [*ends.drop_duplicates().index, *ends.index[ends.duplicated()]][:4]
            curves += [curve(flows, row, ends[row]) for row in shown]
    runs = pd.concat(tables, ignore_index=True)
    return (
        {f"runs_{name}": column.to_numpy(None if is_numeric_dtype(column) else str) for name, column in runs.items()}
        | {f"curve_{key}": np.array([c[key] for c in curves]) for key in curves[0]}
        | {f"broken_{key}": np.array(value) for key, value in broken(p, context).items()}
    )


def table(p: Parameters, f: Followed, rng: np.random.Generator) -> pd.DataFrame:
    """One row per run: what every statement says about it. NaN where a statement does not speak of the run."""
    s, bound, ended = f.samples, f.family.bound.numpy(), lemmas.outcome(f, p.ends)
    floor, case = lemmas.floor_margin(f, ended)
    count = len(f.family.starts)
    random = unit_vectors(rng, count, f.family.network.size)
    rows: dict[str, Any] = {
        "family": np.full(count, f.family.name),
        "degree": np.full(count, f.family.degree),
        "degree_defect": np.full(count, f.family.correlation.degree_defect),
        "outcome": ended.names,
        "case": case,
        "start_value": s.value[:, 0] / bound,
        "limit_value": lemmas.limit_value(f),
        "log_norm": s.log_norm[:, -1],
        "time": s.time[:, -1],
        "evaluations": f.evaluations,
        "value_error": f.value_error / bound,
        "log_norm_error": f.log_norm_error,
        "signal": [require_signal(f.family.network, x, z) for x, z in zip(f.family.x, f.family.z, strict=True)],
        "kkt_defect": lemmas.kkt_defect(f),
        "kkt_defect_random": f.family.correlation.tangential(random).norm(dim=-1).numpy() / bound,
        "increase": lemmas.increase(f),
        "length": s.length[:, -1],
        "polygon_gap": np.abs(lemmas.polygon_gap(f)),
        "polygon_gap_radial": lemmas.polygon_gap(f, radial=True),
        "fall_since_positive": lemmas.norm_fall(f, positive=True),
        "fall": lemmas.norm_fall(f, positive=False),
        "floor": floor,
    }
    rows["kl_exponent"], rows["kl_fall"] = lemmas.kurdyka_lojasiewicz(f, ended)
    rows |= {f"{name}_identity": identity(f) for name, identity in IDENTITIES.items()}
    rows["identity_error"] = f.step_error + (0.0 if f.family.kind == "two_layer" else DENSE_OUTPUT)
    rows |= _matched(p, f, ended, random, rng) | (_degree_two(f) if f.family.degree == 2 else _deeper(f, ended))
    return pd.DataFrame(rows)


def _matched(
    p: Parameters, f: Followed, ended: lemmas.Outcome, random: torch.Tensor, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Distances of the limits of growing flows, and of random directions, to KKT points found without the flow."""
    if not ended.grows.any() or f.family.network.inputs != p.dimension:
        return {}
    limits = torch.from_numpy(f.samples.direction[:, -1])
    if f.family.kind == "two_layer":
        distance, other = (kkt_search.unit_distance(f.family, which) for which in (limits, random))
        return {"kkt_distance": np.where(ended.grows, distance, np.nan), "random_distance": other}
    points = kkt_search.search(f.family, rng, p.ascents)
    found = dict(zip(("kkt_distance", "kkt_value", "found_defect"), points.nearest(limits), strict=True))
    return {key: np.where(ended.grows, v, np.nan) for key, v in found.items()} | {"random_distance": points.nearest(random)[0]}


def _degree_two(f: Followed) -> dict[str, np.ndarray]:
    s, bound = f.samples, f.family.bound.numpy()
    fall, rise = lemmas.decay_share(f)
    start = np.where(s.value[:, 0] > 0, s.value[:, 0], np.nan)
    last = s.value[:, -1] / bound
    return {
        "fall_share": fall,
        "rise_share": rise,
        "growth_excess": lemmas.growth_excess(f),
        "growth_excess_doubled": lemmas.growth_excess(f, factor=2.0),
        "growth_error": f.log_norm_error / (2 * 0.05 * start / bound),
        "log_growth": s.log_norm[:, -1] - s.log_norm.min(axis=1),
        "end_value": np.abs(last) * np.exp(2 * np.minimum(s.log_norm[:, -1], 0)),
        "time_over_bound_of_degree_three": s.time[:, -1] * 3 * start,
    }


def _deeper(f: Followed, ended: lemmas.Outcome) -> dict[str, np.ndarray]:
    degree, relative = f.samples.degree, f.blow_up_error / f.blow_up_time
    upper, lower = lemmas.blow_up_bounds(f)
    slope, prefactor = lemmas.blow_up_rate(f)
    decay_slope, decay_prefactor = lemmas.decay_rate(f, ended)
    times, _, largest = lemmas.alignment_times(f, ended, lemmas.EPSILONS)
    grows = ended.grows
    return {
        "blow_up_time": np.where(grows, f.blow_up_time, np.nan),
        "over_upper": np.where(grows, upper, np.nan),
        "over_lower": np.where(grows, lower, np.nan),
        "upper_error": relative * upper,
        "lower_error": relative * lower,
        "norm_excess": np.where(grows, lemmas.norm_excess(f, power=degree - 2), np.nan),
        "norm_excess_error": (degree - 2) * f.log_norm_error / (0.1 * upper) + 2 * relative,
        "rate": np.where(grows, np.abs(slope), np.nan),
        "rate_degree_more": np.where(grows, np.abs((slope - 1) * (degree - 1) / (degree - 2) + 1), np.nan),
        "prefactor": np.where(grows, prefactor, np.nan),
        "decay_rate": np.abs(decay_slope),
        "decay_prefactor": decay_prefactor,
        "unaligned": np.where(ended.vanishes, 0, np.isnan(times).sum(axis=1)),
        "log_norm_at_alignment": largest.max(axis=1),
    }


def curve(f: Followed, row: int, outcome: str) -> dict[str, Any]:
    """One run for the figures: N over its bound at the arcs of the nodes; ln|u| and the time left over T* at times of the mesh.

    Arc and time in units of 1/(beta |z|).
    """
    s, bound = f.samples, float(f.family.bound[row])
    pieces = int((s.weights[row].sum(axis=-1) > 0).sum())
    middle, half = 0.5 * (s.arc[row, 1:] + s.arc[row, :-1]), 0.5 * np.diff(s.arc[row])
    nodes = middle[:, None] + half[:, None] * GAUSS_NODES
    take, at_nodes = thinned(pieces + 1), thinned(pieces * len(GAUSS_NODES))
    left = lemmas.remaining_time(f)[row] / f.blow_up_time[row] if s.degree > 2 else np.full_like(s.time[row], np.nan)
    return {
        "family": f.family.name,
        "degree": s.degree,
        "outcome": outcome,
        "arc": nodes.ravel()[at_nodes] * bound,
        "value": s.node_value[row].ravel()[at_nodes] / bound,
        "time": s.time[row, take] * bound,
        "log_norm": s.log_norm[row, take],
        "time_left": left[take],
    }


def thinned(count: int) -> np.ndarray:
    """At most CURVE_POINTS positions out of `count`: all early ones, then evenly spaced ones; the last repeated if fewer."""
    early, even = np.arange(min(count, CURVE_POINTS // 2)), np.linspace(0, count - 1, CURVE_POINTS // 2).astype(int)
    positions = np.unique(np.concatenate([early, even]))
    return np.pad(positions, (0, CURVE_POINTS - len(positions)), mode="edge")


def broken(p: Parameters, context: Context) -> dict[str, float]:
    """The same readings where a hypothesis fails: a field that is no gradient, and a network that is not homogeneous."""
    degree = min(s.degree for s in p.families.values())
    settings = FamilySettings(kind="power", degree=degree, units=2)  # the rotation needs an even number of weights
    family = p.family("rotated", context, settings)
    keep = slice(0, 2)
    turned = Family(
        "rotated", "power", sums.Rotated(family.network, p.rotation), family.x[keep], family.z[keep], family.starts[keep]
    )
    flows = follow(turned, Ends(-1.0, -1.0, -math.inf, longest=p.rotated_arc), rtol=1e-7, coarser=10.0)
    mixture = Mixture("mixture", ((1.0, family.network), (0.5, power_net(settings.units, p.dimension, degree + 1))), degree)
    return {
        "increase": float(lemmas.increase(flows).max()),
        "length": float(flows.samples.length[:, -1].min()),
        "kkt_defect": float(lemmas.kkt_defect(flows).min()),
        "energy_identity": float(lemmas.energy_identity(flows).min()),
        "angle_identity": float(lemmas.angle_identity(flows).min()),
        "degree_defect": degree_defect(mixture, family.x[0], degree),
    }


def gather(cells: Mapping[str, Evidence]) -> tuple[Evidence, pd.DataFrame, Mapping[str, np.ndarray]]:
    """Evidence with the arrays for the figures and the table, and the one cell."""
    arrays = cells["all"].arrays
    runs = pd.DataFrame({key.removeprefix("runs_"): values for key, values in arrays.items() if key.startswith("runs_")})
    kept = {key: values for key, values in arrays.items() if key.startswith("curve_")}
    return Evidence(runs=runs, arrays=kept), runs, arrays


def extreme(
    evidence: Evidence,
    runs: pd.DataFrame,
    name: str,
    column: str,
    *,
    error: str | float,
    smallest: bool = False,
    where: Iterable[bool] | None = None,
) -> None:
    """Record the largest (smallest) entry of a column over the runs of which it speaks, with the error of that run."""
    values = runs[column].to_numpy(dtype=float)
    chosen = np.nonzero(~np.isnan(values) & (True if where is None else np.asarray(where, dtype=bool)))[0]
    if not len(chosen):
        evidence.measure(name, math.nan, error=0.0, n=0)
        return
    row = chosen[values[chosen].argmin() if smallest else values[chosen].argmax()]
    bound = runs[error].to_numpy(dtype=float)[row] if isinstance(error, str) else error
    evidence.measure(name, values[row], error=bound, n=len(chosen))


def common_metrics(evidence: Evidence, p: Parameters, runs: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> None:
    """The metrics that both papers' claims ask for."""

    def worst(name: str, column: str, error: str | float, *, smallest: bool = False, where: Any = None) -> None:
        extreme(evidence, runs, name, column, error=error, smallest=smallest, where=where)

    def counted(name: str, which: Any) -> None:
        evidence.measure(name, int(np.sum(which)), error=0.0, n=len(runs))

    grows, vanishes, rests = (runs.outcome == name for name in ("grows", "vanishes", "rests"))
    for name, which in (("grow", grows), ("vanish", vanishes), ("rest", rests), ("stay_open", runs.outcome == "open")):
        counted(f"runs_that_{name}", which)
    counted("positive_starts_that_do_not_grow", (runs.start_value > 1e-9) & ~grows)
    worst("signal", "signal", ROUNDING, smallest=True)
    worst("degree_defect", "degree_defect", 0.0)
    worst("increase_min", "increase", p.rtol, smallest=True)
    for name in IDENTITIES:
        worst(f"{name}_identity_max", f"{name}_identity", "identity_error")
    worst("curve_length_max", "length", 1e-6)
    worst("polygon_gap_max", "polygon_gap", 1e-6)
    evidence.measure("polygon_gap_radial", runs.polygon_gap_radial.median(), error=1e-6, n=int(runs.polygon_gap_radial.count()))
    worst("kkt_defect_max", "kkt_defect", ROUNDING, where=grows | rests)
    # medians: where every unit is dead a random direction is a KKT point too
    found = runs[runs.kkt_distance.notna()]
    evidence.measure("kkt_defect_random", found.kkt_defect_random.median(), error=ROUNDING, n=len(found))
    worst("limit_value_min", "limit_value", ROUNDING, smallest=True, where=grows | rests)
    worst("kkt_distance_max", "kkt_distance", ROUNDING)
    distances = runs.random_distance.dropna()
    evidence.measure("kkt_distance_random", distances.median(), error=ROUNDING, n=len(distances))
    worst("found_kkt_defect_max", "found_defect", ROUNDING)
    worst("vanishing_limit_value_max", "limit_value", ROUNDING, where=vanishes)
    worst("vanishing_kkt_defect_max", "kkt_defect", ROUNDING, where=vanishes)
    worst("norm_fall_max", "fall_since_positive", p.rtol)
    worst("norm_fall_negative_start", "fall", "log_norm_error", where=runs.start_value < 0)
    worst("floor_log_ratio_min", "floor", p.rtol, smallest=True, where=grows | rests)
    worst("floor_log_ratio_vanishing", "floor", "log_norm_error", where=vanishes)
    for case in ("positive", "turning", "resting"):
        counted(f"floor_runs_{case}", runs.case == case)
    # a second mode that is much slower changes the constant once, where it takes over
    evidence.measure("kl_fall_nine_in_ten", float(runs.kl_fall.quantile(0.9)), error=1e-3, n=int(runs.kl_fall.count()))
    evidence.measure("kl_fall_flat", lemmas.flat_fall(), error=1e-6)
    evidence.measure("kl_exponent_median", runs.kl_exponent.median(), error=1e-3, n=int(runs.kl_exponent.count()))
    for name, error in (("increase", 1e-7), ("length", 1e-5), ("kkt_defect", ROUNDING), ("energy_identity", 1e-5)):
        evidence.measure(f"{name}_rotated", float(arrays[f"broken_{name}"]), error=error, n=2)
    evidence.measure("angle_identity_rotated", float(arrays["broken_angle_identity"]), error=1e-5, n=2)
    evidence.measure("degree_defect_mixture", float(arrays["broken_degree_defect"]), error=1e-10)
