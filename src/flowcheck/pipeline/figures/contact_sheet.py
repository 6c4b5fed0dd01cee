"""All figures of a scale on one page, to be looked at: what a check cannot see, somebody has to."""

from __future__ import annotations

import html
from pathlib import Path

from flowcheck.errors import ConfigError
from flowcheck.pipeline.evidence import atomic_file
from flowcheck.pipeline.project import Project

STYLE = """body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(34rem, 1fr)); gap: 1.5rem; align-items: start; }
h2 { grid-column: 1 / -1; margin: 1rem 0 0; }
figure { margin: 0; border: 1px solid #d5dae0; padding: .75rem; }
img { max-width: 100%; }
.absent { color: #a33b00; }"""


def write_contact_sheet(project: Project, scale: str) -> Path:
    """Write ``results/{scale}/contact-sheet.html``: every figure that is promised, with its caption, or that it is not there.

    Returns the path. Raises ConfigError if no figure is there.
    """
    folder = project.root / "results" / scale
    parts, there = [], 0
    for paper, experiment in project:
        parts.append(f"<h2>{paper}/{experiment}</h2>")
        for name, caption in project.experiment(paper, experiment).figures.items():
            source = Path(paper, experiment, "figures", f"{name}.png")
            found = (folder / source).is_file()
            there += found
            shown = f'<img src="{source.as_posix()}" alt="">' if found else '<p class="absent">not there</p>'
            text = f"<b>{name}</b>: {html.escape(caption)}"
            parts.append(f"<figure>{shown}<figcaption>{text}</figcaption></figure>")
    if not there:
        raise ConfigError(f"{folder}: no figure there; make them with: snakemake --cores all --config scale={scale}")
    path = folder / "contact-sheet.html"
    title = f"flowcheck: {there} figures, {scale} scale"
    with atomic_file(path, "w") as stream:
        stream.write(
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
            f"<h1>{title}</h1>\n<main>\n" + "\n".join(parts) + "\n</main>\n</html>\n"
        )
    return path
