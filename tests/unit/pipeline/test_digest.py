"""The digest of an experiment's code: it changes with the code that runs, and with nothing else."""

import json
import shutil
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from flowcheck.errors import ConfigError
from flowcheck.pipeline import digest
from flowcheck.pipeline.digest import check_package, code_digest, dependencies, own_digest, recall_syntax, remember_syntax

SCRIPT = '''"""Docstring."""
import numpy as np
from flowcheck import beside
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
        package / "beside.py": "from flowcheck.further import offset\n",
        package / "further.py": "offset = 1\n",
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


def test_dependencies_are_the_script_and_the_modules_it_imports_transitively(code):
    modules = {PACKAGE + name for name in ("__init__.py", "linear.py", "algebra.py", "beside.py", "further.py")}
    assert code.reached() == modules | {STUDY}


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
        (PACKAGE + "beside.py", "offset", "offset as offset"),
        (PACKAGE + "further.py", "1", "2"),
        (STUDY, "from flowcheck import beside", "from flowcheck import beside, unrelated"),
    ],
    ids=["script", "module", "module behind it", "package", "module by its package", "module behind that", "new import"],
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


@pytest.mark.parametrize(
    "statement", ["import other", "from other import x", "import numpy, other", "def f():\n    import other"]
)
def test_a_script_that_imports_a_file_beside_it_is_refused(code, statement):
    (code.root / STUDY).write_text(statement + "\n")
    with pytest.raises(
        ImportError, match=r"study\.py: imports 'other' from beside it; what a script needs is a module of flowcheck"
    ):
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
    path = code.root / SCRIPTS / "other.py"
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


# ------------------------------------------------------------------------------------------------- the project's own experiments

ROOT = Path(__file__).resolve().parents[3]
EXPERIMENTS = sorted(path.relative_to(ROOT) for path in (ROOT / "scripts").glob("*/*.py"))
WINGS = {
    *("networks/feed_forward", "networks/linear", "data/synthetic", "correlation/ncf", "correlation/clarke", "descent/native"),
    *("integration/adaptive", "flows/events", "flows/sliding", "alignment/reference", "saddles/departure", "losses", "geometry"),
    *("measures/statistics", "measures/enclosure", "papers/homogeneous/families", "papers/two_homogeneous/bounds", "errors"),
    *("papers/deep_homogeneous/bounds", "papers/spherical_data/bounds", "pipeline/evidence", "pipeline/experiment", "__init__"),
    *("papers/continuous_discrete/deep_linear_bounds", "curvature/dense", "papers/neuron_pursuit/lemma_9", "pursuit/pursue"),
    *("pipeline/judge", "pipeline/report/site", "pipeline/figures/plotting", "networks/__init__", "papers/homogeneous/__init__"),
}
"""One module or more of every wing and room."""


@pytest.fixture(scope="module")
def found_by_another():
    """For each experiment the modules of the package it can reach, as the standard library's modulefinder sees it in bytecode."""
    reached = {}
    for script in EXPERIMENTS:
        finder = ModuleFinder(path=[str(ROOT / "src")])
        finder.run_script(str(ROOT / script))
        files = {Path(module.__file__) for name, module in finder.modules.items() if name.startswith("flowcheck")}
        reached[script] = {str(file.relative_to(ROOT / "src/flowcheck").with_suffix("")) for file in files}
    return reached


def test_the_digest_reaches_the_modules_that_another_finder_reaches(found_by_another):
    for script, modules in found_by_another.items():
        paths = dependencies(ROOT / script) - {ROOT / script}
        assert {str(path.relative_to(ROOT / "src/flowcheck").with_suffix("")) for path in paths} == modules


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and the scripts, to be touched, and the digests of the experiments in it."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src" / "flowcheck", root / "src" / "flowcheck", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scripts", root / "scripts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "PACKAGE_FOLDER", root / "src" / "flowcheck")
        yield root, {script: code_digest(root / script) for script in EXPERIMENTS}
    digest._read.cache_clear()


@pytest.mark.parametrize("module", sorted(WINGS))
def test_a_touched_module_changes_the_digest_of_the_experiments_that_reach_it(module, found_by_another, copy):
    root, before = copy
    path = root / "src" / "flowcheck" / f"{module}.py"
    text = path.read_text()
    path.write_text(text + "\ntouched = True\n")
    digest._read.cache_clear()
    changed = {script for script in EXPERIMENTS if code_digest(root / script) != before[script]}
    path.write_text(text)
    assert changed == {script for script, modules in found_by_another.items() if module in modules}


def test_every_wing_and_room_has_a_module_that_is_touched():
    package = ROOT / "src" / "flowcheck"
    rooms = {str(path.parent.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py"}
    assert {str(Path(module).parent) for module in WINGS} == rooms


def test_data_beside_a_script_count(code):
    before = code.digest()
    data = code.root / SCRIPTS / "data" / "x" / "table.csv"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"\xff1")
    added = code.digest()
    data.write_bytes(b"\xff2")
    assert len({before, added, code.digest()}) == 3


@pytest.mark.parametrize("statement", ["import importlib", "from importlib import import_module"])
def test_a_module_whose_name_is_known_only_as_it_runs_is_an_error(code, statement):
    code.change(PACKAGE + "algebra.py", "def dot", f"{statement}\ndef dot")
    with pytest.raises(ImportError, match=r"algebra\.py: imports a module whose name is known only as it runs"):
        code.digest()


def test_a_package_beside_a_script_is_an_error(code):
    helpers = code.root / SCRIPTS / "helpers"
    helpers.mkdir()
    (helpers / "__init__.py").touch()
    code.change(STUDY, "import numpy as np", "import helpers")
    with pytest.raises(ImportError, match=r"study\.py: imports 'helpers' from beside it"):
        code.digest()


def test_the_modules_that_a_notebook_imports_count(code):
    cells = [
        {"cell_type": "markdown", "source": ["not Python"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from flowcheck import linear"]},
    ]
    (code.root / "study.ipynb").write_text(json.dumps({"cells": cells}))
    assert PACKAGE + "algebra.py" in code.reached("study.ipynb")
    before = code.digest("study.ipynb")
    code.change(PACKAGE + "algebra.py", "x * y", "x + y")
    assert code.digest("study.ipynb") != before


def test_the_digest_of_one_file_is_its_own(code):
    path = code.root / PACKAGE / "linear.py"
    before = own_digest(path)
    code.change(PACKAGE + "algebra.py", "x * y", "x + y")
    code.digest()
    assert own_digest(path) == before
    code.change(PACKAGE + "linear.py", "dot(x, x)", "dot(x, 1)")
    code.digest()
    assert own_digest(path) != before


def test_a_package_of_another_checkout_is_one_sentence(code):
    check_package(code.root)
    check_package(code.root / "scripts")
    own = code.root / "other" / "src" / "flowcheck"
    own.mkdir(parents=True)
    with pytest.raises(ConfigError, match=rf"^{own}: this environment runs the code of another checkout, .*; use .*: make env$"):
        check_package(code.root / "other")


class TestMemory:
    """What was parsed is remembered by the text, so that a memory can save time and change nothing."""

    @pytest.fixture
    def fresh(self, monkeypatch):
        """Forget what this process parsed, as often as asked."""

        def forget():
            monkeypatch.setattr(digest, "_KNOWN", {})
            monkeypatch.setattr(digest, "_USED", set())

        forget()
        return forget

    def test_nothing_is_parsed_twice_and_the_digest_is_the_same(self, code, fresh, tmp_path, monkeypatch):
        before = code.digest()
        remember_syntax(tmp_path / "memory" / "syntax")
        fresh()
        recall_syntax(tmp_path / "memory" / "syntax")
        monkeypatch.setattr(digest.ast, "parse", lambda *_, **__: pytest.fail("parsed again"))
        assert code.digest() == before

    def test_a_change_is_seen_whatever_is_remembered(self, code, fresh, tmp_path):
        before = code.digest()
        remember_syntax(tmp_path / "syntax")
        fresh()
        recall_syntax(tmp_path / "syntax")
        code.change("src/flowcheck/further.py", "offset = 1", "offset = 2")
        assert code.digest() != before

    def test_what_nobody_reads_any_more_is_forgotten(self, code, fresh, tmp_path):
        code.digest()
        remember_syntax(tmp_path / "syntax")
        size = (tmp_path / "syntax").stat().st_size
        fresh()
        recall_syntax(tmp_path / "syntax")
        code.digest("scripts/toy/other.py")
        remember_syntax(tmp_path / "syntax")
        assert (tmp_path / "syntax").stat().st_size < size

    def test_a_memory_that_is_not_what_was_written_is_not_believed(self, code, fresh, tmp_path):
        before, memory = code.digest(), tmp_path / "syntax"
        remember_syntax(memory)
        whole = memory.read_bytes()
        for place in range(0, len(whole), 97):
            fresh()
            memory.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            recall_syntax(memory)
            assert digest._KNOWN == {}
        for text in (b"", b"no line", b"\xff\n{}", whole[:-5]):
            memory.write_bytes(text)
            recall_syntax(memory)
            assert digest._KNOWN == {}
        assert code.digest() == before

    def test_another_version_of_python_parses_for_itself(self, code, fresh, tmp_path, monkeypatch):
        code.digest()
        known = set(digest._KNOWN)
        monkeypatch.setattr(digest.sys, "version_info", (9, 9, 0))
        code.digest()
        assert set(digest._KNOWN) > known
