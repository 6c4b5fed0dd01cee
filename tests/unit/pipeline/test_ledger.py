"""The ledger: verdict files in, one table out; what differs from the recorded verdicts is named."""

import csv
import json
import re

import pytest
from markdown_it import MarkdownIt

from flowcheck.errors import ConfigError, EvidenceError
from flowcheck.pipeline.evidence import Evidence, Measurement, load_sealed
from flowcheck.pipeline.ledger import (
    CSV_COLUMNS,
    as_csv,
    as_markdown,
    build_ledger,
    changes,
    fewer_runs,
    judge_experiment,
    read_ledger,
    record_expected,
    write_ledger,
)
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.recorded import load_about, load_expected, load_runs

MEASURED = {
    "decay": {"error_coarse": 0.02, "error_fine": 0.01, "error_wrong_rate": 0.2},
    "order": {"slope": 1.0, "slope_wrong_rate": 0.1},
    "spread": {"mean": 0.02},  # its control was not measured
}


@pytest.fixture
def project(checkout):
    """A project whose claims are judged on evidence written by hand."""
    made = Project(checkout.root)
    for experiment, numbers in MEASURED.items():
        asked = {"paper": "toy", "experiment": experiment, "scale": "smoke"}
        evidence = Evidence(provenance=asked | {"commit": "abc", "wall_time_s": 1.5})
        for name, value in numbers.items():
            evidence.record(name, Measurement.exact(value, n=3))
        folder = checkout.root / "results/smoke/toy" / experiment
        evidence.save(folder)
        judge_experiment(made, "smoke", "toy", experiment, folder / "metrics.json")
    return made


@pytest.fixture
def ledger(project):
    return build_ledger(project, "smoke", ["toy"])


VERDICTS = {
    "toy/theorem-1": "supported",
    "toy/theorem-1-printed": "contradicted",
    "toy/remark-2": "vacuous",
    "toy/proposition-3": "supported",
    "toy/figure-1": "inconclusive",
}


def test_the_ledger_holds_every_claim_of_the_paper_in_the_order_of_its_file(ledger):
    assert {claim["id"]: claim["verdict"] for claim in ledger["claims"]} == VERDICTS
    assert list(VERDICTS) == [claim["id"] for claim in ledger["claims"]]
    assert ledger["scale"] == "smoke"
    assert ledger["provenance"]["commits"] == ["abc"]
    assert ledger["provenance"]["wall_time_s"] == 4.5, "each experiment once, however many claims it decides"


def test_a_record_carries_the_contract_of_the_design(ledger):
    record = ledger["claims"][0]
    keys = {"id", "paper", "label", "kind", "class", "priority", "variant", "verdict", "strength"}
    assert keys | {"predicates", "controls", "hypotheses"} <= set(record)
    assert record["paper"] == "toy"
    assert [claim["deviations"] for claim in ledger["claims"]] == [["fourth-power"], ["fourth-power"], [], [], []]
    assert record["command"] == "snakemake --cores 2 results/smoke/claims/toy/theorem-1.json"


