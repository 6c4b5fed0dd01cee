"""Notebooks of NCF flows draw a marker where a flow ends, whichever way it ends."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from flowcheck.flows.ending import Ending

ROOT = Path(__file__).parents[4]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/correlation_flow.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.parent.name)
def test_every_end_of_a_flow_has_its_marker(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    (markers,) = (
        ast.literal_eval(node.value)
        for node in code.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "END"
    )
    assert set(markers) == {end.name.lower() for end in Ending}
    assert len(set(markers.values())) == len(markers)
