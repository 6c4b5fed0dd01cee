"""What a word on Snakemake's command line means: one file, or one sentence that says what could be meant."""

import shutil

import pytest

from flowcheck.errors import ConfigError
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.targets import file_of

TARGETS = {
    "claim": (
        "results/smoke/claims/toy/theorem-2.json",
        "unknown claim of toy: 'theorem-2'; closest: 'theorem-1', 'theorem-1-printed', 'remark-2', 'figure-1'",
    ),
    "claim that nothing resembles": (
        "results/smoke/claims/toy/xyz.json",
        "unknown claim of toy: 'xyz'; closest: 'figure-1', 'proposition-3', 'remark-2', 'theorem-1', 'theorem-1-printed'",
    ),
    "paper of a claim": ("results/smoke/claims/toi/theorem-1.json", "unknown paper: 'toi'; closest: 'toy'"),
    "scale of a claim": ("results/smok/claims/toy/theorem-1.json", "unknown scale: 'smok'; closest: 'smoke'"),
    "experiment": ("results/smoke/toy/decai/metrics.json", "unknown experiment of toy: 'decai'; closest: 'decay'"),
    "paper": ("./results/smoke/toi/decay/metrics.json", "unknown paper: 'toi'; closest: 'toy'"),
    "scale": ("results/labtop/toy/decay/cells/x.npz", "unknown scale: 'labtop'; closest: 'laptop'"),
    "cell": (
        "results/smoke/toy/decay/cells/step_size-0.2.npz",
        "unknown file of decay: 'cells/step_size-0.2.npz'; closest: 'cells/step_size-0.1.npz', 'cells/step_size-0.05.npz'",
    ),
    "cell of another scale": (
        "results/smoke/toy/decay/cells/step_size-0.025.npz",
        "unknown file of decay: 'cells/step_size-0.025",
    ),
    "figure": (
        "results/smoke/toy/decay/figures/eror.png",
        "unknown file of decay: 'figures/eror.png'; closest: 'figures/error.png'",
    ),
    "evidence": ("results/smoke/toy/decay/metrics.jsn", "unknown file of decay: 'metrics.jsn'; closest: 'metrics.json'"),
    "verdict": ("results/smoke/claims/toy/theorem-1", "unknown file: 'theorem-1'; closest: 'theorem-1.json'"),
    "scale of the ledger": ("results/huge/ledger.json", "unknown scale: 'huge'; closest: "),
    "ledger": ("results/smoke/ledger.jso", "unknown file: 'ledger.jso'; closest: 'ledger.json'"),
    "ledger of no scale": (
        "results/ledger.json",
        "each scale has its own; allowed: 'results/smoke/ledger.json', 'results/laptop/",
    ),
    "scale of the report": ("results/labtop/report/index.html", "unknown scale: 'labtop'; closest: 'laptop'"),
    "page of the report": (
        "results/smoke/report/claims.html",
        "unknown target of the report: 'claims.html'; closest: ",
    ),
    "file of the report without a scale": ("results/report.zip", "unknown scale: 'report.zip'; closest: "),
    "all results": ("results", "a folder; each scale has its own: 'results/smoke', 'results/laptop', 'results/paper'"),
    "all results of a scale": ("results/smoke", "a folder; ask for all of it with: --config scale=smoke"),
    "all results of a paper": ("results/laptop/toy/", "a folder; ask for all of it with: --config scale=laptop papers=toy"),
    "all results of an experiment": (
        "results/smoke/toy/decay",
        "; files of it: 'results/smoke/toy/decay/metrics.json', ",
    ),
    "all verdicts": ("results/smoke/claims", "a folder; files of it: 'results/smoke/claims/toy/CLAIM.json'"),
    "all verdicts on a paper": ("results/smoke/claims/toy", "a folder; files of it: 'results/smoke/claims/toy/theorem-1.json', "),
    "the report": ("results/smoke/report", "a folder; files of it: 'results/smoke/report/index.html'"),
    "another checkout": ("/somewhere/results/smoke/ledger.json", "outside of this checkout, whose results are in "),
    "above the checkout": ("../results/smoke/ledger.json", "neither a rule, nor a claim, nor a file that a rule makes"),
    "a claim of no paper": ("theorm-1", "neither a rule, nor a claim, nor a file that a rule makes; closest: 'theorem-1', "),
    "a claim of an unknown paper": ("toi/theorem-1", "closest: 'toy/theorem-1'"),
    "a source": ("config/config.yaml", "neither a rule, nor a claim, nor a file that a rule makes"),
    "a paper": ("toy", "a paper; ask for all of it with: --config scale=smoke papers=toy"),
    "an experiment": ("spread", "with its whole path it could be: 'results/smoke/toy/spread/metrics.json', "),
    "a figure": ("error.png", "with its whole path it could be: 'results/smoke/toy/decay/figures/error.png'"),
    "the stem of a figure": ("slope", "with its whole path it could be: 'results/smoke/toy/order/figures/slope.png', "),
    "seen from a folder of results": ("smoke/ledger.json", "with its whole path it could be: 'results/smoke/ledger.json'"),
    "no word": ("", "neither a rule, nor a claim, nor a file that a rule makes"),
}


@pytest.mark.parametrize(("word", "expected"), TARGETS.values(), ids=TARGETS)
def test_a_word_that_means_no_file_is_one_sentence_with_what_could_be_meant(checkout, word, expected):
    with pytest.raises(ConfigError) as caught:
        file_of(Project(checkout.root), "smoke", word)
    assert str(caught.value).startswith(f"{word}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


LEDGER, CLAIM = "results/smoke/ledger.json", "results/laptop/claims/toy/theorem-1.json"
MEANT = {
    "a ledger": (LEDGER, LEDGER),
    "a verdict": (CLAIM, CLAIM),
    "evidence": ("results/laptop/toy/decay/metrics.json",) * 2,
    "the report": ("results/paper/report/index.html",) * 2,
    "a point before": (f"./{LEDGER}", LEDGER),
    "a way around": ("results/paper/.././smoke//ledger.json", LEDGER),
    "a claim": ("theorem-1", CLAIM),
    "a claim of a paper": ("toy/theorem-1", CLAIM),
    "the file of a claim": ("theorem-1.json", CLAIM),
}


@pytest.mark.parametrize(("word", "file"), MEANT.values(), ids=MEANT)
def test_a_word_means_one_file_however_it_is_written(checkout, word, file):
    assert file_of(Project(checkout.root), "laptop", word) == file


def test_an_absolute_path_is_a_file_of_the_checkout_through_links_too(checkout, tmp_path_factory):
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(checkout.root)
    for root in (checkout.root, link):
        for place in (checkout.root, link):
            assert file_of(Project(root), "smoke", str(place / LEDGER)) == LEDGER


def test_a_claim_of_two_papers_is_asked_for_by_name_of_the_paper(checkout):
    for folder in ("config/experiments", "config/claims", "scripts", "notebooks"):
        shutil.copytree(checkout.root / folder / "toy", checkout.root / folder / "twin")
    deviations = checkout.root / "config/deviations"
    shutil.copy(deviations / "toy.yaml", deviations / "twin.yaml")
    project = Project(checkout.root)
    with pytest.raises(ConfigError, match=r"theorem-1: a claim of several papers; one of: 'results/smoke/claims/toy/.*/twin/"):
        file_of(project, "smoke", "theorem-1")
    assert file_of(project, "smoke", "twin/theorem-1") == "results/smoke/claims/twin/theorem-1.json"
