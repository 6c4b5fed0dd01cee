"""Sums of powers of the numbers in a table."""

from pydantic import Field

from flowcheck.data.toy_table import numbers
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main


class Parameters(ParametersModel):
    """The power."""

    power: int = Field(gt=0)


def cell(parameters, context):
    """One power of all numbers."""
    return Evidence(arrays={"powers": numbers(context.data["table"]) ** parameters.power})


def gather(parameters, cells, context):
    """All powers."""
    evidence = Evidence(arrays={name: cell.arrays["powers"] for name, cell in cells.items()})
    for power in (1, 2):
        evidence.measure(f"sum_{power}", cells[f"power-{power}"].arrays["powers"].sum(), error=1e-12)
    evidence.measure("sum_negative", -cells["power-1"].arrays["powers"].sum(), error=1e-12)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell, gather)
