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

from flowcheck.pipeline.evidence import Evidence, verdicts_on
from flowcheck.pipeline.figures.plotting import save_figure
from flowcheck.pipeline.report.mathml import Renderer

gc.freeze()  # no module is garbage: collections while figures are drawn need not walk them all, a tenth of the time

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

    Raises FigureError if it has faults other than those that it `accepts`, see `inspection`.
    """
    width = round(figure.get_figwidth() * 120)
    return Image(filename=str(save_figure(figure, folder, name, accepts)), width=width, alt=alt)


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
    return (
        f'<div class="claim {record["verdict"]}"><p><strong>{html.escape(record["label"])}{printed}:</strong> '
        f"{render.inline(record['title'])} <small>({html.escape(record['location'])})</small></p>"
        f"{render.block(record['statement'])}"
        f"<p><strong>{record['verdict']}</strong>{slack}{error}{n}. {html.escape(record['reason'])}</p></div>"
    )
