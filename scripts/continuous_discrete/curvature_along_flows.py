"""Curvature along flows (continuous_discrete, Section 4, Appendix C): Propositions 8, 12 and 24, and what they rest on.

Gradient flows from near zero of linear, piecewise-linear and convolutional networks; the smallest eigenvalue of the Hessian at
points on the way against the bounds, at points with the same end-to-end matrix, and at random points.
"""

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from flowcheck.papers.continuous_discrete import along_flows, balance_laws, flow_bounds, rough_convexity
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Epsilon = Annotated[float, Field(ge=1e-8, le=0.1)]


class Parameters(ParametersModel):
    depths: list[Annotated[int, Field(ge=2, le=5)]] = Field(min_length=2, description="of linear networks; 2 is a control")
    kinked_depths: list[Annotated[int, Field(ge=3, le=4)]] = Field(min_length=1)
    activations: list[Literal["relu", "leaky", "steep"]] = Field(min_length=1)
    draws: int = Field(ge=1, le=20, description="networks of each depth, activation, loss and number of outputs")
    converging: int = Field(ge=1, le=20, description="networks of each depth above 2 whose flows converge")
    epsilons: list[Epsilon] = Field(min_length=1, description="norms of all weights at the start; at most 1/2n")
    kinked_epsilons: list[Epsilon] = Field(min_length=1)
    points: int = Field(ge=20, le=1000, description="of each flow")
    loss_ratio: float = Field(gt=0, lt=1, description="of the loss at the end of a flow")
    length: float = Field(gt=1, le=5000, description="largest arc of a flow")
    kinked_length: float = Field(gt=1, le=1000)
    biased: int = Field(ge=1, le=200, description="draws of networks with biases and with pooling")


def cell(p: Parameters, context: Context) -> Evidence:
    rng = context.rng("networks")
    linear = list(along_flows.dense(rng, p.depths, p.draws, ("linear",)))
    kinked = list(along_flows.dense(rng, p.kinked_depths, p.draws, p.activations)) + list(
        along_flows.one_sample(rng, p.kinked_depths, p.draws, p.activations)
    )
    tied = list(along_flows.tied(rng, p.draws, ("linear", *p.activations)))
    rng = context.rng("starts")
    ends = p.length, p.kinked_length
    chosen = ((linear, p.epsilons), (kinked, p.kinked_epsilons), (tied, p.kinked_epsilons))
    smooth, pieces, shared = (
        along_flows.seen(rng, networks, epsilons, p.points, p.loss_ratio, ends)
        for networks, epsilons in context.progress(chosen, what="families of networks")
    )
    rng = context.rng("far")
    deep = [pair for pair in linear if len(pair[0].network.layers) > 2]
    away = [along_flows.far(rng, pairs, 20, p.kinked_length / 10) for pairs in (deep[:4], kinked[:2], tied[:2])]
    rng = context.rng("short")
    short = along_flows.short_last(rng, deep[:4], 20, p.kinked_length / 10)
    rng = context.rng("convergence")
    whitened = list(along_flows.whitened(rng, [depth for depth in p.depths if depth > 2], p.converging))
    converging = along_flows.seen(rng, whitened, p.epsilons, p.points, p.loss_ratio, ends)
    rng = context.rng("contrast")
    shown = next(one for one in smooth if one.flow.depth == 3 and one.flow.epsilon <= 0.01)
    parts: list[Found] = [
        along_flows.proposition_8(smooth, away[0], short),
        along_flows.proposition_12(pieces, away[1]),
        along_flows.proposition_24(shared, away[2]),
        balance_laws.with_biases_and_pooling(context.rng("biases"), p.biased),
        rough_convexity.contrast(rng, smooth),
        rough_convexity.at_the_end(rng, converging),
        rough_convexity.displayed(rng, shown),
    ]
    groups = {
        "8": (smooth, flow_bounds.proposition_8),
        "12": (pieces, flow_bounds.proposition_12),
        "24": (shared, flow_bounds.proposition_24),
    }
    return Evidence.of(parts, pd.DataFrame(along_flows.listing(groups)))


if __name__ == "__main__":
    main(Parameters, cell)
