"""The skeleton of a new experiment: script, notebook, config entry and claim, and the paper's entry where there is none yet.

What is written is a complete example (the order of Heun's method, with Euler's method as its control) that validates, runs and is
judged as it stands. Its text is in ``templates/``, one file for each file it becomes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import yaml
from nbformat import v4

from flowcheck.errors import ConfigError
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.strict_yaml import read_yaml

TEMPLATES = Path(__file__).parent / "templates"
RESERVED = ("claims", "report")
"""Folders of ``results/<scale>/`` that a paper of that name would share."""


def write_skeleton(root: Path, paper: str, experiment: str) -> list[Path]:
    """Write the files of one experiment into the checkout `root`; returns those written or extended, relative to `root`.

    Raises ConfigError, and leaves everything as it was, if a name cannot be used, if any of it is there already, or if the
    project would not validate with it.
    """
    for kind, name in (("paper", paper), ("experiment", experiment)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigError(f"{kind} {name!r}: a name is lower-case letters, digits and underscores, and starts with a letter")
    if paper in RESERVED:
        raise ConfigError(f"paper {paper!r}: the name of a folder of every scale's results; take another")
    if experiment in sys.stdlib_module_names:
        raise ConfigError(f"experiment {experiment!r}: a script of that name would hide the module {experiment!r} of Python")
    texts = _texts(root, paper, experiment)
    before = {path: (root / path).read_text() if (root / path).is_file() else None for path in texts}
    try:
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        Project(root).check_parameters()
    except BaseException:
        for path, old in before.items():
            if old is None:
                (root / path).unlink(missing_ok=True)
            else:
                (root / path).write_text(old)
        raise
    return list(texts)


def _texts(root: Path, paper: str, experiment: str) -> dict[Path, str]:
    """The files and their whole new contents. Raises ConfigError for what would be overwritten."""
    names = {"paper": paper, "experiment": experiment, "claim": f"{experiment.replace('_', '-')}-order"}
    script, notebook = Path("scripts", paper, f"{experiment}.py"), Path("notebooks", paper, f"{experiment}.ipynb")
    for path in (script, notebook):
        if (root / path).exists():
            raise ConfigError(f"{path}: is there already; nothing was written")
    experiments, claims = Path("config", "experiments", f"{paper}.yaml"), Path("config", "claims", f"{paper}.yaml")
    entries = read_yaml(root / experiments).get("experiments") if (root / experiments).is_file() else {}
    if experiment in entries:
        raise ConfigError(f"{experiments}: experiment {experiment!r} is there already; nothing was written")
    recorded = read_yaml(root / claims) if (root / claims).is_file() else []
    if names["claim"] in [record["id"] for record in recorded]:
        raise ConfigError(f"{claims}: claim {names['claim']!r} is there already; nothing was written")
    head = "" if (root / experiments).is_file() else _filled("paper.yaml", names)
    return {
        experiments: _appended(root, experiments, head + _filled("experiment.yaml", names)),
        claims: _appended(root, claims, _filled("claim.yaml", names)),
        script: _filled("script.py", names),
        notebook: _notebook(_filled("notebook.py", names)),
    }


def _filled(template: str, names: dict[str, str]) -> str:
    """A template with ``{paper}``, ``{experiment}`` and ``{claim}`` replaced; all other braces stay."""
    text = (TEMPLATES / f"{template}.txt").read_text()
    return re.sub(r"\{(paper|experiment|claim)\}", lambda found: names[found[1]], text)


def _appended(root: Path, path: Path, text: str) -> str:
    """The file with `text` at its end. Raises ConfigError if that is not where its last entry ends."""
    if not (root / path).is_file():
        return text
    old = (root / path).read_text()
    new = f"{old.rstrip()}\n\n{text}"
    try:
        before, after = yaml.safe_load(old), yaml.safe_load(new)
        if isinstance(before, dict):
            before, after = before["experiments"], after["experiments"]
        added = len(after) - len(before)
    except (yaml.YAMLError, TypeError, KeyError):
        added = 0
    if added != 1:
        raise ConfigError(
            f"{path}: an entry nothing can be added at its end; 'experiments' must be its last key, its entries indented by two"
        )
    return new


def _notebook(text: str) -> str:
    """A notebook, without outputs, from cells that begin with ``# %%``: markdown, the parameters, or code."""
    cells = []
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:]):
        kind, _, source = part.partition("\n")
        source = source.strip()
        if kind.strip() == "[markdown]":
            cell = v4.new_markdown_cell(re.sub(r"^# ?", "", source, flags=re.MULTILINE))
        else:
            cell = v4.new_code_cell(source, metadata={"tags": ["parameters"]} if kind.strip() == "parameters" else {})
        cell["id"] = f"cell-{number}"  # ids drawn at random would differ each time
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return str(nbformat.writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))) + "\n"
