"""A data set for the tests of the pipeline: a column of numbers of at least one, with its name as header."""

import hashlib
from pathlib import Path

import numpy as np

from flowcheck.errors import ConfigError

FILES = ("table.csv",)


def find(folder, *, allow_surrogate):
    """The text of the table and whether it is a surrogate. Raises ConfigError."""
    if folder is None:
        if not allow_surrogate:
            raise ConfigError("table.csv cannot be fetched, and a surrogate is not allowed; name its folder")
        return "value\n1\n2\n3\n", True
    path = Path(folder) / FILES[0]
    if not path.is_file():
        raise ConfigError(f"{path}: not there")
    text = path.read_text(encoding="utf-8")
    if not text.startswith("value\n"):
        raise ConfigError(f"{path}: no table: its header is {text.partition(chr(10))[0]!r}, and 'value' is expected")
    return text, False


def keep(found, folder):
    """Write it where `numbers` reads it."""
    text, surrogate = found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[0]).write_text(text, encoding="utf-8")
    source = "surrogate for the table" if surrogate else f"the table of {text.count(chr(10)) - 1} numbers"
    return {"source": source, "surrogate": surrogate, "sha256": {FILES[0]: hashlib.sha256(text.encode()).hexdigest()}}


def numbers(folder):
    """The numbers of a kept table."""
    return np.loadtxt(folder / FILES[0], skiprows=1)
