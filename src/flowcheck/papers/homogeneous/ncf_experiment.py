"""The experiment on NCF flows that both papers share: families of random problems in, a table of runs and metrics out.

What only one paper states is in its script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field, model_validator

from flowcheck.flows.ending import Ends
from flowcheck.measures.readings import count, fraction
from flowcheck.papers.homogeneous import ncf_lemmas as lemmas
from flowcheck.papers.homogeneous import ncf_table, no_gradient
from flowcheck.papers.homogeneous.exact_trajectories import follow_exactly
from flowcheck.papers.homogeneous.families import Family, Inputs, Labels, Starts, draw_family
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.papers.homogeneous.kinds import Kind, network_of
from flowcheck.papers.homogeneous.later import follow_on
from flowcheck.papers.homogeneous.ncf_table import IDENTITIES, Runs
from flowcheck.papers.homogeneous.trajectories import FIRST, Flows, Followed, follow
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel

CURVE_POINTS = 300
CURVES = 4
"""Runs of a family that are drawn."""


class FamilySettings(ParametersModel):
    """One family of NCF flows: network, data and labels."""

    kind: Kind
    degree: int = Field(ge=2)
    units: int = Field(default=3, ge=1)
    points: int = Field(default=8, ge=2)
    slope: float = Field(default=0.0, ge=0, le=1)
    labels: Labels = "mixed"
    inputs: Inputs = "sphere"
    starts: Starts = "sphere"

    def draw(self, name: str, context: Context, *, runs: int, dimension: int) -> Family:
        return draw_family(
            name,
            self.kind,
            network_of(self.kind, self.degree, dimension, self.units, self.slope),
            context.rng("family", name),
            runs,
            points=self.points,
            labels=self.labels,
            inputs=self.inputs,
            starts=self.starts,
        )


class Parameters(ParametersModel):
    """`families` by name; `drawn` families have their runs in the figure of flows."""

    families: dict[str, FamilySettings] = Field(min_length=1)
    drawn: list[str]
    runs: int = Field(ge=2)
    dimension: int = Field(ge=1)
    ascents: int = Field(ge=1)
    rtol: float = Field(gt=0, lt=1)
    coarser: float = Field(gt=1)
    settled: float = Field(gt=0)
    rest: float = Field(gt=0)
    vanished: float = Field(lt=0)
    escaped: float = Field(gt=0)
    rotation: float = Field(gt=0)
    rotated_arc: float = Field(gt=0)

    @model_validator(mode="after")
    def _draws_what_is_there(self) -> Parameters:
        if unknown := [name for name in self.drawn if name not in self.families]:
            raise ValueError(f"drawn: unknown family {unknown[0]!r}; allowed: {', '.join(self.families)}")
        return self

    @property
    def ends(self) -> Ends:
        return Ends(self.settled, self.rest, self.vanished, self.escaped)


def study(
    families: Iterable[Family], drawn: Sequence[str], context: Context, *, ends: Ends, rtol: float, coarser: float, ascents: int
) -> tuple[Runs, Found]:
    """Follow all families, and read what the lemmas say; the runs, and curves `curve_*` of families that are drawn."""
    runs, curves = [], []
    for family in context.progress(list(families), what="families"):
        flows: Flows = follow_exactly(family, ends) if family.system.exact else follow(family, ends, rtol=rtol, coarser=coarser)
        on = follow_on(flows, ~lemmas.outcome(flows.fine, ends).open, rtol=rtol, coarser=coarser)
        runs.append(ncf_table.read(flows, on, ends, context.rng("ascent", family.name), ascents))
        if family.name in drawn:
            outcome = runs[-1].facts["outcome"]
            # the first run of every outcome, then the first ones
            firsts = sorted(np.unique(outcome, return_index=True)[1].tolist())
            shown = [*firsts, *(row for row in range(len(outcome)) if row not in firsts)][:CURVES]
            curves += [_curve(flows.fine, row) | {"outcome": outcome[row]} for row in shown]
        del flows, on  # a hundred megabytes while the next family is followed
    return Runs.of(runs), {f"curve_{key}": np.array([curve[key] for curve in curves]) for key in curves[0]}


def _curve(f: Followed, row: int) -> dict[str, np.ndarray | str | float]:
    """One run for the figures: N over its bound at the arcs of the nodes; ln|u| and the time left over T* at times of the mesh.

    Arc and time in units of 1/(beta |z|).
    """
    s, bound = f.samples, float(f.bound[row])
    pieces = int((s.weights[row].sum(axis=-1) > 0).sum())
    nodes = FIRST.nodes(s.arc[row])
    take, at_nodes = thinned(pieces + 1), thinned(pieces * FIRST.count)
    left = lemmas.remaining_time(f)[row] / f.blow_up_time[row] if s.degree > 2 else np.full_like(s.time[row], np.nan)
    return {
        "family": f.family.name,
        "degree": s.degree,
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


def broken_hypotheses(degree: int, context: Context, *, runs: int, dimension: int, rotation: float, arc: float) -> Found:
    """A field that is no gradient, and a network of no degree, made of two power units."""
    family = FamilySettings(kind="power", degree=degree, units=2).draw("rotated", context, runs=runs, dimension=dimension)
    family = family.on(context.device)
    return {**no_gradient.rotated_field(family, rotation, arc), **no_gradient.mixture_of_degrees(family)}


def common_metrics(runs: Runs) -> Found:
    """The metrics that both papers' claims ask for."""
    grows, vanishes, open_ = runs.ended("grows"), runs.ended("vanishes"), runs.ended("open")
    stays = runs.ended("grows", "rests")
    negative = runs["start_value"].value < 0
    matched = ~np.isnan(runs["kkt_distance"].value)
    flat = lemmas.flat_fall()
    return {
        "runs_that_grow": count(grows),
        "runs_that_vanish": count(vanishes),
        "runs_that_rest": count(runs.ended("rests")),
        "open_share": fraction(open_),
        "positive_starts_that_do_not_grow": count((runs["start_value"].value > 1e-9) & ~grows & ~open_),
        "signal": runs["signal"].smallest(),
        "degree_defect": runs["degree_defect"].largest(),
        "increase_min": runs["increase"].smallest(),
        **{f"{name}_identity_max": runs[f"{name}_identity"].largest() for name in IDENTITIES},
        "curve_length_max": runs["length"].largest(),
        "polygon_gap_max": runs["polygon_gap"].largest(),
        "polygon_gap_radial": runs["polygon_gap_radial"].median(),
        "kkt_defect_max": runs["kkt_defect"].largest(stays),
        # medians: where every unit is dead a random direction is a KKT point too
        "kkt_defect_random": runs["kkt_defect_random"].median(matched),
        "limit_value_min": runs["limit_value"].smallest(stays),
        "further_rise_min": runs["further_rise"].smallest(),
        "late_value_max": runs["late_value"].largest(~grows & ~open_),
        "kkt_distance_max": runs["kkt_distance"].largest(),
        "kkt_distance_random": runs["random_distance"].median(),
        "found_kkt_defect_max": runs["found_defect"].largest(),
        "vanishing_limit_value_max": runs["limit_value"].largest(vanishes),
        "vanishing_kkt_defect_max": runs["kkt_defect"].largest(vanishes),
        "norm_fall_max": runs["fall_since_positive"].largest(),
        "norm_fall_negative_start": runs["fall"].largest(negative),
        "floor_log_ratio_min": runs["floor"].smallest(stays),
        "floor_log_ratio_vanishing": runs["floor"].largest(vanishes),
        **{f"floor_runs_{case}": count(runs.facts["case"] == case) for case in ("positive", "turning", "resting")},
        # a second mode that is much slower changes the constant once, where it takes over
        "kl_fall_nine_in_ten": runs["kl_fall"].quantile(0.9),
        "kl_fall_flat": Measurement(flat, ROUNDING * flat),
        "kl_exponent_median": runs["kl_exponent"].median(),
    }
