"""What a verdict is to the run that made the ledger: made or found up to date by it, kept, stale, or missing.

A run may be of some papers only. The verdicts of the others stay as they are: they are kept where this checkout would measure the
same evidence, and stale, with the reason, where it would not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from flowcheck.errors import EvidenceError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import code_digest
from flowcheck.pipeline.evidence import load_metrics
from flowcheck.pipeline.origin import folder_of, origins_in, read_origin
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.seal import check_sealed, remembered_digest
from flowcheck.pipeline.settings import Settings


class Freshness(StrEnum):
    """Of a verdict in the ledger."""

    MADE = "made"
    KEPT = "kept"
    STALE = "stale"
    MISSING = "missing"


CURRENT = (Freshness.MADE, Freshness.KEPT)
"""A verdict of this checkout; one of another freshness is none."""


def shown_verdict(claim: Mapping[str, Any]) -> str:
    """What a reader is shown in place of the verdict on a claim of the ledger: a stale one is no verdict."""
    return str(Freshness.STALE if claim["freshness"] == Freshness.STALE else claim["verdict"])


def differences(said: Mapping[str, Any], settings: Settings, script: Path, keys: Iterable[str]) -> Iterator[str]:
    """How evidence that says this of itself differs, in these settings and in its code, from what `script` would measure now."""
    for key in keys:
        asked = getattr(settings, key)
        if stamp.plain(said.get(key)) != stamp.plain(json.loads(json.dumps(asked))):
            yield f"measured with {key} {said.get(key)!r}, and the configuration says {asked!r}"
    if said.get("code") != code_digest(script):
        yield "measured by other code than that of this checkout"


def of_other_settings_or_code(project: Project, scale: str, paper: str, experiment: str) -> Iterator[str]:
    """A sentence for each way in which this checkout would measure other evidence than that which is there.

    Raises EvidenceError if that is damaged or a data set is, FileNotFoundError if there is none.
    """
    path = project.root / "results" / scale / paper / experiment / "metrics.json"
    settings, script = project.settings(paper, experiment, scale), project.script(paper, experiment)
    said = load_metrics(path)[1]
    for difference in differences(said, settings, script, ("seed", "grid", "parameters")):
        yield f"{path}: {difference}"
    for difference in other_data(project, scale, paper, experiment, said):
        yield f"{path}: {difference}"


def other_data(project: Project, scale: str, paper: str, experiment: str, said: Mapping[str, Any]) -> Iterator[str]:
    """How the data sets that are kept differ from those on which evidence that says this was measured. Raises EvidenceError."""
    for name in project.experiment(paper, experiment).data:
        kept, used = read_origin(project.root / folder_of(scale, name)), origins_in(said).get(name, {})
        if kept != used:
            yield f"measured on other data of {name!r} than are kept now: {used.get('source')}, and now {kept['source']}"


def why_stale(project: Project, scale: str, paper: str, experiment: str, libraries: Mapping[str, str]) -> str:
    """The first reason for which Snakemake would measure an experiment, or one that it reads, again; empty if there is none."""
    for name in project.experiment(paper, experiment).upstream:
        if reason := why_stale(project, scale, paper, name, libraries):
            return reason
    path = project.root / "results" / scale / paper / experiment / "metrics.json"
    try:
        check_sealed(path, remembered_digest, f"{scale}/{paper}/{experiment}/metrics.json")
        for reason in of_other_settings_or_code(project, scale, paper, experiment):
            return reason
        versions = load_metrics(path)[1].get("versions", {})
    except (EvidenceError, OSError) as error:
        return str(error)
    for library, here in libraries.items():
        found = str(versions.get(library, "unknown")).partition("+")[0]
        if found != here:
            return f"{path}: measured with {library} {found}, and here is {here}"
    return ""
