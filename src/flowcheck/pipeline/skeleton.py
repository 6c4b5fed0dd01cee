"""The skeleton of a new experiment: script, notebook, config entry and claim, and the paper's entry where there is none yet.

What is written is a complete example (the order of Heun's method, with Euler's method as its control) that validates, runs and is
judged as it stands. Its text is in ``templates/``, one file for each file it becomes.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import v4

from flowcheck.errors import ConfigError
from flowcheck.pipeline.names import check_experiment, check_paper
from flowcheck.pipeline.project import PAPER, Project

TEMPLATES = Path(__file__).parent / "templates"


def write_skeleton(root: Path, paper: str, experiment: str) -> list[Path]:
    """Write the files of one experiment into the checkout `root`; returns those written, relative to `root`.

    Raises ConfigError, and leaves everything as it was, if a name cannot be used, if any of it is there already, or if the
    project would not validate with it.
    """
    check_paper(f"new {paper!r} {experiment!r}", paper)
    check_experiment(f"new {paper!r} {experiment!r}", experiment)
    texts = _texts(root, paper, experiment)
    try:
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        Project(root).check_parameters()
    except BaseException:
        for path in texts:
            (root / path).unlink(missing_ok=True)
        raise
    return list(texts)


def _texts(root: Path, paper: str, experiment: str) -> dict[Path, str]:
    """The files and their contents. Raises ConfigError for what would be overwritten."""
    names = {"paper": paper, "experiment": experiment, "claim": f"{experiment.replace('_', '-')}-order"}
    texts = {
        Path("config", "experiments", paper, f"{experiment}.yaml"): _filled("experiment.yaml", names),
        Path("config", "claims", paper, f"{experiment}.yaml"): _filled("claims.yaml", names),
        Path("scripts", paper, f"{experiment}.py"): _filled("script.py", names),
        Path("notebooks", paper, f"{experiment}.ipynb"): _notebook(_filled("notebook.py", names)),
    }
    for path in texts:
        if (root / path).exists():
            raise ConfigError(f"{path}: is there already; nothing was written")
    about = Path("config", "experiments", paper, PAPER)
    return texts if (root / about).is_file() else {about: _filled("paper.yaml", names)} | texts


def _filled(template: str, names: dict[str, str]) -> str:
    """A template with ``{paper}``, ``{experiment}`` and ``{claim}`` replaced; all other braces stay."""
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    return re.sub(r"\{(paper|experiment|claim)\}", lambda found: names[found[1]], text)


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
