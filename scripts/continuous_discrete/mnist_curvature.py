"""Curvature along descent on digits (continuous_discrete, Section 4 on the networks of Section 6).

The smallest eigenvalue of the Hessian of the fully connected networks of Figure 1, from their own starts and from near zero,
against the bounds of Lemmas 7 and 11 and Propositions 8 and 12, and at points that are not on the run.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from pydantic import Field

from flowcheck.data.mnist import digits
from flowcheck.measures.readings import largest
from flowcheck.papers.continuous_discrete import curvature_on_digits
from flowcheck.pipeline.evidence import Evidence, Found
from flowcheck.pipeline.experiment import Context, ParametersModel, main


class Parameters(ParametersModel):
    run: str
    points: int = Field(ge=10, le=60_000, description="digits")
    runs: dict[str, curvature_on_digits.Run]


def cell(p: Parameters, context: Context) -> Evidence:
    run = p.runs[p.run]
    start = run.start(context.rng("start", run.network, run.draw))
    data = digits(context.data["mnist"], count=p.points)
    rows = curvature_on_digits.along(run, data, start, context.rng("lanczos"))
    table = pd.DataFrame(list(context.progress(rows, total=len(run.records), what="records")))
    return Evidence.of([], table.assign(run=p.run, network=run.network, norm=run.norm).astype({"norm": float}))


def gather(p: Parameters, cells: Mapping[str, Evidence], context: Context) -> Evidence:
    table = pd.concat([one.runs for one in cells.values()], ignore_index=True)
    found: list[Found] = []
    for name in ("linear", "relu"):
        mine = table[table["network"] == name]
        found += [curvature_on_digits.readings_of(mine), curvature_on_digits.depth_at_the_end(mine)]
    near = table[(table["network"] == "linear") & table["norm"].notna()]
    found.append({"near_zero_epsilon_max": largest(near["epsilon"].to_numpy(), 1e-12)})
    return Evidence.of(found, table)


if __name__ == "__main__":
    main(Parameters, cell, gather)
