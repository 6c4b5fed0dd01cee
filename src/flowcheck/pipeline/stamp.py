"""Stamps: digests of all that a result depends on, which it must carry to count as finished.

That of a cell: grid point and parameters, the root seed, the code, the evidence of other experiments and the data that it reads,
and the versions of the numerical libraries. A number is a number: 1 and 1.0 are one parameter. What the cell does not see, as
other points of the grid or the metrics that its experiment promises, is no part of it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.origin import DATA, read_origins
from flowcheck.pipeline.seal import check_archive
from flowcheck.pipeline.settings import Settings

NUMERICAL = ("mpmath", "numpy", "scipy", "sympy", "torch")
"""Libraries whose versions may change a number."""
DRAWING = ("matplotlib", "nbconvert", "seaborn")
"""Libraries whose versions may change a figure or a page of a notebook."""
WRITING = ("jinja2", "latex2mathml", "markdown-it-py", "mdit-py-plugins")
"""Libraries whose versions may change a page of the report."""


@functools.cache
def libraries(names: tuple[str, ...] = NUMERICAL) -> dict[str, str]:
    """Versions of some libraries, without the part that names a build (``2.13.0+cpu``): a device is no other result."""
    return {name: importlib.metadata.version(name).partition("+")[0] for name in names}


def plain(value: Any) -> Any:
    """A parameter with whole numbers written as such: 1.0 becomes 1, in lists and mappings too."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def of_cell(
    settings: Settings, point: Mapping[str, Any], code: str, upstream: Mapping[str, Path], data: Mapping[str, Path]
) -> str:
    """The stamp (16 hex digits) of the cell at one grid point. `upstream` and `data` are folders that it reads, by name.

    Raises OSError where evidence is not there, EvidenceError where data are not.
    """
    content = {
        "experiment": [settings.paper, settings.experiment],
        "seed": settings.seed,
        "parameters": plain(settings.parameters | dict(point)),
        "code": code,
        "libraries": libraries(),
        "upstream": _read(upstream),
    }
    return of(content | ({DATA: read_origins(data)} if data else {}))


def of_evidence(settings: Settings, code: str, upstream: Mapping[str, Path], data: Mapping[str, Path]) -> str:
    """The stamp of the evidence gathered with these settings. Raises OSError or EvidenceError as `of_cell`."""
    return of(settings.model_dump_json(), code, libraries(), _read(upstream), *([read_origins(data)] if data else []))


def of(*parts: Any) -> str:
    """Digest (16 hex digits) of what a result depends on, as JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _read(upstream: Mapping[str, Path]) -> dict[str, str]:
    return {name: (folder / "metrics.json").read_text(encoding="utf-8") for name, folder in sorted(upstream.items())}


def check_cell(
    path: Path, settings: Settings, point: Mapping[str, Any], code: str, upstream: Mapping[str, Path], data: Mapping[str, Path]
) -> None:
    """Raise EvidenceError if a finished cell is damaged, or was made with anything else than it would be made with now.

    Raises OSError if it is not there, or evidence that it reads.
    """
    if check_archive(path, path.read_bytes()) != of_cell(settings, point, code, upstream, data):
        raise EvidenceError(f"{path}: made with another grid point, parameter, code, library, data or evidence of others")
