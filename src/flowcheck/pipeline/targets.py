"""What a word on Snakemake's command line means: a file of the results, however it is written, or the claim of that name.

A file may be named from the root of the file system or of the checkout. A claim may be named alone, where one paper has it, or as
``paper/claim``; it is asked for at the scale of the run. Everything else is one sentence that says what could be meant.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from flowcheck.errors import ConfigError
from flowcheck.pipeline.ledger import verdict_file
from flowcheck.pipeline.origin import ORIGIN
from flowcheck.pipeline.project import FIGURE_FORMATS, Project
from flowcheck.pipeline.settings import SCALES
from flowcheck.pipeline.strict_yaml import closest, known, listing

LEDGERS = ("ledger.json", "ledger.csv", "ledger.md")
RESULT_FILES = ("metrics.json", "arrays.npz", "runs.parquet", "parameters.yaml", "notebook.html", "notebook.ipynb")
OF_REPORT = ("index.html", "digests.json")
MOST = 6
"""Files that a sentence lists."""


def file_of(project: Project, scale: str, word: str) -> str:
    """The file that a word means, relative to the checkout. Raises ConfigError if there is none, or more than one."""
    path = _in_checkout(project.root, word)
    if path.parts[:1] == ("results",):
        _check_result(project, word, path)
        return path.as_posix()
    name = path.as_posix().removesuffix(".json")
    files = [_verdict(scale, claim) for claim in _claims(project) if name in (claim, claim.partition("/")[2])]
    if len(files) != 1:
        raise ConfigError(f"{word}: {_what_to_write(project, scale, path.as_posix(), files)}")
    return files[0]


def _in_checkout(root: Path, word: str) -> Path:
    """The path of a file, as it is or with its links followed, relative to the checkout."""
    path = Path(word)
    if not path.is_absolute():
        return Path(os.path.normpath(path))
    for absolute in (Path(os.path.normpath(path)), path.resolve()):
        for base in (Path.cwd() / root, root.resolve()):
            if absolute.is_relative_to(base):
                return absolute.relative_to(base)
    raise ConfigError(f"{word}: outside of this checkout, whose results are in {root.resolve() / 'results'}")


def _what_to_write(project: Project, scale: str, name: str, files: list[str]) -> str:
    """In place of a name that is no file, and no claim or one of several papers."""
    if files:
        return f"a claim of several papers; one of: {listing(files)}"
    if name in project.papers:
        return f"a paper; ask for all of it with: --config scale={scale} papers={name}"
    meant = [file for file in _files(project, scale) if name in (*Path(file).parts, Path(file).stem) or file.endswith(f"/{name}")]
    if meant:
        rest = f" and {len(meant) - MOST} more" if len(meant) > MOST else ""
        return f"no file of that name; with its whole path it could be: {listing(meant[:MOST])}{rest}"
    names = [short for claim in _claims(project) for short in (claim, claim.partition("/")[2])]
    alike = listing(closest(name.removesuffix(".json"), names))
    return f"neither a rule, nor a claim, nor a file that a rule makes; closest: {alike}"


def _claims(project: Project) -> list[str]:
    return [f"{paper}/{claim}" for paper, claims in project.claims.items() for claim in claims]


def _verdict(scale: str, claim: str) -> str:
    return verdict_file(scale, *claim.split("/")).as_posix()


def _files(project: Project, scale: str) -> Iterator[str]:
    """The files of the results of one scale, those that a reader asks for most first."""
    yield from (_verdict(scale, claim) for claim in _claims(project))
    for paper, experiment in project:
        files = _files_of(project, paper, experiment, scale)
        files.sort(key=lambda file: file not in ("notebook.html", "metrics.json"))
        yield from (f"results/{scale}/{paper}/{experiment}/{file}" for file in files)
    yield from (f"results/{scale}/{file}" for file in (*LEDGERS, *(f"report/{file}" for file in OF_REPORT)))


def _check_result(project: Project, word: str, path: Path) -> None:
    """Raise ConfigError if a file under ``results/`` is none that a rule makes: an unknown scale, cell, claim; or a folder."""

    def no_folder(files: Iterable[str]) -> NoReturn:
        raise ConfigError(f"{word}: a folder; files of it: {listing(f'{path}/{file}' for file in files)}")

    _, *rest = path.parts
    if not rest:
        raise ConfigError(f"{word}: a folder; each scale has its own: {listing(f'results/{scale}' for scale in SCALES)}")
    if len(rest) == 1 and Path(rest[0]).stem == "ledger":
        raise ConfigError(f"{word}: each scale has its own; allowed: {listing(f'results/{s}/{rest[0]}' for s in SCALES)}")
    scale, *place = rest
    known(word, "scale", scale, SCALES)
    match place:
        case []:
            raise ConfigError(f"{word}: a folder; ask for all of it with: --config scale={scale}")
        case [file] if Path(file).stem == "ledger":
            known(word, "file", file, LEDGERS)
        case ["report"]:
            no_folder(OF_REPORT)
        case ["report", *page]:
            known(word, "target of the report", "/".join(page), OF_REPORT)
        case ["data"]:
            no_folder(f"{name}/{ORIGIN}" for name in project.data_sets())
        case ["data", name, *file_parts]:
            known(word, "data set", name, project.data_sets())
            known(word, "file", "/".join(file_parts), [ORIGIN])
        case ["claims"]:
            no_folder(f"{paper}/CLAIM.json" for paper in project.papers)
        case ["claims", paper, *verdict]:
            known(word, "paper", paper, project.papers)
            if not verdict:
                no_folder(f"{claim}.json" for claim in list(project.claims[paper])[:MOST])
            file = "/".join(verdict)
            known(word, f"claim of {paper}", file.removesuffix(".json"), project.claims[paper])
            known(word, "file", file, [f"{claim}.json" for claim in project.claims[paper]])
        case [paper, *inside]:
            known(word, "paper", paper, project.papers)
            if not inside:
                raise ConfigError(f"{word}: a folder; ask for all of it with: --config scale={scale} papers={paper}")
            experiment, *file_parts = inside
            known(word, f"experiment of {paper}", experiment, project.experiments[paper])
            if not file_parts:
                no_folder(RESULT_FILES)
            known(word, f"file of {experiment}", "/".join(file_parts), _files_of(project, paper, experiment, scale))


def _files_of(project: Project, paper: str, experiment: str, scale: str) -> list[str]:
    """The files of one experiment's results, relative to their folder."""
    cells = [f"cells/{name}.npz" for name in project.settings(paper, experiment, scale).cells()]
    figures = [f"figures/{name}.{kind}" for name in project.experiment(paper, experiment).figures for kind in FIGURE_FORMATS]
    return [*RESULT_FILES, *cells, *figures]
