"""Gradient descent on the population loss (spherical_data: Theorem 2, Lemmas 4, 5, 12, Eq. (8) and (10), Remarks 3, 6, 7).

One cell per law. The descent map is exact, so there is no integration error; what limits a comparison is rounding, and that is
what most errors below are.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures import readings
from flowcheck.measures.refinement import refined
from flowcheck.papers.spherical_data import (
    broken_descent,
    descent_runs,
    equation_8,
    lemma_5,
    lemma_12,
    remark_3,
    step_sums,
    theorem_2,
)
from flowcheck.papers.spherical_data.descent import population_descent
from flowcheck.papers.spherical_data.population import COARSE_PANELS, LAWS, PANELS, SphericalLaw, law
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import INCREASING, one_of

Positive = Annotated[float, Field(gt=0)]
COUNTS = (
    *("theorem2_runs_without_n0", "theorem2_runs_without_n1", "lemma5_runs_with_condition"),
    *("one_step_mismatches", "one_step_decreases", "huge_step_loss_increases"),
    *("halfspace_steps_order_violations", "halfspace_steps_order_violations_reversed"),
)
SMALLEST = ("huge_step_over_smoothness_limit", "summable_final_gap", "summable_runs_without_n0", "summable_runs_without_n1")
"""Numbers of which the smallest over the laws is asked, as of all that end in _min."""


class Parameters(ParametersModel):
    law: Annotated[str, one_of(LAWS)]
    constant_steps: list[Positive] = Field(min_length=2)
    power_steps: list[Annotated[float, Field(ge=-1, le=0)]] = Field(min_length=1)
    random_range: Annotated[tuple[Positive, Positive], INCREASING]
    starts: list[tuple[Positive, Annotated[float, Field(gt=0, lt=math.pi)]]] = Field(min_length=1)
    steps: int = Field(ge=100)
    one_step_trials: int = Field(ge=100)
    identity_trials: int = Field(ge=10)
    largest_step: Positive


def cell(p: Parameters, context: Context) -> Evidence:
    which, plan = law(p.law), schedules(context.rng("steps"), p.constant_steps, p.power_steps, p.random_range, p.steps)
    names, starts = [name for name in plan for _ in p.starts], p.starts * len(plan)
    norm0, angle0 = (np.array(column) for column in zip(*starts, strict=True))
    steps = np.stack([plan[name] for name in names])
    path = population_descent(which, norm0, angle0, steps, lambda items: context.progress(items, what="steps"))
    runs = descent_runs.table(path)
    sharp_norm, sharp_angle = (np.array([size]) for size in theorem_2.SHARP_START)
    short = population_descent(which, sharp_norm, sharp_angle, theorem_2.SHARP_STEP[None])
    constant = np.char.startswith(names, "constant") & (norm0 == 1.0) & (angle0 > 2.0)
    evidence = Evidence.of(
        [
            descent_runs.readings_of(path, runs),
            descent_runs.half_space_order(steps[:, 0], runs["n0"], constant),
            single_steps(which, context.rng("one step"), p.one_step_trials),
            identities(which, context.rng("identities"), p.identity_trials),
            remark_3.beyond_the_limit(which, p.largest_step, p.steps),
            remark_3.summable_steps(which),
            {"theorem2_sharp_gap_max": theorem_2.sharp_gap(short)},
        ],
        pd.DataFrame({"law": p.law} | runs | {"schedule": names, "norm0": norm0, "angle0": angle0}),
    )
    shown, kept = range(0, len(names), len(p.starts)), np.unique(np.geomspace(1, p.steps, 300).astype(int))
    evidence.arrays = {"n": kept, "schedule": np.array(list(plan)), "one_minus_cos": path.one_minus_cos[shown][:, kept]}
    evidence.arrays["bound"] = np.stack([theorem_2.bound(path, run)[kept] for run in shown])
    return evidence


def schedules(
    rng: np.random.Generator, constant: list[float], powers: list[float], between: tuple[float, float], steps: int
) -> dict[str, np.ndarray]:
    """Step sizes by name, each of length `steps`, all positive and bounded."""
    n, (low, high) = np.arange(1.0, steps + 1.0), between
    result = {f"constant {eta:g}": np.full(steps, eta) for eta in constant}
    result |= {f"n^{alpha:g}": n**alpha for alpha in powers}
    return result | {"random": rng.uniform(low, high, steps), "periodic": np.where(n % 2 == 0, low, high)}


def single_steps(which: SphericalLaw, rng: np.random.Generator, trials: int) -> Found:
    """Random single steps: the cosine grows exactly when Eq. (11) holds with some delta > 0."""
    norm, angle = 10 ** rng.uniform(-1, 2, trials), rng.uniform(0.01, 0.5 * math.pi, trials)
    falls, unmet = lemma_5.single_steps(population_descent(which, norm, angle, 10 ** rng.uniform(-1, 4, trials)[:, None]))
    return {"one_step_mismatches": readings.count(falls != unmet), "one_step_decreases": readings.count(falls)}


def identities(which: SphericalLaw, rng: np.random.Generator, trials: int) -> Found:
    """Eq. (8), Eq. (10) and the increment below it, from random points of R^d."""
    drawn = []
    for _ in range(trials):
        v, w = (x / np.linalg.norm(x) for x in rng.standard_normal((2, which.dimension)))
        drawn.append((w * 10 ** rng.uniform(-1, 1), v, 10 ** rng.uniform(-2, 1.5), rng.standard_normal(which.dimension)))

    def with_panels(panels: int) -> dict[str, np.ndarray]:
        longer, turn = np.array([lemma_12.residuals(which, w, v, eta, panels=panels) for w, v, eta, _ in drawn]).T
        ellipse = np.array([lemma_12.stretched_residuals(w, v, eta, panels=panels) for w, v, eta, _ in drawn])
        return {"longer": longer, "turn": turn, "ellipse": ellipse.max(axis=0)}

    gradient = refined(with_panels, PANELS, COARSE_PANELS)
    full, truncated, rounding = np.array([equation_8.residual(*step) for step in drawn]).T
    return {
        "lemma12_residual_max": gradient["longer"].largest(),
        "increment_residual_max": gradient["turn"].largest(),
        "lemma12_residual_ellipse": gradient["ellipse"][0].number(),
        "increment_residual_ellipse": gradient["ellipse"][1].number(),
        "equation8_residual_max": readings.largest(full, rounding),
        "equation8_residual_truncated": Measurement(truncated.max(), rounding[truncated.argmax()]),
    }


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    laws = list(cells.values())
    evidence = Evidence(arrays=laws[0].arrays, runs=pd.concat([found.runs for found in laws], ignore_index=True))
    for name in laws[0].metrics:
        smallest = name in SMALLEST or name.endswith("_min")
        of_all = readings.total if name in COUNTS else readings.smallest_of if smallest else readings.largest_of
        evidence.record(name, of_all(found.metrics[name] for found in laws))
    evidence.add(broken_descent.measure(context.rng("broken")))
    orders = step_sums.late_orders()
    evidence.add(step_sums.distances(orders, step_sums.broken_orders()))
    evidence.arrays["step_sum_names"] = np.array(list(orders))
    evidence.arrays["step_sum_slopes"] = np.array([(o.measured.value, o.stated, o.measured.error) for o in orders.values()])
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
