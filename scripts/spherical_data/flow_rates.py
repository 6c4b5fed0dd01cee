"""Rates of the population flow (spherical_data: Theorems 1 and 3, Proposition 4, Lemmas 1, 6, 7, 8 and 9, Propositions 2 and 3).

One cell per depth. Every start of the grid (law, norm, angle) is integrated by the exact two-variable reduction; a few starts are
also integrated as full weight matrices with the gradient of Eq. (2) by direct quadrature, which presupposes none of the
identities. Errors are changes to a coarser integration and, where a gradient is a quadrature, to a coarser quadrature.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures import readings
from flowcheck.measures.readings import largest_of, smallest_of
from flowcheck.measures.refinement import Refined, refined
from flowcheck.networks.linear import Weights, balanced_weights
from flowcheck.papers.spherical_data import (
    broken_flows,
    broken_statements,
    full_weights,
    lemma_1,
    lemma_7,
    lemma_8,
    opposite_start,
    proposition_4,
    reference_run,
    theorem_1,
    theorem_3,
)
from flowcheck.papers.spherical_data.flow_table import table
from flowcheck.papers.spherical_data.full_weights import Accuracy, FullFlow
from flowcheck.papers.spherical_data.phases import over_runs
from flowcheck.papers.spherical_data.population import LAWS, SphericalLaw, law
from flowcheck.papers.spherical_data.reduced_flow import COARSE_RTOL, RTOL
from flowcheck.papers.spherical_data.reference_run import CLOCK
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import one_of

Positive = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(gt=0, lt=math.pi)]
FULL, BROKEN, OPPOSITE = Accuracy(rtol=1e-11), Accuracy(rtol=1e-9), Accuracy(rtol=1e-10)
"""Accuracy of full weights: from balanced starts, with a hypothesis broken, from the opposite start."""
FEW, MANY = 61, 121
"""Times at which full weights are recorded."""
SMALLEST = (
    *("theorem3_upper_excess_unbalanced", "lemma8_lower_ratio_unbalanced", "lemma8_upper_ratio_unbalanced"),
    *("opposite_slope_gap_beside", "opposite_sine_beside", "opposite_lower_ratio_unbalanced"),
)
"""Numbers of which the smallest over the depths is asked: controls that must be too large at each of them."""
TURNS_READ, ANGLES_READ = (1, 2, 4), {1: 10, 4: 20}
"""Depths at which T of the paper's own start is read, and depths and times at which its angle is."""


class Parameters(ParametersModel):
    depth: int = Field(ge=1)
    laws: list[Annotated[str, one_of(LAWS)]] = Field(min_length=1)
    norms: list[Positive] = Field(min_length=1)
    angles: list[Angle] = Field(min_length=1)
    clock_advance: Positive
    clock_points: int = Field(ge=50)
    resolved_from: Positive
    full_dimension_law: Annotated[str, one_of(LAWS)]
    full_horizon: Positive
    width: int = Field(ge=1)


def cell(p: Parameters, context: Context) -> Evidence:
    def balanced(w: np.ndarray, *stream: str) -> Weights:
        return balanced_weights(w, [p.width] * (p.depth - 1), context.rng(*stream))

    depth, horizon = p.depth, p.full_horizon
    advances = np.concatenate([[0.0], np.geomspace(0.1 * p.resolved_from, p.clock_advance, p.clock_points)])
    angle, norm = (axis.ravel() for axis in np.meshgrid(p.angles, p.norms, indexing="ij"))
    laws = context.progress(p.laws, what="laws")
    tables = [table(law(name), depth, angle, norm, advances, p.resolved_from) for name in laws]
    evidence = Evidence.of([paper_start(depth, advances)], pd.concat(tables, ignore_index=True))
    full = [law("circle"), law(p.full_dimension_law)]
    starts = [balanced(reference_run.start(which.dimension), "full", which.name) for which in full]
    evidence.add(full_networks(depth, full, starts, np.linspace(0.0, horizon, FEW)))
    tilted, times = balanced(broken_flows.BESIDE_TILTED, "ellipse"), np.linspace(0.0, horizon, MANY)
    stretched = refined(lambda accuracy: broken_flows.ellipse(tilted, times, accuracy), BROKEN, BROKEN.coarser)
    evidence.add(at_depth(depth, stretched))
    turning, long = balanced(broken_flows.TURNING_START, "stretched"), np.linspace(0.0, 4 * horizon, 2 * MANY - 1)
    turns = refined(lambda accuracy: broken_flows.turns(turning, long, accuracy), BROKEN, BROKEN.coarser)
    evidence.record(
        f"{'lemma1' if depth == 1 else 'lemma6'}_sign_changes_stretched", Measurement.count(int(turns["sign_changes"].value))
    )
    evidence.record("lemma8_growth_slope_stretched", turns["growth_slope"].number())
    if depth != 2:
        evidence.add(broken_statements.flipped(balanced(broken_statements.WITH_A_TURN, "flipped"), p.resolved_from, BROKEN))
    if depth == 1:
        evidence.add(broken_statements.only_shrinking(BROKEN))
    else:
        evidence.add(broken_statements.unbalanced_identities(balanced(reference_run.start(2), "unbalanced"), times, BROKEN))
    if depth > 2:
        falling, growing = (balanced(w, "bounds") for w in (reference_run.start(2), broken_statements.GROWING))
        evidence.add(broken_statements.unbalanced_bounds(falling, growing, p.resolved_from, BROKEN))
        opposite, beside = (balanced(w, "opposite") for w in opposite_start.STARTS)
        evidence.add(opposite_start.measure(depth, opposite, beside, OPPOSITE))
    return evidence


