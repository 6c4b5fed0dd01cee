"""Faults of figures that a run drew and kept: a report with a clipped label is worth more to its reader than none.

They are in the executed notebook, with the figure; its page, the report and `flowcheck verify` say them.
"""

from __future__ import annotations

import json
from pathlib import Path

FAULTS = "flowcheck_faults"
"""Of the metadata of a figure in an executed notebook: a sentence each."""


def faults_in(notebook: Path) -> list[str]:
    """The faults of all figures of an executed notebook. Raises ValueError if it is no JSON, and OSError if it cannot be read."""
    cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [fault for output in outputs for fault in output.get("metadata", {}).get("image/png", {}).get(FAULTS, [])]


def of_figure(name: str, faults: list[str]) -> list[str]:
    """Those of one figure, without its name."""
    own = f"figure {name!r}, "
    return [fault.removeprefix(own) for fault in faults if fault.startswith(own)]
