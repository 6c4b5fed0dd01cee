"""The pages of the report: what the templates are given, and the files that travel with them."""

from __future__ import annotations

import math
import operator
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.figures.faults import faults_in, of_figure
from flowcheck.pipeline.freshness import CURRENT, Freshness, shown_verdict
from flowcheck.pipeline.ledger import Record
from flowcheck.pipeline.project import FIGURE_FORMATS, Project
from flowcheck.pipeline.recorded import load_expected
from flowcheck.pipeline.report.mathml import Renderer
from flowcheck.pipeline.results import Group, Standing, lines_of
from flowcheck.pipeline.seal import check_sealed, remembered_digest

ASSETS = ("report.css", "report.js")
LARGEST_SVG = 1_500_000  # bytes; browsers are slow on larger drawings, which are shown as PNG
HOLDS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
SIGNS = {"<=": "≤", ">=": "≥", "<": "<", ">": ">", "=": "="}

VERDICTS = {
    Verdict.SUPPORTED: (
        "✓",
        "Every predicate holds by more than its numerical error can explain, and every control there is fails.",
    ),
    Verdict.CONTRADICTED: (
        "✗",
        "A predicate fails by more than its numerical error can explain, and every control there is fails.",
    ),
    Verdict.INCONCLUSIVE: ("?", "A margin is not resolved, or a control passes, so that the check has no teeth."),
    Verdict.VACUOUS: ("○", "The claim holds trivially: the slack is above the limit that the claim itself sets."),
    Verdict.HYPOTHESIS_NOT_MET: (
        "⊘",
        "A hypothesis of the claim fails on the measured run, so the claim does not apply.",
    ),
    Verdict.NOT_RUN: ("–", "There is no evidence at this scale. An empty set of measurements never passes."),
}
STANDINGS = {
    Standing.PRINTED: "It holds as the paper prints it; its claims leave nothing out that the statement speaks of.",
    Standing.PRINTED_IN_PART: "What is checked of it holds as printed; a case, depth, dimension, class or direction is left out.",
    Standing.CORRECTED: "As printed it does not hold; in the corrected form it does.",
    Standing.CORRECTED_IN_PART: "As printed it does not hold; in the corrected form what is checked of it does.",
    Standing.FAILS: "It is contradicted in the form that we take to be meant.",
    Standing.UNDECIDED: "A claim on it is inconclusive, vacuous, not run, or a hypothesis of it is not met.",
    Standing.UNCHECKED: "No claim is about it; the reason is given.",
}
CLAIM_GROUPS = {
    Group.MEANT: "variant=corrected&origin=paper",
    Group.PRINTED: "variant=printed",
    Group.EXTRACTED: "variant=extracted",
    Group.OURS: "origin=flowcheck",
}
"""Groups of claims, and what shows them in the list of all."""
STALE = {
    Freshness.STALE: (
        "⌛",
        "Judged earlier, on evidence that this checkout would measure otherwise: no verdict until it runs again.",
    )
}
KINDS = {
    "deviation": "A choice of ours that differs from what the paper prints.",
    "clarification": "Fills in what the paper leaves open.",
    "erratum": "A printed statement that is wrong, with a proof or a counterexample.",
    "extraction": "Damage of the text we read, not of the paper: its own proof uses the right form.",
}
APART = 30.0
"""Times the smaller side of a counterexample from which on the axis of its figure is logarithmic."""
MOST_DECADES = 6
"""Of the axis of looseness: what is beyond is drawn at its end."""
SCALES = {
    "smoke": "the whole pipeline in minutes, at reduced sizes",
    "laptop": "sized for one CPU machine",
    "paper": "the papers' own settings, nothing reduced",
}
OUTCOMES = {
    "predicate": {"holds": "✓ holds", "fails": "✗ fails", "undecided": "? undecided", "missing": "– not measured"},
    "hypothesis": {"holds": "✓ met", "fails": "✗ not met", "undecided": "? undecided", "missing": "– not measured"},
}


