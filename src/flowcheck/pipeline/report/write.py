"""The report: a static site around the ledger, complete in one folder, readable from ``file://`` without network or server."""

from __future__ import annotations

import sys

from flowcheck.errors import ConfigError
from flowcheck.pipeline.evidence import atomic_file
from flowcheck.pipeline.ledger import read_ledger
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.report.site import Site


def write_report(project: Project, scale: str, papers: list[str]) -> None:
    """Write ``results/{scale}/report/``; ``index.html`` last, so that where it exists the site is complete.

    Formulas that do not convert are shown as errors on their page, counted on the overview and listed on stderr.
    Raises ConfigError if the ledger is not there or does not cover the papers.
    """
    ledger = read_ledger(project, scale)
    if uncovered := [paper for paper in papers if paper not in ledger["provenance"]["papers"]]:
        raise ConfigError(f"results/{scale}/ledger.json: does not cover {', '.join(uncovered)}; make the ledger again")
    folder = project.root / "results" / scale / "report"
    index = folder / "index.html"
    index.unlink(missing_ok=True)
    site = Site(project, ledger, papers, folder)
    site.copy_assets()
    for previous, record, following in zip([None, *site.claims], site.claims, [*site.claims[1:], None], strict=False):
        site.write("claim.html", site.page_of(record), claim=record, previous=previous, following=following)
    site.write("claims.html", "claims.html")
    site.write("deviations.html", "deviations.html")
    overview = site.render("index.html", "index.html", expected=site.comparison())
    site.remove_stale()
    with atomic_file(index, "w") as stream:
        stream.write(overview)
    for problem in site.markdown.problems:
        print(f"formula not shown: {problem}", file=sys.stderr)
