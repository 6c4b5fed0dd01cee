"""Executing a notebook on an experiment's results with papermill, and its HTML.

A notebook that fails leaves its traceback, and itself as far as it got, under ``logs/``; nothing that looks finished appears
among the results. Where a hypothesis was not met there are no curves: the notebook and its figures then say so.
"""

# ruff: noqa: E402 - what papermill must not import is settled before it is imported
from __future__ import annotations

import sys

# nbformat imports jsonschema, and that, where it finds this optional package (jupyterlab installs it), the checker of formats
# that no notebook has. It compiles a grammar as it is imported: more than two seconds of the three that papermill would take.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import contextlib
import gc
import json
import os
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import nbconvert
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from flowcheck.pipeline.evidence import EVIDENCE_FILES, UNMET, atomic_file, load_metrics, verdicts_on
from flowcheck.pipeline.report.mathml import Renderer
from flowcheck.pipeline.seal import SEAL, blank_seal, seal_text

gc.freeze()  # no module is garbage: Python need not walk them all, last as it ends


def run_notebook(source: Path, folder: Path, log: Path, figures: Callable[[], Iterable[str]], stamp: str = "") -> None:
    """Execute `source` with the parameter ``folder``; write ``notebook.ipynb`` and ``notebook.html`` there.

    `figures` gives the names that the experiment promises, where no notebook draws them. Raises SystemExit with the traceback
    of a cell that fails.
    """
    unmet = load_metrics(folder / "metrics.json")[1].get(UNMET)
    with tempfile.TemporaryDirectory() as scratch, _own_jupyter(Path(scratch)):
        if unmet:
            notebook = _notebook_of_unmet_hypothesis(unmet, folder, figures())
        else:
            notebook = _execute(source, folder, log, Path(scratch) / "notebook.ipynb")
        page = as_html(notebook)  # by the templates of this environment
    with atomic_file(folder / "notebook.html", "w") as stream:
        stream.write(page)
    path = folder / "notebook.ipynb"
    rests_on = [*_shown(folder), *(folder / name for name in EVIDENCE_FILES)]
    place = "/".join(path.parts[-4:])
    notebook.metadata[SEAL] = blank_seal(path, [folder / "notebook.html", *rests_on], place, stamp=stamp)
    with atomic_file(path) as stream:
        stream.write(seal_text(nbformat.writes(notebook) + "\n").encode())


def _shown(folder: Path) -> Iterator[Path]:
    """The figures that a notebook drew, and the verdicts that it shows."""
    yield from sorted(path for path in (folder / "figures").glob("*") if not path.name.startswith("."))
    yield from verdicts_on(folder)


def as_html(notebook: nbformat.NotebookNode) -> str:
    """The page of a notebook, complete without a network."""
    # Markdown as in the report: formulas, and no link or HTML that the report would refuse
    exporter = nbconvert.HTMLExporter(template_name="classic", embed_images=True, filters={"markdown2html": Renderer().block})
    exporter.mathjax_url = ""  # formulas are MathML already; the page must work without a network
    exporter.require_js_url = ""
    exporter.jquery_url = ""
    exporter.mermaid_js_url = "data:text/javascript,export default { initialize() {} }"  # the template imports it in any case
    html: str = exporter.from_notebook_node(notebook)[0]
    return html


def _execute(source: Path, folder: Path, log: Path, executed: Path) -> nbformat.NotebookNode:
    failed = log.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            source,
            executed,
            {"folder": str(folder)},
            kernel_name=KERNEL,
            progress_bar=False,
            log_output=False,
            request_save_on_cell_execute=False,  # with every figure so far, twice a cell
        )
    except PapermillExecutionError as error:
        failed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(executed, failed)
        print(f"{source}: cell {error.exec_count} failed; the notebook as far as it got is in {failed}", file=sys.stderr)
        raise SystemExit(str(error)) from None
    return nbformat.read(executed, as_version=4)


KERNEL = "python3"
SETTINGS = (
    "JUPYTER",
    "IPYTHON",
    "MPLBACKEND",
    "MATPLOTLIBRC",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONWARNINGS",
)
"""What the names of variables begin with that choose kernels, configurations, templates, backends."""
NOTHING_FIRST = [f"--InteractiveShellApp.{name}=[]" for name in ("exec_lines", "exec_files", "extensions")]
"""What a site runs at the start of every session, whose configuration cannot be passed over otherwise."""


@contextlib.contextmanager
def _own_jupyter(folder: Path) -> Iterator[None]:
    """The kernel is this interpreter, templates are those of this environment, and their files are kept under `folder`.

    A home may be read-only, and what a user or a site has configured is no part of a result: a site's kernel `python3` would run
    the notebook in another Python.
    """
    kernel = folder / "jupyter_data_dir" / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *NOTHING_FIRST]
    encrypted = {"supported_encryption": ["curve"]}  # as ipykernel says of itself, which takes a second to import
    said = {"argv": command, "display_name": "Python 3", "language": "python", "metadata": encrypted}
    (kernel / "kernel.json").write_text(json.dumps(said), encoding="utf-8")
    own = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")
    before = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    for name in before:
        del os.environ[name]
    os.environ.update({name: str(folder / name.lower()) for name in own}, JUPYTER_PREFER_ENV_PATH="0")
    try:
        yield
    finally:
        for name in (*own, "JUPYTER_PREFER_ENV_PATH"):
            del os.environ[name]
        os.environ.update(before)


def _notebook_of_unmet_hypothesis(unmet: str, folder: Path, figures: Iterable[str]) -> nbformat.NotebookNode:
    """A notebook and figures that show nothing but the sentence `unmet`."""
    from flowcheck.pipeline.figures.plotting import figure, save_figure

    sentence = f"Hypothesis not met: {unmet}"
    for name in figures:
        drawn, (axis,) = figure(height=1.2)
        axis.set_axis_off()
        axis.text(0.5, 0.5, textwrap.fill(sentence, 90), ha="center", va="center")
        save_figure(drawn, folder, name, on_faults=list)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(sentence, id="unmet")])
