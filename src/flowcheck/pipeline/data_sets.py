"""Data sets before a run: the folder that the run names, or whatever the data set's own module finds; verified and kept.

The configuration of an experiment names, for each data set, the module that knows its files: their names (`FILES`), how they are
found and verified (`find`), and how they are kept where experiments read them (`keep`). ``--config NAME_dir=FOLDER`` names where
they lie. Without that key what an earlier run kept is taken as it is.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import code_digest
from flowcheck.pipeline.evidence import load_sealed, save_sealed
from flowcheck.pipeline.origin import ORIGIN, Origin, folder_of
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.schema import RunConfig
from flowcheck.pipeline.seal import SEAL, blank_seal, check_sealed, remembered_digest

GIVEN = "given"
"""Entry of ``origin.json``: the digests of the files of the folder that a run named, as they lay there; null if it named none."""


class DataModule(Protocol):
    """What the configuration names for a data set."""

    __file__: str
    FILES: tuple[str, ...]

    def find(self, folder: Path | None, *, allow_surrogate: bool) -> Any:
        """The data in a folder, or without one those that can be had. Raises ConfigError."""

    def keep(self, found: Any, folder: Path) -> Origin:
        """Write them into a folder; what they are."""


def module_of(project: Project, name: str) -> DataModule:
    """The module that knows a data set. Raises ConfigError if it is not there, or is something else."""
    module, paper, experiment = project.data_sets()[name]
    place = f"{project.experiment_file(paper, experiment)}: key 'data.{name}': {module!r}"
    try:
        found: Any = import_module(module)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{place} is no module: {error}") from None
    for needed in ("FILES", "find", "keep"):
        if not hasattr(found, needed):
            raise ConfigError(f"{place} knows no data set: it has no {needed!r}")
    known: DataModule = found
    return known


def allows_surrogate(scale: str) -> bool:
    """At the papers' own settings nothing stands in for their data."""
    return scale != "paper"


def stamp_of_data(project: Project, scale: str, name: str, given: Path | None) -> str:
    """Of the files in the folder that the run names, or of those that were kept; of the module that knows them.

    Raises ConfigError, or OSError if a file cannot be read.
    """
    module = module_of(project, name)
    return _stamp(module, scale, _digests(project, scale, name, given, module))


def _stamp(module: DataModule, scale: str, digests: dict[str, str] | None) -> str:
    return stamp.of(code_digest(Path(module.__file__)), allows_surrogate(scale), digests)


def _digests(project: Project, scale: str, name: str, given: Path | None, module: DataModule) -> dict[str, str] | None:
    if given is not None:
        return {file: remembered_digest(given / file) for file in module.FILES if (given / file).is_file()}
    try:
        kept: dict[str, str] | None = load_sealed(project.root / folder_of(scale, name) / ORIGIN).get(GIVEN)
    except EvidenceError:
        return None
    return kept


def check_data_sets(project: Project, run: RunConfig) -> None:
    """Raise ConfigError if a data set of the run cannot be found where the run says, before any job.

    What is kept already was looked at then; nothing is fetched.
    """
    for name, (_, paper, _) in project.data_sets().items():
        module, given = module_of(project, name), run.folder_of(name)
        if given is None or paper not in run.papers:
            continue
        try:
            check_kept(project, run.scale, name, given)
        except (EvidenceError, OSError):
            module.find(given, allow_surrogate=allows_surrogate(run.scale))


def check_kept(project: Project, scale: str, name: str, given: Path | None) -> None:
    """Raise EvidenceError if no whole data set is kept, or another one than the run asks for. Raises OSError too."""
    path = folder_of(scale, name) / ORIGIN
    expected = stamp_of_data(project, scale, name, given)
    check_sealed(project.root / path, remembered_digest, path.relative_to("results").as_posix(), expected)


def keep_data_set(project: Project, scale: str, name: str, given: Path | None) -> Origin:
    """Find a data set, verify it and keep it where experiments read it; what it is. Raises ConfigError."""
    module, folder = module_of(project, name), project.root / folder_of(scale, name)
    digests = _digests(project, scale, name, given, module) if given is not None else None
    path = folder / ORIGIN
    found = module.find(given, allow_surrogate=allows_surrogate(scale))
    if folder.is_symlink():
        folder.unlink()  # what it leads to is somebody's, and stays
    path.unlink(missing_ok=True)  # what an earlier one says must not stand beside new files
    for name_of_file in module.FILES:
        (folder / name_of_file).unlink(missing_ok=True)
    said = module.keep(found, folder)
    files = [file for file in sorted(folder.glob("*")) if file != path]
    seal = blank_seal(path, files, f"{scale}/data/{name}/{ORIGIN}", stamp=_stamp(module, scale, digests))
    save_sealed(path, {**said, GIVEN: digests, SEAL: seal})
    return said