class Site:
    """One report folder: renders pages, copies figures and notebooks into it, remembers every file that belongs there."""

    def __init__(self, project: Project, ledger: Mapping[str, Any], folder: Path) -> None:
        self.project, self.ledger, self.folder = project, ledger, folder
        self.papers = list(project.papers)
        self.results = project.root / "results" / ledger["scale"]
        self.claims: list[Record] = [c | {"verdict": shown_verdict(c), "judged": c["verdict"]} for c in ledger["claims"]]
        self.by_id = {claim["id"]: claim for claim in self.claims}
        self.markdown = Renderer()
        self.files: set[Path] = {folder / "index.html"}
        self.templates = Environment(
            loader=PackageLoader("flowcheck.pipeline.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters |= {
            "block": self.markdown.block,
            "inline": self.markdown.inline,
            "number": number,
            "duration": duration,
            "yaml": lambda content: yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100).strip(),
        }
        self.templates.globals |= {
            "site": self,
            "verdicts": VERDICTS | (STALE if self.of_freshness(Freshness.STALE) else {}),
            "kinds": KINDS,
            "scales": SCALES,
            "outcomes": OUTCOMES,
            "signs": SIGNS,
            "control_outcome": control_outcome,
            "standings": STANDINGS,
            "result_groups": [Group.NUMBERED, Group.STATEMENTS],
            "claim_groups": CLAIM_GROUPS,
            "lines_of": lines_of,
            "count": lambda number, one: f"{number} {one}{'' if number == 1 else 's'}",
        }

    def render(self, template: str, page: str, **context: Any) -> str:
        root = "../" * page.count("/")
        return self.templates.get_template(template).render(root=root, page=page, ledger=self.ledger, **context)

    def write(self, template: str, page: str, **context: Any) -> None:
        self._file(page).write_text(self.render(template, page, **context), encoding="utf-8")

    def page_of(self, claim: Mapping[str, Any]) -> str:
        return f"claims/{claim['id']}.html"

    def claims_of(self, paper: str, experiment: str | None = None) -> list[Record]:
        return [c for c in self.claims if c["paper"] == paper and experiment in (None, c["experiment"])]

    def counts(self, *papers: str) -> dict[str, Counter[str]]:
        """How many results and claims of these papers are in which state, by group."""
        found = [self.ledger["counts"][paper] for paper in papers]
        return {group: sum((Counter(each[group]) for each in found), Counter()) for group in Group}

    def bounds(self) -> list[Record]:
        """Findings of the predicates that are bounds and hold, each with its claim, the tightest first; a metric counts once."""
        found = {(c["paper"], f["metric"]): f | {"claim": c} for c in reversed(self.claims) for f in c["predicates"]}
        loose = [f for f in found.values() if f["looseness"] is not None]
        return sorted(loose, key=lambda f: (f["looseness"], f["claim"]["id"]))

    def decades(self, bounds: list[Record]) -> int:
        """How many decades the axis of their looseness has: at least two, at most `MOST_DECADES`."""
        largest = max(factor for f in bounds for factor in (f["looseness"], f["typical"] or 1.0))
        return min(max(2, math.ceil(math.log10(largest))), MOST_DECADES)

    def decade(self, factor: float, decades: int) -> float:
        """Where a factor lies on such an axis, from 0 to 1."""
        return min(math.log10(factor) / decades, 1.0)

    def bars(self, example: Mapping[str, Any]) -> tuple[list[tuple[float, float]], str]:
        """Where the bars of both sides of a counterexample begin and end, from 0 to 1, and what the axis is.

        Logarithmic where both are positive and a linear one would not show the smaller.
        """
        values = [float(example[side]["value"]) for side in ("left", "right")]
        least, most = min(values), max(values)
        if least > 0 and most > APART * least:
            low, high = math.floor(math.log10(least)) - 1, math.ceil(math.log10(most))
            return [(0.0, (math.log10(value) - low) / (high - low)) for value in values], f"logarithmic from 1e{low} to 1e{high}"
        bottom, top = min(0.0, least), max(0.0, most)
        width = (top - bottom) or 1.0
        ends = [sorted(((0.0 - bottom) / width, (value - bottom) / width)) for value in values]
        return [(begin, end) for begin, end in ends], f"linear from {bottom:.3g} to {top:.3g}"

    def label_of(self, paper: str, result: str) -> str:
        """What the paper calls one of its results."""
        listed = self.project.papers[paper]
        return (listed.results | listed.statements)[result]

    def result_of(self, claim: Mapping[str, Any]) -> Record:
        """The result that a claim is about."""
        return next(r for r in self.ledger["results"] if r["id"] == f"{claim['paper']}/{claim['about']}")

    def values(self, key: str) -> list[str]:
        """What the claims say under one key, for the filters, in order of appearance."""
        return list(dict.fromkeys(claim[key] for claim in self.claims))

    def of_freshness(self, freshness: str) -> list[Record]:
        """The claims whose verdicts are of this freshness."""
        return [claim for claim in self.claims if claim["freshness"] == freshness]

    def surrogates(self) -> list[Record]:
        """The claims whose numbers rest on data that only stand in for those that are meant."""
        return [claim for claim in self.claims if claim["surrogate"]]

    def counterparts(self, claim: Mapping[str, Any]) -> list[Record]:
        """Corrected claims of a printed or extracted one, and the other way round: same id up to that word, else a shared
        deviation.
        """
        others = [c for c in self.claims if c["paper"] == claim["paper"] and c["variant"] != claim["variant"]]
        same = [c for c in others if _stem(c["id"]) == _stem(claim["id"])]
        return same or [c for c in others if set(c["deviations"]) & set(claim["deviations"])]

    def comparison(self) -> dict[str, Any]:
        """Verdicts against the recorded ones: changed, never recorded, recorded and gone."""
        recorded = load_expected(self.project, self.ledger["scale"])
        judged = [claim for claim in self.claims if claim["freshness"] in CURRENT]
        return {
            "any": bool(recorded),
            "changed": [claim for claim in self.claims if claim["changed"]],
            "new": [claim for claim in judged if claim["expected"] is None],
            "gone": [name for name in recorded if name not in self.by_id],
        }

    def figure(self, paper: str, experiment: str, name: str) -> dict[str, str]:
        """Copies a figure into the report. Returns caption, files by suffix, and under `shown` the file to display."""
        source = self.results / paper / experiment / "figures"
        drawn = self._drawn(paper, experiment)
        formats = FIGURE_FORMATS if drawn else ()
        found = {"name": name, "caption": self.project.experiments[paper][experiment].figures.get(name, "")}
        found["data"] = next((claim["data"] for claim in self.claims_of(paper, experiment)), "")
        found["faults"] = "; ".join(of_figure(name, faults_in(source.parent / "notebook.ipynb"))) if drawn else ""
        for suffix in formats:
            if (source / f"{name}.{suffix}").is_file():
                found[suffix] = self._copy(source / f"{name}.{suffix}", f"figures/{paper}/{experiment}/{name}.{suffix}")
        small = "svg" in found and (source / f"{name}.svg").stat().st_size <= LARGEST_SVG
        if shown := found.get("svg" if small else "png", found.get("svg")):
            found["shown"] = shown
        return found

    def example(self, paper: str) -> tuple[dict[str, str] | None, Record | None, str]:
        """The first figure of a paper that is there, one of a claim if possible; with that claim and its experiment."""
        of_claims = [(claim, claim["experiment"], name) for claim in self.claims_of(paper) for name in claim["figures"]]
        experiments = self.project.experiments[paper]
        for claim, experiment, name in [*of_claims, *((None, key, name) for key, e in experiments.items() for name in e.figures)]:
            if "shown" in (figure := self.figure(paper, experiment, name)):
                return figure, claim, experiment
        return None, None, ""

    def notebook(self, paper: str, experiment: str) -> str | None:
        """Copies an executed notebook into the report; None if it was not executed."""
        source = self.results / paper / experiment / "notebook.html"
        return self._copy(source, f"notebooks/{paper}/{experiment}.html") if self._drawn(paper, experiment) else None

    def _drawn(self, paper: str, experiment: str) -> bool:
        """Whether the notebook was executed on the evidence and the verdicts that are there: else its figures show others."""
        try:
            check_sealed(self.results / paper / experiment / "notebook.ipynb", remembered_digest)
        except EvidenceError:
            return False
        return True

    def command(self) -> str:
        """What regenerates all of this."""
        selected = self.ledger["provenance"]["selected"]
        chosen = "" if set(selected) == set(self.papers) else f" 'papers=[{','.join(selected)}]'"
        return f"snakemake --cores all --config scale={self.ledger['scale']}{chosen}"

    def copy_assets(self) -> None:
        """Style, script and the ledger's own files."""
        for name in ASSETS:
            self._file(name).write_text(self.templates.loader.get_source(self.templates, name)[0], encoding="utf-8")  # type: ignore[union-attr]
        for name in ("ledger.json", "ledger.csv", "ledger.md"):
            if (self.results / name).is_file():
                self._copy(self.results / name, name)

    def has(self, name: str) -> bool:
        return self.folder / name in self.files

    def remove_stale(self) -> None:
        """Remove what an earlier build left and this one did not write."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in self.files:
                path.unlink()

    def _file(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a copy of the results may share the file with them
        self.files.add(path)
        return path

    def _copy(self, source: Path, name: str) -> str:
        if self.folder / name not in self.files:
            shutil.copyfile(source, self._file(name))
        return name


def control_outcome(control: Mapping[str, Any], claim: Mapping[str, Any]) -> tuple[str, str]:
    """What a control's measurement means, as a class (good, bad, open) and a sentence."""
    if control["outcome"] == "holds":
        return "good", "✓ the control fails, as it must"
    if control["outcome"] == "missing":
        return "open", "– not measured: nothing shows that the check has teeth"
    if control["outcome"] == "undecided":
        return "open", "? not resolved against its error: nothing shows that the check has teeth"
    sides = [p for p in claim["predicates"] if p["metric"] == control["against"]]
    if all(HOLDS[p["comparison"]](control["value"], p["threshold"]) for p in sides):
        return "bad", "✗ the control passes: the check has no teeth"
    return "bad", "✗ the control fails, but by less than it must: the check has no teeth"


def number(value: float | None, digits: int = 6, apart_from: float | None = None) -> Markup:
    """A number with so many digits, more where it would look equal to `apart_from` and is not; all of them on hovering."""
    if value is None:
        return Markup('<span class="none">–</span>')
    while apart_from is not None and value != apart_from and digits < 17 and f"{value:.{digits}g}" == f"{apart_from:.{digits}g}":
        digits += 1
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    shown = escape(mantissa.replace("-", "−"))
    if exponent:
        times = "" if mantissa == "1" else f"{shown}\u202f×\u202f"
        shown = Markup("{}10<sup>{}</sup>").format(times, str(int(exponent)).replace("-", "−"))
    return Markup('<span class="number" title="{}">{}</span>').format(repr(value), shown)


def duration(seconds: float | None) -> str:
    """3725.2 -> ``1 h 2 min``; below a minute with one decimal."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _stem(claim: str) -> str:
    return re.split("-(?:printed|extracted)", claim)[0]
