"""Mean of random signs."""

import numpy as np
import pandas as pd
from pydantic import Field

from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main
from flowcheck.toy_signs import signs


class Parameters(ParametersModel):
    """Number of samples."""

    samples: int = Field(gt=0)


def cell(parameters, context):
    """Means of fair and of biased signs, with a normal interval for the fair ones."""
    fair = signs(context.rng("fair"), parameters.samples)
    biased = signs(context.rng("biased"), parameters.samples, probability=0.9)
    half = 1.96 / np.sqrt(fair.size)
    evidence = Evidence(arrays={"fair": fair}, runs=pd.DataFrame({"sample": np.arange(fair.size), "sign": fair}))
    evidence.measure("mean", fair.mean(), error=1e-15, interval=(fair.mean() - half, fair.mean() + half), n=fair.size)
    evidence.measure("mean_biased", biased.mean(), error=1e-15, n=biased.size)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
