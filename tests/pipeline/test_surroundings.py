"""The toy project where checkout, home, locale or environment are not what they usually are: real `snakemake` processes."""

import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pipeline


def the_sentence(said: str) -> str:
    """The only line that is not Snakemake's own announcement of a profile, without its prefix."""
    lines = [line for line in said.splitlines() if line and not line.startswith("Using ")]
    assert len(lines) == 1, said
    assert lines[0].startswith("flowcheck: ")
    return lines[0].removeprefix("flowcheck: ")


def test_braces_in_the_path_of_the_checkout_are_one_sentence(sources, tmp_path):
    (tmp_path / "brace{x}").mkdir()
    checkout = sources.copy(tmp_path / "brace{x}")
    assert the_sentence(checkout.snakemake(ok=False)).startswith(f"{checkout.root}: braces in the path of the checkout")
    assert not checkout.path("results").exists()


@pytest.mark.parametrize("name", ["results", "logs"])
def test_a_folder_that_cannot_be_written_is_one_sentence(fresh, name):
    fresh.path(name).symlink_to("/proc/no/such/folder")
    assert the_sentence(fresh.snakemake(ok=False)).startswith(f"{name}: cannot be written: /proc: ")


@pytest.mark.parametrize("file", ["scripts/toy/json.py", "yaml.py", "numpy.py"])
def test_a_module_that_hides_a_library_is_one_sentence(fresh, file):
    fresh.path(file).write_text("raise RuntimeError('imported')\n")
    assert the_sentence(fresh.snakemake(ok=False)).startswith(f"{file}: hides the ")
    assert not fresh.path("results").exists()


def test_a_folder_that_hides_the_package_itself_is_one_sentence(fresh):
    fresh.path("flowcheck").mkdir()
    fresh.path("flowcheck/__init__.py").write_text("")
    assert "a file of that name hides it" in the_sentence(fresh.snakemake(ok=False))


def test_a_home_that_cannot_be_written_is_not_needed(fresh):
    for name in [name for name in fresh.environment if name.startswith(("XDG_", "JUPYTER", "IPYTHON"))]:
        del fresh.environment[name]
    fresh.environment["HOME"] = "/proc"
    fresh.snakemake("results/smoke/toy/spread/notebook.html")


def test_what_somebody_configured_at_home_is_no_part_of_a_result(fresh, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    startup = home / "profile_default" / "startup" / "00-first.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("raise SystemExit('the configuration of a user')\n")
    fresh.environment["IPYTHONDIR"] = str(home)
    fresh.snakemake("results/smoke/toy/spread/notebook.html")
    assert "configuration of a user" not in fresh.path("results/smoke/toy/spread/notebook.ipynb").read_text()


def test_a_locale_without_utf_8_changes_nothing(toy):
    words = "‖θ‖ ≤ ½ · é"
    toy.replace("config/experiments/toy/spread.yaml", "title: Mean of random signs", f"title: Mean {words}")
    toy.replace("config/claims/toy/spread.yaml", "statement: The mean is near zero.", f"statement: The mean is {words}.")
    toy.replace("config/claims/toy/spread.yaml", "biased signs", f"biased signs {words}")
    toy.replace("scripts/toy/spread.py", '"""Mean of random signs."""', f'"""Mean {words}."""\nWORDS = "{words}"')
    for name in [name for name in toy.environment if name.startswith(("LC_", "LANG"))]:
        del toy.environment[name]
    toy.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    toy.snakemake()
    assert words in toy.path("results/smoke/report/index.html").read_text(encoding="utf-8")
    assert words in toy.path("results/smoke/claims/toy/figure-1.json").read_text(encoding="utf-8")


def test_what_the_machine_says_to_shells_interpreters_and_libraries_changes_no_number(finished, fresh, tmp_path_factory):
    machine = tmp_path_factory.mktemp("machine")
    (machine / "bash_env").write_text("echo from the machine; export PATH=/nowhere\n")
    (machine / "startup.py").write_text("raise SystemExit('the start of every Python')\n")
    (machine / "matplotlibrc").write_text("lines.linewidth: 9\nbackend: nothing\n")
    fresh.environment |= {
        **{"BASH_ENV": str(machine / "bash_env"), "ENV": str(machine / "bash_env"), "PATH": "/usr/bin:/bin"},
        **{"PYTHONSTARTUP": str(machine / "startup.py"), "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "ascii"},
        **{"MPLBACKEND": "TkAgg", "MATPLOTLIBRC": str(machine), "CC": "no-such-compiler", "PYTHONOPTIMIZE": "2"},
        **{"OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "7", "JUPYTER_PATH": str(machine), "JUPYTER_CONFIG_DIR": str(machine)},
        **{"GIT_DIR": str(machine), "TZ": "Pacific/Auckland", "LC_ALL": "nonsense"},
    }
    done = fresh.run(str(Path(sys.executable).with_name("snakemake")), "--cores=2", "results/smoke/toy/decay/notebook.html")
    assert done.returncode == 0, done.stdout
    ours, theirs = (pipeline.json("results/smoke/toy/decay/metrics.json") for pipeline in (fresh, finished))
    assert [name for name in theirs if name not in ("provenance", "sealed") and ours[name] != theirs[name]] == []
    assert "from the machine" not in fresh.path("logs/smoke/toy/decay/evidence.log").read_text()


def test_the_profile_of_slurm_without_its_plugin_is_one_sentence(fresh):
    said = the_sentence(fresh.snakemake("--profile", "profiles/slurm", ok=False))
    assert said == "profiles/slurm: the executor plugin is not installed; pip install -e '.[slurm]'"
    assert not fresh.path("results").exists()


def test_a_package_that_is_not_in_the_environment_is_one_sentence(fresh):
    shutil.rmtree(fresh.path("src/flowcheck"))
    fresh.path("src/flowcheck").mkdir()
    fresh.path("src/flowcheck/__init__.py").write_text("")
    said = the_sentence(fresh.snakemake(ok=False))
    assert said.startswith("the package is not in this environment, or a file of that name hides it (No module named 'flowcheck.")


def test_a_command_that_cannot_write_says_so_in_one_sentence(fresh):
    fresh.path("config/schema").symlink_to("/proc/no")
    done = fresh.run("python", "-m", "flowcheck", "schemas")
    assert done.returncode == 2
    assert the_sentence(done.stdout).startswith("config/schema: ")
