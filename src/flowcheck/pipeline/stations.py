"""What verdicts, notebooks, ledger and report are made with besides the files that they rest on: a stamp for each.

A job takes its stamp from the checkout as it starts, and the plan holds it against that of the checkout as it is then.
"""

from __future__ import annotations

import functools
from pathlib import Path

from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import PACKAGE_FOLDER, code_digest, own_digest
from flowcheck.pipeline.ledger import not_as_a_run_would_make_them
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import load_expected
from flowcheck.pipeline.seal import digest_of_file


def stamp_of_verdicts(project: Project, paper: str, experiment: str) -> str:
    """Of the judge, and of all that the verdict files repeat from the configuration."""
    entry, claims = project.experiment(paper, experiment), project.claims_of(paper, experiment).values()
    related = [(deviation.id, deviation.claims, deviation.hits) for deviation in project.deviations[paper]]
    said = [claim.model_dump_json() for claim in claims]
    return stamp.of(_code("pipeline/ledger"), said, entry.title, entry.promised_metrics, related)


def stamp_of_notebook(source: Path) -> str:
    """Of the notebook, the modules that it imports, those that execute and draw, and the libraries behind them."""
    drawing = _code("pipeline/figures/plotting", "pipeline/figures/notebook", "pipeline/figures/display")
    return stamp.of(digest_of_file(source), code_digest(source), drawing, stamp.libraries(stamp.DRAWING))


def stamp_of_ledger(project: Project, scale: str, selected: list[str]) -> str:
    """Of what the ledger repeats about the papers, the verdicts that were recorded, and what it says of papers not selected.

    Raises ConfigError.
    """
    about = {name: paper.model_dump_json() for name, paper in project.papers.items()}
    others = [] if set(selected) == set(project.papers) else not_as_a_run_would_make_them(project, scale, selected)
    return stamp.of(_code("pipeline/ledger"), selected, about, others, load_expected(project, scale))


def stamp_of_report(project: Project) -> str:
    """Of the templates, the texts of deviations, and the libraries that write pages."""
    deviations = {paper: [entry.model_dump_json() for entry in entries] for paper, entries in project.deviations.items()}
    folder = PACKAGE_FOLDER / "pipeline" / "report" / "templates"
    templates = {path.name: digest_of_file(path) for path in sorted(folder.iterdir())}
    return stamp.of(_code("pipeline/report/write"), deviations, templates, stamp.libraries(stamp.WRITING))


@functools.cache
def _code(*names: str) -> str:
    """Digest of the commands and of some modules with what they import."""
    return own_digest(PACKAGE_FOLDER / "__main__.py") + code_digest(*(PACKAGE_FOLDER / f"{name}.py" for name in names))
