"""The digest of an experiment's code: it changes with the code that runs, and with nothing else."""

import subprocess
import sys

import pytest

from flowcheck.pipeline import digest
from flowcheck.pipeline.digest import code_digest, dependencies

SCRIPT = '''"""Docstring."""
import numpy as np
import beside
from flowcheck.linear import product

def run(x):
    """Docstring of run."""
    # a comment
    return product(x) + beside.offset
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A package and a script of the test's own; a function that writes files and digests the script."""
    package, scripts = tmp_path / "src" / "flowcheck", tmp_path / "scripts" / "toy"
    files = {
        package / "__init__.py": "",
        package / "linear.py": "from flowcheck.algebra import dot\n\ndef product(x):\n    return dot(x, x)\n",
        package / "algebra.py": "def dot(x, y):\n    return x * y\n",
        package / "bounds" / "__init__.py": "",
        package / "bounds" / "rates.py": "RATE = 1\n",
        package / "unrelated.py": "x = 1\n",
        scripts / "study.py": SCRIPT,
        scripts / "beside.py": "from further import offset\n",
        scripts / "further.py": "offset = 1\n",
        scripts / "other.py": "x = 1\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(digest, "PACKAGE_FOLDER", package)

    class Code:
        root = tmp_path

        def digest(self, name="scripts/toy/study.py"):
            for cached in (digest._read,):
                cached.cache_clear()
            return code_digest(tmp_path / name)

        def change(self, name, old, new):
            path = tmp_path / name
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))

        def reached(self, name="scripts/toy/study.py"):
            self.digest(name)
            return {str(path.relative_to(tmp_path)) for path in dependencies(tmp_path / name)}

    yield Code()
    for cached in (digest._read,):
        cached.cache_clear()


STUDY, PACKAGE, SCRIPTS = "scripts/toy/study.py", "src/flowcheck/", "scripts/toy/"


def test_dependencies_are_the_script_its_siblings_and_the_modules_they_import_transitively(code):
    modules = {PACKAGE + name for name in ("__init__.py", "linear.py", "algebra.py")}
    assert code.reached() == modules | {SCRIPTS + name for name in ("study.py", "beside.py", "further.py")}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (STUDY, "# a comment", "# another comment"),
        (STUDY, '"""Docstring."""', '"""Another."""'),
        (STUDY, '"""Docstring of run."""', ""),
        (STUDY, "return product(x) + beside.offset", "return (product(x)\n            + beside.offset)"),
        (PACKAGE + "algebra.py", "def dot", '"""New docstring."""\n\n\ndef dot'),
        (PACKAGE + "unrelated.py", "x = 1", "x = 2"),
        (SCRIPTS + "other.py", "x = 1", "x = 2"),
        (PACKAGE + "bounds/rates.py", "1", "2"),
    ],
    ids=[
        "comment",
        "docstring",
        "docstring removed",
        "layout",
        "docstring of a module",
        "unrelated",
        "other script",
        "not imported",
    ],
)
def test_the_digest_stays_when_what_runs_stays(code, file, old, new):
    before = code.digest()
    code.change(file, old, new)
    assert code.digest() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (STUDY, "+ beside", "- beside"),
        (PACKAGE + "linear.py", "dot(x, x)", "dot(x, 1)"),
        (PACKAGE + "algebra.py", "x * y", "x + y"),
        (PACKAGE + "__init__.py", "", "x = 1"),
        (SCRIPTS + "beside.py", "offset", "offset as offset"),
        (SCRIPTS + "further.py", "1", "2"),
        (STUDY, "import beside", "import beside, flowcheck.unrelated"),
    ],
    ids=["script", "module", "module behind it", "package", "sibling", "sibling behind it", "new import"],
)
def test_the_digest_changes_when_what_runs_changes(code, file, old, new):
    before = code.digest()
    code.change(file, old, new)
    assert code.digest() != before


@pytest.mark.parametrize(
    "statement",
    [
        *("import flowcheck.bounds.rates", "from flowcheck.bounds.rates import RATE", "from flowcheck.bounds import rates"),
        *("from flowcheck.bounds import rates as r", "import flowcheck.bounds.rates as r"),
        *("def f():\n    from flowcheck.bounds import rates", "if True:\n    import numpy, flowcheck.bounds.rates"),
    ],
)
def test_every_way_to_import_a_module_is_seen(code, statement):
    (code.root / STUDY).write_text(statement + "\n")
    assert code.reached() == {STUDY} | {PACKAGE + name for name in ("__init__.py", "bounds/__init__.py", "bounds/rates.py")}
    before = code.digest()
    code.change(PACKAGE + "bounds/rates.py", "1", "2")
    assert code.digest() != before


def test_modules_that_import_each_other_are_no_trouble(code):
    (code.root / PACKAGE / "algebra.py").write_text("import flowcheck.linear\n")
    assert PACKAGE + "algebra.py" in code.reached()


def test_a_module_of_the_package_does_not_reach_files_that_happen_to_be_named_like_a_library(code):
    (code.root / PACKAGE / "numpy.py").write_text("")
    code.change(PACKAGE + "algebra.py", "def", "import numpy\n\ndef")
    assert PACKAGE + "numpy.py" not in code.reached()


def test_relative_imports_are_refused(code):
    (code.root / STUDY).write_text("from . import beside\n")
    with pytest.raises(ImportError, match="relative imports are not used"):
        code.digest()


def test_the_digest_does_not_depend_on_where_package_and_scripts_lie(code, monkeypatch):
    before = code.digest()
    moved = code.root / "zzz" / "flowcheck"
    moved.parent.mkdir()
    (code.root / "src" / "flowcheck").rename(moved)
    monkeypatch.setattr(digest, "PACKAGE_FOLDER", moved)
    assert code.digest() == before


def test_the_digest_is_the_same_in_every_process(code):
    command = (
        "import sys; from pathlib import Path; from flowcheck.pipeline.digest import code_digest; "
        "print(code_digest(Path(sys.argv[1])))"
    )
    path = code.root / SCRIPTS / "beside.py"
    runs = [
        subprocess.run(
            [sys.executable, "-c", command, str(path)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 16
