"""Names and their grammar, in one place: each becomes a file, a folder, a rule, an option of a command or an anchor of a page.

Papers and experiments are modules and folders, claims and figures are files; none of them can hold what a file system, a shell,
Snakemake or a page would read as something else.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from flowcheck.errors import ConfigError

LONGEST = 64
"""Characters of a name. Names are joined in those of files and rules, and a file system takes 255."""
FOLDERS_OF_A_SCALE = ("claims", "data", "report")
"""Folders of ``results/<scale>/`` that a paper of that name would share, and lose to their clean-up."""
PROVENANCE = "provenance"
PAPER_FILE = "paper"
"""The file beside the entries of experiments that says what the paper is."""

IDENTIFIER = "[a-z][a-z0-9_]*"
Identifier = Annotated[str, Field(pattern=f"^{IDENTIFIER}$", max_length=LONGEST)]
"""A paper, an experiment, an axis of a grid."""
Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST)]
"""A claim, a deviation, a figure."""


def _number(value: Any) -> Any:
    if isinstance(value, (bool, str)) and _reads_as_number(value):
        raise ValueError(f"input should be a number, found {value!r}")
    return value


def _reads_as_number(value: bool | str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
"""A number that was written as one: neither `true` nor a quoted number is taken for it."""
Whole = Annotated[int, Field(strict=True)]


def _one_line(text: str) -> str:
    line = text.strip()
    if len(line.splitlines()) != 1:  # a table in Markdown ends its row at a carriage return too
        raise ValueError(f"{'one line of text' if line else 'words'} expected, found {reprlib.repr(text)}")
    return line


Line = Annotated[str, AfterValidator(_one_line)]
"""Text of one line: it becomes a cell of a table, a heading or a line of a log."""


def check_paper(place: object, name: str) -> None:
    """Raise ConfigError, beginning with `place`, if no paper can have this name."""
    _check_identifier(place, "paper", name)
    if name in FOLDERS_OF_A_SCALE:
        raise ConfigError(f"{place}: paper {name!r}: the name of a folder of every scale's results; take another")


def check_experiment(place: object, name: str) -> None:
    """Raise ConfigError, beginning with `place`, if no experiment can have this name."""
    _check_identifier(place, "experiment", name)
    if name == PAPER_FILE:
        raise ConfigError(f"{place}: experiment {name!r}: that file says what the paper is; take another name")
    if name in sys.stdlib_module_names:
        raise ConfigError(f"{place}: experiment {name!r}: a script of that name would hide the module {name!r} of Python")


def _check_identifier(place: object, kind: str, name: str) -> None:
    if not re.fullmatch(IDENTIFIER, name) or len(name) > LONGEST:
        raise ConfigError(
            f"{place}: of at most {LONGEST} characters, a letter first, "
            f"the name of a{'n' if kind == 'experiment' else ''} {kind} is lower-case letters, digits and underscores"
        )


def check_metric(name: str) -> None:
    """Raise ValueError if no metric can have this name."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*", name) or len(name) > 2 * LONGEST:
        raise ValueError(
            f"{reprlib.repr(name)} is no name of a metric: letters, digits and _ . + -, a letter first, "
            f"at most {2 * LONGEST} of them"
        )
    if name == PROVENANCE:
        raise ValueError(f"{name!r} is no name of a metric: metrics.json says there where its numbers come from")


def one_of(names: Iterable[str]) -> AfterValidator:
    """For `Annotated`: a parameter that is one of these names."""
    allowed = list(names)

    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError(f"unknown name {name!r}; allowed: {', '.join(allowed)}")
        return name

    return AfterValidator(check)


def _increasing(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"the lower end comes first, found {ends[0]:g} and {ends[1]:g}")
    return ends


INCREASING = AfterValidator(_increasing)
"""For `Annotated`: a parameter that is the two ends of a range."""


def keyed_by(names: Iterable[str]) -> AfterValidator:
    """For `Annotated`: a parameter that has a value for each of these names, and no other."""
    allowed = list(names)

    def check(values: dict[str, Any]) -> dict[str, Any]:
        if set(values) != set(allowed):
            raise ValueError(f"keys {', '.join(values) or 'none'}; there must be one for each of: {', '.join(allowed)}")
        return values

    return AfterValidator(check)
