"""The experiment of Figure 1 (spherical_data, Section 5): SGD on the circle, linear predictor and four-layer linear network.

Batches of fresh points, constant step, w_e(0) = (0.6, -0.8), v = (0, 1). One cell per depth. The exact population flow and the
bounds of Theorems 1 and 3 are drawn over the runs; the bounds restarted at n = 5000 and n = 18000 start from the observed angle
and norm of each run.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures import readings
from flowcheck.networks import linear
from flowcheck.papers.spherical_data import figure_criteria
from flowcheck.papers.spherical_data.figure_curves import curves
from flowcheck.papers.spherical_data.reference_run import start
from flowcheck.papers.spherical_data.sgd import BLOCK, circle_sgd
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

BALANCEDNESS_ROUNDING = 1e-14
"""Of the balancedness defect: differences of sums of five products of weights, which stay below two."""


class Parameters(ParametersModel):
    depth: Literal[1, 4]
    seeds: int = Field(ge=1)
    step_size: Annotated[float, Field(gt=0)]
    batch_size: int = Field(ge=1)
    steps: int = Field(ge=1)
    every: int = Field(ge=1)
    width: int = Field(ge=1)


def cell(p: Parameters, context: Context) -> Evidence:
    path = circle_sgd(
        linear.balanced_weights(start(2), [p.width] * (p.depth - 1), context.rng("weights", p.depth)),
        [context.rng("samples", p.depth, seed) for seed in range(p.seeds)],
        step_size=p.step_size,
        batch_size=p.batch_size,
        steps=p.steps,
        every=p.every,
        device=context.device,
        progress=lambda chunks: context.progress(chunks, what=f"blocks of {BLOCK} steps"),
    )
    defect = [linear.balancedness_defect([layer[seed] for layer in path.final_weights]) for seed in range(p.seeds)]
    shown = curves(path.w_e, path.steps * p.step_size, p.depth)
    numbers, met = figure_criteria.numbers(shown, p.depth), figure_criteria.criteria(shown, p.depth)
    evidence = Evidence()
    for name, number in numbers.items():
        evidence.record(f"{name}_median_N{p.depth}", number.median())
    for name, hits in met.items():
        evidence.record(f"{name}_fraction_N{p.depth}", readings.fraction(hits))
    evidence.record(f"balancedness_median_N{p.depth}", readings.median(np.array(defect), BALANCEDNESS_ROUNDING))
    drawn = shown.arrays() | {"w_e": path.w_e, "batch_loss": path.batch_loss}
    evidence.arrays = {f"{name}_N{p.depth}": array for name, array in drawn.items()}
    columns = {name: number.value for name, number in numbers.items()} | {"balancedness": defect}
    evidence.runs = pd.DataFrame(
        {"depth": p.depth, "seed": np.arange(p.seeds)} | columns | {f"{name}_ok": hits for name, hits in met.items()}
    )
    return evidence


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    found = [part for cell in cells.values() for part in (cell.metrics, cell.arrays)]
    return Evidence.of(found, pd.concat([cell.runs for cell in cells.values()], ignore_index=True))


if __name__ == "__main__":
    main(Parameters, cell, gather)
