"""How each result of a paper stands, by the verdicts on its claims; and how many of what there are.

Every count of results and claims that anybody reads is made here. Counted apart are numbered results of the papers, their
equations and sentences, the claims on these as they are meant, as printed and as extracted, and claims of ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel

from flowcheck.pipeline.claims import Claim, Verdict
from flowcheck.pipeline.freshness import Freshness
from flowcheck.pipeline.project import Project


class Standing(StrEnum):
    """How a result stands. `in part`: its claims leave out a case, depth, dimension, class or direction that it speaks of."""

    PRINTED = "as printed"
    PRINTED_IN_PART = "as printed, in part"
    CORRECTED = "corrected"
    CORRECTED_IN_PART = "corrected, in part"
    FAILS = "fails"
    UNDECIDED = "undecided"
    UNCHECKED = "not checked"


class Group(StrEnum):
    """What is counted apart: results by their standing, claims by their verdict."""

    NUMBERED = "numbered results"
    STATEMENTS = "equations and sentences"
    MEANT = "claims on these as meant"
    PRINTED = "claims on these as printed"
    EXTRACTED = "claims on damage of the text read"
    OURS = "claims of ours"


class Result(BaseModel):
    """One result of a paper. `claims` are those on it as we take it to be meant, `printed` the others."""

    id: str
    paper: str
    label: str
    numbered: bool
    standing: Standing
    claims: list[str] = []
    printed: list[str] = []
    leaves_out: dict[str, str] = {}
    unchecked: str = ""


Counts = dict[str, Counter[str]]


def results_of(project: Project, paper: str, verdicts: Mapping[str, str]) -> list[Result]:
    """The results of one paper in the order of its list; `verdicts` by claim id, a claim without one was not run."""
    listed = project.papers[paper]
    about: dict[str, list[Claim]] = {name: [] for name in listed.results | listed.statements}
    for claim in project.claims[paper].values():
        if claim.about is not None:
            about[claim.about].append(claim)
    results = []
    for name, label in (listed.results | listed.statements).items():
        meant = [claim for claim in about[name] if claim.variant == "corrected"]
        left_out = {part: why for claim in meant if claim.covers for part, why in claim.covers.leaves_out.items()}
        results.append(
            Result(
                id=f"{paper}/{name}",
                paper=paper,
                label=label,
                numbered=name in listed.results,
                standing=_standing(project, paper, name, about[name], verdicts),
                claims=[f"{paper}/{claim.id}" for claim in meant],
                printed=[f"{paper}/{claim.id}" for claim in about[name] if claim.variant != "corrected"],
                leaves_out=left_out,
                unchecked=listed.unchecked.get(name, ""),
            )
        )
    return results


def _standing(project: Project, paper: str, name: str, claims: list[Claim], verdicts: Mapping[str, str]) -> Standing:
    errata = [deviation for deviation in project.deviations[paper] if deviation.hits.get(name) == "statement"]
    meant = [claim for claim in claims if claim.variant == "corrected"]
    accused = [claim for claim in claims if claim.variant == "printed" and any(claim.id in erratum.claims for erratum in errata)]
    found = {verdicts.get(f"{paper}/{claim.id}", Verdict.NOT_RUN) for claim in meant or accused}
    if not found:
        return Standing.UNCHECKED
    if Verdict.CONTRADICTED in found:
        return Standing.FAILS
    shown = all(verdicts.get(f"{paper}/{claim.id}") == Verdict.CONTRADICTED for claim in accused)
    if found != {Verdict.SUPPORTED} or not shown:
        return Standing.UNDECIDED
    whole = not any(claim.covers and claim.covers.leaves_out for claim in meant)
    if errata:
        return Standing.CORRECTED if whole else Standing.CORRECTED_IN_PART
    return Standing.PRINTED if whole else Standing.PRINTED_IN_PART


def count(project: Project, papers: Iterable[str], verdicts: Mapping[str, str]) -> Counts:
    """How many of what there are in these papers together."""
    counts: Counts = {group: Counter() for group in Group}
    for paper in papers:
        for result in results_of(project, paper, verdicts):
            counts[Group.NUMBERED if result.numbered else Group.STATEMENTS][result.standing] += 1
        for claim in project.claims[paper].values():
            counts[group_of(claim.variant, claim.origin)][verdicts.get(f"{paper}/{claim.id}", Verdict.NOT_RUN)] += 1
    return counts


def group_of(variant: str, origin: str) -> Group:
    """Where a claim is counted."""
    if origin == "flowcheck":
        return Group.OURS
    return {"corrected": Group.MEANT, "printed": Group.PRINTED, "extracted": Group.EXTRACTED}[variant]


def lines_of(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """``numbered results: 12 (9 as printed; 3 corrected)``, a line for each group that is not empty, in a fixed order."""
    lines = []
    for group in Group:
        if found := counts[group]:
            parts = [f"{found[state]} {state}" for state in (*Standing, *Verdict, Freshness.STALE) if found.get(state)]
            lines.append(f"{group}: {sum(found.values())} ({'; '.join(parts)})")
    return lines


def table_of(project: Project, verdicts: Mapping[str, str]) -> str:
    """How the numbered results of each paper stand, as a Markdown table with a row for each paper and one for all."""
    rows = {paper: [paper] for paper in project.papers} | {"all": list(project.papers)}
    lines = [f"| paper | numbered results | {' | '.join(Standing)} |", "|---" * (len(Standing) + 2) + "|"]
    for name, papers in rows.items():
        found = count(project, papers, verdicts)[Group.NUMBERED]
        lines.append(f"| {name} | {found.total()} | {' | '.join(str(found[standing]) for standing in Standing)} |")
    return "\n".join(lines)
