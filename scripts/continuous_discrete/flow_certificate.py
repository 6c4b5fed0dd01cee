"""How far descent is from the flow, found from the run itself (beyond continuous_discrete, whose Theorem 3 it is held against).

Guaranteed tubes around the flow where the third derivative is bounded, sampled ones for any smooth network, and for ReLU networks
the distance between two runs of descent, calibrated on some networks and tried on others.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import Field

from flowcheck.papers.continuous_discrete import calibrated_gap, certified_runs
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    step_size: float = Field(gt=1e-3, le=0.1)
    until: float = Field(gt=0.5, le=20, description="time of the runs on random data")
    depths: list[Annotated[int, Field(ge=2, le=4)]] = Field(min_length=1, description="of deep linear networks, Theorem 3")
    cosines: list[Annotated[float, Field(gt=-1, lt=1)]] = Field(min_length=1)
    pairs: int = Field(ge=1, le=20, description="starts of two tanh units, Theorem 3 with enclosed constants")
    intervals: int = Field(ge=20, le=1000, description="of time, for these constants")
    draws: int = Field(ge=1, le=100, description="of each kind of smooth network")
    orders: list[Annotated[float, Field(gt=1e-3, le=0.1)]] = Field(min_length=3, description="step sizes")
    calibrated: int = Field(ge=10, le=200, description="runs of each kind of ReLU network that give the factor")
    tried: int = Field(ge=2, le=200, description="of each kind that it is tried on")


def cell(p: Parameters, context: Context) -> Evidence:
    balanced = certified_runs.balanced(context.rng("balanced"), p.depths, p.cosines)
    one_layer = certified_runs.two_layer(context.rng("one layer"), p.draws, p.until)
    guaranteed = [*balanced, *certified_runs.tanh_pairs(context.rng("pairs"), p.pairs, 2.0, p.intervals), *one_layer]
    saddles = certified_runs.near_saddles(context.rng("saddles"), p.draws)
    layered = certified_runs.layered(context.rng("layered"), p.draws, p.until)
    parts: list[Callable[[], Found]] = [
        partial(certified_runs.guaranteed, guaranteed, saddles, p.step_size),
        partial(certified_runs.sampled, [*one_layer, *layered], p.step_size),
        partial(certified_runs.order, one_layer[:: p.draws], p.orders),
        partial(certified_runs.displayed, balanced[-1], p.step_size),
        partial(calibrated_gap.calibrated, context.rng("kinks"), p.calibrated, p.tried, p.step_size, p.until),
    ]
    return Evidence.of(part() for part in context.progress(parts, what="parts"))


if __name__ == "__main__":
    main(Parameters, cell)
