"""The ledger: every claim of every paper with its verdict, evidence, slack and controls.

One JSON record per claim (written by the judge's job), and all of them together as JSON (a contract for other tools), CSV and
Markdown. Verdicts are compared with the recorded ones: a changed verdict is what fails CI, a contradicted claim is not. A
run may be of some papers; the ledger is of all, and marks what the run did not judge as kept, stale or missing.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.claims import Claim, Verdict
from flowcheck.pipeline.evidence import (
    EVIDENCE_FILES,
    Measurement,
    atomic_file,
    load_metrics,
    load_sealed,
    save_json,
    save_sealed,
)
from flowcheck.pipeline.freshness import CURRENT, Freshness, shown_verdict, why_stale
from flowcheck.pipeline.judge import judge
from flowcheck.pipeline.origin import on_surrogates, origins_in, sources
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import About, about_file, load_about, load_expected, load_runs, runs_file
from flowcheck.pipeline.results import count, lines_of, results_of
from flowcheck.pipeline.schema import Experiment
from flowcheck.pipeline.seal import SEAL, blank_seal, check_sealed, remembered_digest

Record = dict[str, Any]
CSV_COLUMNS = (
    *("id", "about", "label", "kind", "class", "priority", "variant", "origin"),
    *("verdict", "metric", "value", "threshold", "slack", "error", "over_threshold", "over_error", "looseness", "n"),
    *("strength", "reason", "freshness", "data", "surrogate"),
)
KEPT = 0.9
"""Share of the recorded runs that a predicate must rest on: a run near a limit may fall beyond it on another processor."""
RESULTS_HEADER = ["| result | stands | left out |", "|---|---|---|"]
NUMBERS = ("value", "threshold", "over_threshold", "over_error", "looseness", "n")
CLAIMS_HEADER = [
    "| claim | variant | class | verdict | value | threshold | slack over threshold | slack over error | bound loose by | n |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def judge_experiment(
    project: Project, scale: str, paper: str, experiment: str, metrics_file: Path, stamp: str = ""
) -> list[Record]:
    """Judge all claims of one experiment and write one verdict file each. Evidence that is missing gives `not-run`.

    Raises EvidenceError if the file is damaged, or is evidence of something else.
    """
    records = rulings(project, scale, paper, experiment, metrics_file)
    for path in (project.root / verdict_file(scale, paper, "x")).parent.glob("*.json"):
        if path.stem not in project.claims[paper]:
            path.unlink(missing_ok=True)  # nobody makes this claim any more
    there = metrics_file.is_file()
    for record in records:
        path = project.root / verdict_file(scale, paper, record["id"].partition("/")[2])
        place = f"{scale}/claims/{paper}/{path.name}"
        seal = blank_seal(path, [metrics_file] if there else [], place, [] if there else [metrics_file], stamp)
        save_sealed(path, record | {SEAL: seal})
    return records


def rulings(project: Project, scale: str, paper: str, experiment: str, metrics_file: Path) -> list[Record]:
    """The verdicts on all claims of one experiment, with all that the ledger says of them. Raises EvidenceError."""
    try:
        metrics, provenance = load_metrics(metrics_file, {"paper": paper, "experiment": experiment, "scale": scale})
    except FileNotFoundError:
        metrics, provenance = {}, {}
    claims = project.claims_of(paper, experiment).values()
    return [_ruling(project, scale, paper, claim, metrics, provenance) for claim in claims]


def _ruling(
    project: Project, scale: str, paper: str, claim: Claim, metrics: Mapping[str, Measurement], provenance: Mapping[str, Any]
) -> Record:
    entry = project.experiment(paper, claim.experiment)
    related = [d.id for d in project.deviations[paper] if claim.id in d.claims]
    hits = [d.hits[claim.about] for d in project.deviations[paper] if claim.id in d.claims and claim.about in d.hits]
    record = describe(claim, paper, scale, entry) | judge(claim, metrics).model_dump(mode="json")
    origins = origins_in(provenance)
    record |= {"deviations": related, "hits": hits, "provenance": provenance}
    record |= {"data": sources(origins), "surrogate": on_surrogates(origins)}
    for finding in [*record["predicates"], *record["controls"], *record["passes"], *record["hypotheses"]]:
        finding["description"] = entry.promised_metrics.get(finding["metric"], "")
    return record


def describe(claim: Claim, paper: str, scale: str, entry: Experiment) -> Record:
    """What the ledger says of a claim before it is judged."""
    return {
        "id": f"{paper}/{claim.id}",
        "paper": paper,
        "label": claim.label,
        "title": claim.title,
        "location": claim.location,
        "kind": claim.kind,
        "class": claim.claim_class,
        "priority": claim.priority,
        "variant": claim.variant,
        "origin": claim.origin,
        "about": claim.about,
        "counterexample": claim.counterexample.model_dump() if claim.counterexample else None,
        "covers": claim.covers.model_dump() if claim.covers else None,
        "strength": claim.strength,
        "statement": claim.statement,
        "note": claim.note,
        "no_control": claim.no_control,
        "experiment": claim.experiment,
        "waives": claim.waives,
        "experiment_title": entry.title,
        "figures": claim.figures,
        "command": command_of(scale, paper, claim.id),
    }


def command_of(scale: str, paper: str, claim: str) -> str:
    """What makes one verdict."""
    return f"snakemake --cores 2 {verdict_file(scale, paper, claim)}"


def command_of_ledger(scale: str) -> str:
    """What makes all verdicts, ledger and report."""
    return f"snakemake --cores all --config scale={scale}"


def verdict_file(scale: str, paper: str, claim: str) -> Path:
    """Where the verdict on a claim stands, from the top of the checkout."""
    return Path("results") / scale / "claims" / paper / f"{claim}.json"


def read_verdict(project: Project, scale: str, paper: str, claim: str) -> Record:
    """What was judged on one claim. Raises EvidenceError if it is not there, was changed, or rests on other evidence."""
    path = project.root / verdict_file(scale, paper, claim)
    check_sealed(path, remembered_digest)
    return _written(path, scale, paper, claim)


def _written(path: Path, scale: str, paper: str, claim: str) -> Record:
    record = load_sealed(path)
    found = (record.get("id"), record.get("command"))
    if found != (f"{paper}/{claim}", command_of(scale, paper, claim)):
        raise EvidenceError(f"{path}: holds the verdict that {found[1]!r} makes")
    return record


def build_ledger(project: Project, scale: str, selected: Iterable[str], libraries: Mapping[str, str] | None = None) -> Record:
    """Collect the verdict files into the ledger, marking verdicts that differ from the recorded ones.

    The papers that a run was of, `selected`, must have all their verdicts; those of the others are taken as they are, each with
    its freshness. `libraries` are the versions that their evidence should have been measured with: by default, those here.

    Raises EvidenceError if a verdict on a selected paper is not there, was changed, or is not the one on the evidence there is.
    """
    selected, libraries = list(selected), stamp.libraries() if libraries is None else libraries
    expected = load_expected(project, scale)
    claims = []
    for paper in project.papers:
        if paper in selected:
            found = [(read_verdict(project, scale, paper, name), Freshness.MADE, "") for name in project.claims[paper]]
        else:
            found = _as_they_are(project, scale, paper, libraries)
        for record, freshness, why in found:
            recorded = expected.get(record["id"])
            record["expected"] = recorded
            record["changed"] = freshness in CURRENT and recorded is not None and recorded != record["verdict"]
            record["freshness"], record["freshness_why"] = freshness, why
            claims.append(record)
    verdicts = {claim["id"]: shown_verdict(claim) for claim in claims}
    counts = {"all": list(project.papers)} | {paper: [paper] for paper in project.papers}
    commits = sorted({c["provenance"].get("commit", "unknown") for c in claims if c["freshness"] != Freshness.MISSING})
    return {
        "scale": scale,
        "provenance": {
            "commits": commits,
            "generated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "selected": selected,
            "libraries": dict(libraries),
            "papers": {name: paper.model_dump() for name, paper in project.papers.items()},
            "wall_time_s": round(sum(_experiment_times(claims).values()), 1),
        },
        "counts": {name: count(project, of, verdicts) for name, of in counts.items()},
        "results": [
            result.model_dump(mode="json") for paper in project.papers for result in results_of(project, paper, verdicts)
        ],
        "claims": claims,
    }


def _as_they_are(project: Project, scale: str, paper: str, libraries: Mapping[str, str]) -> list[tuple[Record, Freshness, str]]:
    """The verdicts on the claims of a paper that no run made just now, each with its freshness and the reason for it."""
    found = []
    for experiment in project.experiments[paper]:
        why = why_stale(project, scale, paper, experiment, libraries)
        metrics_file = project.root / "results" / scale / paper / experiment / "metrics.json"
        judged = [] if why else rulings(project, scale, paper, experiment, metrics_file)
        again = {record["id"]: record for record in json.loads(json.dumps(judged))}
        for name, claim in project.claims_of(paper, experiment).items():
            path = project.root / verdict_file(scale, paper, name)
            try:
                record = _written(path, scale, paper, name)
            except EvidenceError as error:
                missing = str(error) if path.exists() else f"{path}: not judged"
                found.append((_ruling(project, scale, paper, claim, {}, {}), Freshness.MISSING, missing))
                continue
            stale = why
            if not stale and record != again[record["id"]]:
                stale = f"{path}: the claims and the judge of this checkout say something else of its evidence"
            found.append((record, Freshness.STALE if stale else Freshness.KEPT, stale))
    return found


def not_as_a_run_would_make_them(project: Project, scale: str, selected: Iterable[str]) -> list[str]:
    """One sentence per claim of the other papers whose verdict is stale or missing."""
    others = [paper for paper in project.papers if paper not in selected]
    found = [found for paper in others for found in _as_they_are(project, scale, paper, stamp.libraries())]
    return [f"{record['id']}: {freshness}: {why}" for record, freshness, why in found if freshness not in CURRENT]


def write_ledger(folder: Path, ledger: Mapping[str, Any], made_with: str = "") -> None:
    """Write ``ledger.csv`` and ``ledger.md``, and then ``ledger.json``, which vouches for them and for the verdicts in it."""
    for name, text in (("ledger.csv", as_csv(ledger)), ("ledger.md", as_markdown(ledger))):
        with atomic_file(folder / name) as stream:
            stream.write(text.encode())
    verdicts = [folder / "claims" / f"{claim['id']}.json" for claim in ledger["claims"]]
    rests_on = [folder / "ledger.csv", folder / "ledger.md", *(path for path in verdicts if path.exists())]
    absent = [path for path in verdicts if not path.exists()]
    seal = blank_seal(folder / "ledger.json", rests_on, f"{ledger['scale']}/ledger.json", absent, made_with)
    save_sealed(folder / "ledger.json", {**ledger, SEAL: seal})


def as_csv(ledger: Mapping[str, Any]) -> str:
    """The ledger as a table of comma-separated values, a row per claim."""
    table = io.StringIO()
    writer = csv.DictWriter(table, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(ledger["claims"])
    return table.getvalue()


def as_markdown(ledger: Mapping[str, Any]) -> str:
    """The ledger as Markdown tables, one of results and one of claims per paper, for pull requests and closing notes."""
    lines = [f"# Ledger, {ledger['scale']} scale", "", *_bullets(ledger["counts"]["all"]), ""]
    for paper in ledger["provenance"]["papers"]:
        lines += [f"## {paper}", "", *_bullets(ledger["counts"][paper]), "", *RESULTS_HEADER]
        for result in ledger["results"]:
            if result["paper"] == paper:
                left = result["unchecked"] or "; ".join(f"{part} ({why})" for part, why in result["leaves_out"].items())
                lines.append(f"| {_cell(result['label'])} | {result['standing']} | {_cell(left)} |")
        lines += ["", *CLAIMS_HEADER]
        for c in ledger["claims"]:
            if c["paper"] == paper:
                numbers = " | ".join("" if c[key] is None else f"{c[key]:.3g}" for key in NUMBERS)
                mark = f" (recorded: {c['expected']})" if c["changed"] else ""
                mark += "" if c["freshness"] == Freshness.MADE else f" ({c['freshness']})"
                mark += f" (on {_cell(c['data'])})" if c["data"] else ""
                name = _cell(f"{c['label']}: {c['title']}")
                variant = "ours" if c["origin"] == "flowcheck" else c["variant"]
                lines.append(f"| {name} | {variant} | {c['class']} | {c['verdict']}{mark} | {numbers} |")
        lines.append("")
    return "\n".join(lines)


def _bullets(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [f"- {line}" for line in lines_of(counts)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def record_expected(project: Project, ledger: Mapping[str, Any], because: str = "") -> Path:
    """Record today's verdicts as the expected ones: a deliberate act, seen in the diff. What is stale or missing stays as it was;
    claims that a paper no longer has leave the record.

    Raises ConfigError if some paper would have no recorded verdict and `because` does not say why.
    """
    path = project.root / "config" / "expected" / f"{ledger['scale']}.json"
    claims = [claim for claim in ledger["claims"] if claim["freshness"] in CURRENT]
    known = {name: verdict for name, verdict in load_expected(project, ledger["scale"]).items() if not is_gone(project, name)}
    verdicts = dict(sorted((known | {c["id"]: c["verdict"] for c in claims}).items()))
    about = _about(project, ledger["scale"], claims, set(verdicts), because)
    save_json(path, verdicts)
    save_json(about_file(project, ledger["scale"]), about.model_dump())
    runs = load_runs(project, ledger["scale"]) | {claim["id"]: runs_behind(claim) for claim in claims}
    runs = {name: behind for name, behind in runs.items() if not is_gone(project, name)}
    save_json(runs_file(project, ledger["scale"]), dict(sorted(runs.items())))
    return path


def is_gone(project: Project, name: str) -> bool:
    """Whether the claim ``paper/claim`` is one that its paper no longer has."""
    paper, _, claim = name.partition("/")
    return paper in project.claims and claim not in project.claims[paper]


def _about(project: Project, scale: str, claims: list[Record], recorded: set[str], because: str) -> About:
    papers = {name.split("/")[0] for name in recorded}
    missing = [paper for paper in project.papers if paper not in papers]
    before = load_about(project, scale)
    reasons = {paper: because or (before.without.get(paper, "") if before else "") for paper in missing}
    if unexplained := [paper for paper, reason in reasons.items() if not reason]:
        raise ConfigError(f"no verdict on {', '.join(unexplained)} would be recorded at {scale} scale; say why with --because")
    said = [claim["provenance"] for claim in claims]
    about = About(
        finished=max((p["finished"] for p in said if "finished" in p), default="unknown"),
        machines=sorted({p.get("machine", "unknown") for p in said}),
        wall_time_s=round(sum(_experiment_times(claims).values()), 1),
        without=reasons,
        data=sorted({claim["data"] for claim in claims if claim["data"]}),
    )
    if before is None or recorded <= {claim["id"] for claim in claims}:
        return about
    # of some of the verdicts: what is said of the run behind the others stays true of them
    return about.model_copy(
        update={
            "finished": max(before.finished, about.finished) if claims else before.finished,
            "machines": sorted({*before.machines, *about.machines}),
            "wall_time_s": max(before.wall_time_s, about.wall_time_s),
            "data": sorted({*before.data, *about.data}),
        }
    )


def runs_behind(claim: Mapping[str, Any]) -> dict[str, int]:
    """How many runs, seeds or samples each predicate of a judged claim rests on, where the evidence says so."""
    return {finding["metric"]: finding["n"] for finding in claim["predicates"] if finding["n"] is not None}


def fewer_runs(ledger: Mapping[str, Any], recorded: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One sentence per predicate that rests on fewer runs than `KEPT` of the recorded ones: the others have left unseen."""
    sentences = []
    for claim in (claim for claim in ledger["claims"] if claim["freshness"] in CURRENT):
        now = runs_behind(claim)
        for metric, n in recorded.get(claim["id"], {}).items():
            if now.get(metric, 0) < KEPT * n:
                sentences.append(f"{claim['id']}: {metric} rests on {now.get(metric, 0)} runs, recorded were {n}")
    return sentences


