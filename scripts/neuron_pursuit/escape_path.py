"""How flows from small starts leave the origin (neuron_pursuit, Lemmas 4 and 5): along one path, idle neurons small."""

from pydantic import Field

from flowcheck.networks.zoo import deep_linear, deep_power
from flowcheck.papers.neuron_pursuit import lemma_4
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

NETWORKS = {
    "two_linear_layers": deep_linear((3,), 3),
    "three_linear_layers": deep_linear((2, 2), 3),
    "squares": deep_power((3,), 3, 2.0, 1.0),
    "squared_leaky": deep_power((3,), 3, 2.0, 0.5),
    "cubes": deep_power((3,), 3, 3.0, 1.0),
}
DELTAS = {2: (1e-2, 1e-4, 1e-6, 1e-8), 3: (1e-2, 1e-3, 1e-4, 1e-5), 4: (1e-2, 10**-2.5, 1e-3, 10**-3.5)}
"""By degree: the time of the escape is known to 1e-10 of it, so to the power -(L - 2) of delta."""


class Parameters(ParametersModel):
    cases: int = Field(ge=2, description="labels of each network, with two starts")


def cell(p: Parameters, context: Context) -> Evidence:
    studies = {}
    for name, network in context.progress(list(NETWORKS.items()), what="networks"):
        escape, deltas = lemma_4.draw(network, context.rng(name), p.cases), DELTAS[int(network.degree)]
        studies[name] = (escape, deltas, lemma_4.study(escape, deltas))
    evidence = Evidence.of([lemma_4.readings(studies)])
    evidence.arrays |= lemma_4.curves(studies)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
