"""The pipeline's own commands: ``python -m flowcheck COMMAND``, and ``--help`` for what there is."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.digest import check_package
from flowcheck.pipeline.limit import add_minutes, end_after
from flowcheck.pipeline.settings import SCALES
from flowcheck.pipeline.strict_yaml import known

if TYPE_CHECKING:
    from flowcheck.pipeline.project import Project


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Bad input is one sentence on stderr and status 2."""
    parser = argparse.ArgumentParser(prog="python -m flowcheck", description=__doc__)
    add_minutes(parser)
    commands = parser.add_subparsers(dest="command", required=True)

    judge = commands.add_parser("judge", help="judge the claims of one experiment on its evidence")
    judge.add_argument("--scale", required=True)
    judge.add_argument("--paper", required=True)
    judge.add_argument("--experiment", required=True)
    judge.add_argument("--metrics", type=Path, required=True)

    ledger = commands.add_parser("ledger", help="collect all verdicts")
    ledger.add_argument("--scale", required=True)
    ledger.add_argument("--papers", required=True, help="those that were run: a,b or all; the others stay as they are")

    report = commands.add_parser("report", help="write the static site")
    report.add_argument("--scale", required=True)

    data = commands.add_parser("data", help="find a data set, verify it and keep it where experiments read it")
    data.add_argument("name")
    data.add_argument("--scale", required=True)
    data.add_argument("--folder", type=Path, help="where its files lie; without it they are fetched, or replaced by a surrogate")

    notebook = commands.add_parser("notebook", help="execute one notebook on its experiment's results")
    notebook.add_argument("source", type=Path)
    notebook.add_argument("--folder", type=Path, required=True)
    notebook.add_argument("--log", type=Path, required=True)

    expected = commands.add_parser("expected", help="compare the ledger with the recorded verdicts")
    expected.add_argument("--scale", required=True)
    expected.add_argument("--papers", help="as in a,b; by default all")
    expected.add_argument("--record", action="store_true", help="record today's verdicts as the expected ones")
    expected.add_argument("--because", default="", help="with --record: why some paper has no verdict at this scale")

    results = commands.add_parser("results", help="how each result of the papers stands, by the recorded verdicts")
    results.add_argument("--scale", required=True)

    counterexample = commands.add_parser("counterexample", help="recompute the input that violates a printed statement, alone")
    counterexample.add_argument("claim", help="PAPER/CLAIM")
    counterexample.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="another value for some of the input")

    seeds = commands.add_parser("seeds", help="the verdicts under other root seeds, and which flip")
    seeds.add_argument("--scale", required=True)
    seeds.add_argument("--count", type=int, default=3, help="how many root seeds")
    seeds.add_argument("--experiments", nargs="+", metavar="PAPER/EXPERIMENT", help="by default all")

    verify = commands.add_parser("verify", help="hold finished results against their digests, the evidence and the checkout")
    verify.add_argument("--scale", required=True)

    sheet = commands.add_parser("contact-sheet", help="write a page with all figures of a scale, to be looked at")
    sheet.add_argument("--scale", required=True)

    schemas = commands.add_parser("schemas", help="write config/schema/*.json from the models")
    schemas.add_argument("--check", action="store_true", help="fail if they are stale instead")

    new = commands.add_parser("new", help="write the skeleton of a new experiment: script, notebook, config entry, claim")
    new.add_argument("paper")
    new.add_argument("experiment")

    arguments = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # formulas go into logs whatever the locale
    end_after(arguments.minutes)
    try:
        check_package(Path())
        if "scale" in arguments:
            known("--scale", "scale", arguments.scale, SCALES)
        status = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has seen enough, as `head` has; what is left goes nowhere
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ConfigError, EvidenceError) as error:
        print(f"flowcheck: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"flowcheck: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _judge(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.ledger import judge_experiment
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.stations import stamp_of_verdicts

    project = Project()
    project.experiment(arguments.paper, arguments.experiment)
    own = Path("results", arguments.scale, arguments.paper, arguments.experiment, "metrics.json")
    if not arguments.metrics.is_file() and arguments.metrics != own:
        raise ConfigError(f"{arguments.metrics}: no such file; the evidence of this experiment is {own}")
    stamp = stamp_of_verdicts(project, arguments.paper, arguments.experiment)
    records = judge_experiment(project, arguments.scale, arguments.paper, arguments.experiment, arguments.metrics, stamp)
    for record in records:
        print(f"{record['id']}: {record['verdict']} ({record['reason']})")
    return 0


def _ledger(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.ledger import build_ledger, changes, write_ledger
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.recorded import load_expected
    from flowcheck.pipeline.results import lines_of
    from flowcheck.pipeline.stations import stamp_of_ledger

    project = Project()
    papers = _papers(project, arguments)
    ledger = build_ledger(project, arguments.scale, papers)
    write_ledger(Path("results") / arguments.scale, ledger, stamp_of_ledger(project, arguments.scale, papers))
    print("\n".join(lines_of(ledger["counts"]["all"])))
    print("\n".join(changes(ledger, load_expected(project, arguments.scale))))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.report.write import write_report
    from flowcheck.pipeline.stations import stamp_of_report

    project = Project()
    write_report(project, arguments.scale, stamp_of_report(project))
    return 0


def _papers(project: Project, arguments: argparse.Namespace) -> list[str]:
    """The papers that ``--papers`` names, as those of ``--config``."""
    from flowcheck.pipeline.schema import names_of_papers

    try:
        papers = names_of_papers(arguments.papers)
    except ValueError as error:
        raise ConfigError(f"--papers: {error}") from None
    if "all" in papers:
        return list(project.papers)
    for paper in papers:
        known("--papers", "paper", paper, project.papers)
    return papers


def _data(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.data_sets import keep_data_set
    from flowcheck.pipeline.project import Project

    project = Project()
    known("data", "data set", arguments.name, project.data_sets())
    print(keep_data_set(project, arguments.scale, arguments.name, arguments.folder)["source"])
    return 0


def _notebook(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.figures.notebook import run_notebook
    from flowcheck.pipeline.stations import stamp_of_notebook

    def promised_figures() -> Iterable[str]:
        from flowcheck.pipeline.project import Project

        return Project().experiment(*arguments.folder.parts[-2:]).figures

    stamp = stamp_of_notebook(arguments.source)
    run_notebook(arguments.source, arguments.folder, arguments.log, promised_figures, stamp)
    return 0


def _expected(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.ledger import changes, fewer_runs, is_gone, no_longer_so, read_ledger, record_expected
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.recorded import load_about, load_expected, load_runs
    from flowcheck.pipeline.results import lines_of

    project = Project()
    papers = None if arguments.papers is None else _papers(project, arguments)
    ledger, recorded = read_ledger(project, arguments.scale), load_expected(project, arguments.scale)
    if papers is not None:
        ledger["claims"] = [claim for claim in ledger["claims"] if claim["paper"] in papers]
        recorded = {name: verdict for name, verdict in recorded.items() if name.split("/")[0] in papers}
    print(f"{arguments.scale} scale")
    for paper in papers or ["all"]:
        print("\n".join(lines_of(ledger["counts"][paper])))
    if changed := no_longer_so(project, ledger):
        print("\n".join(changed))
        return 1
    if arguments.record:
        print(
            "".join(f"{name}: no claim any more, and no longer recorded\n" for name in recorded if is_gone(project, name)), end=""
        )
        print(f"recorded in {record_expected(project, ledger, arguments.because)}")
        return 0
    if about := load_about(project, arguments.scale):
        print(about)
    differences = changes(ledger, recorded)
    differences += fewer_runs(ledger, load_runs(project, arguments.scale))
    print("\n".join(differences) or "no verdict changed")
    return 1 if differences else 0


def _results(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.recorded import load_expected
    from flowcheck.pipeline.results import count, lines_of, results_of, table_of

    project = Project()
    verdicts = load_expected(project, arguments.scale)
    if not verdicts:
        raise ConfigError(f"config/expected/{arguments.scale}.json: not there, or empty; no verdict is recorded for this scale")
    for paper in project.papers:
        for result in results_of(project, paper, verdicts):
            print(f"{result.id}: {result.standing}{''.join(f'; left out: {part}' for part in result.leaves_out)}")
    print("", *lines_of(count(project, project.papers, verdicts)), "", table_of(project, verdicts), sep="\n")
    return 0


def _counterexample(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.counterexample import recompute, text_of
    from flowcheck.pipeline.project import Project

    project = Project()
    paper, _, name = arguments.claim.partition("/")
    known("counterexample", "paper", paper, project.papers)
    known("counterexample", f"claim of {paper}", name, project.claims[paper])
    changes = {}
    for change in arguments.changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"counterexample: {change!r}: KEY=VALUE expected")
        changes[key] = number_or_word(value)
    found = recompute(project.claims[paper][name], changes)
    print(text_of(project.claims[paper][name], found, changes))
    return 0 if changes or (found.violates and found.as_recorded) else 1


def _seeds(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.recorded import load_expected
    from flowcheck.pipeline.seeds import FIRST_SEED, is_stable, table_of, verdicts_under

    project = Project()
    if arguments.count < 1:
        raise ConfigError(f"--count: at least one root seed is needed, found {arguments.count}")
    experiments = [f"{paper}/{experiment}" for paper, experiment in project]
    for name in arguments.experiments or []:
        known("--experiments", "experiment", name, experiments)
    asked = [(paper, name) for paper, _, name in (each.partition("/") for each in arguments.experiments or experiments)]
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.count)
    found = verdicts_under(project, arguments.scale, seeds, asked, lambda line: print(line, file=sys.stderr, flush=True))
    recorded = load_expected(project, arguments.scale)
    print(table_of(found, recorded))
    return 0 if is_stable(found, recorded) else 1


def number_or_word(text: str) -> int | float | str:
    """What an argument of the command line is: 3, 0.5 or a word."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _verify(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.verify import verify

    found = verify(Project(), arguments.scale)
    print("\n".join(found) or f"{arguments.scale}: every file is what was written, and follows from the evidence")
    return 1 if found else 0


def _contact_sheet(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.figures.contact_sheet import write_contact_sheet
    from flowcheck.pipeline.project import Project

    print(write_contact_sheet(Project(), arguments.scale))
    return 0


def _schemas(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.schema import json_schemas

    folder = Path("config") / "schema"
    stale = []
    for name, schema in json_schemas().items():
        text = json.dumps(schema, indent=1, sort_keys=True) + "\n"
        path = folder / name
        if arguments.check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            stale.append(str(path))
        elif not arguments.check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"stale: {', '.join(stale)}; write them with: python -m flowcheck schemas", file=sys.stderr)
    return 1 if stale else 0


def _new(arguments: argparse.Namespace) -> int:
    from flowcheck.pipeline.skeleton import write_skeleton

    paper, experiment = arguments.paper, arguments.experiment
    written = write_skeleton(Path(), paper, experiment)
    print("\n".join(f"wrote {path}" for path in written))
    print(f"run it: snakemake --cores 2 --config scale=smoke papers={paper}")
    return 0


_COMMANDS = {
    "judge": _judge,
    "ledger": _ledger,
    "report": _report,
    "data": _data,
    "notebook": _notebook,
    "expected": _expected,
    "results": _results,
    "counterexample": _counterexample,
    "seeds": _seeds,
    "verify": _verify,
    "contact-sheet": _contact_sheet,
    "schemas": _schemas,
    "new": _new,
}

if __name__ == "__main__":
    sys.exit(main())
