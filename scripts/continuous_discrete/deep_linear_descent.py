"""Deep linear networks, gradient descent (continuous_discrete, Section 5, Appendix G): Theorems 15 and 32, Corollary 18.

The printed step sizes, 1e-18 and less, cannot be run: their proofs are evaluated line by line with logarithms, the conclusions at
step sizes that can be run. Lemmas 31, 33 and 88.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.papers.continuous_discrete import descent_proofs, theorem_15, unbalanced
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Depth = Annotated[int, Field(ge=2, le=12)]
Cosine = Annotated[float, Field(gt=-1, le=1)]
Step = Annotated[float, Field(gt=1e-5, le=0.2)]
PRINTED_DEPTHS = np.arange(2.0, 11.0)


class Parameters(ParametersModel):
    proof_depth: int = Field(ge=2, le=30, description="largest depth for which the proofs are evaluated")
    proof_points: int = Field(ge=3, le=40, description="of each axis of their grid")
    depths: list[Depth] = Field(min_length=1)
    cosines: list[Cosine] = Field(min_length=1)
    lengths: list[Annotated[float, Field(gt=1e-3, le=0.2)]] = Field(min_length=1)
    step_sizes: list[Step] = Field(min_length=2, description="from large to small")
    accuracy: float = Field(gt=1e-6, le=1)
    most_steps: int = Field(ge=1000, le=10_000_000)
    instance_cosines: list[Cosine] = Field(min_length=1)
    inputs: list[Annotated[int, Field(ge=2, le=1000)]] = Field(min_length=1)
    draws: int = Field(ge=50, le=100_000)
    drawn_accuracy: float = Field(gt=1e-6, le=1)
    noise: list[Annotated[float, Field(gt=1e-9, lt=0.1)]] = Field(min_length=3)
    tuples: int = Field(ge=50, le=100_000)
    precise_draws: int = Field(ge=3, le=1000)


def cell(p: Parameters, context: Context) -> Evidence:
    reached, table = theorem_15.conclusion(p.depths, p.cosines, p.lengths, p.step_sizes, p.accuracy, p.most_steps)
    draws, noise, largest = context.rng("draws"), context.rng("noise"), p.step_sizes[0]
    parts: list[Callable[[], Found]] = [
        partial(descent_proofs.proofs, p.proof_depth, p.proof_points),
        partial(descent_proofs.printed_sizes, PRINTED_DEPTHS),
        partial(theorem_15.instances, p.depths[:2], p.instance_cosines, p.lengths[0], p.accuracy, p.step_sizes),
        partial(theorem_15.corollary_18, draws, p.depths, p.inputs, p.draws, largest, p.drawn_accuracy, p.most_steps),
        partial(unbalanced.lemma_31, context.rng("lemma-31"), p.tuples),
        partial(unbalanced.lemma_33, context.rng("lemma-33"), p.tuples),
        partial(unbalanced.theorem_32, noise, p.depths[:2], p.instance_cosines, p.lengths[-1], p.noise, p.accuracy, largest),
        partial(unbalanced.lemma_88, context.rng("lemma-88"), p.precise_draws),
    ]
    return Evidence.of([reached, *(part() for part in context.progress(parts, what="parts"))], pd.DataFrame(table))


if __name__ == "__main__":
    main(Parameters, cell)