def test_the_three_files_of_the_ledger_agree(ledger, tmp_path):
    write_ledger(tmp_path / "results/smoke", ledger)
    assert load_sealed(tmp_path / "results/smoke/ledger.json") == json.loads(json.dumps(ledger))
    with (tmp_path / "results/smoke/ledger.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["id"]: row["verdict"] for row in rows} == VERDICTS
    assert tuple(rows[0]) == CSV_COLUMNS
    table = (tmp_path / "results/smoke/ledger.md").read_text()
    assert "## toy\n\n- numbered results: 4 (1 as printed; 1 corrected; 2 undecided)\n" in table
    assert "- claims on these as meant: 4 (2 supported; 1 inconclusive; 1 vacuous)\n" in table
    assert "| Theorem 1 | corrected |  |" in table
    assert (
        "| Theorem 1: Euler's method is exact | printed | inequality | contradicted | 0.01 | 6.25e-06 | -1.6e+03 |  |  | 3 |"
        in table
    )


ODD = ["a bound on |x|", r"a norm $\|x\|$", "a comma, a 'quote' and a \"quote\"", "a `code|span`", "<b>no tag</b>", "a | b || c"]


@pytest.mark.parametrize("title", ODD)
def test_no_title_breaks_a_row_of_the_markdown_table_or_of_the_csv(ledger, title):
    ledger["claims"][0] |= {"title": title, "label": title, "reason": title}
    html = MarkdownIt("commonmark").enable("table").render(as_markdown(ledger))
    rows = re.findall(r"<tr>.*?</tr>", html.rpartition("<table>")[2], re.DOTALL)
    assert [len(re.findall("<t[hd]>", row)) for row in rows] == [10] * (1 + len(VERDICTS))
    assert "<td>supported</td>" in rows[1]
    found = next(csv.DictReader(as_csv(ledger).splitlines()))
    assert (found["label"], found["reason"]) == (title, title)


def test_changes_against_the_recorded_verdicts_are_one_sentence_each(ledger):
    expected = dict(VERDICTS) | {"toy/theorem-1": "contradicted", "toy/lemma-9": "supported", "other/lemma-1": "supported"}
    del expected["toy/remark-2"]
    assert changes(ledger, expected) == [
        "toy/theorem-1: supported, recorded was contradicted",
        "toy/remark-2: vacuous, and no verdict was recorded",
        "toy/lemma-9: recorded and not judged",
        "other/lemma-1: recorded and not judged",
    ]
    assert changes(ledger, VERDICTS) == []


def test_recording_keeps_the_verdicts_of_papers_that_were_not_run(project, ledger):
    path = project.root / "config/expected/smoke.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"other/lemma-1": "supported", "toy/theorem-1": "vacuous"}))
    assert record_expected(project, ledger) == path
    assert json.loads(path.read_text()) == VERDICTS | {"other/lemma-1": "supported"}


def test_claims_that_a_paper_no_longer_has_leave_the_record(project, ledger):
    record_expected(project, ledger)
    known, runs = load_expected(project, "smoke"), load_runs(project, "smoke")
    (project.root / "config/expected/smoke.json").write_text(json.dumps(known | {"toy/lemma-9": "supported"}))
    (project.root / "config/expected/runs/smoke.json").write_text(json.dumps(runs | {"toy/lemma-9": {"x": 3}}))
    assert "toy/lemma-9: recorded and not judged" in changes(ledger, load_expected(project, "smoke"))
    record_expected(project, ledger)
    assert (load_expected(project, "smoke"), load_runs(project, "smoke")) == (known, runs)


def test_a_record_says_when_and_where_it_ran_and_what_it_is_without(project, ledger):
    assert load_about(project, "smoke") is None
    for claim in ledger["claims"]:
        claim["provenance"] |= {"finished": "2026-11-29T12:00:00+00:00", "machine": "Linux x86_64, 2 cores"}
    record_expected(project, ledger)
    about = load_about(project, "smoke")
    assert (about.finished, about.machines) == ("2026-11-29T12:00:00+00:00", ["Linux x86_64, 2 cores"])
    assert about.wall_time_s == 4.5, "of each experiment once"
    assert str(about).endswith("on Linux x86_64, 2 cores, 0 minutes of computing")


def test_a_record_of_some_verdicts_keeps_what_is_said_of_the_run_behind_the_others(project, ledger):
    for claim in ledger["claims"]:
        claim["provenance"] |= {"finished": "2026-11-29T12:00:00+00:00", "machine": "Linux x86_64, 2 cores"}
    record_expected(project, ledger)
    some = ledger | {"claims": [claim for claim in ledger["claims"] if claim["experiment"] == "spread"]}
    assert 0 < len(some["claims"]) < len(ledger["claims"])
    for claim in some["claims"]:
        claim["provenance"] |= {"finished": "2026-11-30T12:00:00+00:00", "machine": "Linux aarch64, 8 cores"}
    record_expected(project, some)
    about = load_about(project, "smoke")
    assert about.finished == "2026-11-30T12:00:00+00:00"
    assert about.machines == ["Linux aarch64, 8 cores", "Linux x86_64, 2 cores"]
    assert about.wall_time_s == 4.5, "not that of the one experiment alone"
    record_expected(project, ledger)
    assert load_about(project, "smoke").machines == ["Linux aarch64, 8 cores", "Linux x86_64, 2 cores"], "each as it ran"


def test_a_partial_record_needs_its_reason_and_keeps_it(project, ledger):
    project.papers["other"] = project.papers["toy"]
    with pytest.raises(ConfigError, match="no verdict on other would be recorded at smoke scale; say why with --because"):
        record_expected(project, ledger)
    assert load_expected(project, "smoke") == {}, "nothing was recorded"
    record_expected(project, ledger, "it takes a day")
    assert load_about(project, "smoke").without == {"other": "it takes a day"}
    record_expected(project, ledger)
    assert load_about(project, "smoke").without == {"other": "it takes a day"}
    assert "without other: it takes a day" in str(load_about(project, "smoke"))


def test_the_runs_behind_a_verdict_are_recorded_and_missed_where_they_are_fewer(project, ledger):
    record_expected(project, ledger)
    recorded = load_runs(project, "smoke")
    claim = next(claim for claim in ledger["claims"] if claim["id"] == "toy/theorem-1")
    (metric,) = {finding["metric"] for finding in claim["predicates"]}
    assert recorded["toy/theorem-1"] == {metric: 3}
    assert fewer_runs(ledger, recorded) == []
    claim["predicates"][0]["n"] = 2
    assert fewer_runs(ledger, recorded) == [f"toy/theorem-1: {metric} rests on 2 runs, recorded were 3"]
    claim["predicates"][0]["n"] = None
    assert fewer_runs(ledger, recorded) == [f"toy/theorem-1: {metric} rests on 0 runs, recorded were 3"]


def test_one_run_in_ten_may_differ_between_processors(ledger):
    claim = next(claim for claim in ledger["claims"] if claim["id"] == "toy/theorem-1")
    claim["predicates"][0]["n"] = 90
    metric = claim["predicates"][0]["metric"]
    assert fewer_runs(ledger, {"toy/theorem-1": {metric: 100}}) == []
    assert len(fewer_runs(ledger, {"toy/theorem-1": {metric: 101}})) == 1


def test_a_changed_verdict_is_marked_in_the_ledger(project, ledger):
    record_expected(project, ledger)
    path = project.root / "config/expected/smoke.json"
    path.write_text(path.read_text().replace('"toy/theorem-1": "supported"', '"toy/theorem-1": "vacuous"'))
    again = build_ledger(project, "smoke", ["toy"])
    assert {claim["id"]: (claim["changed"], claim["expected"]) for claim in again["claims"][:2]} == {
        "toy/theorem-1": (True, "vacuous"),
        "toy/theorem-1-printed": (False, "contradicted"),
    }
    assert "supported (recorded: vacuous)" in as_markdown(again)


def test_a_ledger_that_was_not_made_is_one_sentence(project):
    with pytest.raises(ConfigError, match="not there; make it with: snakemake --cores all --config scale=laptop"):
        read_ledger(project, "laptop")


def test_a_verdict_that_was_edited_or_exchanged_or_rests_on_other_evidence_is_not_collected(project):
    claims = project.root / "results/smoke/claims/toy"
    whole = (claims / "theorem-1-printed.json").read_text()
    spoiled = {
        "changed after it was written": lambda path: path.write_text(whole.replace('"contradicted"', '"supported"', 1)),
        "malformed JSON|carries no digest": lambda path: path.write_text(whole[:500]),
        "holds the verdict that": lambda path: path.write_text((claims / "theorem-1.json").read_text()),
        "No such file": lambda path: path.unlink(),
    }
    for expected, spoil in spoiled.items():
        spoil(claims / "theorem-1-printed.json")
        with pytest.raises(EvidenceError, match=rf"theorem-1-printed\.json: .*({expected})"):
            build_ledger(project, "smoke", ["toy"])
    (claims / "theorem-1-printed.json").write_text(whole)
    build_ledger(project, "smoke", ["toy"])
    Evidence().save(project.root / "results/smoke/toy/decay")
    with pytest.raises(EvidenceError, match=r"decay/metrics\.json: damaged, changed, or of another run than .*theorem-1\.json"):
        build_ledger(project, "smoke", ["toy"])


ASKED = [("spherical", "decay", "smoke"), ("toy", "order", "smoke"), ("toy", "decay", "laptop")]


@pytest.mark.parametrize("other", ASKED, ids=["paper", "experiment", "scale"])
def test_evidence_of_something_else_is_not_judged(project, other):
    folder = project.root / "results/smoke/toy/decay"
    Evidence(provenance=dict(zip(("paper", "experiment", "scale"), other, strict=True))).save(folder)
    with pytest.raises(EvidenceError, match=r"metrics\.json: evidence of \w+ '\w+', and '\w+' was asked for"):
        judge_experiment(project, "smoke", "toy", "decay", folder / "metrics.json")


def test_verdicts_on_claims_that_are_gone_are_removed(project):
    gone = project.root / "results/smoke/claims/toy/lemma-9.json"
    gone.write_text("{}")
    judge_experiment(project, "smoke", "toy", "decay", project.root / "results/smoke/toy/decay/metrics.json")
    assert not gone.exists()


MALFORMED = {
    "no JSON": ("{", "malformed JSON: Expecting property name"),
    "no object": ("[]", "malformed JSON: an object is expected, found list"),
    "a verdict twice": ('{"toy/theorem-1": "vacuous", "toy/theorem-1": "supported"}', "key 'toy/theorem-1' occurs twice"),
    "no verdict": ('{"toy/theorem-1": "true"}', "key 'toy/theorem-1': input should be 'supported', 'contradicted'"),
    "no text": (b"\xff\xfe".decode("latin-1"), "malformed JSON"),
}


@pytest.mark.parametrize(("content", "said"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_record_is_one_sentence(project, content, said):
    path = project.root / "config/expected/smoke.json"
    path.parent.mkdir()
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=rf"expected/smoke\.json: .*{re.escape(said)}"):
        load_expected(project, "smoke")


def test_a_verdict_without_evidence_does_not_outlive_its_coming(project):
    metrics = project.root / "results/smoke/toy/decay/metrics.json"
    content = metrics.read_bytes()
    metrics.unlink()
    judge_experiment(project, "smoke", "toy", "decay", metrics)
    assert build_ledger(project, "smoke", ["toy"])["claims"][0]["verdict"] == "not-run"
    metrics.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"decay/metrics\.json: there, and \S+theorem-1\.json was made without it"):
        build_ledger(project, "smoke", ["toy"])
