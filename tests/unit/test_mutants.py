"""Mutants: each changes one thing, in a place that the tests could notice, and the sample is the same every time."""

import ast

import pytest

from tools.mutants import ROOT, mutants_of, sample, unit_tests_of

SOURCE = '''
def f(x: int, y: float = 2.0) -> float:
    """1 + 1."""
    assert x > 0, "above 0"
    if x <= 3 and not y:
        raise ValueError(f"{x + 1} is too small")
    return max(-x, y**2) * 1.5
'''
CHANGES = [
    "<= to <",
    "and to or",
    "not dropped",
    "max to min",
    "- dropped",
    "** to *",
    "* to /",
    "3 to 6",
    "2 to 4",
    "1.5 to 3.0",
    "2.0 to 4.0",
]


def test_a_mutant_is_one_change_and_errors_and_annotations_are_spared():
    found = list(mutants_of("m.py", SOURCE))
    assert sorted(mutant.change for mutant in found) == sorted(CHANGES)
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in found:
        changed = mutant.text(SOURCE).splitlines()
        assert len(changed) == len(original)
        assert sum(a != b for a, b in zip(original, changed, strict=True)) == 1, mutant.name


def test_the_sample_is_that_of_its_seed_without_repetition():
    first = sample(40, 1)
    assert [mutant.name for mutant in first] == [mutant.name for mutant in sample(40, 1)]
    assert len({(mutant.module, mutant.place, mutant.change) for mutant in first}) == 40
    assert [mutant.name for mutant in sample(40, 2)] != [mutant.name for mutant in first]


@pytest.mark.parametrize("module", sorted({mutant.module for mutant in sample(10**6, 1)}))
def test_every_module_that_is_mutated_has_tests(module):
    assert all((ROOT / test).is_file() for test in unit_tests_of(module))
    assert unit_tests_of(module)
