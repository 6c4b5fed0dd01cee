"""What was found valid before, under digests of all that it depends on: a check that takes seconds is made once."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path


def recall(path: Path) -> set[str]:
    """The digests; none if there is no such memory, or it cannot be read."""
    try:
        return set(path.read_bytes().decode(errors="replace").split())
    except OSError:
        return set()


def remember(path: Path, digests: Collection[str]) -> None:
    """Keep these digests and no others. Where nothing can be written, all is found valid again next time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(sorted(digests)) + "\n", encoding="utf-8")
