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
    evidence = Evidence(arrays={name: arrays[name] for name in ("step_sizes", "largest")})
    evidence.measure("slope", slope, error=1e-12)
    evidence.measure("slope_wrong_rate", wrong, error=1e-12)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
