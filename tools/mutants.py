"""Mutants: one small change of the mathematics or of the judge at a time. Does a test, or else a verdict, notice?

    python -m tools.mutants --count 300 --seed 1 [--shard 1/4] [--claims]

Each mutant changes one operator, comparison, constant or sign of a module under `TARGETS`, in a copy of the checkout. The unit
tests of the module run on it, the one of its own name first; if none fails and `--claims` is given, the experiments that reach
the module run at smoke scale, and their verdicts are held against the recorded ones. What came out is kept, a line each, in
``.cache/mutants/<seed>.jsonl``: a run that is started again goes on. `--table` prints what is there.
"""

# ruff: noqa: E402 - one thread must be asked for before the libraries are imported
from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import ast
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("papers/*/bounds.py", "correlation/*.py", "flows/*.py", "saddles/*.py", "alignment/*.py", "pipeline/judge.py")
"""Globs under src/flowcheck: bounds, NCF, flows, saddles, alignment, judge."""
SECONDS = 600
"""At most for the tests of one mutant: one that does not end is noticed."""
SWAPS: dict[type, type] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.And: ast.Or, ast.Or: ast.And},
}
NAMES = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "amin": "amax",
    "amax": "amin",
    "any": "all",
    "all": "any",
}


class Mutant(NamedTuple):
    """One change: the module, where it is, what it is, and its place among the nodes of the module's syntax tree."""

    module: str
    line: int
    column: int
    change: str
    place: int

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line}:{self.column} {self.change}"

    def text(self, source: str) -> str:
        """The module with the change."""
        tree = ast.parse(source)
        node = list(ast.walk(tree))[self.place]
        dict(_changes(node))[self.change](node)
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its syntax tree. Annotations, docstrings, errors and asserts are left alone."""
    for place, node in enumerate(ast.walk(ast.parse(source))):
        for change, _ in _changes(node):
            yield Mutant(module, node.lineno, node.col_offset, change, place)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    if getattr(node, "spared", False):
        return
    if isinstance(node, (ast.Raise, ast.Assert, ast.AnnAssign, ast.arg, ast.FunctionDef, ast.ClassDef, ast.JoinedStr)):
        for part in _spared(node):
            part.spared = True
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        other = SWAPS[type(node.op)]
        yield f"{_sign(node.op)} to {_sign(other())}", lambda n: setattr(n, "op", other())
    if isinstance(node, ast.BoolOp):
        other = SWAPS[type(node.op)]
        yield f"{_sign(node.op)} to {_sign(other())}", lambda n: setattr(n, "op", other())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        other = SWAPS[type(node.ops[0])]
        yield f"{_sign(node.ops[0])} to {_sign(other())}", lambda n: n.ops.__setitem__(0, other())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield f"{_sign(node.op)} dropped", lambda n: _become(n, n.operand)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        value = node.value * 2 if node.value else 1
        yield f"{node.value} to {value}", lambda n: setattr(n, "value", value)
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in NAMES:
            key = "attr" if isinstance(node.func, ast.Attribute) else "id"
            yield f"{called} to {NAMES[called]}", lambda n: setattr(n.func, key, NAMES[called])


def _spared(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below this one that no mutant changes: annotations, defaults of fields, what an error says, formats."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
        yield from ast.walk(node)
    for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if part is not None:
            yield from ast.walk(part)
    for decorator in getattr(node, "decorator_list", []):
        yield from ast.walk(decorator)


def _become(node: ast.AST, other: ast.AST) -> None:
    node.__class__ = other.__class__
    node.__dict__.update(other.__dict__)


def _sign(operator: ast.AST) -> str:
    signs = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "Pow": "**", "USub": "-", "And": "and", "Or": "or", "Not": "not"}
    signs |= {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}
    return signs[type(operator).__name__]


def sample(count: int, seed: int) -> list[Mutant]:
    """So many mutants, drawn from all of the targets without repetition, in the order in which they were drawn."""
    package = ROOT / "src" / "flowcheck"
    paths = sorted(path for glob in TARGETS for path in package.glob(glob) if path.name != "__init__.py")
    every = [m for path in paths for m in mutants_of(path.relative_to(package).as_posix(), path.read_text(encoding="utf-8"))]
    return random.Random(seed).sample(every, min(count, len(every)))


def unit_tests_of(module: str) -> list[str]:
    """The unit tests of a module: of its own name, then those of its wing that import it; else any that do, or its wing's."""
    dotted = module.removesuffix(".py").replace("/", ".")
    wing, _, stem = dotted.rpartition(".")
    folder = f"tests/unit/{wing.replace('.', '/')}/"
    every = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "unit").rglob("test_*.py"))
    importing = [name for name in every if _imports((ROOT / name).read_text(encoding="utf-8"), wing, stem)]
    near = [name for name in importing if name.startswith(folder)]
    found = near or [name for name in importing if name != "tests/unit/test_devices.py"]
    found = found or [name for name in every if name.startswith(folder)]
    return sorted(found, key=lambda name: (not name.endswith(f"/test_{stem}.py"), name))


def _imports(text: str, wing: str, stem: str) -> bool:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (
            node.module == f"flowcheck.{wing}.{stem}"
            or (node.module == f"flowcheck.{wing}" and any(alias.name == stem for alias in node.names))
        ):
            return True
    return False


def killed_by_tests(checkout: Path, tests: list[str]) -> str:
    """What notices: the test file that fails, or does not end; nothing if all pass. Each runs in a fork of this process."""
    for test in tests:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _become_pytest(checkout, test)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() - started > SECONDS:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"{test} (no end)"
            time.sleep(0.2)
        if (checkout / "outcome").read_text() != "0":
            return test
    return ""


