"""The same verdicts under other root seeds: every experiment run again with each, judged, and what flips as a table.

Nothing under ``results/<scale>`` is touched. Evidence is kept in ``.cache/seeds/<scale>/<seed>``; what is there and was measured
by the code and with the settings of this checkout is not measured again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from flowcheck.errors import EvidenceError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.digest import PACKAGE_FOLDER
from flowcheck.pipeline.evidence import load_metrics
from flowcheck.pipeline.freshness import differences, other_data
from flowcheck.pipeline.judge import judge
from flowcheck.pipeline.origin import folder_of
from flowcheck.pipeline.project import Project

FIRST_SEED = 1001
"""The first of the other root seeds; no experiment has one of these as its own."""
CRASHED = "crashed"
Verdicts = dict[str, dict[int, str]]
"""By claim, then by root seed: a verdict, or `CRASHED`."""


def verdicts_under(
    project: Project, scale: str, seeds: Iterable[int], experiments: Iterable[tuple[str, str]], said: Callable[[str], None]
) -> Verdicts:
    """The verdict on each claim of these experiments, under each of these root seeds. `said` takes a line for each run.

    An experiment that another one reads runs before it, and its claims count only if it was asked for.
    """
    asked = set(experiments)
    found: Verdicts = {}
    for seed in seeds:
        for paper in project.papers:
            for experiment in _in_order(project, paper, {name for of, name in asked if of == paper}):
                path = project.root / ".cache" / "seeds" / scale / str(seed) / paper / experiment / "metrics.json"
                reason = "" if _is_current(project, scale, seed, path) else _measure(project, scale, seed, path)
                said(f"seed {seed}, {paper}/{experiment}: {reason or 'measured'}")
                if (paper, experiment) not in asked:
                    continue
                metrics = {} if reason else load_metrics(path)[0]
                for name, claim in project.claims_of(paper, experiment).items():
                    verdict = CRASHED if reason else str(judge(claim, metrics).verdict)
                    found.setdefault(f"{paper}/{name}", {})[seed] = verdict
    return found


def _in_order(project: Project, paper: str, asked: set[str]) -> list[str]:
    needs = {name: entry.upstream for name, entry in project.experiments[paper].items()}
    wanted, waiting = set[str](), list(asked)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += needs[name]
    return [name for name in TopologicalSorter(needs).static_order() if name in wanted]


def _is_current(project: Project, scale: str, seed: int, path: Path) -> bool:
    """Whether the evidence is whole, and was measured under this seed, with these settings, by this code."""
    paper, experiment = path.parts[-3:-1]
    settings = project.settings(paper, experiment, scale)
    try:
        said = load_metrics(path, {"paper": paper, "experiment": experiment, "scale": scale, "seed": seed})[1]
    except (EvidenceError, OSError):
        return False
    if any(differences(said, settings, project.script(paper, experiment), ("grid", "parameters"))):
        return False
    return not any(other_data(project, scale, paper, experiment, said))


def _measure(project: Project, scale: str, seed: int, path: Path) -> str:
    """Run one experiment into the folder of `path`; what it says last if it fails, else nothing. Finished cells are kept."""
    paper, experiment = path.parts[-3:-1]
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    settings, log = folder / "settings.yaml", folder / "log"
    settings.write_text(project.settings(paper, experiment, scale).to_yaml(), encoding="utf-8")
    command = [sys.executable, str(project.script(paper, experiment)), "--parameters", str(settings), "--output", str(folder)]
    command += ["--seed", str(seed), "--device", "cpu"]
    for name in project.experiment(paper, experiment).upstream:
        command += ["--upstream", f"{name}={folder.parent / name}"]
    for name in project.experiment(paper, experiment).data:
        command += ["--data", f"{name}={project.root / folder_of(scale, name)}"]
    search = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER.parent), os.environ.get("PYTHONPATH"))))
    with log.open("w", encoding="utf-8") as stream:
        status = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONPATH": search}, check=False
        ).returncode
    if status == 0:
        return ""
    last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"])[-1]
    return f"{CRASHED} with status {status}, and said: {last}"


def table_of(found: Verdicts, recorded: Mapping[str, str]) -> str:
    """Claims whose verdict is not the recorded one under some seed, as a Markdown table, and how many there are of what."""
    lines = ["| claim | recorded | verdicts under other seeds | seeds that differ |", "|---|---|---|---|"]
    flips: Counter[str] = Counter()
    for claim, verdicts in found.items():
        before = recorded.get(claim, "none")
        differing = {seed: verdict for seed, verdict in verdicts.items() if verdict != before}
        if differing:
            counts = Counter(verdicts.values())
            said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
            lines.append(f"| {claim} | {before} | {said} | {', '.join(map(str, differing))} |")
            flips.update(f"{before} to {verdict}" for verdict in differing.values())
    runs = sum(len(verdicts) for verdicts in found.values())
    seeds = len({seed for verdicts in found.values() for seed in verdicts})
    summary = f"{len(found)} claims under {seeds} root seeds: {runs} verdicts, {flips.total()} not as recorded"
    each = [f"- {count} {flip} ({count / runs:.1%})" for flip, count in flips.most_common()]
    return "\n".join([summary, *each, "", *(lines if flips else ["No verdict flips."])])


def is_stable(found: Verdicts, recorded: Mapping[str, str]) -> bool:
    """Whether nothing crashes, and nothing flips between supported and contradicted."""
    poles = {str(Verdict.SUPPORTED), str(Verdict.CONTRADICTED)}
    for claim, verdicts in found.items():
        seen = {*verdicts.values(), recorded.get(claim, "")} & poles
        if CRASHED in verdicts.values() or len(seen) > 1:
            return False
    return True
