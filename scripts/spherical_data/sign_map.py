"""Where the norm grows: the sign map of Figure 2 (spherical_data, A.5), sampled as in the paper, with its exact boundary.

At each point w the sign of g(w) = E[y w·x / (1 + exp(y w·x))] is estimated from fresh samples on the circle; the boundary is the
curve cos θ = π κ(r) / c0, and is sampled too.
"""

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat

from flowcheck.papers.spherical_data import lemma_3
from flowcheck.papers.spherical_data.growth_map import boundaries, disagreement, exact_growth, sampled_growth
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    half_widths: list[PositiveFloat] = Field(min_length=1)
    points: int = Field(ge=11)
    samples: int = Field(ge=100)


def cell(p: Parameters, context: Context) -> Evidence:
    evidence, maps = Evidence(arrays={"half_widths": np.array(p.half_widths)}), []
    for half_width in p.half_widths:
        axis = np.linspace(-half_width, half_width, p.points)
        w = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
        mean, error = np.empty(len(w)), np.empty(len(w))
        rng = context.rng("samples", half_width)
        for block in context.progress(np.array_split(np.arange(len(w)), 64), what=f"[-{half_width}, {half_width}]^2"):
            mean[block], error[block] = sampled_growth(w[block], p.samples, rng)
        exact = exact_growth(w)
        columns = {"x": w[:, 0], "y": w[:, 1], "sampled": mean, "error": error, "exact": exact}
        maps.append(pd.DataFrame(columns)[np.linalg.norm(w, axis=1) > 0])
        evidence.arrays |= {f"{key}_{half_width:g}": v for key, v in (("sampled", mean), ("exact", exact), ("error", error))}
    evidence.runs = pd.concat(maps, ignore_index=True)
    evidence.add(disagreement(evidence.runs))
    evidence.add(lemma_3.signs(evidence.runs))
    evidence.add(boundaries(max(p.half_widths), p.samples, context.rng("boundary")))
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
