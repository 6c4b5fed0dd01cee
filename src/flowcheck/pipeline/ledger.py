"""The ledger: every claim of every paper with its verdict, evidence, slack and controls.

One JSON record per claim (written by the judge's job), and all of them together as JSON (a contract for other tools), CSV and
Markdown. Verdicts are compared with the recorded ones: a changed verdict is what fails CI, a contradicted claim is not.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.claims import Claim
from flowcheck.pipeline.evidence import EVIDENCE_FILES, atomic_file, load_metrics, load_sealed, save_json, save_sealed
from flowcheck.pipeline.judge import judge
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import load_expected, load_runs, runs_file
from flowcheck.pipeline.results import count, lines_of, results_of
from flowcheck.pipeline.schema import Experiment
from flowcheck.pipeline.seal import SEAL, blank_seal, check_sealed, remembered_digest

Record = dict[str, Any]
CSV_COLUMNS = (
    *("id", "about", "label", "kind", "class", "priority", "variant", "origin"),
    *("verdict", "slack", "error", "n", "strength", "reason"),
)
KEPT = 0.9
"""Share of the recorded runs that a predicate must rest on: a run near a limit may fall beyond it on another processor."""
RESULTS_HEADER = ["| result | stands | left out |", "|---|---|---|"]
CLAIMS_HEADER = ["| claim | variant | class | verdict | slack | error | n |", "|---|---|---|---|---|---|---|"]


def judge_experiment(project: Project, scale: str, paper: str, experiment: str, metrics_file: Path) -> list[Record]:
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
        seal = blank_seal(path, [metrics_file] if there else [], place, absent=[] if there else [metrics_file])
        save_sealed(path, record | {SEAL: seal})
    return records


def rulings(project: Project, scale: str, paper: str, experiment: str, metrics_file: Path) -> list[Record]:
    """The verdicts on all claims of one experiment, with all that the ledger says of them. Raises EvidenceError."""
    entry = project.experiment(paper, experiment)
    try:
        metrics, provenance = load_metrics(metrics_file, {"paper": paper, "experiment": experiment, "scale": scale})
    except FileNotFoundError:
        metrics, provenance = {}, {}
    records = []
    for claim in project.claims_of(paper, experiment).values():
        related = [d.id for d in project.deviations[paper] if claim.id in d.claims]
        ruling = judge(claim, metrics)
        record = describe(claim, paper, scale, entry) | ruling.model_dump(mode="json")
        hits = [d.hits[claim.about] for d in project.deviations[paper] if claim.id in d.claims and claim.about in d.hits]
        record |= {"deviations": related, "hits": hits, "provenance": provenance}
        for finding in [*record["predicates"], *record["controls"], *record["passes"], *record["hypotheses"]]:
            finding["description"] = entry.promised_metrics.get(finding["metric"], "")
        records.append(record)
    return records


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


def verdict_file(scale: str, paper: str, claim: str) -> Path:
    """Where the verdict on a claim stands, from the top of the checkout."""
    return Path("results") / scale / "claims" / paper / f"{claim}.json"


def read_verdict(project: Project, scale: str, paper: str, claim: str) -> Record:
    """What was judged on one claim. Raises EvidenceError if it is not there, was changed, or rests on other evidence."""
    path = project.root / verdict_file(scale, paper, claim)
    check_sealed(path, remembered_digest)
    record = load_sealed(path)
    found = (record.get("id"), record.get("command"))
    if found != (f"{paper}/{claim}", command_of(scale, paper, claim)):
        raise EvidenceError(f"{path}: holds the verdict that {found[1]!r} makes")
    return record


def build_ledger(project: Project, scale: str, papers: Iterable[str]) -> Record:
    """Collect the verdict files of the papers into the ledger, marking verdicts that differ from the recorded ones.

    Raises EvidenceError if a verdict is not there, was changed, or is not the one on the evidence that is there.
    """
    papers = list(papers)
    expected = load_expected(project, scale)
    claims = []
    for paper in papers:
        for name in project.claims[paper]:
            record = read_verdict(project, scale, paper, name)
            recorded = expected.get(record["id"])
            record["expected"] = recorded
            record["changed"] = recorded is not None and recorded != record["verdict"]
            claims.append(record)
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    counts = {"all": papers} | {paper: [paper] for paper in papers}
    commits = sorted({c["provenance"].get("commit", "unknown") for c in claims})
    return {
        "scale": scale,
        "provenance": {
            "commits": commits,
            "generated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "papers": {name: project.papers[name].model_dump() for name in papers},
            "wall_time_s": round(sum(_experiment_times(claims).values()), 1),
        },
        "counts": {name: count(project, of, verdicts) for name, of in counts.items()},
        "results": [result.model_dump(mode="json") for paper in papers for result in results_of(project, paper, verdicts)],
        "claims": claims,
    }


def write_ledger(folder: Path, ledger: Mapping[str, Any]) -> None:
    """Write ``ledger.csv`` and ``ledger.md``, and then ``ledger.json``, which vouches for them and for the verdicts in it."""
    for name, text in (("ledger.csv", as_csv(ledger)), ("ledger.md", as_markdown(ledger))):
        with atomic_file(folder / name) as stream:
            stream.write(text.encode())
    verdicts = [folder / "claims" / f"{claim['id']}.json" for claim in ledger["claims"]]
    rests_on = [folder / "ledger.csv", folder / "ledger.md", *verdicts]
    seal = blank_seal(folder / "ledger.json", rests_on, f"{ledger['scale']}/ledger.json")
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
                numbers = " | ".join("" if c[key] is None else f"{c[key]:.3g}" for key in ("slack", "error", "n"))
                mark = f" (recorded: {c['expected']})" if c["changed"] else ""
                name = _cell(f"{c['label']}: {c['title']}")
                variant = "ours" if c["origin"] == "flowcheck" else c["variant"]
                lines.append(f"| {name} | {variant} | {c['class']} | {c['verdict']}{mark} | {numbers} |")
        lines.append("")
    return "\n".join(lines)


def _bullets(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [f"- {line}" for line in lines_of(counts)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def record_expected(project: Project, ledger: Mapping[str, Any]) -> Path:
    """Record today's verdicts as the expected ones: a deliberate act, seen in the diff."""
    path = project.root / "config" / "expected" / f"{ledger['scale']}.json"
    known = load_expected(project, ledger["scale"])
    save_json(path, dict(sorted((known | {c["id"]: c["verdict"] for c in ledger["claims"]}).items())))
    runs = load_runs(project, ledger["scale"]) | {claim["id"]: runs_behind(claim) for claim in ledger["claims"]}
    save_json(runs_file(project, ledger["scale"]), dict(sorted(runs.items())))
    return path


