"""The toy project with the real Snakefile, rules and package, run by real `snakemake` processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "toy"


class Pipeline:
    """A checkout of the toy project: the real machinery, and a paper that takes seconds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
        self.environment |= {
            "PYTHONPATH": str(root / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    @classmethod
    def assemble(cls, root: Path) -> "Pipeline":
        """Copy the machinery of this checkout and the toy project into `root`."""
        for folder in ("config", "scripts", "notebooks"):
            shutil.copytree(TOY / folder, root / folder)
        for folder in ("workflow", "profiles"):
            shutil.copytree(ROOT / folder, root / folder)
        for file in ("Snakefile", "environment.yml"):
            shutil.copy(ROOT / file, root)
        shutil.copytree(ROOT / "src" / "flowcheck", root / "src" / "flowcheck", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(TOY / "package", root / "src" / "flowcheck", dirs_exist_ok=True)
        return cls(root)

    def copy(self, root: Path) -> "Pipeline":
        """A copy with all timestamps, as `cp -a` makes it: what was up to date still is."""
        subprocess.run(["cp", "-a", f"{self.root}/.", str(root)], check=True)
        return Pipeline(root)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; output and errors together."""
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
        )

    def snakemake(self, *arguments: str, cores: int = 2, ok: bool = True) -> str:
        """What `snakemake` says; fails the test if its status is not the expected one."""
        done = self.run("snakemake", f"--cores={cores}", *arguments)
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def planned(self, *arguments: str) -> dict[str, int]:
        """The job table of a dry run: rule -> number of jobs, without `all`; empty if there is nothing to do."""
        said = self.snakemake("-n", *arguments)
        if "Nothing to be done" in said:
            return {}
        table = said.rpartition("Job stats:")[2].partition("\ntotal")[0]
        jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        jobs.pop("all", None)
        return jobs

    def path(self, name: str) -> Path:
        """A file of the checkout."""
        return self.root / name

    def json(self, name: str):
        """A JSON file of the checkout."""
        return json.loads(self.path(name).read_text())

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace text in a file; it must be there once."""
        text = self.path(name).read_text()
        assert text.count(old) == 1, f"{name}: {old!r} occurs {text.count(old)} times"
        self.path(name).write_text(text.replace(old, new))

    def files(self, folder: str) -> list[str]:
        """All files under a folder, relative to it."""
        return sorted(str(path.relative_to(self.root / folder)) for path in (self.root / folder).rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """The toy project before its first run."""
    pipeline = Pipeline.assemble(tmp_path_factory.mktemp("sources"))
    pipeline.snakemake("-n")  # compiles the modules and validates the parameters once, in place of once per copy
    shutil.rmtree(pipeline.path("logs"))  # notes of that plan
    return pipeline


@pytest.fixture(scope="session")
def finished(sources, tmp_path_factory):
    """The toy project after one full run with two cores. Tests must not change it."""
    pipeline = sources.copy(tmp_path_factory.mktemp("finished"))
    pipeline.first_run = pipeline.snakemake()
    return pipeline


@pytest.fixture
def fresh(sources, tmp_path):
    """A copy that has not run yet."""
    return sources.copy(tmp_path)


@pytest.fixture
def toy(finished, tmp_path):
    """A copy of the finished project for the test to change."""
    return finished.copy(tmp_path)
