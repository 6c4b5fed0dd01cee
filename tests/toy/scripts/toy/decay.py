"""Error of Euler's method on exponential decay."""

import time
from pathlib import Path

import numpy as np
from pydantic import Field

from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main
from flowcheck.toy_euler import errors


class Parameters(ParametersModel):
    """Step size and horizon of the simulation."""

    step_size: float = Field(gt=0)
    horizon: float = Field(gt=0)


def cell(parameters, context):
    """One step size."""
    while Path("hold", f"{parameters.step_size}").exists():  # a test stops the run here
        time.sleep(0.05)
    t, error = errors(parameters.step_size, parameters.horizon)
    _, wrong = errors(parameters.step_size, parameters.horizon, rate=2.0)
    return Evidence(arrays={"t": t, "error": error, "wrong": wrong})


def gather(parameters, cells, context):
    """Largest errors of the coarsest and finest step size."""
    found = [cell.arrays for cell in cells.values()]
    coarse, *_, fine = found
    evidence = Evidence(arrays={"t": fine["t"], "error": fine["error"]})
    evidence.arrays["step_sizes"] = np.array([c["t"][1] for c in found])
    evidence.arrays["largest"] = np.array([c["error"].max() for c in found])
    evidence.arrays["largest_wrong"] = np.array([c["wrong"].max() for c in found])
    evidence.measure("error_coarse", coarse["error"].max(), error=1e-15)
    evidence.measure("error_fine", fine["error"].max(), error=1e-15)
    evidence.measure("error_wrong_rate", fine["wrong"].max(), error=1e-15)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
