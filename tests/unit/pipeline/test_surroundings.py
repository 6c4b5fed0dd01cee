"""What a run needs of the place it runs in is one sentence where it is missing."""

import shutil
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from flowcheck.errors import ConfigError
from flowcheck.pipeline.surroundings import check_surroundings, settle


def sentence(root) -> str:
    with pytest.raises(ConfigError) as caught:
        check_surroundings(root)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_checkout_as_it_is_cloned_is_fine(checkout):
    check_surroundings(checkout.root)
    assert not (checkout.root / "results").exists()


@pytest.mark.parametrize("name", ["a b", "it's", "$x", "a;b", "[x]", "100%", "é", "*", "a\nb"])
def test_a_path_without_braces_is_fine(tmp_path, name):
    (tmp_path / name).mkdir()
    check_surroundings(tmp_path / name)


@pytest.mark.parametrize("name", ["brace{x}", "{", "}", "{{x}}", "a}b{c"])
def test_braces_anywhere_in_the_path_of_the_checkout_are_one_sentence(tmp_path, name):
    inside = tmp_path / name / "checkout"
    inside.mkdir(parents=True)
    assert sentence(inside) == f"{inside}: braces in the path of the checkout, which Snakemake takes for wildcards; move it"
    link = tmp_path / "link"
    link.symlink_to(inside)
    assert "braces in the path of the checkout" in sentence(link)


@pytest.mark.parametrize("name", ["results", "logs", ".snakemake"])
def test_a_folder_that_cannot_be_written_is_one_sentence(checkout, name):
    place = checkout.root / name
    place.symlink_to("/proc/no/such/folder")  # nobody can make a file there, root neither
    assert sentence(checkout.root).startswith(f"{place}: cannot be written: /proc: ")
    place.unlink()
    place.write_text("a file")
    assert sentence(checkout.root) == f"{place}: cannot be written: {place}: Not a directory"
    place.unlink()
    place.symlink_to(place)
    assert sentence(checkout.root).startswith(f"{place}: cannot be written: ")


def test_a_folder_that_can_be_written_is_left_as_it_is(checkout):
    (checkout.root / "results").mkdir()
    check_surroundings(checkout.root)
    assert list((checkout.root / "results").iterdir()) == []


@pytest.mark.parametrize("folder", ["scripts/toy", "notebooks/toy", "."])
@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("json.py", "the module 'json' of Python"),
        ("signal.py", "the module 'signal' of Python"),
        ("numpy.py", "the installed module 'numpy'"),
        ("yaml.py", "the installed module 'yaml'"),
        ("flowcheck.py", "the installed module 'flowcheck'"),
        ("torch/__init__.py", "the installed module 'torch'"),
        (f"scipy{EXTENSION_SUFFIXES[0]}", "the installed module 'scipy'"),
        ("pandas.pyc", "the installed module 'pandas'"),
    ],
)
def test_a_module_that_hides_a_library_is_one_sentence(checkout, folder, name, hidden):
    path = checkout.root / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    shown = path.parent if path.name == "__init__.py" else path
    assert sentence(checkout.root) == f"{shown}: hides {hidden} from all that runs beside it; rename it"


def test_modules_and_folders_that_hide_nothing_are_fine(checkout):
    for name in ("helper_of_nobody.py", "conftest_of_toy.py", "json.txt", "numpy.yaml"):
        (checkout.root / "scripts" / "toy" / name).write_text("")
        (checkout.root / name).write_text("")
    (checkout.root / "numpy").mkdir()  # a folder without __init__.py comes after every installed package
    check_surroundings(checkout.root)


def test_a_checkout_without_scripts_is_no_concern_of_this_check(checkout):
    shutil.rmtree(checkout.root / "scripts")
    check_surroundings(checkout.root)


def test_what_a_machine_says_to_shells_and_interpreters_reaches_no_job():
    machine = {"BASH_ENV": "x", "ENV": "x", "MPLBACKEND": "x", "MATPLOTLIBRC": "x", "PYTHONSTARTUP": "x", "PYTHONOPTIMIZE": "2"}
    kept = {"HOME": "/home", "CC": "cc", "PYTHONPATH": "src", "MNIST_DIR": "data", "CUDA_VISIBLE_DEVICES": "1"}
    own = str(Path(sys.executable).parent)
    for path, expected in (({"PATH": "/bin"}, f"{own}:/bin"), ({}, own)):
        environment = machine | kept | path
        settle(environment)
        assert environment == kept | {"PYTHONUTF8": "1", "PATH": expected}
