"""Verifying finished results: is every file what was written, and does the report follow from the evidence?

Nothing is measured again. Each file is held against the digests that vouch for it, the evidence against the configuration and the
code of this checkout; then every claim is judged again, and ledger and report are built again and compared, byte by byte.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.figures.faults import faults_in
from flowcheck.pipeline.freshness import CURRENT, Freshness, of_other_settings_or_code
from flowcheck.pipeline.ledger import Record, as_csv, as_markdown, build_ledger, read_ledger, read_verdict, rulings, verdict_file
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.write import SEAL_OF_REPORT, build_site
from flowcheck.pipeline.seal import check_archive, check_sealed, remembered_digest

METRICS, NOTEBOOK = "metrics.json", "notebook.ipynb"


def verify(project: Project, scale: str) -> list[str]:
    """One sentence for each file of the results that is not what it should be and each fault of a figure; empty if all holds.

    What the ledger calls stale is said too, and what it calls missing need not be there.
    Raises ConfigError or EvidenceError if there is no ledger that can be read.
    """
    ledger = read_ledger(project, scale)
    selected = ledger["provenance"]["selected"]
    found, aside = [_sentence(lambda: _sealed(project, scale, "ledger.json"))], list[str]()
    for paper, experiment in project:
        claims = [claim for claim in ledger["claims"] if (claim["paper"], claim["experiment"]) == (paper, experiment)]
        if paper in selected or any(claim["freshness"] in CURRENT for claim in claims):
            found += _experiment(project, scale, paper, experiment, drawn=paper in selected)
        else:
            aside += [claim["freshness_why"] for claim in claims if claim["freshness"] == Freshness.STALE]
            aside += _whole(project, scale, f"{paper}/{experiment}", (METRICS, NOTEBOOK))
    if not any(found):  # what is built from evidence that does not hold would only say so again
        found += _sentences(lambda: _ledger(project, scale, ledger))
        found += _sentences(lambda: _report(project, scale, ledger))
    return list(dict.fromkeys(filter(None, found + aside)))


def _experiment(project: Project, scale: str, paper: str, experiment: str, drawn: bool) -> Iterator[str]:
    """Evidence, cells, notebook and verdicts of one experiment; without a notebook where none was `drawn`."""
    folder = f"{paper}/{experiment}"
    evidence = list(filter(None, [_sentence(lambda: _sealed(project, scale, f"{folder}/{METRICS}"))]))
    yield from evidence
    yield from _whole(project, scale, folder, () if drawn else (NOTEBOOK,))
    if drawn:
        yield (damage := _sentence(lambda: _sealed(project, scale, f"{folder}/{NOTEBOOK}")))
        path = project.root / "results" / scale / folder / NOTEBOOK
        yield from () if damage else (f"{path}: {fault}" for fault in faults_in(path))
    if not evidence:
        yield from _sentences(lambda: of_other_settings_or_code(project, scale, paper, experiment))
        yield from _sentences(lambda: _judged(project, scale, paper, experiment))


def _whole(project: Project, scale: str, folder: str, sealed: Iterable[str]) -> Iterator[str]:
    """Whether the cells that are there, and sealed files if they are there, are what was written."""
    place = project.root / "results" / scale / folder
    for path in sorted((place / "cells").glob("*.npz")):
        yield _sentence(lambda path=path: check_archive(path, path.read_bytes()))  # type: ignore[misc]
    for name in sealed:
        if (place / name).exists():
            yield _sentence(lambda name=name: _sealed(project, scale, f"{folder}/{name}"))  # type: ignore[misc]


def _sealed(project: Project, scale: str, name: str) -> None:
    check_sealed(project.root / "results" / scale / name, remembered_digest, f"{scale}/{name}")


def _judged(project: Project, scale: str, paper: str, experiment: str) -> Iterator[str]:
    """Whether the verdicts are those that the claims get on the evidence."""
    for record in rulings(project, scale, paper, experiment, project.root / "results" / scale / paper / experiment / METRICS):
        claim = record["id"].partition("/")[2]
        path, judged = project.root / verdict_file(scale, paper, claim), json.loads(json.dumps(record))
        try:
            written = read_verdict(project, scale, paper, claim)
        except EvidenceError as error:
            yield str(error)
            continue
        if written["verdict"] != judged["verdict"]:
            yield f"{path}: says {written['verdict']}, and the evidence says {judged['verdict']}: {judged['reason']}"
        elif differing := sorted(key for key in {*written, *judged} if written.get(key) != judged.get(key)):
            yield f"{path}: judged again it differs in {', '.join(differing)}"


def _ledger(project: Project, scale: str, ledger: Record) -> Iterator[str]:
    """Whether the ledger is the one of the verdicts. When, with which libraries and of which selection it was made is its own."""
    built = build_ledger(project, scale, ledger["provenance"]["selected"], ledger["provenance"]["libraries"])
    built["provenance"]["generated"] = ledger["provenance"]["generated"]
    folder = project.root / "results" / scale
    if ledger != json.loads(json.dumps(built)):
        yield f"{folder / 'ledger.json'}: not the ledger of the verdicts that are there"
    for name, text in (("ledger.csv", as_csv(built)), ("ledger.md", as_markdown(built))):
        if (folder / name).read_bytes() != text.encode():
            yield f"{folder / name}: differs from the ledger"


def _report(project: Project, scale: str, ledger: Record) -> Iterator[str]:
    """Whether the report is the one of the ledger, the figures and the notebooks."""
    folder = project.root / "results" / scale / "report"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".verify.") as scratch:
        build_site(project, ledger, Path(scratch))
        written, built = (
            {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} - {SEAL_OF_REPORT}
            for place in (folder, Path(scratch))
        )
        yield from (f"{folder / name}: no part of the report" for name in sorted(written - built))
        yield from _differing(folder, Path(scratch), sorted(built))
    yield _sentence(lambda: _sealed(project, scale, f"report/{SEAL_OF_REPORT}"))


def _differing(folder: Path, built: Path, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if not (folder / name).is_file():
            yield f"{folder / name}: not there"
        elif (folder / name).read_bytes() != (built / name).read_bytes():
            yield f"{folder / name}: differs from what follows from the evidence"


def _sentence(check: Callable[[], Any]) -> str:
    """What a check says of a file; nothing if it passes."""
    try:
        check()
    except (EvidenceError, OSError) as error:
        return str(error)
    return ""


def _sentences(found: Callable[[], Iterator[str]]) -> list[str]:
    """What a check finds, up to the file that it cannot read."""
    sentences: list[str] = []
    said = _sentence(lambda: sentences.extend(found()))
    return [*sentences, said]
