"""What was recorded of an earlier run: the verdicts that are expected, how many runs stood behind them, where and when it ran.

All are under ``config/expected``, a file for each scale, and are written by ``python -m flowcheck expected --record``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.seal import parse_json
from flowcheck.pipeline.strict_yaml import validate


class About(BaseModel):
    """The run behind a record: when its experiments ended, on which machines, how long they took; and papers without verdicts.

    `without` gives the reason for each of them: a record may be partial, and says so. `data` are the data sets that some of the
    verdicts rest on, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    finished: str
    machines: list[str]
    wall_time_s: float
    without: dict[str, str] = {}
    data: list[str] = []

    def __str__(self) -> str:
        minutes = f"{self.wall_time_s / 60:.0f} minutes of computing"
        missing = "".join(f"; without {paper}: {reason}" for paper, reason in self.without.items())
        on = f"; on data: {'; '.join(self.data)}" if self.data else ""
        return f"recorded of a run that ended {self.finished} on {', '.join(self.machines)}, {minutes}{missing}{on}"


def load_about(project: Project, scale: str) -> About | None:
    """What is said of the run behind the recorded verdicts; None if nothing is. Raises ConfigError if the file is malformed."""
    found = _load(about_file(project, scale), TypeAdapter(About))
    return found or None


def about_file(project: Project, scale: str) -> Path:
    """Where it is said what a record rests on."""
    return project.root / "config" / "expected" / "about" / f"{scale}.json"


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
