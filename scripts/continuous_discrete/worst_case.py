"""The worst case (continuous_discrete, Appendix B): where a step has to be exponentially small, and the proof of it.

Proposition 20, Lemmas 66 to 87, Figure 2. Flow and descent have closed forms on this objective, evaluated with sixty digits;
quadrature and descent step by step check them.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
from mpmath import mp
from pydantic import Field

from flowcheck.papers.continuous_discrete import appendix_i14, figure_2, proposition_20
from flowcheck.papers.continuous_discrete.worst_case import DIGITS
from flowcheck.papers.continuous_discrete.worst_case_runs import draw, pairs
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main

Constants = tuple[Annotated[float, Field(ge=3, le=1e12)], Annotated[float, Field(gt=0, lt=1)]]
DISPLAYED_STEPS = np.geomspace(1e-8, 0.1, 60)
"""a eta of the figure."""
MAPPED = np.geomspace(3.0, 1e6, 56), np.geomspace(1e-6, 0.9, 60)
"""b and epsilon of the map."""


class Parameters(ParametersModel):
    constants: list[Constants] = Field(min_length=1, max_length=20, description="b and epsilon of Appendix B")
    starts: int = Field(ge=2, le=1000, description="random starts for each pair of constants")
    times: int = Field(ge=3, le=100, description="times at which the flow is looked at, from the first admitted one to the last")
    multiples: list[Annotated[float, Field(ge=1, le=1e9)]] = Field(min_length=1, description="step sizes over the printed one")
    smallest_stepped: float = Field(ge=1e-5, le=1e-1, description="a eta from which on descent is also run step by step")
    stepped: int = Field(ge=8, le=400, description="how many descents are run step by step")


def cell(p: Parameters, context: Context) -> Evidence:
    flows = draw(context.rng("starts"), p.constants, p.starts)
    with mp.workdps(DIGITS):
        chosen = list(pairs(flows, p.times, p.multiples))
    columns = proposition_20.table(chosen)
    parts: list[Callable[[], Found]] = [
        partial(proposition_20.proposition_20, chosen, columns),
        partial(proposition_20.laws, flows[:: p.starts], 2 * p.times),
        partial(appendix_i14.appendix_i14, flows, chosen, p.smallest_stepped, p.stepped),
        partial(figure_2.figure_2, [flow.objective for flow in flows[:: p.starts]]),
        partial(proposition_20.displayed, flows[-1], DISPLAYED_STEPS),
        partial(proposition_20.admitted, *MAPPED),
    ]
    return Evidence.of((part() for part in context.progress(parts, what="parts")), pd.DataFrame(columns))


if __name__ == "__main__":
    main(Parameters, cell)
