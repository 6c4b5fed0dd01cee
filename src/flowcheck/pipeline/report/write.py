"""The report: a static site around the ledger, complete in one folder, readable from ``file://`` without network or server."""

from __future__ import annotations

import sys
from pathlib import Path

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.evidence import atomic_file, save_sealed
from flowcheck.pipeline.ledger import Record, no_longer_so, read_ledger
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.site import Site
from flowcheck.pipeline.seal import SEAL, blank_seal

SEAL_OF_REPORT = "digests.json"


def write_report(project: Project, scale: str, stamp: str = "") -> None:
    """Write ``results/{scale}/report/``; ``index.html`` last, so that where it exists the site is complete, and then its seal.

    Formulas that do not convert are shown as errors on their page, counted on the overview and listed on stderr.
    Raises ConfigError if the ledger is not there, EvidenceError if it does not hold.
    """
    ledger = read_ledger(project, scale)
    if changed := no_longer_so(project, ledger):
        raise EvidenceError(changed[0])
    folder = project.root / "results" / scale / "report"
    seal = folder / SEAL_OF_REPORT
    site = build_site(project, ledger, folder)
    notebooks = [folder.parent / paper / experiment / "notebook.ipynb" for paper, experiment in project]
    rests_on = [folder.parent / "ledger.json", *(path for path in notebooks if path.exists())]
    absent = [path for path in notebooks if not path.exists()]
    save_sealed(seal, {SEAL: blank_seal(seal, [*sorted(site.files), *rests_on], f"{scale}/report/{seal.name}", absent, stamp)})
    for problem in site.markdown.problems:
        print(f"formula not shown: {problem}", file=sys.stderr)


def build_site(project: Project, ledger: Record, folder: Path) -> Site:
    """Write all that a reader sees of the report into `folder`, ``index.html`` last."""
    index = folder / "index.html"
    index.unlink(missing_ok=True)
    site = Site(project, ledger, folder)
    site.copy_assets()
    for previous, record, following in zip([None, *site.claims], site.claims, [*site.claims[1:], None], strict=False):
        site.write("claim.html", site.page_of(record), claim=record, previous=previous, following=following)
    site.write("results.html", "results.html")
    site.write("claims.html", "claims.html")
    site.write("bounds.html", "bounds.html")
    site.write("deviations.html", "deviations.html")
    overview = site.render("index.html", "index.html", expected=site.comparison())
    site.remove_stale()
    with atomic_file(index, "w") as stream:
        stream.write(overview)
    return site
