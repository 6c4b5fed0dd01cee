"""Kinks (two_homogeneous): u1|u2| and its branching point, the escape from (u1|u2| - 1)^2, and what both say about Assumption 3.

Figure 2; Definition 4.1; Lemmas E.1, E.2, I.1, I.2, C.1 and J.1; Eq. (15). Closed forms against event-driven integration.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.correlation.ncf import Correlation
from flowcheck.data import synthetic
from flowcheck.networks import zoo
from flowcheck.networks.hypotheses import require_scale
from flowcheck.papers.homogeneous.hypotheses import Presupposed, measure
from flowcheck.papers.two_homogeneous import lemma_c_1, lemma_e
from flowcheck.papers.two_homogeneous.definition_4_1 import definition_41
from flowcheck.papers.two_homogeneous.equation_15 import EXAMPLES, equation_15
from flowcheck.papers.two_homogeneous.figure_2 import figure_2
from flowcheck.papers.two_homogeneous.lemma_i import lemma_i1, lemma_i2
from flowcheck.papers.two_homogeneous.lemma_j_1 import lemma_j1
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

LARGEST_DELTA, DELTAS = 1e-1, 9
PIECES, NETWORKS = 10, 6
"""Of the piecewise constant perturbations of Lemma C.1, and networks whose multipliers are perturbed."""


class Parameters(ParametersModel):
    starts: int = Field(ge=5, description="random starts in each case of Lemma E.2")
    euler_steps: int = Field(ge=100)
    points: int = Field(ge=40, multiple_of=2, description="directions around a critical point, for Eq. (15)")
    smallest_delta: float = Field(gt=0, lt=1e-3)


def squared_relu(rng: np.random.Generator, signs: tuple[float, ...], samples: int) -> Correlation:
    """The NCF of squared-ReLU neurons with these output signs."""
    x = synthetic.sphere_inputs(rng, samples, 3)
    return Correlation(zoo.power_net(len(signs), 3, 2.0, signs), x, synthetic.gaussian(rng, samples))


def perturbation(rng: np.random.Generator) -> lemma_c_1.Perturbed:
    """Three squared-ReLU neurons on eight inputs, a start, and what is added to the multipliers."""
    three = squared_relu(rng, (1.0, -1.0, 1.0), 8)
    direction = synthetic.unit_vectors(rng, 1, three.network.size)[0]
    return lemma_c_1.Perturbed(three, direction, rng.uniform(-1.0, 1.0, (PIECES, len(three.z))))


def cell(p: Parameters, context: Context) -> Evidence:
    require_scale([p.smallest_delta])
    starts = lemma_e.random_starts(context.rng("lemma-e2"), p.starts)

    rng = context.rng("definition-4-1")
    four = squared_relu(rng, (1.0, 1.0, -1.0, 1.0), 10)
    directions, shifts = (synthetic.unit_vectors(rng, p.starts, four.network.size) for _ in range(2))

    rng, deltas = context.rng("lemma-c1"), np.geomspace(LARGEST_DELTA, p.smallest_delta, DELTAS)
    perturbed = [perturbation(rng) for _ in range(NETWORKS)]
    noise = rng.uniform(-1.0, 1.0, (p.starts, PIECES))

    chosen = context.rng("equation-15").random((len(EXAMPLES), p.points)) < 0.5
    parts: list[Callable[[], Found]] = [
        figure_2,
        lemma_e.lemma_e1,
        lemma_e.proofs,
        lambda: lemma_e.lemma_e2(starts),
        lambda: lemma_e.polygons(context.rng("euler"), p.starts, p.euler_steps),
        lambda: measure([Presupposed(four.network, four.x, four.z[None], 2)]),
        lambda: definition_41(four, directions, shifts),
        lambda: lemma_c_1.smooth(perturbed, deltas),
        lambda: lemma_c_1.kinked(noise, deltas),
        lemma_i1,
        lemma_i2,
        lambda: equation_15(p.points, chosen),
        lemma_j1,
    ]
    evidence = Evidence.of(part() for part in context.progress(parts, what="parts"))
    (z1, z2), a = starts.T, evidence.arrays
    cases = np.repeat(lemma_e.CASES, p.starts)
    evidence.runs = pd.DataFrame({"case": cases, "z1": z1, "z2": z2, "hit_time": a["hits"], "gap": a["gaps"]})
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
