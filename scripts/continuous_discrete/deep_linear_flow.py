"""Deep linear networks, the flow (continuous_discrete, Section 5): Proposition 14 and the lemmas of its proof.

Procedure 13, Proposition 14, Lemmas 35 to 65, Appendix F. On its own clock the flow from a balanced start is known exactly; flows
of all weights confirm it, and near it Hessians are computed whole.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import pandas as pd
from pydantic import Field

from flowcheck.papers.continuous_discrete import appendix_i12, end_to_end_flow, near_the_flow
from flowcheck.papers.continuous_discrete.reparameterised_flow import displayed
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Depth = Annotated[int, Field(ge=2, le=12)]
Cosine = Annotated[float, Field(gt=-1, le=1)]
Length = Annotated[float, Field(gt=1e-4, le=0.2)]


class Parameters(ParametersModel):
    depths: list[Depth] = Field(min_length=1)
    cosines: list[Cosine] = Field(min_length=1, description="of the start with the target")
    lengths: list[Length] = Field(min_length=1, description="of the end-to-end vector at the start")
    accuracies: list[Annotated[float, Field(ge=1e-8, le=0.5)]] = Field(min_length=1, description="epsilon-bar")
    full_depths: list[Depth] = Field(min_length=1, description="of networks whose weights are all followed")
    full_cosines: list[Cosine] = Field(min_length=1)
    full_lengths: list[Length] = Field(min_length=1)
    inputs: int = Field(ge=2, le=20)
    width: int = Field(ge=1, le=20)
    draws: int = Field(ge=20, le=100_000)


def cell(p: Parameters, context: Context) -> Evidence:
    slacks, table = appendix_i12.appendix_i12(p.depths, p.cosines, p.lengths, p.accuracies)
    full, near = context.rng("full"), context.rng("near")
    parts: list[Callable[[], Found]] = [
        partial(end_to_end_flow.full_flows, full, p.full_depths, p.full_cosines, p.full_lengths, p.inputs, p.width),
        partial(end_to_end_flow.identities, context.rng("identities"), p.draws),
        partial(end_to_end_flow.whitened, context.rng("whitened"), p.draws // 10, 30, p.inputs),
        partial(
            end_to_end_flow.equation_59, context.rng("equation-59"), p.full_depths, p.full_cosines, p.full_lengths[0], p.inputs
        ),
        partial(end_to_end_flow.lemma_36, context.rng("lemma-36"), p.draws // 20),
        partial(end_to_end_flow.stays_antiparallel, p.full_depths),
        partial(near_the_flow.near_the_flow, near, p.full_depths, p.full_cosines, p.full_lengths[0], p.inputs, p.width),
        partial(near_the_flow.lemma_60, 201),
        partial(displayed, p.depths, p.lengths[0]),
    ]
    return Evidence.of([slacks, *(part() for part in context.progress(parts, what="parts"))], pd.DataFrame(table))


if __name__ == "__main__":
    main(Parameters, cell)