def runs_behind(claim: Mapping[str, Any]) -> dict[str, int]:
    """How many runs, seeds or samples each predicate of a judged claim rests on, where the evidence says so."""
    return {finding["metric"]: finding["n"] for finding in claim["predicates"] if finding["n"] is not None}


def fewer_runs(ledger: Mapping[str, Any], recorded: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One sentence per predicate that rests on fewer runs than `KEPT` of the recorded ones: the others have left unseen."""
    sentences = []
    for claim in ledger["claims"]:
        now = runs_behind(claim)
        for metric, n in recorded.get(claim["id"], {}).items():
            if now.get(metric, 0) < KEPT * n:
                sentences.append(f"{claim['id']}: {metric} rests on {now.get(metric, 0)} runs, recorded were {n}")
    return sentences


def changes(ledger: Mapping[str, Any], expected: Mapping[str, str]) -> list[str]:
    """One sentence per verdict that is new, changed or gone against the recorded ones."""
    found = {c["id"]: c["verdict"] for c in ledger["claims"]}
    papers = set(ledger["provenance"]["papers"])
    sentences = []
    for name, verdict in found.items():
        if name not in expected:
            sentences.append(f"{name}: {verdict}, and no verdict was recorded")
        elif expected[name] != verdict:
            sentences.append(f"{name}: {verdict}, recorded was {expected[name]}")
    sentences += [f"{name}: recorded and not judged" for name in expected if name.split("/")[0] in papers and name not in found]
    return sentences


def evidence_that_is_gone(project: Project, ledger: Mapping[str, Any]) -> list[str]:
    """One sentence per file that the ledger rests on and that is not there: what it says is then no result of this checkout."""
    scale, files = ledger["scale"], list[Path]()
    for paper, experiment in dict.fromkeys((claim["paper"], claim["experiment"]) for claim in ledger["claims"]):
        files += [Path("results") / scale / paper / experiment / name for name in EVIDENCE_FILES]
    files += [verdict_file(scale, *claim["id"].split("/")) for claim in ledger["claims"]]
    return [f"{path}: gone, and the ledger rests on it" for path in files if not (project.root / path).is_file()]


def read_ledger(project: Project, scale: str) -> Record:
    """The ledger of one scale. Raises ConfigError if it was not made, EvidenceError if it was damaged or changed."""
    path = project.root / "results" / scale / "ledger.json"
    if not path.is_file():
        raise ConfigError(f"{path}: not there; make it with: snakemake --cores all --config scale={scale}")
    return load_sealed(path)


def _experiment_times(claims: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    return {(c["paper"], c["experiment"]): c["provenance"].get("wall_time_s", 0.0) for c in claims}
