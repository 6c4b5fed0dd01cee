"""Identities and inequalities of the population loss, point by point (spherical_data: Lemmas 2, 3, Propositions 1-3, 5, Eq. 14).

One cell per law. Gradients are taken by direct quadrature of Eq. (2), which knows only that the angle is uniform; the errors are
changes to a quadrature with fewer panels. Samples of each law test Assumption 1 itself, and Lemma 2 once more in R^d.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.measures.readings import largest_of, smallest_of
from flowcheck.papers.spherical_data import assumption_1, broken_data, equation_14, pointwise, proposition_1, proposition_3
from flowcheck.papers.spherical_data.population import LAWS, law
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main
from flowcheck.pipeline.names import one_of

RADII = np.geomspace(1e-2, 1e2, 200)
"""Norms at which κ is drawn."""
SQUARE_SAMPLES = 1_000_000
"""At least so many tell the square from a symmetric law."""
SMALLEST = ("equation14_residual_unbalanced", "equation14_residual_printed13")
"""Numbers of which the smallest over the laws is asked, as of all whose names end in _min."""


class Parameters(ParametersModel):
    law: Annotated[str, one_of(LAWS)]
    radii: list[Annotated[float, Field(gt=0)]] = Field(min_length=2)
    angles: int = Field(ge=5)
    random_points: int = Field(ge=20)
    samples: int = Field(ge=1000)
    depths: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)


def cell(p: Parameters, context: Context) -> Evidence:
    which, directions, weights = law(p.law), context.rng("directions"), context.rng("weights")
    points = pointwise.grid(directions, which.dimension, p.radii, p.angles)
    runs, found = pointwise.measure(which, context.progress(points, what="points"))
    runs.insert(0, "law", p.law)
    evidence = Evidence.of([found, pointwise.small_norms(which, directions, p.random_points)], runs)
    far = proposition_3.size_far_along(which)
    size = evidence.metrics["gradient_size_over_c0_max"]
    evidence.metrics["gradient_size_over_c0_max"] = largest_of([size, far])
    evidence.add(proposition_3.along_v(which))
    evidence.add(proposition_3.far_across(which))
    evidence.add(
        proposition_1.on_pairs(which, proposition_1.random_pairs(context.rng("pairs"), which.dimension, p.random_points))
    )
    evidence.add(proposition_1.fading(which))
    evidence.add(equation_14.measure(which, [equation_14.draw(weights, which.dimension, depth) for depth in p.depths]))
    evidence.add(assumption_1.of_sampler(which, context.rng("samples"), p.samples))
    if p.law == "circle":
        evidence.add(broken_data.measure(context.rng("finite"), p.random_points))
        evidence.add(assumption_1.of_square(context.rng("square"), max(p.samples, SQUARE_SAMPLES)))
    evidence.arrays[f"kappa_{p.law}"] = np.asarray(which.kappa(RADII)) / which.c0 * math.pi
    return evidence


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    laws = list(cells.values())
    evidence = Evidence.of((found.arrays for found in laws), pd.concat([found.runs for found in laws], ignore_index=True))
    evidence.arrays["r"] = RADII
    for name in dict.fromkeys(name for found in laws for name in found.metrics):
        of_all = smallest_of if name in SMALLEST or name.endswith("_min") else largest_of
        evidence.record(name, of_all(found.metrics[name] for found in laws if name in found.metrics))
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
