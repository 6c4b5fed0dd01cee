"""Where a pursuit that was killed goes on: a folder with one archive of arrays and one file of numbers, both with digests.

The archive is written first and has its iteration in its name; the file of numbers, which names it, is replaced in one step. A
run that is killed at any moment leaves the last iteration that was complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

NUMBERS = ("delta", "retries", "begun", "loss", "error", "steps", "step_size", "halvings")
"""Of an iteration."""
POINT = ("layer", "value", "residual", "dead", "starts", "draws")
"""Of its KKT point."""

Record = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Numbers and arrays of one iteration."""


def digest(described: str, *data: Tensor) -> str:
    """Of the settings, in words, and of the data."""
    found = hashlib.sha256(described.encode())
    for part in data:
        found.update(str(tuple(part.shape)).encode())
        found.update(part.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Folder:
    """The checkpoint of the run with these settings and data."""

    path: Path
    run: str

    def write(self, records: list[Record]) -> None:
        """All iterations so far; the archive before is removed once the new one is in place."""
        self.path.mkdir(parents=True, exist_ok=True)
        memory = io.BytesIO()
        arrays = {f"{number}/{name}": array for number, (_, part) in enumerate(records) for name, array in part.items()}
        np.savez(memory, **arrays)  # type: ignore[arg-type]  # names of ours
        content, name = memory.getvalue(), f"iteration-{len(records):04d}.npz"
        self._replace(name, content)
        said = {
            "run": self.run,
            "arrays": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "iterations": [numbers for numbers, _ in records],
        }
        self._replace("pursuit.json", json.dumps(said, indent=1).encode())
        for old in self.path.glob("iteration-*.npz"):
            if old.name != name:
                old.unlink()

    def read(self) -> list[Record]:
        """The iterations, none if there is no checkpoint. Raises ValueError for a damaged one, or one of another run."""
        index = self.path / "pursuit.json"
        if not index.exists():
            return []
        try:
            said = json.loads(index.read_text(encoding="utf-8"))
            content = (self.path / said["arrays"]).read_bytes()
            run, expected, iterations = said["run"], said["sha256"], said["iterations"]
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as reason:
            raise ValueError(f"{index} is no checkpoint of a pursuit: {reason}") from None
        if run != self.run:
            raise ValueError(f"{index} is the checkpoint of a pursuit with other data or settings")
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(f"{self.path / said['arrays']} is damaged: its SHA-256 is not the one in {index.name}")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays: list[dict[str, np.ndarray]] = [{} for _ in iterations]
            for key in archive.files:
                number, name = key.split("/")
                arrays[int(number)][name] = archive[key]
        return list(zip(iterations, arrays, strict=True))

    def _replace(self, name: str, content: bytes) -> None:
        beside = self.path / f"{name}.part"
        beside.write_bytes(content)
        os.replace(beside, self.path / name)
