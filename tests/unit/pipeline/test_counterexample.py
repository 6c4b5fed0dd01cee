"""Counterexamples of printed statements: every one is recomputed, alone, and violates what is printed."""

from pathlib import Path

import pytest

from flowcheck.__main__ import main
from flowcheck.errors import ConfigError
from flowcheck.pipeline.claims import Counterexample
from flowcheck.pipeline.counterexample import recompute
from flowcheck.pipeline.project import Project

ROOT = Path(__file__).parents[3]
PROJECT = Project(ROOT)
PRINTED = [
    (paper, name) for paper, claims in PROJECT.claims.items() for name, claim in claims.items() if claim.variant == "printed"
]
SIDES = {"left": {"says": "the left side", "value": 2.0}, "right": {"says": "the right side", "value": 1.0}}


@pytest.mark.parametrize(("paper", "name"), PRINTED, ids=["/".join(pair) for pair in PRINTED])
def test_a_counterexample_violates_the_printed_statement_by_the_recorded_values(paper, name):
    found = recompute(PROJECT.claims[paper][name])
    assert found.violates
    assert found.as_recorded


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("deep_homogeneous/theorem-5-1-printed", {"epsilon": 0.9}),  # above one half the proof's constant serves
        ("deep_homogeneous/lemma-a-3-printed", {"a": 0.0}),
        ("deep_homogeneous/lemma-d-1-printed", {"start": 0.1}),
        ("deep_homogeneous/equation-66-printed", {"w_z": 0.0}),
        ("two_homogeneous/assumption-3-printed", {"target": -1.0}),
        ("two_homogeneous/equation-15-printed", {"distance": 0.5}),
        ("two_homogeneous/lemma-d-1-printed", {"label": 0.0}),
    ],
)
def test_where_the_printed_form_is_right_there_is_no_counterexample(name, changes):
    paper, _, claim = name.partition("/")
    assert not recompute(PROJECT.claims[paper][claim], changes).violates


def test_the_command_says_both_sides_and_that_they_are_as_recorded(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["counterexample", "deep_homogeneous/lemma-d-1-printed"]) == 0
    said = capsys.readouterr().out
    assert "u(T)^2, H = w^2, x = z = 1: 491.383" in said
    assert "asked: the first <= the second; violated\nas recorded\n" in said
    assert main(["counterexample", "deep_homogeneous/lemma-d-1-printed", "start=0.1"]) == 0
    assert "start = 0.1, time = 1.0" in (said := capsys.readouterr().out)
    assert "it holds" in said


WRONG = {
    "paper": (["toi/theorem-1"], "counterexample: unknown paper: 'toi'"),
    "claim": (["deep_homogeneous/lemma-d-9"], "counterexample: unknown claim of deep_homogeneous: 'lemma-d-9'"),
    "a claim that has none": (["deep_homogeneous/lemma-d-1"], "claim 'lemma-d-1' has no 'counterexample'"),
    "a change without a value": (["deep_homogeneous/lemma-d-1-printed", "start"], "counterexample: 'start': KEY=VALUE expected"),
    "a change of nothing": (
        ["deep_homogeneous/lemma-d-1-printed", "strt=1"],
        "claim 'lemma-d-1-printed', key 'counterexample.input': no 'strt'; closest: 'start'",
    ),
    **{
        f"a number that is {value!r}": (
            ["deep_homogeneous/lemma-d-1-printed", f"start={value}"],
            f"claim 'lemma-d-1-printed', key 'counterexample.input.start': a finite number is expected, found {found}",
        )
        for value, found in (("inf", "inf"), ("nan", "nan"), ("word", "'word'"), ("", "''"))
    },
    "a word that is a number": (
        ["deep_homogeneous/figure-1-printed", "network=3"],
        "claim 'figure-1-printed', key 'counterexample.input.network': a word is expected, found 3",
    ),
    "an input that the function does not take": (
        ["deep_homogeneous/theorem-5-1-printed", "delta=0"],
        "claim 'theorem-5-1-printed', key 'counterexample.by': flowcheck.papers.deep_homogeneous.counterexamples."
        "theorem_5_1_collapse gives no two numbers at delta = 0, epsilon = 0.1, share = 0.1: ZeroDivisionError: ",
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_not_there_is_one_sentence(arguments, expected, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["counterexample", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"flowcheck: {expected}")


def test_a_function_that_is_not_there_is_one_sentence():
    claim = PROJECT.claims["deep_homogeneous"]["lemma-d-1-printed"]
    example = claim.counterexample.model_copy(update={"by": "flowcheck.papers.nothing"})
    with pytest.raises(ConfigError, match=r"key 'counterexample\.by': 'flowcheck\.papers\.nothing' is no function of a module"):
        recompute(claim.model_copy(update={"counterexample": example}))


def test_a_function_that_gives_no_two_numbers_is_one_sentence():
    claim = PROJECT.claims["deep_homogeneous"]["lemma-d-1-printed"]
    for by in ("builtins.dict", "builtins.int"):
        example = claim.counterexample.model_copy(update={"by": by, "input": {"one": 1.0, "two": 2.0}})
        with pytest.raises(ConfigError, match=f"{by} gives no two numbers at one = 1.0, two = 2.0: "):
            recompute(claim.model_copy(update={"counterexample": example}))


@pytest.mark.parametrize(("asks", "holds"), [("<=", False), ("<", False), (">=", True), (">", True), ("=", False)])
def test_an_input_at_which_the_statement_holds_is_no_counterexample(asks, holds):
    content = {"by": "flowcheck.papers.example", "input": {"x": 1.0}, "asks": asks, **SIDES}
    if holds:
        with pytest.raises(ValueError, match=f"2 {asks} 1 holds, so it is no counterexample"):
            Counterexample.model_validate(content)
    else:
        assert not Counterexample.model_validate(content).holds(2.0, 1.0)


def test_sides_of_an_equation_are_equal_to_a_thousandth():
    example = Counterexample.model_validate({"by": "flowcheck.papers.example", "input": {"x": 1.0}, "asks": "=", **SIDES})
    assert example.holds(1.0, 1.0005)
    assert not example.holds(1.0, 1.002)
