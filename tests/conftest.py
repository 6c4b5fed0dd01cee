"""Shared by all tests: a checkout of the toy project's configuration."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from jaxtyping import install_import_hook

# Shapes and types of the mathematics are checked in every test that calls it: the whole package but the machinery, whose models
# pydantic checks.
WINGS = sorted(
    path.name
    for path in (Path(__file__).resolve().parents[1] / "src" / "flowcheck").iterdir()
    if (path / "__init__.py").is_file()
)
install_import_hook(
    [f"flowcheck.{name}" for name in (*WINGS, "geometry", "losses", "tensors") if name != "pipeline"], "numeric_tower.check"
)

# git sets them for its hooks; tests make repositories of their own and ask about this one
for _variable in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[_variable]

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "toy"


class Checkout:
    """Configuration, scripts and notebooks of the toy project in a folder of the test's own, to be broken there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("config", "scripts", "notebooks"):
            shutil.copytree(TOY / folder, root / folder)

    def path(self, kind: str, experiment: str = "decay") -> Path:
        """``config/<kind>/toy/<experiment>.yaml``, ``config/deviations/toy.yaml`` or ``config/config.yaml``."""
        files = {"config": "config.yaml", "deviations": "deviations/toy.yaml"}
        return self.root / "config" / files.get(kind, f"{kind}/toy/{experiment}.yaml")

    def edit(self, kind: str, change, experiment: str = "decay") -> None:
        """Load one file, let `change` work on it, write it back. `change` returns a replacement or None."""
        path = self.path(kind, experiment)
        content = yaml.safe_load(path.read_text())
        replaced = change(content)
        path.write_text(yaml.safe_dump(content if replaced is None else replaced, sort_keys=False))

    def replace(self, kind: str, old: str, new: str, experiment: str = "decay") -> None:
        """Replace text in one file; it must be there."""
        path = self.path(kind, experiment)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def checkout(tmp_path):
    """A toy checkout in `tmp_path`."""
    return Checkout(tmp_path)
