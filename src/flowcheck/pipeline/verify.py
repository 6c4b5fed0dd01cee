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
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import code_digest
from flowcheck.pipeline.evidence import load_metrics
from flowcheck.pipeline.ledger import Record, as_csv, as_markdown, build_ledger, read_ledger, read_verdict, rulings, verdict_file
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.write import SEAL_OF_REPORT, build_site
from flowcheck.pipeline.seal import check_archive, check_sealed, remembered_digest


def verify(project: Project, scale: str) -> list[str]:
    """One sentence for each file of the results that is not what it should be; empty if all holds.

    Raises ConfigError or EvidenceError if there is no ledger that can be read.
    """
    ledger = read_ledger(project, scale)
    papers = list(ledger["provenance"]["papers"])
    found = [_sentence(lambda: _sealed(project, scale, "ledger.json"))]
    for paper, experiment in project:
        if paper in papers:
            found += _experiment(project, scale, paper, experiment)
    if not any(found):  # what is built from evidence that does not hold would only say so again
        found += _sentences(lambda: _ledger(project, scale, papers, ledger))
        found += _sentences(lambda: _report(project, scale, papers, ledger))
    return list(dict.fromkeys(filter(None, found)))


def _experiment(project: Project, scale: str, paper: str, experiment: str) -> Iterator[str]:
    """Evidence, cells, notebook and verdicts of one experiment."""
    folder = f"{paper}/{experiment}"
    evidence = list(filter(None, [_sentence(lambda: _sealed(project, scale, f"{folder}/metrics.json"))]))
    yield from evidence
    for path in sorted((project.root / "results" / scale / folder / "cells").glob("*.npz")):
        yield _sentence(lambda path=path: check_archive(path, path.read_bytes()))  # type: ignore[misc]
    yield _sentence(lambda: _sealed(project, scale, f"{folder}/notebook.ipynb"))
    if not evidence:
        yield from _sentences(lambda: _measured(project, scale, paper, experiment))
        yield from _sentences(lambda: _judged(project, scale, paper, experiment))


def _sealed(project: Project, scale: str, name: str) -> None:
    check_sealed(project.root / "results" / scale / name, remembered_digest, f"{scale}/{name}")


def _measured(project: Project, scale: str, paper: str, experiment: str) -> Iterator[str]:
    """Whether the evidence was measured with the settings and by the code of this checkout."""
    path = _metrics(project, scale, paper, experiment)
    said, settings = load_metrics(path)[1], project.settings(paper, experiment, scale)
    for key in ("seed", "grid", "parameters"):
        asked = getattr(settings, key)
        if stamp.plain(said.get(key)) != stamp.plain(json.loads(json.dumps(asked))):
            yield f"{path}: measured with {key} {said.get(key)!r}, and the configuration says {asked!r}"
    if said.get("code") != code_digest(project.script(paper, experiment)):
        yield f"{path}: measured by other code than that of this checkout"


def _judged(project: Project, scale: str, paper: str, experiment: str) -> Iterator[str]:
    """Whether the verdicts are those that the claims get on the evidence."""
    for record in rulings(project, scale, paper, experiment, _metrics(project, scale, paper, experiment)):
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


def _ledger(project: Project, scale: str, papers: list[str], ledger: Record) -> Iterator[str]:
    """Whether the ledger is the one of the verdicts. The moment at which it was made is its own."""
    built = build_ledger(project, scale, papers)
    built["provenance"]["generated"] = ledger["provenance"]["generated"]
    folder = project.root / "results" / scale
    if ledger != json.loads(json.dumps(built)):
        yield f"{folder / 'ledger.json'}: not the ledger of the verdicts that are there"
    for name, text in (("ledger.csv", as_csv(built)), ("ledger.md", as_markdown(built))):
        if (folder / name).read_bytes() != text.encode():
            yield f"{folder / name}: differs from the ledger"


def _report(project: Project, scale: str, papers: list[str], ledger: Record) -> Iterator[str]:
    """Whether the report is the one of the ledger, the figures and the notebooks."""
    folder = project.root / "results" / scale / "report"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".verify.") as scratch:
        build_site(project, ledger, papers, Path(scratch))
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


def _metrics(project: Project, scale: str, paper: str, experiment: str) -> Path:
    return project.root / "results" / scale / paper / experiment / "metrics.json"


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
