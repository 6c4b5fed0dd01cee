"""What makes a job run again whose outputs are not whole: its note, a file among its inputs that is then newer than they are.

Snakemake compares times, and records of what it ran. It makes a missing file again only where a job that has to run asks for it;
it does not see a file that was damaged, edited or made with something else, unless it made it itself and still has the records.
So what every output says of itself is read as the run is planned, and the time of a note says it in Snakemake's terms. Nothing is
remembered from one plan to the next: a note is right whenever it is written, in a dry run too.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from flowcheck.errors import EvidenceError

LONG_AGO = 10**9
"""Time (nanoseconds) of a note that asks for nothing, and of outputs that are not whole: any other file is newer.

A second after the beginning of time: Snakemake takes an output of time 0 for one that is not there, and compares nothing with it.
"""


def write_note(note: Path, outputs: Iterable[Path], check: Callable[[], None]) -> str:
    """Write the note of a job whose outputs are whole if `check` raises neither EvidenceError nor OSError; returns its path.

    `outputs` are all of them, and what else Snakemake compares the time of.

    Raises OSError if it cannot be written.
    """
    try:
        check()
    except (EvidenceError, OSError, UnicodeDecodeError) as error:
        _ask(note, outputs, str(error))
    else:
        _rest(note)
    return str(note)


def _rest(note: Path) -> None:
    """The note of outputs that are whole: older than they are."""
    if not note.is_file() or note.stat().st_mtime_ns != LONG_AGO:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("whole\n", encoding="utf-8")
        os.utime(note, ns=(LONG_AGO, LONG_AGO))


def _ask(note: Path, outputs: Iterable[Path], reason: str) -> None:
    """The note of outputs that are not whole: newer than they are, whatever the clock said when they were written."""
    note.parent.mkdir(parents=True, exist_ok=True)
    # no content twice: Snakemake takes a newer file for the same if its digest is the one it recorded
    note.write_text(f"made again: {reason}\n{uuid.uuid4()}\n", encoding="utf-8")
    for path in filter(os.path.lexists, outputs):
        if not 0 < path.lstat().st_mtime_ns < note.stat().st_mtime_ns:
            os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
