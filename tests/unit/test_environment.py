"""Three descriptions of one environment: pyproject.toml (what), requirements.lock (exactly), environment.yml (for conda)."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
DEVELOPMENT = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["optional-dependencies"]["dev"])}
LOCK = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
LOCK = {canonicalize_name(name): version for name, version in LOCK.items()}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
PIP = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
PINS = dict(
    re.split("==?", entry) for entry in [*CONDA["dependencies"], *PIP] if isinstance(entry, str) and re.search(r"\w=", entry)
)


def public(version):
    """The version without its local part: 2.13.0+cpu -> 2.13.0."""
    return Version(version).public


@pytest.mark.parametrize("name", [*DIRECT, *DEVELOPMENT])
def test_the_lock_holds_every_direct_dependency_at_a_version_that_pyproject_allows(name):
    assert name in LOCK
    assert (DIRECT | DEVELOPMENT)[name].specifier.contains(LOCK[name])


@pytest.mark.parametrize("name", DIRECT)
def test_environment_yml_pins_every_direct_dependency_to_the_version_of_the_lock(name):
    assert PINS[name] == public(LOCK[name])


def test_environment_yml_names_nothing_else():
    assert set(PINS) == set(DIRECT)
    loose = [entry for entry in CONDA["dependencies"] if isinstance(entry, str) and not re.search(r"\w=", entry)]
    assert loose == ["python" + PROJECT["requires-python"], "pip"]


def test_conda_users_get_packages_from_conda_forge_and_torch_from_pip():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert {entry for entry in PIP if entry.startswith("torch")} == {"torch==2.13.0"}
    assert "--editable ." in PIP


def test_torch_is_pinned_to_the_version_that_the_numbers_were_made_with():
    assert str(DIRECT["torch"].specifier) == "==2.13.0"
    # a local version such as 2.13.0+cpu exists on the machine that compiled the lock, and in no public index
    assert LOCK["torch"] == "2.13.0"


def test_the_lock_brings_no_gpu_packages():
    assert not [name for name in LOCK if re.search("nvidia|cuda|triton|cudnn|nccl", name)]


def test_the_version_of_the_package_is_the_one_installed():
    assert importlib.metadata.version("flowcheck") == PROJECT["version"]
