"""What a run needs of the place it runs in: the checkout's path, folders that can be written, libraries that nothing hides.

Each is one sentence before any job, in place of a library's traceback from within one. Imports nothing that could be hidden.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from flowcheck.errors import ConfigError

SETTINGS = ("BASH_ENV", "ENV", "MATPLOTLIBRC", "MPLBACKEND")
"""What shells and libraries of every job would read or obey; bash reads the file BASH_ENV, which may change the PATH."""
OF_PYTHON = ("PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONIOENCODING", "PYTHONHOME")
WRITTEN = ("results", "logs", ".snakemake")
"""Folders of the checkout that every run writes into."""


def settle(environment: MutableMapping[str, str]) -> None:
    """Take out of the environment what would reach the jobs: they run this interpreter, in UTF-8, as nobody configured it."""
    for name in (*SETTINGS, *OF_PYTHON):
        environment.pop(name, None)
    environment["PYTHONUTF8"] = "1"
    own = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([own, *filter(None, [environment.get("PATH")])])


def check_surroundings(root: Path) -> None:
    """Raise ConfigError if Snakemake or a job would fail in this checkout for a reason that lies outside of it."""
    here = root.resolve()
    if "{" in str(here) or "}" in str(here):
        raise ConfigError(f"{here}: braces in the path of the checkout, which Snakemake takes for wildcards; move it")
    for name in WRITTEN:
        _check_writable(root / name)
    for folder in (root, *sorted(root.glob("scripts/*/")), *sorted(root.glob("notebooks/*/"))):
        for path, module in _modules(folder):
            if hidden := _hidden(module, {here, folder.resolve()}):
                raise ConfigError(f"{path}: hides {hidden} from all that runs beside it; rename it")


def _check_writable(folder: Path) -> None:
    """Raise ConfigError if no file can be made in `folder`, or in what it would be made in."""
    there = folder
    try:
        while not _is_there(there):
            there = there.resolve().parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {there}: {error.strerror}") from None


def _is_there(path: Path) -> bool:
    """As `Path.exists`, which takes a link in a circle for a path that is free. Raises OSError."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def _modules(folder: Path) -> Iterator[tuple[Path, str]]:
    """What Python would import from `folder`: path and name of each module and package in it."""
    suffixes = tuple(importlib.machinery.all_suffixes())
    for path in sorted(folder.glob("[!_.]*")):
        if path.name.endswith(suffixes) or (path / "__init__.py").is_file():
            yield path, path.name.partition(".")[0]


def _hidden(module: str, folders: set[Path]) -> str:
    """What a module of that name in `folders` stands before, in words; empty if there is nothing."""
    if module in sys.stdlib_module_names:
        return f"the module {module!r} of Python"
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() not in folders]
    found = importlib.machinery.PathFinder.find_spec(module, elsewhere)
    return f"the installed module {module!r}" if found is not None and found.origin is not None else ""
