"""Executing a notebook on an experiment's results with papermill, and its HTML.

A notebook that fails leaves its traceback, and itself as far as it got, under ``logs/``; nothing that looks finished appears
among the results.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbconvert
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from flowcheck.evidence import atomic_file


def run_notebook(source: Path, folder: Path, log: Path) -> None:
    """Execute `source` with the parameter ``folder``; write ``notebook.ipynb`` and ``notebook.html`` there.

    Raises SystemExit with the failing cell's traceback if the notebook fails.
    """
    failed = log.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        executed = Path(scratch) / "notebook.ipynb"
        try:
            papermill.execute_notebook(
                source, executed, {"folder": str(folder)}, kernel_name="python3", progress_bar=False, log_output=False
            )
        except PapermillExecutionError as error:
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(executed, failed)
            print(f"{source}: cell {error.exec_count} failed; the notebook as far as it got is in {failed}", file=sys.stderr)
            raise SystemExit(str(error)) from None
        notebook = nbformat.read(executed, as_version=4)
    exporter = nbconvert.HTMLExporter(template_name="classic", embed_images=True)
    exporter.mathjax_url = ""  # formulas are MathML already; the page must work without a network
    exporter.require_js_url = ""
    exporter.jquery_url = ""
    html, _ = exporter.from_notebook_node(notebook)
    with atomic_file(folder / "notebook.html", "w") as stream:
        stream.write(html)
    with atomic_file(folder / "notebook.ipynb", "w") as stream:
        nbformat.write(notebook, stream)