def at_depth(depth: int, found: Mapping[str, Refined]) -> Found:
    """Numbers with their changes, and arrays for the figures; their names end in the depth."""
    return {f"{name}_N{depth}": each.number() if each.value.ndim == 0 else each.value for name, each in found.items()}


def paper_start(depth: int, advances: np.ndarray) -> Found:
    """The start of the paper's own figures: curves, and what is read of them at some depths."""
    path = reference_run.on_the_clock(depth, advances, RTOL)
    found: dict[str, Any] = {f"reference_{name}_N{depth}": curve for name, curve in reference_run.curves(path).items()}
    if depth in TURNS_READ:
        coarse = reference_run.on_the_clock(depth, advances, COARSE_RTOL)
        found |= at_depth(depth, refined(reference_run.turn, path, coarse))
    if depth in ANGLES_READ:
        time = ANGLES_READ[depth]
        angles = (reference_run.one_minus_cos(depth, time, rtol) for rtol in reference_run.PLAIN_TOLERANCES)
        found[f"one_minus_cos_N{depth}_t{time}"] = Refined.of(*angles).number()
    return found


def full_networks(depth: int, laws: Sequence[SphericalLaw], starts: Sequence[Weights], times: np.ndarray) -> Found:
    """Largest distances over the laws to the reduction, to the identities and to Proposition 4; the curves of the first law."""

    def flows(accuracy: Accuracy) -> list[FullFlow]:
        networks = [(which, reference_run.direction(which.dimension), start) for which, start in zip(laws, starts, strict=True)]
        return [full_weights.follow(*network, times, accuracy) for network in networks]

    def distances(flows: Sequence[FullFlow]) -> dict[str, Any]:
        return {
            "full_network_gap": max(full_weights.gap(flow, CLOCK) for flow in flows),
            "balancedness": max(full_weights.balancedness(flow) for flow in flows),
            "proposition4": max(proposition_4.distance(flow, CLOCK, flow.law.c0) for flow in flows),
            "wrong_c0": proposition_4.distance(flows[-1], CLOCK, flows[-1].law.mean_norm),
            "full_cosine": np.tanh(flows[0].q),
            "full_norm": flows[0].norm,
        }

    fine, coarse = flows(FULL), flows(FULL.coarser)
    return at_depth(depth, refined(distances, fine, coarse) | lemma_7.residuals(fine, coarse))


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    parts = list(cells.values())
    runs = pd.concat([part.runs for part in parts], ignore_index=True)
    one, several, deep = runs[runs.depth == 1], runs[runs.depth > 1], runs[runs.depth > 2]
    evidence = Evidence.of([part.arrays for part in parts], runs)
    evidence.arrays["full_times"], evidence.arrays["ellipse_times"] = (np.linspace(0.0, p.full_horizon, n) for n in (FEW, MANY))
    for name in dict.fromkeys(name for part in parts for name in part.metrics):
        of_all = smallest_of if name in SMALLEST else largest_of
        evidence.record(name, of_all(part.metrics[name] for part in parts if name in part.metrics))
    for found in (theorem_1.tightest(one), theorem_3.tightest(deep), lemma_8.tightest(deep), lemma_8.slopes(runs)):
        evidence.add(found)
    for lemma, flows in (("lemma1", one), ("lemma6", several)):
        evidence.add({f"{lemma}_{name}": found for name, found in lemma_1.over_flows(flows).items()})
    evidence.record("progress_along_v_min", over_runs(one, "progress_min"))
    for size in ("late_norm_gap", "late_along_v_gap"):
        evidence.record(f"{size}_max", over_runs(one, size, readings.largest))
    evidence.record("growth_max_at_pi", opposite_start.growth())
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