def changes(ledger: Mapping[str, Any], expected: Mapping[str, str]) -> list[str]:
    """One sentence per verdict that is new, changed, stale or gone against the recorded ones."""
    claims = {claim["id"]: claim for claim in ledger["claims"]}
    sentences = []
    for name, claim in claims.items():
        if claim["freshness"] == Freshness.STALE:
            sentences.append(f"{name}: stale, {claim['verdict']} it was: {claim['freshness_why']}")
        elif claim["freshness"] == Freshness.MISSING:
            sentences += [f"{name}: recorded and not judged"] if name in expected else []
        elif name not in expected:
            sentences.append(f"{name}: {claim['verdict']}, and no verdict was recorded")
        elif expected[name] != claim["verdict"]:
            sentences.append(f"{name}: {claim['verdict']}, recorded was {expected[name]}")
    sentences += [f"{name}: recorded and not judged" for name in expected if name not in claims]
    return sentences


def no_longer_so(project: Project, ledger: Mapping[str, Any]) -> list[str]:
    """One sentence per file that the ledger rests on and that is gone, or another one by now: what it says is then no result of
    this checkout.
    """
    scale, files, claims = ledger["scale"], list[Path](), [c for c in ledger["claims"] if c["freshness"] in CURRENT]
    run = [claim for claim in claims if claim["verdict"] != Verdict.NOT_RUN]  # of the others the verdicts say what was there
    for paper, experiment in dict.fromkeys((claim["paper"], claim["experiment"]) for claim in run):
        files += [Path("results") / scale / paper / experiment / name for name in EVIDENCE_FILES]
    verdicts = [verdict_file(scale, *claim["id"].split("/")) for claim in claims]
    gone = [path for path in (*files, *verdicts) if not (project.root / path).is_file()]
    if gone:
        return [f"{path}: gone, and the ledger rests on it" for path in gone]
    sentences = []
    for path in (Path("results") / scale / "ledger.json", *verdicts):
        try:
            check_sealed(project.root / path, remembered_digest)
        except EvidenceError as error:
            sentences.append(f"{error}; make the ledger again: {command_of_ledger(scale)}")
    return list(dict.fromkeys(sentences))


def read_ledger(project: Project, scale: str) -> Record:
    """The ledger of one scale. Raises ConfigError if it was not made, EvidenceError if it was damaged, changed, or made by an
    earlier flowcheck.
    """
    path = project.root / "results" / scale / "ledger.json"
    if not path.is_file():
        raise ConfigError(f"{path}: not there; make it with: {command_of_ledger(scale)}")
    ledger = load_sealed(path)
    if ledger.get("scale") != scale:
        raise EvidenceError(f"{path}: a ledger of scale {ledger.get('scale')!r}; make this one: {command_of_ledger(scale)}")
    if "selected" not in ledger["provenance"]:
        raise EvidenceError(f"{path}: made by an earlier flowcheck; make it again: {command_of_ledger(scale)}")
    return ledger


def _experiment_times(claims: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    return {(c["paper"], c["experiment"]): c["provenance"].get("wall_time_s", 0.0) for c in claims}
