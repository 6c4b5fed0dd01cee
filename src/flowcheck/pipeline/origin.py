"""What a data set is: the file ``origin.json`` beside its files, sealed; and what it says, for stamps and for readers.

An experiment reads a data set from ``results/{scale}/data/{name}``, whoever found or fetched it. What is there counts, and not
where it came from: the same content from another place makes nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.evidence import load_sealed

ORIGIN = "origin.json"
DATA = "data"
"""The folder of a scale's results with all data sets, and the key of the provenance that says which were read."""
SAID = ("source", "surrogate", "sha256")
"""Which data these are, in words; whether they only stand in for those that are meant; the digest of each file's content."""

Origin = dict[str, Any]
Origins = Mapping[str, Mapping[str, Any]]
"""By the name of the data set."""


def folder_of(scale: str, name: str) -> Path:
    """Where a data set lies, from the top of the checkout."""
    return Path("results") / scale / DATA / name


def read_origin(folder: Path) -> Origin:
    """What the data in a folder are. Raises EvidenceError if there are none, or if their description was changed."""
    said = load_sealed(folder / ORIGIN)
    if missing := [key for key in SAID if key not in said]:
        raise EvidenceError(f"{folder / ORIGIN}: does not say {missing[0]!r}")
    return {key: said[key] for key in SAID}


def read_origins(folders: Mapping[str, Path]) -> dict[str, Origin]:
    """The same of several, by name. Raises EvidenceError."""
    return {name: read_origin(folder) for name, folder in sorted(folders.items())}


def origins_in(provenance: Mapping[str, Any]) -> Origins:
    """Which data the numbers of this provenance rest on; empty if on none, or on none that anybody could have exchanged."""
    origins: Origins = provenance.get(DATA, {})
    return origins


def sources(origins: Origins) -> str:
    """For a reader, in one line; empty if there are none."""
    return "; ".join(str(origin["source"]) for _, origin in sorted(origins.items()))


def on_surrogates(origins: Origins) -> bool:
    """Whether some of the data only stand in for those that are meant."""
    return any(origin["surrogate"] for origin in origins.values())
