"""Calculus behind the proofs (spherical_data): computer algebra, one enclosure by interval arithmetic, Lemmas 10 and 11.

Each identity is a residual that sympy must reduce to zero; its control is the same residual with the printed or a
changed constant.
"""

import pandas as pd
from pydantic import Field

from flowcheck.papers.spherical_data import growth_cap, identities, lemma_10, lemma_11
from flowcheck.pipeline.evidence import Evidence, Measurement
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    functions: int = Field(ge=10)
    enclosure_width: float = Field(gt=0)


def cell(p: Parameters, context: Context) -> Evidence:
    proofs = [
        {
            "identity": name,
            "proved": identities.is_zero(left - right),
            "broken_form_proved": identities.is_zero(left - changed),
        }
        for name, (left, right, changed) in context.progress(identities.statements().items(), what="identities")
    ]
    evidence = Evidence.of([growth_cap.enclosed(p.enclosure_width), growth_cap.slopes()], pd.DataFrame(proofs))
    evidence.record("equation41_factor", Measurement.exact(identities.equation_41_factor()))
    for row in proofs:
        evidence.record(f"residual_is_nonzero_{row['identity']}", Measurement.count(not row["proved"], 1))
        evidence.record(f"residual_is_nonzero_{row['identity']}_broken", Measurement.count(not row["broken_form_proved"], 1))
    evidence.add(lemma_10.random_functions(context.rng("lemma10"), p.functions))
    evidence.add(lemma_11.random_rates(context.rng("lemma11"), p.functions // 5))
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
