"""Hessians at points (continuous_discrete, Section 4, Appendices C, D and E): formulas, bounds, constructions and regions.

Lemmas 5, 7, 9, 11, 21 and 23, Propositions 6, 10, 22, 25 and 26, Claims 27 to 29, footnote 18. Small networks, whole Hessians.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.papers.continuous_discrete import curvature_bounds as bounds
from flowcheck.papers.continuous_discrete import hessians as tried
from flowcheck.pipeline.evidence import Evidence, Found, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main

KINKED = ("relu", "leaky", "steep")
DEPTHS, DEEP = (2, 3, 4), (3, 4)
SCALES = np.geomspace(1.0, 1e4, 9)
"""a of Propositions 10 and 22."""
STEEPNESS = (1.0, 1e2, 1e4)
"""c of Proposition 6."""


class Parameters(ParametersModel):
    draws: int = Field(ge=1, le=100, description="networks of each depth, activation and loss, for formulas and constructions")
    tight: int = Field(ge=1, le=20, description="networks of each kind whose bounds are tried")
    starts: int = Field(ge=1, le=50, description="ascents of each size on each of them")
    layouts: int = Field(ge=5, le=500, description="random convolutions")


def cell(p: Parameters, context: Context) -> Evidence:
    rng = context.rng("networks")
    linear, deep_linear = (list(tried.problems(rng, depths, p.draws, False, ("linear",))) for depths in (DEPTHS, DEEP))
    kinked, deep_kinked = (list(tried.problems(rng, depths, p.draws, False, KINKED)) for depths in (DEPTHS, DEEP))
    tied, deep_tied = (list(tried.problems(rng, depths, p.draws, True, KINKED)) for depths in (DEPTHS, DEEP))
    rng = context.rng("tight")
    few_linear = list(tried.problems(rng, (2, 3), p.tight, False, ("linear",)))
    few_kinked = list(tried.problems(rng, (2, 3), p.tight, False, ("relu", "steep")))
    few_tied = list(tried.problems(rng, (2, 3), p.tight, True, ("relu",)))
    few_tied += [tried.random_problem(rng, tried.shared_rows(1.0, below), "square") for below in (1.0, 0.5)]
    two = {
        "claim27": [q for q in tried.problems(rng, (2,), p.tight, False, ("linear",)) if q.loss.kind == "logistic"],
        "claim28": [q for q in tried.problems(rng, (2,), p.tight, False, KINKED) if q.loss.kind == "logistic"],
        "claim29": [q for q in tried.problems(rng, (2,), p.tight, True, KINKED) if q.loss.kind == "logistic"],
    }
    claims = {"claim27": bounds.claim_27, "claim28": bounds.claim_28, "claim29": bounds.claim_29}
    three = {
        "claim27": [q for q in tried.problems(rng, (3,), 1, False, ("linear",)) if q.loss.kind == "logistic"],
        "claim28": [q for q in tried.problems(rng, (3,), 1, False, ("relu", "steep")) if q.loss.kind == "logistic"],
        "claim29": [tried.random_problem(rng, tried.shared_rows(1.0, below), "logistic") for below in (1.0, 0.5)],
    }
    seventh: dict[str, bounds.Bound] = {"lemma7": bounds.lemma_7, "lemma7_half": partial(bounds.lemma_7, layers=0.5)}
    eleventh: dict[str, bounds.Bound] = {"lemma11": bounds.lemma_11, "lemma11_spectral": partial(bounds.lemma_11, spectral=True)}
    tied_bounds: dict[str, bounds.Bound] = {
        "lemma23": bounds.lemma_23,
        "lemma23_untied": partial(bounds.lemma_23, operator_norms=False),
    }
    rng, search = context.rng("points"), context.rng("ascents")
    parts: list[Callable[[], Found]] = [
        partial(tried.formulas, rng, linear, "lemma5"),
        partial(tried.formulas, rng, kinked, "lemma9"),
        partial(tried.formulas, rng, tied, "lemma21"),
        partial(tried.ratios, search, few_linear, seventh, p.starts),
        partial(tried.ratios, search, few_kinked, eleventh, p.starts),
        partial(tried.ratios, search, few_tied, tied_bounds, p.starts),
        *(partial(tried.ratios, search, two[name], {name: bound}, p.starts) for name, bound in claims.items()),
        *(
            partial(tried.ratios, search, three[name], {f"{name}_three_layers": bound}, p.starts)
            for name, bound in claims.items()
        ),
        partial(tried.ratios, search, two["claim27"], {"claim27_inputs": bounds.claim_28}, p.starts),
        partial(tried.ratios, search, two["claim27"], {"two_layers": bounds.constant(STEEPNESS[-1])}, p.starts),
        partial(tried.proposition_6, rng, deep_linear, STEEPNESS),
        partial(tried.proposition_10, rng, deep_kinked, SCALES, "proposition10"),
        partial(tried.proposition_10, rng, deep_tied, SCALES, "proposition22"),
        lambda: {"blind_nonzero_entries": tried.without_inputs(rng, DEPTHS)},
        partial(tried.regions, rng, kinked, p.draws, "proposition25"),
        partial(tried.regions, rng, tied, p.draws, "proposition26"),
        partial(tried.convolution_gap, rng, p.layouts),
        lambda: {f"origin_eigenvalue_n{n}": Measurement(value, 1e-12) for n, value in tried.origin(DEPTHS).items()},
    ]
    everything = [*linear, *kinked, *tied]
    return Evidence.of((part() for part in context.progress(parts, what="parts")), pd.DataFrame(tried.listing(everything)))


if __name__ == "__main__":
    main(Parameters, cell)
