"""How results stand: from verdicts on claims, and counted in one place."""

from pathlib import Path

import pytest

from flowcheck.errors import ConfigError
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import load_expected
from flowcheck.pipeline.results import Group, Standing, count, lines_of, results_of, table_of

ROOT = Path(__file__).parents[3]
SUPPORTED = {
    "toy/theorem-1": "supported",
    "toy/theorem-1-printed": "contradicted",
    "toy/remark-2": "supported",
    "toy/proposition-3": "supported",
    "toy/figure-1": "supported",
}
LEFT_OUT = {"parts": "the bound", "over": "two step sizes", "leaves_out": {"step sizes above one": "they diverge at once"}}


def standing(checkout, verdicts=None, result="theorem-1"):
    found = results_of(Project(checkout.root), "toy", SUPPORTED | (verdicts or {}))
    return next(each.standing for each in found if each.id == f"toy/{result}")


def test_a_result_holds_as_printed_where_no_printed_form_of_it_fails(checkout):
    assert standing(checkout, result="remark-2") == Standing.PRINTED


def test_a_result_is_corrected_where_its_printed_statement_is_contradicted(checkout):
    assert standing(checkout) == Standing.CORRECTED
    assert standing(checkout, {"toy/theorem-1-printed": "inconclusive"}) == Standing.UNDECIDED


def test_a_slip_of_a_proof_leaves_the_result_as_printed(checkout):
    checkout.edit("deviations", lambda content: content[0].update(hits={"theorem-1": "proof"}))
    assert standing(checkout) == Standing.PRINTED


@pytest.mark.parametrize("verdict", ["inconclusive", "vacuous", "hypothesis-not-met", "not-run"])
def test_a_result_is_undecided_where_a_claim_on_it_is(checkout, verdict):
    assert standing(checkout, {"toy/theorem-1": verdict}) == Standing.UNDECIDED


def test_a_result_fails_where_it_is_contradicted_as_meant(checkout):
    assert standing(checkout, {"toy/theorem-1": "contradicted"}) == Standing.FAILS


def test_a_claim_without_a_verdict_was_not_run(checkout):
    assert {each.standing for each in results_of(Project(checkout.root), "toy", {})} == {Standing.UNDECIDED}


def test_what_a_claim_leaves_out_makes_its_result_stand_in_part(checkout):
    checkout.edit("claims", lambda content: content["claims"][0].update(covers=LEFT_OUT))
    checkout.edit("claims", lambda content: content["claims"][2].update(covers=LEFT_OUT))
    assert standing(checkout) == Standing.CORRECTED_IN_PART
    assert standing(checkout, result="remark-2") == Standing.PRINTED_IN_PART


def test_every_claim_is_counted_in_one_group(checkout):
    counts = count(Project(checkout.root), ["toy"], SUPPORTED)
    assert counts[Group.MEANT].total() + counts[Group.PRINTED].total() + counts[Group.OURS].total() == len(SUPPORTED)
    assert lines_of(counts) == [
        "numbered results: 4 (3 as printed; 1 corrected)",
        "claims on these as meant: 4 (4 supported)",
        "claims on these as printed: 1 (1 contradicted)",
    ]


def test_an_equation_that_fails_as_printed_and_has_no_other_form_fails(checkout):
    checkout.edit("claims", lambda content: content["claims"][1].pop("result") and None)
    checkout.edit("deviations", lambda content: content[0].update(hits={"theorem-1-printed": "statement"}))
    checkout.edit("experiments", lambda content: content.update(statements={"theorem-1-printed": "Eq. (2)"}), "paper")
    found = {each.id: each.standing for each in results_of(Project(checkout.root), "toy", SUPPORTED)}
    assert found["toy/theorem-1"] == Standing.PRINTED
    assert found["toy/theorem-1-printed"] == Standing.FAILS


BAD = {
    "a claim about no result": (
        lambda content: content["results"].pop("remark-2") and None,
        "no result 'remark-2', which claim 'remark-2' is about; closest: 'theorem-1', 'figure-1'",
    ),
    "a result without a claim": (
        lambda content: content["results"].update({"lemma-9": "Lemma 9"}),
        "result 'lemma-9' has no claim; write one, or name it under 'unchecked' with the reason",
    ),
    "a result with a claim that is said to have none": (
        lambda content: content.update(unchecked={"remark-2": "it is a remark"}),
        "result 'remark-2' is listed under 'unchecked', and has a claim",
    ),
    "a reason for a result that is not listed": (
        lambda content: content.update(unchecked={"lemma-9": "it is a lemma"}),
        "'unchecked' names 'lemma-9', which is listed neither under 'results' nor under 'statements'",
    ),
    "a result listed twice": (
        lambda content: content.update(statements={"remark-2": "Remark 2"}),
        "'remark-2' is listed twice, under 'results' and under 'statements'",
    ),
}


@pytest.mark.parametrize(("change", "expected"), BAD.values(), ids=BAD)
def test_a_list_of_results_that_does_not_fit_the_claims_is_one_sentence(checkout, change, expected):
    checkout.edit("experiments", change, "paper")
    with pytest.raises(ConfigError) as caught:
        Project(checkout.root)
    assert expected in str(caught.value)
    assert "paper.yaml: " in str(caught.value)


def test_the_table_of_the_readme_is_that_of_the_recorded_verdicts():
    project = Project(ROOT)
    assert table_of(project, load_expected(project, "laptop")) in (ROOT / "README.md").read_text(encoding="utf-8")
