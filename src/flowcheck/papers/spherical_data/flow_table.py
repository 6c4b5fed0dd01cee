"""A row for each reduced flow of a batch: what Lemmas 1, 6 and 8, Propositions 2 and 3 and Theorems 1 and 3 say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from flowcheck.measures.refinement import Refined, refined
from flowcheck.papers.spherical_data import lemma_1, lemma_8, proposition_2, reduced_flow, theorem_1, theorem_3
from flowcheck.papers.spherical_data.phases import Phases
from flowcheck.papers.spherical_data.population import Array, SphericalLaw


class Accuracy(NamedTuple):
    """Tolerance of the integrator, and the step of the clock for the slope of g at T."""

    rtol: float
    slope_step: float


FINE, COARSE = Accuracy(reduced_flow.RTOL, 1e-4), Accuracy(reduced_flow.COARSE_RTOL, 2e-4)


def table(
    which: SphericalLaw,
    depth: int,
    angle0: Float[Array, " s"],
    norm0: Float[Array, " s"],
    advances: Float[Array, " p"],
    resolved_from: float,
) -> pd.DataFrame:
    """Flows on one law from all starts. Behind each measured column stands one with `_error`: its change on refinement."""
    q0, s0 = np.asarray(reduced_flow.clock(angle0)), np.log(norm0)
    fine, coarse = (reduced_flow.reduced_flow(which, depth, q0, s0, advances, rtol=how.rtol) for how in (FINE, COARSE))

    def against_bounds(phases: Phases) -> dict[str, Array]:
        if depth == 1:
            return theorem_1.excesses(phases) | theorem_1.printed_margins(phases)
        if depth == 2:
            return {}
        return theorem_3.excesses(phases) | lemma_8.used_shares(phases) | theorem_3.printed_margin(phases)

    slopes = (lemma_8.growth_slope(path, how.slope_step) for path, how in ((fine, FINE), (coarse, COARSE)))
    phases = Phases(fine, norm0[:, None], resolved_from)
    late = refined(lambda how: proposition_2.late_growth(which, q0, s0, how.rtol), FINE, COARSE) if depth == 1 else {}
    bounds = refined(against_bounds, phases, Phases(coarse, norm0[:, None], resolved_from))
    columns = {"law": which.name, "depth": depth, "angle": angle0, "norm": norm0}
    columns |= with_errors(refined(lemma_1.transition, fine, coarse)) | lemma_1.turns(fine)
    columns |= with_errors(refined(proposition_2.progress, fine, coarse) | {"growth_slope_at_T": Refined.of(*slopes)} | late)
    return pd.DataFrame(columns | with_errors({name: each.with_rounding(phases.rounding) for name, each in bounds.items()}))


def with_errors(found: Mapping[str, Refined]) -> dict[str, Array]:
    """Columns of values, each with that of its errors behind it."""
    return {column: part for name, each in found.items() for column, part in ((name, each.value), (f"{name}_error", each.error))}
