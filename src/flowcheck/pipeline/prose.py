"""Whether the report can show what the configuration says: every formula of a claim, a deviation, an entry, before any job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowcheck.errors import ConfigError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import code_digest
from flowcheck.pipeline.memory import recall, remember
from flowcheck.pipeline.strict_yaml import read_yaml

NO_PROSE = ("parameters", "grid", "scales")
SHOWN_BY = Path(__file__).parent / "report" / "mathml.py"


def check_prose(root: Path) -> None:
    """Raise ConfigError for the first formula that cannot be shown, with its file, its claim or entry, and the command.

    Converting all of them takes a second, so what was found valid is remembered under a digest of the texts and the code.
    """
    folders = [root / "config" / kind for kind in ("claims", "deviations", "experiments")]
    files = sorted(path for folder in folders for path in folder.rglob("*.yaml"))
    content = {path: path.read_bytes() for path in files}
    code = code_digest(SHOWN_BY, Path(__file__)), stamp.libraries(stamp.WRITING)
    digest = stamp.of(code, [(str(path), hashlib.sha256(text).hexdigest()) for path, text in content.items()])
    memory = root / ".cache" / "prose-valid"
    if digest in recall(memory):
        return
    for path in files:
        _check_file(path)
    remember(memory, [digest])


def _check_file(path: Path) -> None:
    from flowcheck.pipeline.report.mathml import Renderer  # a third of a second, for checks that are seldom made

    renderer = Renderer()
    for place, text in _texts(read_yaml(path), ""):
        renderer.block(text)
        if renderer.problems:
            raise ConfigError(f"{path}: {place}: the report cannot show {renderer.problems[0]}")


def _texts(content: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text with a formula or a command in it, and where it is: the claim or entry, and the key."""
    if isinstance(content, str):
        if "$" in content or "\\" in content:
            yield place, content
    elif isinstance(content, dict):
        for key, value in content.items():
            if key not in NO_PROSE:
                yield from _texts(key, place)
                yield from _texts(value, _within(place, key))
    elif isinstance(content, list):
        for number, value in enumerate(content, 1):
            name = value.get("id", value.get("name")) if isinstance(value, dict) else None
            kind = "claim" if place == "key 'claims'" else place or "entry"
            yield from _texts(value, f"{kind} {name!r}" if name and "key" not in kind else f"{kind}, number {number}")


def _within(place: str, key: Any) -> str:
    return f"{place}.{key}" if "key" in place else f"{place}, key '{key}'".lstrip(", ")
