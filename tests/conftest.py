"""Shared by all tests: the toy project, and what to do where an optional tool is missing."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "toy"


def skip_without(tool: str, reason: str) -> None:
    """Skip where an optional tool is missing; under CI it must be there, so fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{tool} is missing: {reason}; under CI=true this must not be skipped")
    pytest.skip(f"{tool} is missing: {reason}")


@pytest.fixture
def need():
    """``need("mamba", "why")``: the path of an executable, or skip (fail under CI) with the reason."""

    def find(tool: str, reason: str) -> str:
        return shutil.which(tool) or skip_without(tool, reason)

    return find


class Checkout:
    """Configuration, scripts and notebooks of the toy project in a folder of the test's own, to be broken there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("config", "scripts", "notebooks"):
            shutil.copytree(TOY / folder, root / folder)

    def path(self, kind: str) -> Path:
        """``config/<kind>/toy.yaml``, or ``config/config.yaml``."""
        return self.root / "config" / ("config.yaml" if kind == "config" else f"{kind}/toy.yaml")

    def edit(self, kind: str, change) -> None:
        """Load one file, let `change` work on it, write it back. `change` returns a replacement or None."""
        content = yaml.safe_load(self.path(kind).read_text())
        replaced = change(content)
        self.path(kind).write_text(yaml.safe_dump(content if replaced is None else replaced, sort_keys=False))

    def replace(self, kind: str, old: str, new: str) -> None:
        """Replace text in one file; it must be there."""
        text = self.path(kind).read_text()
        assert old in text
        self.path(kind).write_text(text.replace(old, new))


@pytest.fixture
def checkout(tmp_path):
    """A toy checkout in `tmp_path`."""
    return Checkout(tmp_path)
