"""What notebooks show besides figures: numbers with their errors, and claims with their verdicts; readable without a network."""

from __future__ import annotations

import gc
import html
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from IPython.display import HTML, Image
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from flowcheck.pipeline.evidence import Evidence, load_metrics, verdicts_on
from flowcheck.pipeline.figures.faults import FAULTS
from flowcheck.pipeline.figures.plotting import save_figure
from flowcheck.pipeline.origin import origins_in, sources
from flowcheck.pipeline.report.mathml import Renderer

gc.freeze()  # no module is garbage: collections while figures are drawn need not walk them all, a tenth of the time

STRIP = 0.16
"""Inches above a figure for the line that says on which data it rests."""
STYLE = """<style>
.flowcheck td, .flowcheck th { text-align: left !important; vertical-align: top; padding: .25em .8em .25em 0; }
.flowcheck .claim { margin: 1em 0; padding: .2em 1em; border-left: 4px solid #59626b; }
.flowcheck .supported { border-color: #00539b; } .flowcheck .contradicted { border-color: #a33b00; border-left-style: double; }
.flowcheck .claim p { margin: .4em 0; }
</style>"""


def results_at(folder: str | Path) -> Path:
    """The folder of results that a notebook names, wherever in the checkout the notebook is opened.

    A relative name is looked up here and then in every folder above. Raises FileNotFoundError with the command that makes the
    results if they are nowhere.
    """
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / folder / "metrics.json").is_file():
            return place / folder
    raise FileNotFoundError(f"{folder}: no results there; make them with: snakemake --cores 2 {Path(folder) / 'notebook.html'}")


def show_figure(figure: Figure, folder: str | Path, name: str, alt: str, accepts: Mapping[str, str] | None = None) -> Image:
    """Save the figure under `folder` and show the PNG that was saved; `alt` says in words what is on it.

    Where the numbers rest on data that could be others, the figure says on which, above its panels.

    Faults other than those that it `accepts`, see `inspection`, are printed beside it and kept with it, see `faults`.
    """
    if said := _data_behind(Path(folder)):
        _say(figure, f"Data: {said}")
    width, found = round(figure.get_figwidth() * 120), list[str]()
    path = save_figure(figure, folder, name, accepts, found.extend)
    for fault in found:
        print(f"Drawn with a fault: {fault}")
    return Image(filename=str(path), width=width, alt=alt, metadata={FAULTS: found} if found else None)


def _data_behind(folder: Path) -> str:
    """On which data the numbers in a folder rest, in words; empty where nothing is said of it."""
    metrics = folder / "metrics.json"
    return sources(origins_in(load_metrics(metrics)[1])) if metrics.is_file() else ""


def _say(figure: Figure, said: str) -> None:
    """A line above all panels, in a strip of its own."""
    height = figure.get_figheight() + STRIP
    figure.set_figheight(height)
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - STRIP / height))
    figure.text(0.5, 1 - 0.25 * STRIP / height, said, fontsize=6.5, color="0.3", ha="center", va="top")


def show_metrics(evidence: Evidence, patterns: Iterable[str] = ("*",)) -> HTML:
    """Table of the metrics whose names match, in the order of the patterns. Raises KeyError for a pattern that matches none."""
    names: dict[str, None] = {}
    for pattern in patterns:
        found = [name for name in evidence.metrics if fnmatchcase(name, pattern)]
        if not found:
            raise KeyError(f"no metric matches {pattern!r}")
        names |= dict.fromkeys(found)
    rows = []
    for name in names:
        m = evidence.metrics[name]
        interval = "" if m.interval is None else f"[{m.interval[0]:.6g}, {m.interval[1]:.6g}]"
        error = "0 (exact)" if m.error == 0 else f"{m.error:.2g}"
        cells = (f"<code>{html.escape(name)}</code>", f"{m.value:.6g}", error, interval, "" if m.n is None else str(m.n))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>metric</th><th>value</th><th>numerical error</th><th>interval</th><th>n</th></tr>"
    return HTML(f'{STYLE}<table class="flowcheck"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>')


def show_claims(folder: str | Path) -> HTML:
    """The claims judged on this experiment: statement, verdict, slack, reason."""
    render = Renderer()
    cards = [_card(record, render) for record in verdicts(folder)]
    return HTML(f'{STYLE}<div class="flowcheck">{"".join(cards) or "<p>No claim was judged on this evidence.</p>"}</div>')


def verdicts(folder: str | Path) -> list[dict[str, Any]]:
    """Verdict records that rest on ``results/{scale}/{paper}/{experiment}``, in the order of their identifiers."""
    return list(verdicts_on(Path(folder)).values())


def _card(record: dict[str, Any], render: Renderer) -> str:
    printed = "" if record["variant"] == "corrected" else f" (as {record['variant']})"
    slack = "" if record["slack"] is None else f", {record['metric']} {record['value']:.3g}, slack {record['slack']:.3g}"
    error = "" if record["error"] is None else f", numerical error {record['error']:.2g}"
    n = "" if record["n"] is None else f", n = {record['n']}"
    data = f" Data: {html.escape(record['data'])}." if record.get("data") else ""
    return (
        f'<div class="claim {record["verdict"]}"><p><strong>{html.escape(record["label"])}{printed}:</strong> '
        f"{render.inline(record['title'])} <small>({html.escape(record['location'])})</small></p>"
        f"{render.block(record['statement'])}"
        f"<p><strong>{record['verdict']}</strong>{slack}{error}{n}. {html.escape(record['reason'])}{data}</p></div>"
    )
