"""The step that Theorem 3 certifies along runs on digits against the step that works (beyond continuous_discrete, Section 6).

Fully connected networks of Figure 1 in double precision; curvature and slope are measured at points of the run. The control is a
bowl that is hardly left, where the theorem is sharp up to a factor of two.
"""

from collections.abc import Mapping

from pydantic import Field

from flowcheck.data.mnist import digits
from flowcheck.papers.continuous_discrete import certified_step, mnist_networks
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    network: mnist_networks.Name
    digits: int = Field(ge=10, le=60_000)
    draws: int = Field(ge=2, le=20, description="of the weights")
    iterations: int = Field(ge=20, le=100_000, description="with the step size of Figure 1")
    points: int = Field(ge=4, le=200, description="of each run, at which curvature and slope are measured")


def cell(p: Parameters, context: Context) -> Evidence:
    data = digits(context.data["mnist"], count=p.digits)
    runs = [
        certified_step.on_digits(p.network, data, context.rng(p.network, draw), p.iterations, p.points)
        for draw in context.progress(range(p.draws))
    ]
    return Evidence.of([certified_step.read(p.network, runs)])


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    found: list[Found] = [{**one.metrics, **one.arrays} for one in cells.values()]
    return Evidence.of([*found, certified_step.control(context.rng("bowl"))])


if __name__ == "__main__":
    main(Parameters, cell, gather)
