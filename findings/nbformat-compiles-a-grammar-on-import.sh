#!/usr/bin/env bash
# Importing nbformat takes several times as long where jupyterlab is installed too, and what it waits for is never used.
#
# nbformat 5.11.1 imports jsonschema 4.26.0 whether or not a notebook is ever validated. On import jsonschema tries each optional
# package behind its format checkers. jupyterlab (by way of jupyter-events) installs one of them, rfc3987-syntax 1.1.0, which
# compiles the grammar of internationalised resource identifiers with lark 1.3.1 as it is imported. No notebook has such a format.
# So `import nbformat`, and with it nbconvert, papermill and nbclient, spends most of its time on a parser that nothing asks for:
# seen 2.5 to 3.3 CPU seconds with it and 0.35 to 0.5 without, Python 3.11. The import is inside a suppress(ImportError): a process
# that declares the package absent (sys.modules["rfc3987_syntax"] = None) loses nothing but that format.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check install \
  nbformat==5.11.1 jsonschema==4.26.0 rfc3987-syntax==1.1.0 lark==1.3.1
cat >"$folder/look.py" <<'PYTHON'
import subprocess
import sys

TIMED = """
import sys, time
if {absent}: sys.modules["rfc3987_syntax"] = None
import nbformat
nbformat.validate(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("text")]))
print(time.process_time(), "lark" in sys.modules)
"""


def cpu(absent):
    runs = [subprocess.run([sys.executable, "-c", TIMED.format(absent=absent)], capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    return min(float(seconds) for seconds, _ in runs), {lark for _, lark in runs}


(present, with_lark), (absent, without_lark) = cpu(False), cpu(True)
print(f"import nbformat and validate a notebook: {present:.2f} CPU s with rfc3987-syntax, {absent:.2f} without")
assert with_lark == {"True"} and without_lark == {"False"}, "who imports lark has changed"
assert present > 2 * absent, "the import costs no more than half of all"
PYTHON
"$folder/venv/bin/python" -c "import nbformat"  # byte code, once
"$folder/venv/bin/python" "$folder/look.py"
