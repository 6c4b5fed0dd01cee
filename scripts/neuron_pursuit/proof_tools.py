"""Tools of the proofs of neuron_pursuit: Gronwall, the reverse of Lojasiewicz's inequality, integrals of Taylor's formula.

Lemmas 16, 17 and 18.
"""

from pydantic import Field, PositiveFloat

from flowcheck.papers.homogeneous import gronwall
from flowcheck.papers.neuron_pursuit import lemma_17, lemma_18
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    gronwall_cases: int = Field(ge=2)
    gronwall_steps: int = Field(ge=2)
    points: int = Field(ge=10, description="points around each minimum of Lemma 17")
    paths: int = Field(ge=1, description="of them, starts of descent")
    draws: int = Field(ge=1, le=50, description="networks of each setting of Lemma 18")
    deltas: list[PositiveFloat] = Field(min_length=3)


def cell(p: Parameters, context: Context) -> Evidence:
    evidence = Evidence()
    evidence.add(gronwall.inequality(lambda rises: context.rng("gronwall", rises), p.gronwall_cases, p.gronwall_steps))
    evidence.add(lemma_17.readings(context.rng("minima"), p.points, p.paths))
    evidence.arrays |= lemma_17.curves(context.rng("figure"), p.points)
    found, curves = lemma_18.readings(context.rng("integrals"), p.deltas, p.draws)
    evidence.add(found)
    evidence.arrays |= curves
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
