"""Clarke subdifferentials and KKT points (two_homogeneous): Lemmas 5.4, A.1, A.2, B.1, C.2, C.5, C.6, H.1, Examples G.1 and G.2.

Smooth points, and points on kinks of (leaky) ReLU networks, where the subdifferential is the hull of the gradients of the pieces
that meet there.
"""

import pandas as pd
from pydantic import Field
from torch import Tensor

from flowcheck.data import synthetic
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.papers.two_homogeneous.example_g_1 import example_g1
from flowcheck.papers.two_homogeneous.example_g_2 import example_g2
from flowcheck.papers.two_homogeneous.example_networks import two_homogeneous
from flowcheck.papers.two_homogeneous.lemma_5_4 import lemma_54
from flowcheck.papers.two_homogeneous.lemma_a import lemma_a1, lemma_a2
from flowcheck.papers.two_homogeneous.lemma_b_1 import homogeneity, not_homogeneous
from flowcheck.papers.two_homogeneous.lemma_c_5 import lemma_c5
from flowcheck.papers.two_homogeneous.lemma_c_6 import lemma_c6
from flowcheck.papers.two_homogeneous.lemma_h_1 import balance_along_flows, lemma_h1
from flowcheck.papers.two_homogeneous.neuron_points import neuron_points
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    points: int = Field(ge=4, description="random weights for each network of the homogeneity checks")
    starts: int = Field(ge=20, description="starts of each ascent")
    samples: int = Field(ge=50, description="gradients sampled around each kink, and lines of Lemma A.1")
    data_sets: int = Field(ge=1, description="draws of the data for Lemma 5.4")
    resolution: int = Field(ge=500, description="points on each line of Lemma A.1")


def cell(p: Parameters, context: Context) -> Evidence:
    rng = context.rng

    def data(name: str, samples: int) -> tuple[Tensor, Tensor]:
        """Inputs on the sphere of R^3, and Gaussian z."""
        own = rng(name)
        return synthetic.sphere_inputs(own, samples, 3), synthetic.gaussian(own, samples)

    x, z = data("hypotheses", 6)
    neurons = neuron_points(*data("neurons", 8), rng("neurons", "starts"), p.starts)
    draws = range(p.data_sets)
    evidence = Evidence.of(
        [
            measure(Presupposed(network, x, z[None], 2) for network in two_homogeneous().values()),
            homogeneity(*data("homogeneity", 6), rng("weights"), p.points),
            not_homogeneous(*data("not-homogeneous", 6), rng("not-homogeneous", "weights"), p.points),
            lemma_c6(*data("c6", 6), rng("c6", "weights"), p.points),
            lemma_a1(synthetic.sphere_inputs(rng("lemma-a-1-inputs"), 1, 3), rng("lemma-a-1"), p.samples, p.resolution),
            lemma_a2(*data("lemma-a-2", 5), rng("lemma-a-2", "weights"), p.points, p.samples),
            lemma_c5(*data("c5", 7), rng("c5", "starts"), p.starts, p.points, neurons),
            lemma_h1(neurons, rng("h1-around")),
            balance_along_flows(neurons.x, neurons.z.abs(), rng("h1-flows"), p.points),
            lemma_54(
                [data(f"lemma-5-4-{draw}", 6) for draw in draws], [rng("lemma-5-4-starts", draw) for draw in draws], p.points
            ),
            example_g1(*data("g1", 7), synthetic.unit_vectors(rng("g1-starts"), p.points, 3)),
            example_g2(*data("g2", 7), rng("g2-starts"), p.points),
        ]
    )
    kinds = ("smooth", "kinked", "one_gradient", "random")
    rows = [pd.DataFrame({"points": kind, "defect": evidence.arrays[f"c5_{kind}"]}) for kind in kinds]
    evidence.runs = pd.concat(rows, ignore_index=True)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
