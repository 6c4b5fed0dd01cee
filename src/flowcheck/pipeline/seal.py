"""Seals: a file of results carries the digest of its content, so that damage and edits are told from what was written.

The last object of a sealed JSON text, ``sealed``, has the digest of that text and the digests of the files that were written with
it or that it rests on. An archive ``.npz`` ends, as its comment, with a label and the digest of all bytes before it. A seal is no
secret: it finds accidents, edits and files of another run; who forges seals too is found by judging again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flowcheck.errors import EvidenceError

SEAL = "sealed"
KEY = f'"{SEAL}": '.encode()
BLANK = "0" * 64
ABSENT = "absent"
"""In place of the digest of a file that was not there."""
LABEL = 16
"""Characters of an archive's label: what a cell was made with."""
TRAILER = LABEL + len(BLANK)
NO_COMMENT = b"\x00\x00"
"""How a zip archive without a comment ends: the length of the comment, in two bytes."""

Digest = Callable[[Path], str]


def digest(content: bytes) -> str:
    """SHA-256, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of_file(path: Path) -> str:
    """Digest of a file's bytes. Raises OSError."""
    return digest(path.read_bytes())


def blank_seal(
    path: Path, files: Iterable[Path], place: str = "", absent: Iterable[Path] = (), stamp: str = ""
) -> dict[str, Any]:
    """The seal to put last into the content of `path`, for `seal_text` to complete.

    `files` are those that it vouches for, `absent` those without which it was made; `place` is where it belongs under
    ``results/``, `stamp` a digest of what else it depends on. Raises OSError if a file is not there.
    """
    digests = {os.path.relpath(file, path.parent): digest_of_file(file) for file in files}
    digests |= {os.path.relpath(file, path.parent): ABSENT for file in absent}
    return {"place": place, "stamp": stamp, "files": digests, "digest": BLANK}


def seal_text(text: str) -> str:
    """The text with its digest in place of the last blank one."""
    before, _, after = text.rpartition(BLANK)
    return f"{before}{digest(text.encode())}{after}"


def parse_json(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object that a file holds. Raises EvidenceError if it is none, or has a key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]:
            raise ValueError(f"key {twice[0]!r} occurs twice")
        return dict(pairs)

    try:
        found = json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{path}: malformed JSON: {error}") from None
    if not isinstance(found, dict):
        raise EvidenceError(f"{path}: malformed JSON: an object is expected, found {type(found).__name__}")
    return found


def seal_of(path: Path, content: bytes) -> dict[str, Any]:
    """The seal of a JSON text that lies at `path`. Raises EvidenceError if the text is not what was sealed."""
    try:
        seal, _ = json.JSONDecoder().raw_decode(content.rpartition(KEY)[2].decode())
        written = seal["digest"].encode()
        kept = {"place": str(seal["place"]), "stamp": str(seal["stamp"]), "files": dict(seal["files"])}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise EvidenceError(f"{path}: damaged, or not written by flowcheck: it carries no digest of its content") from None
    before, _, after = content.rpartition(written)
    if len(written) != len(BLANK) or digest(before + BLANK.encode() + after) != written.decode():
        raise EvidenceError(f"{path}: damaged, or changed after it was written: its digest is that of another content")
    return kept


def check_sealed(path: Path, digest_of: Digest = digest_of_file, place: str = "", stamp: str = "") -> None:
    """Raise EvidenceError if a sealed JSON file, or one that it vouches for, is missing, damaged, changed or of another run.

    If a place is given, the file must have been written for it; if a digest is, made with what has that digest.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from None
    seal = seal_of(path, content)
    if place and seal["place"] != place:
        raise EvidenceError(f"{path}: written as {seal['place'] or 'something else'}")
    if stamp and seal["stamp"] != stamp:
        raise EvidenceError(f"{path}: made with other settings, texts, code or libraries than it would be made with now")
    for name, written in seal["files"].items():
        file = Path(os.path.normpath(path.parent / name))
        if written == ABSENT:
            if file.exists():
                raise EvidenceError(f"{file}: there, and {path} was made without it")
            continue
        try:
            found = digest_of(file)
        except OSError as error:
            raise EvidenceError(f"{file}: {error.strerror}, and {path} rests on it") from None
        if found != written:
            raise EvidenceError(f"{file}: damaged, changed, or of another run than {path}")


def seal_archive(archive: bytes, label: str = "") -> bytes:
    """A zip archive with a label and its digest as comment. Raises ValueError if it has a comment, or if the label is long."""
    if not archive.endswith(NO_COMMENT) or len(label) > LABEL:
        raise ValueError("only an archive without a comment can be sealed, with a label of at most 16 characters")
    labelled = archive[: -len(NO_COMMENT)] + TRAILER.to_bytes(2, "little") + label.ljust(LABEL).encode("ascii")
    return labelled + digest(labelled).encode()


def check_archive(path: Path, content: bytes) -> str:
    """The label of a sealed archive that lies at `path`. Raises EvidenceError if its bytes are not those that were sealed."""
    if digest(content[: -len(BLANK)]).encode() != content[-len(BLANK) :]:
        raise EvidenceError(f"{path}: damaged, or not written by flowcheck: its digest is not that of its content")
    return content[-TRAILER : -len(BLANK)].decode().strip()


def remembered_digest(path: Path) -> str:
    """Digest of a file, read once while it is the same for the file system: many vouch for it. Raises OSError."""
    status = path.stat()
    return _remembered(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@functools.cache
def _remembered(path: Path, status: tuple[int, ...]) -> str:
    return digest_of_file(path)
