"""What was recorded of an earlier run: the verdicts that are expected, and how many runs stood behind them.

Both are under ``config/expected``, a file for each scale, and are written by ``python -m flowcheck expected --record``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.seal import parse_json
from flowcheck.pipeline.strict_yaml import validate


def load_expected(project: Project, scale: str) -> dict[str, str]:
    """Recorded verdicts of one scale, by claim id; empty if none were recorded. Raises ConfigError if the file is malformed."""
    found = _load(project.root / "config" / "expected" / f"{scale}.json", TypeAdapter(dict[str, Verdict]))
    return {name: str(verdict) for name, verdict in found.items()}


def load_runs(project: Project, scale: str) -> dict[str, dict[str, int]]:
    """How many runs stood behind each predicate when verdicts were recorded: claim id, metric, n. Empty if none were.

    Raises ConfigError if the file is malformed.
    """
    found: dict[str, dict[str, int]] = _load(runs_file(project, scale), TypeAdapter(dict[str, dict[str, int]]))
    return found


def runs_file(project: Project, scale: str) -> Path:
    """Where the numbers of runs are recorded."""
    return project.root / "config" / "expected" / "runs" / f"{scale}.json"


def _load(path: Path, adapter: TypeAdapter[Any]) -> Any:
    if not path.is_file():
        return {}
    try:
        return validate(adapter, parse_json(path, path.read_bytes()), path)
    except EvidenceError as error:
        raise ConfigError(str(error)) from None
