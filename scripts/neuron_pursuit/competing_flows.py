"""Sums of homogeneous functions, each with a flow of its own: which of them grow first (neuron_pursuit, Lemmas 10 and 11).

Sums of powers, whose flows are known in closed form, and NCFs of small networks.
"""

from pydantic import Field

from flowcheck.networks.zoo import deep_linear, deep_power, power_net
from flowcheck.papers.neuron_pursuit import lemma_10, lemma_11
from flowcheck.papers.neuron_pursuit.lemma_10 import Growth
from flowcheck.papers.neuron_pursuit.summands import Summands, ncf_flows, power_sums
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main

DEGREE_TWO = {
    "two linear layers": deep_linear((1,), 3),
    "leaky neuron": deep_power((1,), 3, 1.0, 0.5),
    "two squared leaky units": power_net(2, 3, 2.0, slope=0.5),
}
HIGHER = {
    "squared leaky neuron": deep_power((1,), 3, 2.0, 0.5),
    "three linear layers": deep_linear((2, 2), 3),
    "cubed neuron": deep_power((1,), 3, 3.0, 1.0),
    "quartic ReLU units": power_net(2, 3, 4.0),
    "three layers of squares": deep_power((1, 1), 2, 2.0, 1.0),
}
DEGREES = (2.5, 3.0, 4.0, 5.0)


class Parameters(ParametersModel):
    sums: int = Field(ge=10, description="competitions of sums of powers, for each degree")
    competitions: int = Field(ge=2, description="competitions of each network")
    functions: int = Field(ge=2, le=8, description="functions of a competition")


def cell(p: Parameters, context: Context) -> Evidence:
    second = power_sums(context.rng("quadratic forms"), 2.0, p.sums, p.functions)
    twice = second.repeated(context.rng("copies"))
    of_two = {
        name: ncf_flows(network, context.rng(name), p.competitions, p.functions, copies=2, positive=name == "leaky neuron")
        for name, network in context.progress(list(DEGREE_TWO.items()), what="degree two")
    }
    growth = {"quadratic forms": Growth.of(second), "copies": Growth.of(twice)}
    growth |= {name: Growth.of(flows) for name, flows in of_two.items()}
    evidence = Evidence.of([lemma_10.readings(growth.values())])
    evidence.record("lemma10_curvature_max", lemma_10.second_order(of_two.values()))
    evidence.record("lemma10_others_share_outside_max", lemma_10.outside_stable_sets(second))
    cubic = power_sums(context.rng("degree three"), 3.0, p.sums, p.functions)
    evidence.record("lemma10_dominant_share_change_degree_three", lemma_10.degree_three(cubic))
    evidence.record("lemma10_rate_gap_turning", lemma_10.turning(context.rng("turning"), p.sums))

    higher = {
        name: ncf_flows(network, context.rng(name), p.competitions, p.functions)
        for name, network in context.progress(list(HIGHER.items()), what="higher degrees")
    }
    kinds: dict[str, Summands] = {f"degree {L:g}": power_sums(context.rng("sums", L), L, p.sums, p.functions) for L in DEGREES}
    kinds |= higher
    evidence.add(lemma_11.readings(kinds.values()))
    evidence.record("lemma11_dominant_lost", lemma_11.dominant_that_lose(kinds.values()))
    evidence.record("lemma11_kkt_start_gap_max", lemma_11.from_kkt_points(higher.values()))
    evidence.add(lemma_11.long_starts(higher.values()))
    evidence.record("lemma11_time_over_upper_turning_max", lemma_11.turned(higher["three linear layers"], rate=2.0))
    evidence.record("lemma11_fall_first_two_degrees", lemma_11.of_two_degrees())
    evidence.record("lemma11_fall_others_coupled", lemma_11.coupled())
    residuals = [flows.residuals().largest() for flows in (*of_two.values(), *higher.values())]
    evidence.record("limit_residual_max", lemma_10.all_of(residuals, "largest"))
    evidence.arrays |= lemma_10.shares(twice) | lemma_11.shares(lemma_11.tied(kinds["degree 4"]))
    evidence.runs = lemma_11.rows(kinds)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
