"""Order of Euler's method, from the errors that `decay` measured."""

import numpy as np

from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main


class Parameters(ParametersModel):
    """None."""


def cell(parameters, context):
    """Slopes of the log error over the log step size."""
    arrays = context.upstream["decay"].arrays
    log_step = np.log(arrays["step_sizes"])
    slope = np.polyfit(log_step, np.log(arrays["largest"]), 1)[0]
    wrong = np.polyfit(log_step, np.log(arrays["largest_wrong"]), 1)[0]
    return {"slope": slope, "wrong": wrong, "step_sizes": arrays["step_sizes"], "largest": arrays["largest"]}


def gather(parameters, cells, context):
    """The two slopes."""
    only = cells["all"]
    evidence = Evidence(arrays={name: only[name] for name in ("step_sizes", "largest")})
    evidence.measure("slope", only["slope"], error=1e-12)
    evidence.measure("slope_wrong_rate", only["wrong"], error=1e-12)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
