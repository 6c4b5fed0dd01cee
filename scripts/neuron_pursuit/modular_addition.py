"""Neuron Pursuit learns modular addition (neuron_pursuit, Section 5.2.2): Figures 9 and 11, and which neuron is added where.

Three runs until no training pair is classified wrongly; in a fourth one, the control, labels are permuted among the pairs.
"""

from collections.abc import Mapping

import pandas as pd
from pydantic import Field, PositiveFloat

from flowcheck.papers.neuron_pursuit import modular_addition
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent
from flowcheck.pursuit.pursue import Plan


class Parameters(ParametersModel):
    run: modular_addition.Run
    prime: int = Field(ge=5, le=199)
    pairs: int = Field(ge=10, description="in the training set; the others are the test set")
    iterations: int = Field(ge=2, description="of the pursuit, at most")
    permuted_iterations: int = Field(ge=2, description="of the pursuit with permuted labels, at most")
    first_delta: PositiveFloat = Field(description="norm of the weights of the first network")
    later_delta: PositiveFloat = Field(description="norm of an added neuron, as a share of the norm of all weights")
    starts: int = Field(ge=1, description="of each ascent of the NCF")
    ascent_steps: int = Field(ge=1, description="of each start, at most")
    tolerance: PositiveFloat = Field(description="of the KKT residual, at which a start is done")
    step_size: PositiveFloat
    steps: int = Field(ge=10, description="of descent, in each iteration")


def cell(p: Parameters, context: Context) -> Evidence:
    permuted = p.run == "permuted"
    data = modular_addition.pairs(p.prime, p.pairs, context.rng("pairs", p.run), permuted=permuted)
    ascent = Ascent(starts=p.starts, iterations=p.ascent_steps, tolerance=p.tolerance)
    descent = Descent(step_size=p.step_size, steps=p.steps, looks=0, precision="float32")
    plan = Plan(first_delta=p.first_delta, later_delta=p.later_delta, ascent=ascent, inner=descent)
    cap = p.permuted_iterations if permuted else p.iterations
    seed = int(context.rng("starts", p.run).integers(2**31))
    found = modular_addition.learn(data, plan, cap, seed, context.progress)
    rows = modular_addition.history(p.run, data, found)
    evidence = Evidence.of([modular_addition.read(p.run, data, found, rows, cap)], rows)
    if p.run == "first":
        evidence.arrays |= modular_addition.picture(data, found)
    return evidence


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    runs = pd.concat([one.runs for one in cells.values()], ignore_index=True)
    evidence = Evidence.of([{**one.metrics, **one.arrays} for one in cells.values()], runs)
    taken = [evidence.metrics[f"iterations_to_zero_training_error{end}"].value for end in ("", "_second", "_third")]
    ratio = max(max(other / taken[0], taken[0] / other) for other in taken[1:])
    evidence.record("iterations_ratio_max", Measurement.exact(ratio, 2))
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