def _become_pytest(checkout: Path, test: str) -> None:
    status: object = "crash"
    try:
        os.chdir(checkout)
        (checkout / "outcome").write_text("crash")
        sys.path[:0] = [str(checkout / "src")]
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        import pytest

        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", test]))
    finally:
        (checkout / "outcome").write_text(str(status))
        os._exit(0)


def killed_by_claims(checkout: Path, module: str) -> str:
    """The first claim whose verdict at smoke scale is not the recorded one, or the experiment that fails; nothing if none."""
    from flowcheck.pipeline.digest import dependencies
    from flowcheck.pipeline.project import Project

    project = Project(ROOT)
    for paper, experiment in project:
        if (ROOT / "src" / "flowcheck" / module) not in dependencies(project.script(paper, experiment)):
            continue
        settings, output = checkout / "settings.yaml", checkout / "evidence" / paper / experiment
        settings.write_text(project.settings(paper, experiment, "smoke").to_yaml(), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
        command = [sys.executable, f"scripts/{paper}/{experiment}.py", "--parameters", str(settings), "--output", str(output)]
        upstream = [f"{name}={output.parent / name}" for name in project.experiment(paper, experiment).upstream]
        command += [part for each in upstream for part in ("--upstream", each)]
        try:
            done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"{paper}/{experiment} (no end)"
        if done.returncode:
            return f"{paper}/{experiment}"
        judged = [sys.executable, "-m", "tools.mutants", "--judge", paper, experiment, str(output / "metrics.json")]
        said = subprocess.run(judged, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        if said.returncode or said.stdout.strip():
            return said.stdout.strip() or f"{paper}/{experiment}"
        shutil.rmtree(output)
    return ""


def changed_verdict(paper: str, experiment: str, metrics: Path) -> str:
    """The first claim that the judge of this checkout does not judge as recorded."""
    from flowcheck.pipeline.evidence import load_metrics
    from flowcheck.pipeline.judge import judge
    from flowcheck.pipeline.project import Project
    from flowcheck.pipeline.recorded import load_expected

    project = Project()
    measured, _ = load_metrics(metrics, {"paper": paper, "experiment": experiment, "scale": "smoke"})
    recorded = load_expected(project, "smoke")
    for name, claim in project.claims_of(paper, experiment).items():
        if str(judge(claim, measured).verdict) != recorded.get(f"{paper}/{name}"):
            return f"{paper}/{name}"
    return ""


def run(mutants: list[Mutant], results: Path, claims: bool) -> None:
    """Try the mutants that are not in `results` yet, and add a line for each."""
    import hypothesis  # noqa: F401 - what every fork would import again
    import numpy  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import scipy.integrate  # noqa: F401
    import torch  # noqa: F401

    done = {json.loads(line)["name"] for line in results.read_text().splitlines()} if results.is_file() else set()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkout = Path(folder)
        for part in ("src", "tests", "scripts", "config", "tools", "benchmarks", "pyproject.toml"):
            copied = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copied(ROOT / part, checkout / part)
        sound = set[str]()
        for mutant in (mutant for mutant in mutants if mutant.name not in done):
            if mutant.module not in sound:
                if test := killed_by_tests(checkout, unit_tests_of(mutant.module)):
                    sys.exit(f"mutants: {test} fails on the code as it is, so it would notice anything")
                sound.add(mutant.module)
            started, path = time.monotonic(), checkout / "src" / "flowcheck" / mutant.module
            original = path.read_text(encoding="utf-8")
            path.write_text(mutant.text(original), encoding="utf-8")
            try:
                by = killed_by_tests(checkout, unit_tests_of(mutant.module))
                by_claim = killed_by_claims(checkout, mutant.module) if claims and not by else ""
            finally:
                path.write_text(original, encoding="utf-8")
            record = {"name": mutant.name, "test": by, "claim": by_claim, "claims_tried": claims and not by}
            record["seconds"] = round(time.monotonic() - started, 1)
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)


def table(results: Path) -> str:
    """How many of each module were noticed, and the names of the others."""
    records = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    tried, noticed = Counter[str](), Counter[str]()
    for record in records:
        module = record["name"].partition(":")[0]
        tried[module] += 1
        noticed[module] += bool(record["test"] or record["claim"])
    lines = ["| module | mutants | noticed |", "|---|---|---|"]
    lines += [f"| `{module}` | {count} | {noticed[module]} |" for module, count in sorted(tried.items())]
    lines += [f"| all | {tried.total()} | {noticed.total()} |", ""]
    return "\n".join(lines + [f"- {record['name']}" for record in records if not (record["test"] or record["claim"])])


def main() -> None:
    """Try mutants, or print what came out so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th mutant, from the I-th on; a process each")
    parser.add_argument("--claims", action="store_true", help="ask the claims where no test notices")
    parser.add_argument("--table", action="store_true", help="print what came out so far")
    parser.add_argument("--judge", nargs=3, metavar=("PAPER", "EXPERIMENT", "METRICS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge:
        print(changed_verdict(*arguments.judge[:2], Path(arguments.judge[2])))
        return
    folder = ROOT / ".cache" / "mutants"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / f"{arguments.seed}.jsonl"
    if arguments.table:
        print(table(results))
        return
    first, _, shards = arguments.shard.partition("/")
    with contextlib.suppress(KeyboardInterrupt):
        run(sample(arguments.count, arguments.seed)[int(first) - 1 :: int(shards)], results, arguments.claims)


if __name__ == "__main__":
    main()
