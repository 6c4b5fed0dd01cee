"""The configuration: every kind of bad input is one sentence that names file, key and what is allowed."""

import os
import re
import shutil
import sys
import time
import types
from pathlib import Path

import pytest
import yaml

from flowcheck.errors import ConfigError
from flowcheck.pipeline import digest, parameters
from flowcheck.pipeline.parameters import load_script
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.schema import expand_braces
from flowcheck.pipeline.settings import Settings
from flowcheck.pipeline.strict_yaml import read_yaml

TOY = Path(__file__).resolve().parents[2] / "toy"
SCRIPT = """
from pydantic import Field
from flowcheck.pipeline.experiment import ParametersModel

class Parameters(ParametersModel):
    step_size: float = Field(default=0.1, gt=0)
    horizon: float = Field(default=1.0, gt=0)
    samples: int = 1
"""


@pytest.fixture(autouse=True)
def _fresh_digests():
    """Digests are cached for the life of a process; tests change files within one."""
    for cached in (digest._read,):
        cached.cache_clear()


@pytest.fixture
def simple(checkout):
    """The toy checkout with scripts that need no module of the toy package."""
    for name in ("decay", "order", "spread"):
        (checkout.root / "scripts" / "toy" / f"{name}.py").write_text(SCRIPT)
    return checkout


def sentence(action) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def entry(**changes):
    return lambda content: content.update(changes)


def claim(index=0, **changes):
    return lambda content: content["claims"][index].update(changes)


def without(index, key):
    return lambda content: content["claims"][index].pop(key) and None


def condition(part, **changes):
    return lambda content: content["claims"][0][part][0].update(changes)


def deviation(**changes):
    return lambda content: content[0].update(changes)


EXPERIMENTS = "config/experiments/toy/decay.yaml: "
CLAIMS = "config/claims/toy/decay.yaml: "
THEOREM = CLAIMS + "claim 'theorem-1'"
DEVIATIONS = "config/deviations/toy.yaml: entry 'fourth-power'"
CLAIM_KEYS = "'id', 'label', 'title', 'location', 'kind', 'class', 'priority', 'variant', 'origin', 'strength', "
CLAIM_KEYS += (
    "'result', 'covers', 'counterexample', 'statement', 'note', 'figures', 'hypotheses', 'waives', 'predicates', 'controls', "
)
CLAIM_KEYS += "'no_control', 'passes'"

# readable id: (file, change, the sentence)
BAD = {
    "experiment: unknown key": (
        "experiments",
        entry(sede=1),
        EXPERIMENTS + "key 'sede': unknown key; allowed: 'title', 'summary', 'seed', 'grid', 'parameters', "
        "'scales', 'upstream', 'data', 'metrics', 'silent', 'figures', 'resources'",
    ),
    "experiment: unknown key in resources": (
        "experiments",
        entry(resources={"memory": 5}),
        EXPERIMENTS + "key 'resources.memory': unknown key; allowed: 'mem_mb', 'runtime', 'gpu'",
    ),
    "experiment: unknown key in a scale": (
        "experiments",
        entry(scales={"smoke": {"seed": 1}}),
        EXPERIMENTS + "key 'scales.smoke.seed': unknown key; allowed: 'grid', 'parameters'",
    ),
    "experiment: unknown scale": (
        "experiments",
        entry(scales={"tiny": {}}),
        EXPERIMENTS + "key 'scales.tiny': input should be 'smoke', 'laptop' or 'paper', found 'tiny'",
    ),
    "experiment: negative seed": (
        "experiments",
        entry(seed=-1),
        EXPERIMENTS + "key 'seed': input should be greater than or equal to 0, found -1",
    ),
    "experiment: no memory": (
        "experiments",
        entry(resources={"mem_mb": 0}),
        EXPERIMENTS + "key 'resources.mem_mb': input should be greater than 0, found 0",
    ),
    "experiment: no title": (
        "experiments",
        lambda content: content.pop("title") and None,
        EXPERIMENTS + "key 'title': field required",
    ),
    "experiment: empty grid axis": (
        "experiments",
        entry(grid={"step_size": []}),
        EXPERIMENTS + "key 'grid.step_size': list should have at least 1 item after validation, not 0, found []",
    ),
    "experiment: grid axis of lists": (
        "experiments",
        entry(grid={"step_size": [[1]]}),
        EXPERIMENTS + "key 'grid.step_size.0': input should be a valid integer or input should be a valid number "
        "or input should be a valid string or input should be a valid boolean, found [1]",
    ),
    "experiment: grid points of one name": (
        "experiments",
        entry(grid={"step_size": ["a b", "a-b"]}),
        EXPERIMENTS + "key 'grid' at scale 'smoke': two points of the grid, {'step_size': 'a b'} and "
        "{'step_size': 'a-b'}, have the same name 'step_size-a-b'",
    ),
    "experiment: the same grid point twice at one scale": (
        "experiments",
        entry(scales={"paper": {"grid": {"step_size": [0.1, 0.1]}}}),
        EXPERIMENTS + "key 'grid' at scale 'paper': two points of the grid, {'step_size': 0.1} and "
        "{'step_size': 0.1}, have the same name 'step_size-0.1'",
    ),
    "experiment: scale with an axis that the grid lacks": (
        "experiments",
        entry(scales={"paper": {"grid": {"width": [1]}}}),
        EXPERIMENTS + "key 'scales.paper.grid.width': not a grid axis; allowed: 'step_size'",
    ),
    "experiment: unknown upstream": (
        "experiments",
        entry(upstream=["decai"]),
        EXPERIMENTS + "key 'upstream': unknown experiment 'decai'; allowed: 'order', 'spread'",
    ),
    "experiment: upstream of itself": (
        "experiments",
        entry(upstream=["decay"]),
        EXPERIMENTS + "key 'upstream': unknown experiment 'decay'; allowed: 'order', 'spread'",
    ),
    "experiment: upstream in a circle": (
        "experiments",
        entry(upstream=["order"]),
        "config/experiments/toy: key 'upstream': experiments wait for each other: decay <- order <- decay",
    ),
    "experiment: a list": (
        "experiments",
        lambda content: ["decay"],
        EXPERIMENTS + "input should be a valid dictionary or instance of Experiment, found ['decay']",
    ),
    "claim: unknown key": ("claims", claim(statment="x"), THEOREM + f", key 'statment': unknown key; allowed: {CLAIM_KEYS}"),
    "claim: unknown key in a predicate": (
        "claims",
        condition("predicates", wyh="x"),
        THEOREM + ", key 'predicates.0.wyh': unknown key; allowed: 'metric', 'is', 'value', 'why', 'vacuous_above', "
        "'vacuous_why', 'implied', 'bound', 'typical'",
    ),
    "claim: unknown comparison": (
        "claims",
        condition("predicates", **{"is": "=<"}),
        THEOREM + ", key 'predicates.0.is': input should be '<=', '>=', '<' or '>', found '=<'",
    ),
    "claim: threshold that is no number": (
        "claims",
        condition("predicates", value="small"),
        THEOREM + ", key 'predicates.0.value': input should be a valid number, unable to parse string as a number, found 'small'",
    ),
    "claim: predicate without a reason": (
        "claims",
        lambda content: content["claims"][0]["predicates"][0].pop("why") and None,
        THEOREM + ", key 'predicates.0.why': field required",
    ),
    "claim: unknown kind": (
        "claims",
        claim(kind="theoreme"),
        THEOREM + ", key 'kind': input should be 'theorem', 'proposition', 'lemma', 'corollary', 'equation', 'figure', 'remark', "
        "'assumption', 'example' or 'sentence', found 'theoreme'",
    ),
    "claim: bad id": (
        "claims",
        claim(id="Theorem 1"),
        CLAIMS + "claim 'Theorem 1', key 'id': string should match pattern '^[a-z0-9][a-z0-9-]*$', found 'Theorem 1'",
    ),
    "claim: no id": ("claims", without(0, "id"), CLAIMS + "claim 'number 1', key 'id': field required"),
    "claim: two of one id": (
        "claims",
        claim(1, id="theorem-1"),
        THEOREM + ", key 'id': used twice; ids are unique within a paper",
    ),
    "claim: experiment": (
        "claims",
        claim(experiment="decay"),
        THEOREM + f", key 'experiment': unknown key; allowed: {CLAIM_KEYS}",
    ),
    "claim: waives what nobody presupposes": (
        "claims",
        claim(waives={"error_fine": "it does not matter"}),
        THEOREM + ", key 'waives': waives 'error_fine', which is no hypothesis of the file; allowed: none",
    ),
    "claim: waives without a reason": (
        "claims",
        claim(waives={"error_fine": ""}),
        THEOREM + ", key 'waives.error_fine': words expected, found ''",
    ),
    "claims: unknown key": (
        "claims",
        entry(hypothesis=[]),
        "config/claims/toy/decay.yaml: unknown key: 'hypothesis'; closest: 'hypotheses'",
    ),
    "claims: hypothesis without a reason": (
        "claims",
        entry(hypotheses=[{"metric": "error_fine", "is": "<", "value": 1}]),
        CLAIMS + "hypotheses, key '0.why': field required",
    ),
    "claims: hypothesis that is never measured": (
        "claims",
        entry(hypotheses=[{"metric": "error_fien", "is": "<", "value": 1, "why": "small"}]),
        THEOREM
        + ": experiment 'decay' never writes metric 'error_fien'; closest: 'error_fine', 'error_coarse', 'error_wrong_rate'",
    ),
    "claim: metric that is never written": (
        "claims",
        condition("predicates", metric="error_fien"),
        THEOREM
        + ": experiment 'decay' never writes metric 'error_fien'; closest: 'error_fine', 'error_coarse', 'error_wrong_rate'",
    ),
    "claim: metric of another experiment": (
        "claims",
        condition("controls", metric="slope"),
        THEOREM + ": experiment 'decay' never writes metric 'slope'; closest: 'error_coarse', 'error_fine', 'error_wrong_rate'",
    ),
    "claim: unknown figure": (
        "claims",
        claim(figures=["histogram"]),
        THEOREM + ", key 'figures': experiment 'decay' draws no figure 'histogram'; allowed: 'error'",
    ),
    "claim: on a result as meant, and not how much of it": (
        "claims",
        without(0, "covers"),
        THEOREM + ": a claim on a result as it is meant needs 'covers': parts, over, leaves_out",
    ),
    "claim: leaves something out without a reason": (
        "claims",
        claim(covers={"parts": "the bound", "over": "two steps", "leaves_out": {"others": ""}}),
        THEOREM + ", key 'covers.leaves_out.others': words expected, found ''",
    ),
    "claim: on a printed statement, and no input at which it fails": (
        "claims",
        without(1, "counterexample"),
        CLAIMS + "claim 'theorem-1-printed': a claim on a printed statement needs 'counterexample': the input at which it fails, "
        "and both sides there",
    ),
    "claim: counterexample that is none": (
        "claims",
        lambda content: content["claims"][1]["counterexample"].update(asks=">"),
        CLAIMS + "claim 'theorem-1-printed', key 'counterexample': 0.0048374 > 0.0001 holds, so it is no counterexample",
    ),
    "claim: of ours, about a result": (
        "claims",
        claim(origin="flowcheck", result="theorem-1"),
        THEOREM + ": a claim of ours is about no result of the paper, and 'result' is 'theorem-1'",
    ),
    "claim: neither controls nor no_control": (
        "claims",
        without(0, "controls"),
        THEOREM + ": a claim needs either 'controls' (at least one) or 'no_control' with the reason why none can exist, "
        "and has neither",
    ),
    "claim: controls and no_control": (
        "claims",
        claim(no_control="nothing can fail"),
        THEOREM
        + ": a claim needs either 'controls' (at least one) or 'no_control' with the reason why none can exist, and has both",
    ),
    "claim: control on the wrong side": (
        "claims",
        condition("controls", **{"is": "<"}),
        THEOREM + ": control 'decay twice as fast' (error_wrong_rate < 0.1) could pass the predicate it is meant to miss "
        "(error_fine <= 0.025): threshold on the wrong side",
    ),
    "claim: control against nothing": (
        "claims",
        condition("controls", against="slope"),
        THEOREM + ": control 'decay twice as fast': 'against' is 'slope'; allowed: 'error_fine'",
    ),
    "claim: no predicates": (
        "claims",
        claim(predicates=[]),
        THEOREM + ", key 'predicates': list should have at least 1 item after validation, not 0, found []",
    ),
    "claims: a list": (
        "claims",
        lambda content: content["claims"],
        CLAIMS + "expected the keys 'hypotheses', 'claims', found list",
    ),
    "claims: none": ("claims", entry(claims=[]), CLAIMS + "key 'claims': expected a list of at least one claim, found []"),
    "claims: a list of words": (
        "claims",
        entry(claims=["theorem-1"]),
        CLAIMS + "claim 'number 1': input should be a valid dictionary or instance of ClaimEntry, found 'theorem-1'",
    ),
    **{
        f"claim: {key} of two lines": (
            "claims",
            claim(**{key: "two\nlines"}),
            THEOREM + f", key '{key}': one line of text expected, found 'two\\nlines'",
        )
        for key in ("label", "title", "location")
    },
    "claim: control of two lines": (
        "claims",
        condition("controls", name="two\nlines"),
        THEOREM + ", key 'controls.0.name': one line of text expected, found 'two\\nlines'",
    ),
    "claim: reason of two lines": (
        "claims",
        condition("predicates", why="two\nlines"),
        THEOREM + ", key 'predicates.0.why': one line of text expected, found 'two\\nlines'",
    ),
    "claim: empty label": ("claims", claim(label=" "), THEOREM + ", key 'label': words expected, found ' '"),
    "experiment: title of two lines": (
        "experiments",
        entry(title="two\nlines"),
        EXPERIMENTS + "key 'title': one line of text expected, found 'two\\nlines'",
    ),
    "experiment: metric described in two lines": (
        "experiments",
        entry(metrics={"slope": "two\nlines"}),
        EXPERIMENTS + "key 'metrics.slope': one line of text expected, found 'two\\nlines'",
    ),
    "deviation: unknown claim": (
        "deviations",
        deviation(claims=["theorem-2"]),
        DEVIATIONS
        + ", key 'claims': unknown claim 'theorem-2'; closest: 'theorem-1', 'theorem-1-printed', 'remark-2', 'figure-1'",
    ),
    "deviation: erratum without defence": (
        "deviations",
        lambda content: content[0].pop("defence") and None,
        DEVIATIONS + ": an erratum needs a 'defence': in what reading the printed form would be right, or why in none",
    ),
    "deviation: erratum that hits nothing": (
        "deviations",
        deviation(hits={}),
        DEVIATIONS + ": an erratum needs 'hits': of which results it is about the statement, the proof or the notation",
    ),
    "deviation: no erratum, and hits something": (
        "deviations",
        deviation(kind="deviation"),
        DEVIATIONS + ": 'hits' is for errata, and this is of kind 'deviation'",
    ),
    "deviation: hits what is no result": (
        "deviations",
        deviation(hits={"theorem-2": "proof"}),
        DEVIATIONS + ", key 'hits': unknown result 'theorem-2'; closest: 'theorem-1', 'remark-2', 'figure-1'",
    ),
    "deviation: hits another result than the printed claim that it names": (
        "deviations",
        deviation(hits={"remark-2": "statement"}),
        "config/deviations/toy.yaml: claim 'theorem-1-printed' is about 'theorem-1': "
        "the erratum that names it is to have that under 'hits'",
    ),
    "deviation: erratum without proof": (
        "deviations",
        lambda content: content[0].pop("proof") and None,
        DEVIATIONS + ": an erratum needs a 'proof': a derivation or the claim that holds the counterexample",
    ),
    "deviation: unknown kind": (
        "deviations",
        deviation(kind="mistake"),
        DEVIATIONS + ", key 'kind': input should be 'deviation', 'clarification', 'erratum' or 'extraction', found 'mistake'",
    ),
}


NAMES = {
    "figure above the results": ("figures", {"../../../x": "a"}, "key 'figures.../../../x': string should match pattern"),
    **{
        f"figure {name!r}": ("figures", {name: "a"}, f"key 'figures.{name}': string should ")
        for name in ("/abs", "a b", "a;b", "", "{x}", "Error", "é", "a'b", "-a", "a.b", "x" * 65)
    },
    **{
        f"axis {name!r}": ("grid", {name: [1]}, f"key 'grid.{name}': string should ")
        for name in ("step size", "", "step-size", "Step", "é", "1", "a/b", "x" * 65)
    },
    **{
        f"metric {name!r}": ("metrics", {name: "a"}, f"key 'metrics': {name!r} is no name of a metric: ")
        for name in ("", "provenance", "a b", "1a", "é", "a/b", "../a", "a'b", "-a", "a\nb")
        if name != "a b"  # blanks are those of a list in braces
    },
    "metric of unpaired braces": ("metrics", {"a_{1,2": "a"}, "key 'metrics': 'a_{1,2': braces come in pairs"),
    "metric of nested braces": ("metrics", {"a_{1,{2}}": "a"}, "key 'metrics': 'a_{1,{2}}': braces come in pairs"),
    "metric of closed braces": ("metrics", {"a_1,2}": "a"}, "key 'metrics': 'a_1,2}': braces come in pairs"),
    "metric that is promised twice": ("metrics", {"a_{1,2}": "a", "a_2": "b"}, "key 'metrics': 'a_2' is promised twice"),
    "metric twice in one pattern": ("metrics", {"a_{1,1}": "a"}, "key 'metrics': 'a_1' is promised twice"),
    "metrics without end": ("metrics", {"a" + "{1,2}" * 40: "a"}, "stands for more than 10000 names"),
    "too many points": ("grid", {"step_size": list(range(200)), "b": list(range(200))}, "40000 points, each a job and a file"),
    "too many points, at once": ("grid", {"step_size": [1], **{f"b{k}": list(range(90)) for k in range(40)}}, "at most 10000"),
    "a point of a long name": ("grid", {"step_size": ["x" * 300]}, "has a name of 310 characters; at most 200"),
    "an axis that is a parameter": ("parameters", {"step_size": 1}, "key 'parameters.step_size': an axis of the grid too"),
    "a scale that sets an axis": (
        "scales",
        {"paper": {"parameters": {"step_size": 1}}},
        "key 'scales.paper.parameters.step_size': an axis of the grid, which would hide it",
    ),
    **{
        f"seed {value!r}": ("seed", value, f"key 'seed': input should be a valid integer, found {value!r}")
        for value in (True, "3", 3.0, None, [1])
    },
    **{
        f"resources {value!r}": ("resources", {"mem_mb": value}, "key 'resources.mem_mb': input should be ")
        for value in (True, "3", 3.5, 10**12)
    },
}


@pytest.mark.parametrize(("key", "value", "expected"), NAMES.values(), ids=NAMES)
def test_a_name_or_a_number_outside_of_the_grammar_is_one_sentence_with_its_key(checkout, key, value, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.edit("experiments", entry(**{key: value}))
    said = sentence(Project)
    assert said.startswith(EXPERIMENTS)
    assert expected.replace("\n", "\\n") in said


@pytest.mark.parametrize("name", ["Theorem", "a b", "../a", "a_b", "", "é", "a/b", "x" * 65, "a'b", "-a"])
def test_a_claim_or_a_deviation_outside_of_the_grammar_is_one_sentence(checkout, name):
    checkout.edit("deviations", deviation(id=name))
    assert "key 'id': string should" in sentence(lambda: Project(checkout.root))
    checkout.edit("claims", claim(id=name))
    assert "key 'id': string should" in sentence(lambda: Project(checkout.root))


@pytest.mark.parametrize("value", [True, "0.025", "nan", float("inf"), None], ids=repr)
@pytest.mark.parametrize("part", ["predicates", "controls"])
def test_a_threshold_is_written_as_a_number(checkout, part, value):
    checkout.edit("claims", condition(part, value=value))
    said = sentence(lambda: Project(checkout.root))
    assert "value': " in said
    assert "number" in said


UNUSABLE = ["My Paper", "Toy", "toy-1", "é", "a'b", "toy,b", "{scale}", "1toy", "_toy", "toy\n", "x" * 65, "report", "claims"]


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_paper_that_cannot_have_its_name_is_one_sentence(checkout, name, monkeypatch):
    monkeypatch.chdir(checkout.root)
    for folder in ("config/experiments", "config/claims", "scripts", "notebooks"):
        Path(folder, "toy").rename(Path(folder, name))
    Path("config/deviations/toy.yaml").rename(f"config/deviations/{name}.yaml")
    with pytest.raises(ConfigError, match=r"the name of a paper is lower-case|the name of a folder of every scale's results"):
        Project()


@pytest.mark.parametrize("name", ["Decay", "de cay", "de-cay", "é", "1", "", "x" * 65, "json", "signal"])
def test_an_experiment_that_cannot_have_its_name_is_one_sentence(checkout, name, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.path("experiments").rename(f"config/experiments/toy/{name}.yaml")
    said = sentence(Project)
    assert said.startswith(f"config/experiments/toy/{name}.yaml: ")
    assert "the name of an experiment is lower-case" in said or "would hide the module" in said


def test_two_papers_whose_rules_would_have_one_name_are_one_sentence(checkout, monkeypatch):
    monkeypatch.chdir(checkout.root)
    for folder in ("config/experiments", "config/claims", "scripts", "notebooks"):
        shutil.copytree(Path(folder, "toy"), Path(folder, "toy_a"))
        for source in Path(folder, "toy").glob("spread.*"):
            shutil.copy(source, source.with_stem("a_spread"))
    shutil.copy("config/deviations/toy.yaml", "config/deviations/toy_a.yaml")
    checkout.edit("claims", claim(id="figure-2", result="figure-1"), "a_spread")
    said = sentence(Project)
    assert (
        said
        == "config/experiments/toy_a/spread.yaml: its rules would have the names of those of toy/a_spread; rename one of them"
    )


@pytest.mark.parametrize("file", ["experiments/toy/decay.yml", "claims/toy/decay.yml", "deviations/toy.yml", "config.yml"])
def test_a_file_that_would_not_be_read_is_one_sentence(checkout, file, monkeypatch):
    monkeypatch.chdir(checkout.root)
    Path("config", file).write_text("")
    assert sentence(Project) == f"config/{file}: the files of the configuration end in .yaml, and this one would not be read"


@pytest.mark.parametrize(("kind", "change", "expected"), BAD.values(), ids=BAD)
def test_bad_configuration_is_one_sentence_with_file_key_and_what_is_allowed(checkout, kind, change, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.edit(kind, change)
    assert sentence(Project) == expected


DECAY = "config/experiments/toy/decay.yaml"
TEXT = {
    "malformed": ("seed: 1", "seed: [1", f"{DECAY}, line 4: malformed YAML: did not find expected"),
    "tab": ("seed: 1", "\tseed: 1", f"{DECAY}, line 3: malformed YAML: found a tab character"),
    "key twice": ("seed: 1", "seed: 1\nseed: 4", f"{DECAY}, line 4: malformed YAML: key 'seed' occurs twice"),
    "list as a key": ("seed: 1", "[1, 2]: 1", f"{DECAY}, line 3: malformed YAML: [1, 2] cannot be a key"),
    "two documents": ("seed: 1", "seed: 1\n---\ngrid: {}", "malformed YAML: but found another document"),
    "control character": ("seed: 1", "seed: \x07", DECAY),
    "python object": ("seed: 1", "seed: !!python/object/apply:os.getcwd []", "malformed YAML: could not determine a constructor"),
}


TWO_WAYS = [
    *(
        "yes",
        "Off",
        "on",
        "NO",
        "True",
        "FALSE",
        "NULL",
        "010",
        "-007",
        "0x10",
        "0o17",
        "0b1",
        "1_000",
        "1_0.5",
        "1:30",
        "1:30:15.5",
    ),
    *("1:30", "1:30:15.5", ".inf", "-.inf", "+.Inf", ".nan", ".NaN", "NaN", "inf", "-Infinity", "00.5", "1e1_0"),
]


@pytest.mark.parametrize("value", TWO_WAYS)
def test_what_can_be_read_in_two_ways_is_one_sentence_with_its_key(checkout, value, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.replace("experiments", "horizon: 2.0", f"horizon: {value}")
    assert sentence(Project) == (
        f"{DECAY}, line 16: malformed YAML: key 'scales.paper.parameters.horizon': {value!r} can be read in two ways; "
        "write a decimal number, true, false or null, or put text in quotes"
    )


TAGGED = {"!!float .inf": "float", "!!float 1": "float", "!!float '1.5'": "float", "!<tag:yaml.org,2002:float> .nan": "float"}
TAGGED |= {"!!int 010": "int", "!!int abc": "int", "!!bool yes": "bool", "!!null x": "null"}


@pytest.mark.parametrize(("value", "tag"), TAGGED.items())
def test_a_tag_makes_no_number_of_what_is_none(checkout, value, tag, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.replace("experiments", "horizon: 2.0", f"horizon: {value}")
    assert sentence(Project) == (
        f"{DECAY}, line 16: malformed YAML: key 'scales.paper.parameters.horizon': the tag !!{tag}; "
        "write a decimal number, true, false or null, or put text in quotes"
    )


BEYOND = ["1e400", "-1.5e+309", "1e-400", "0.0001e-330", str(2**63), f"-{10**30}", "1" * 5000]


@pytest.mark.parametrize("value", BEYOND, ids=lambda value: value[:12])
def test_a_number_that_the_machine_does_not_have_is_one_sentence_with_its_key(checkout, value):
    checkout.replace("experiments", "seed: 1", f"seed: {value}")
    said = sentence(lambda: Project(checkout.root))
    assert ", line 3: malformed YAML: key 'seed': " in said
    assert "64 bits" in said or "range of a double" in said


def test_plain_data_is_read_as_it_is_written(tmp_path):
    written = {
        **{"0": 0, "-0": 0, "+7": 7, "12": 12, str(2**63 - 1): 2**63 - 1},
        **{"1e5": 1e5, "1E-5": 1e-5, "-1.5e+3": -1500.0, ".5": 0.5, "2.": 2.0, "0.0": 0.0, "0e10": 0.0, "1.0e-300": 1e-300},
        **{"true": True, "false": False, "null": None, "~": None, "": None},
        **{text: text for text in ("a", "y", "2-homogeneous", "1.2.3", "2020-01-01", "-", "e5", "0x", "nobody", "info", "=")},
        **{f'"{text}"': text for text in ("010", "yes", "1e5", ".inf", "null", "")},
    }
    path = tmp_path / "x.yaml"
    for text, value in written.items():
        path.write_text(f"[{text}]" if text else "[~]")
        assert read_yaml(path) == [value]
        assert type(read_yaml(path)[0]) is type(value)


NO_TEXT = {
    "escape": r"\e[31m",
    "NUL": r"\0",
    "right to left": r"\u202E",
    "nothing to see": r"\u200B",
    "bell": r"\a",
    "C1": r"\x9b",
}


@pytest.mark.parametrize("text", NO_TEXT.values(), ids=NO_TEXT)
def test_a_character_that_is_no_text_is_one_sentence_with_its_key(checkout, text):
    checkout.replace("experiments", "title: Error", f'title: "{text}"\nsummary: Error')
    said = sentence(lambda: Project(checkout.root))
    assert ", line 1: malformed YAML: key 'title': the character U+" in said
    assert said.isprintable()


def nested(depth, opened="[", closed="]"):
    return opened * depth + closed * depth


LARGE = {
    "too deep a list": (f"parameters: {nested(30)}", "key 'parameters."),
    "far too deep a list": (f"parameters: {nested(200_000)}", "more than 20 lists and mappings within each other"),
    "too deep a mapping": (f"parameters: {nested(100_000, '{a: ', '}')}", "more than 20 lists and mappings within each other"),
    "too deep by dashes": (f"parameters:\n  {'- ' * 5000}", "more than 20 lists and mappings within each other"),
    "too deep by aliases": (
        "parameters:\n  a0: &a0 [1]\n" + "".join(f"  a{k + 1}: &a{k + 1} [*a{k}]\n" for k in range(30)),
        "more than 20 lists and mappings within each other",
    ),
    "a list within itself": ("parameters: &a [*a]", "key 'parameters.0': an alias of what it stands in"),
    "a mapping within itself": ("parameters: &a {b: {c: *a}}", "key 'parameters.b.c': an alias of what it stands in"),
    "merged with itself": ("parameters: &a {<<: *a}", "key 'parameters.<<': an alias of what it stands in"),
    "aliases of aliases": (
        "parameters:\n  a0: &a0 [1, 1]\n" + "".join(f"  a{k + 1}: &a{k + 1} [{f'*a{k}, ' * 12}]\n" for k in range(8)),
        "more than 100000 values, with all aliases written out",
    ),
    "merges of merges": (
        "parameters:\n  a0: &a0 {x: 1}\n" + "".join(f"  a{k + 1}: &a{k + 1} {{<<: [{f'*a{k}, ' * 12}]}}\n" for k in range(8)),
        "more than 100000 values, with all aliases written out",
    ),
    "too many values": (f"parameters: [{'1,' * 120_000}]", "more than 100000 values"),
    "too long": (f"parameters: {'x' * 1_000_001}", ": longer than 1000000 characters"),
    "never closed": (f"parameters: {'[' * 200_000}", "more than 20 lists and mappings within each other"),
}


@pytest.mark.parametrize(("text", "expected"), LARGE.values(), ids=LARGE)
def test_a_file_that_is_too_deep_or_too_large_is_one_sentence_at_once(checkout, text, expected):
    checkout.path("experiments").write_text(f"{text}\n")
    started = time.monotonic()
    assert expected in sentence(lambda: Project(checkout.root))
    assert time.monotonic() - started < 5


OUT_OF_PLACE = {
    "experiment": "config/experiments/toy/decay.yaml",
    "paper": "config/experiments/toy/paper.yaml",
    "claims": "config/claims/toy/decay.yaml",
    "deviations": "config/deviations/toy.yaml",
    "config": "config/config.yaml",
    "script": "scripts/toy/decay.py",
    "notebook": "notebooks/toy/decay.ipynb",
}


def folder_at(path):
    path.mkdir()


def device_at(path):
    path.symlink_to("/dev/zero")


def pipe_at(path):
    os.mkfifo(path)


def circle_at(path):
    path.symlink_to(path)


@pytest.mark.parametrize("put", [folder_at, device_at, pipe_at, circle_at])
@pytest.mark.parametrize("file", OUT_OF_PLACE.values(), ids=OUT_OF_PLACE)
def test_what_stands_where_a_file_belongs_is_one_sentence(checkout, file, put, monkeypatch):
    monkeypatch.chdir(checkout.root)
    Path(file).unlink()
    put(Path(file))
    assert file in sentence(lambda: Project().run_config({}))


@pytest.mark.parametrize("folder", ["config/claims/toy", "config/experiments/toy", "config/deviations", "config"])
def test_a_file_that_stands_where_a_folder_belongs_is_one_sentence(checkout, folder, monkeypatch):
    monkeypatch.chdir(checkout.root)
    shutil.rmtree(folder)
    Path(folder).write_text("[]\n")
    assert folder in sentence(Project)


@pytest.mark.parametrize("kind", ["experiments", "claims", "deviations"])
def test_an_empty_file_says_what_it_lacks(checkout, kind):
    checkout.path(kind).write_text("# nothing yet\n")
    said = sentence(lambda: Project(checkout.root))
    assert "found dict" not in said
    assert "is empty" in said or "field required" in said


@pytest.mark.parametrize(("old", "new", "expected"), TEXT.values(), ids=TEXT)
def test_malformed_yaml_is_one_sentence_with_file_and_line(checkout, old, new, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.replace("experiments", old, new)
    assert expected in sentence(Project)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe")
    assert sentence(lambda: read_yaml(path)).startswith(f"{path}: not a text file")


def test_yaml_anchors_and_merges_are_not_taken_for_repeated_keys(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &base {x: 1, y: 2}\nb: {<<: *base, x: 3}\n")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


def test_an_empty_file_is_an_empty_configuration(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}


MISSING = {
    "script": ("scripts/toy/decay.py", "decay.yaml: the experiment needs the file scripts/toy/decay.py, which is not there"),
    "notebook": (
        "notebooks/toy/order.ipynb",
        "order.yaml: the experiment needs the file notebooks/toy/order.ipynb, which is not there",
    ),
    "claims": ("config/claims/toy/decay.yaml", "config/claims/toy/decay.yaml: no such file"),
    "paper": ("config/experiments/toy/paper.yaml", "config/experiments/toy/paper.yaml: no such file"),
}


@pytest.mark.parametrize(("file", "expected"), MISSING.values(), ids=MISSING)
def test_a_missing_file_is_one_sentence(checkout, file, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    (checkout.root / file).unlink()
    assert expected in sentence(Project)


def test_a_missing_folder_is_one_sentence(checkout, monkeypatch):
    monkeypatch.chdir(checkout.root)
    shutil.rmtree("config/experiments/toy")
    assert sentence(Project) == "config/experiments: no paper found; expected a folder for each"
    Path("config/experiments/toy").mkdir()
    shutil.copy(TOY / "config/experiments/toy/paper.yaml", "config/experiments/toy")
    assert sentence(Project) == "config/experiments/toy: no experiment found; expected <experiment>.yaml for each"


FOLDER = "a paper is a folder, with a file for each of its experiments"
STRAY = {
    "deviations of an unknown paper": ("config/deviations/toi.yaml", "unknown paper 'toi'; allowed: 'toy'"),
    "claims of an unknown paper": ("config/claims/toi/decay.yaml", "unknown paper 'toi'; allowed: 'toy'"),
    "claims of an unknown experiment": (
        "config/claims/toy/decai.yaml",
        "unknown experiment 'decai'; allowed: 'decay', 'order', 'spread'",
    ),
    "claims of a whole paper": ("config/claims/toy.yaml", "a paper is a folder, with a file for each of its experiments"),
    "experiments of a whole paper": (
        "config/experiments/toy.yaml",
        "a paper is a folder, with a file for each of its experiments",
    ),
    "an experiment with a bad name": (
        "config/experiments/toy/Flow Rates.yaml",
        "the name of an experiment is lower-case letters, digits and underscores",
    ),
}


@pytest.mark.parametrize(("file", "expected"), STRAY.values(), ids=STRAY)
def test_a_stray_file_is_one_sentence(checkout, file, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("[]\n")
    said = sentence(Project)
    assert said.endswith(expected)
    assert said.startswith(("config/claims/toi", file))


def test_a_claim_stands_on_the_hypotheses_of_its_file_that_it_does_not_waive_and_on_its_own(checkout):
    shared = [{"metric": metric, "is": "<", "value": 1.0, "why": "small"} for metric in ("error_fine", "error_coarse")]
    own = [{"metric": "error_coarse", "is": ">", "value": 0.0, "why": "large"}]

    def change(content):
        content["hypotheses"] = shared
        content["claims"][1] |= {"waives": {"error_coarse": "it is not looked at"}, "hypotheses": own}

    checkout.edit("claims", change)
    claims = Project(checkout.root).claims["toy"]
    assert [h.metric for h in claims["theorem-1"].hypotheses] == ["error_fine", "error_coarse"]
    kept = [(h.metric, h.comparison) for h in claims["theorem-1-printed"].hypotheses]
    assert kept == [("error_fine", "<"), ("error_coarse", ">")]
    assert claims["theorem-1-printed"].waives == {"error_coarse": "it is not looked at"}
    assert claims["figure-1"].hypotheses == []


def test_one_id_twice_in_two_files_is_one_sentence(checkout, monkeypatch):
    monkeypatch.chdir(checkout.root)
    checkout.edit("claims", claim(id="theorem-1"), "order")
    assert (
        sentence(Project)
        == "config/claims/toy/order.yaml: claim 'theorem-1', key 'id': used twice; ids are unique within a paper"
    )


def test_deviations_are_optional(checkout):
    checkout.path("deviations").unlink()
    covers = {"parts": "all of it", "over": "two step sizes"}
    checkout.edit("claims", lambda content: content["claims"][1].update(variant="corrected", covers=covers))
    assert Project(checkout.root).deviations == {"toy": []}


@pytest.mark.parametrize(("variant", "kind"), [("printed", "erratum"), ("extracted", "extraction")])
def test_nobody_is_accused_without_an_erratum(checkout, monkeypatch, variant, kind):
    monkeypatch.chdir(checkout.root)
    other = {"erratum": "extraction", "extraction": "erratum"}[kind]
    checkout.edit("claims", lambda content: content["claims"][1].update(variant=variant))
    for given in (other, "deviation"):
        hits = {"theorem-1": "statement"} if given == "erratum" else {}
        checkout.edit("deviations", lambda content, given=given, hits=hits: content[0].update(kind=given, hits=hits))
        assert sentence(Project) == (
            f"config/deviations/toy.yaml: claim 'theorem-1-printed' is one of variant '{variant}': "
            f"an entry of kind '{kind}' is to name it"
        )
    hits = {"theorem-1": "statement"} if kind == "erratum" else {}
    checkout.edit("deviations", lambda content: content[0].update(kind=kind, hits=hits))
    assert Project(checkout.root).claims["toy"]["theorem-1-printed"].variant == variant


# ------------------------------------------------------------------------------------------------------ config.yaml and --config

OVERRIDES = {
    "unknown scale": ({"scale": "huge"}, "key 'scale': input should be 'smoke', 'laptop' or 'paper', found 'huge'"),
    "unknown paper": ({"papers": "toi"}, "key 'papers': unknown paper 'toi'; allowed: 'all', 'toy'"),
    "unknown paper in a list": ({"papers": ["toy", "toi"]}, "key 'papers': unknown paper 'toi'; allowed: 'all', 'toy'"),
    "papers of the wrong type": (
        {"papers": 3},
        "or papers as in 'a,b' or [a, b], found 3",
    ),
    "a mapping of papers": ({"papers": {"toy": ""}}, "or papers as in 'a,b' or [a, b], found {'toy': ''}"),
    "no papers": ({"papers": []}, "or papers as in 'a,b' or [a, b], found []"),
    "nothing for papers": ({"papers": None}, "or papers as in 'a,b' or [a, b], found None"),
    "an empty word for papers": ({"papers": ""}, "or papers as in 'a,b' or [a, b], found ''"),
    "another case of a scale": ({"scale": "Laptop"}, "key 'scale': input should be 'smoke', 'laptop' or 'paper', found 'Laptop'"),
    "another word for a GPU": ({"device": "gpu"}, "key 'device': input should be 'auto', 'cpu' or 'cuda', found 'gpu'"),
    "unknown device": ({"device": "tpu"}, "key 'device': input should be 'auto', 'cpu' or 'cuda', found 'tpu'"),
    "unknown key": ({"sclae": "smoke"}, "key 'sclae': unknown key; allowed: 'scale', 'papers', 'device'"),
}


@pytest.mark.parametrize(("overrides", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_bad_overrides_are_one_sentence(checkout, overrides, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    text = sentence(lambda: Project().run_config(overrides))
    assert text.startswith("--config: ")
    assert expected in text


def test_a_config_file_that_is_no_mapping_is_one_sentence(checkout):
    checkout.path("config").write_text("- smoke\n")
    assert "config.yaml: input should be a valid dictionary" in sentence(lambda: Project(checkout.root).run_config({}))


@pytest.mark.parametrize("papers", ["all", "toy", ["toy"], ["toy", "toy"], "toy,toy", "toy, toy", "toy toy", "toy,all"], ids=str)
def test_papers_are_all_one_or_several_and_each_counts_once(checkout, papers):
    assert Project(checkout.root).run_config({"papers": papers}).papers == ["toy"]


def pretend_torch(monkeypatch, *, cuda: bool) -> None:
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(is_available=lambda: cuda))
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_cuda_where_there_is_none_is_one_sentence(checkout, monkeypatch):
    pretend_torch(monkeypatch, cuda=False)
    text = sentence(lambda: Project(checkout.root).run_config({"device": "cuda"}))
    assert text.endswith("key 'device': 'cuda' was asked for and torch finds no GPU; allowed here: 'auto', 'cpu'")


def test_cuda_where_there_is_one_is_accepted(checkout, monkeypatch):
    pretend_torch(monkeypatch, cuda=True)
    assert Project(checkout.root).run_config({"device": "cuda"}).device == "cuda"


def test_the_command_line_overrides_the_file(checkout):
    run = Project(checkout.root).run_config({"scale": "paper"})
    assert (run.scale, run.device) == ("paper", "cpu")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("toi", "decay", "smoke"), "unknown paper 'toi'; allowed: 'toy'"),
        (("toy", "decai", "smoke"), "unknown experiment 'decai' of toy; allowed: 'decay', 'order', 'spread'"),
        (("toy", "decay", "tiny"), "unknown scale 'tiny'; allowed: 'smoke', 'laptop', 'paper'"),
    ],
    ids=["paper", "experiment", "scale"],
)
def test_settings_of_what_does_not_exist_are_refused_in_one_sentence(checkout, arguments, expected):
    assert sentence(lambda: Project(checkout.root).settings(*arguments)) == expected


# ------------------------------------------------------------------------------------------------------ parameters of scripts


def test_parameters_that_their_script_refuses_are_one_sentence(simple, monkeypatch):
    monkeypatch.chdir(simple.root)
    simple.edit("experiments", entry(grid={"step_size": [0.1, -0.05]}))
    assert sentence(Project().check_parameters) == (
        "config/experiments/toy/decay.yaml: parameters at scale 'smoke', key 'step_size': "
        "input should be greater than 0, found -0.05"
    )


def test_parameters_are_checked_at_every_scale(simple):
    simple.edit("experiments", entry(scales={"paper": {"parameters": {"horizon": 0}}}))
    text = sentence(Project(simple.root).check_parameters)
    assert "parameters at scale 'paper', key 'horizon': input should be greater than 0, found 0" in text


def test_parameters_that_their_script_does_not_know_are_one_sentence(simple):
    simple.edit("experiments", entry(parameters={"horizont": 1.0}))
    text = sentence(Project(simple.root).check_parameters)
    assert text.endswith("parameters at scale 'smoke', key 'horizont': unknown key; allowed: 'step_size', 'horizon', 'samples'")


BAD_SCRIPTS = {
    "exits with success": (
        "raise SystemExit(0)\n",
        "it exits with 0; what a script does belongs under: if __name",
    ),
    "exits by a function": (
        "import sys\nsys.exit()\n",
        "cannot be imported: it exits with None; what a script does",
    ),
    "ends the process": ("import os\nos._exit(0)\n", "it ends the process with status 0; what a script does"),
    "becomes another process": (
        "import os\nos.execv('/bin/true', ['true'])\n",
        "it ends the process with status 0",
    ),
    "kills the process": (
        "import os\nos.kill(os.getpid(), 9)\n",
        "cannot be imported: signal 9 ends the process; what",
    ),
    "asks": ("input()\n", "cannot be imported: EOFError"),
    "parses arguments": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--x', required=True)\nparser.parse_args()\n",
        "cannot be imported: it exits with 2; what a script does belongs under",
    ),
    "recurses": ("def f(): f()\nf()\n", "cannot be imported: RecursionError"),
    "Parameters of another kind": (
        "Parameters = 3\n",
        "'Parameters' is no pydantic model; every script derives it",
    ),
    "Parameters that are a plain class": ("class Parameters:\n    x: int = 1\n", "'Parameters' is no pydantic model"),
    "NUL": ("x = 1\0\n", "cannot be read: "),
    "no text": ("x = '\udcff'\n", "cannot be read: UnicodeDecodeError"),
    "no Parameters": ("x = 1\n", "defines no 'Parameters' model; every experiment script does"),
    "syntax error": ("def f(:\n", "cannot be read: SyntaxError"),
    "a file beside it": ("import spread\n", "cannot be read: ImportError"),
    "relative import": ("from . import signs\n", "cannot be read: ImportError"),
    "unknown import": ("import no_such_module\n", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    "raises": ("raise RuntimeError('first\\nsecond')\n", "cannot be imported: RuntimeError: first second"),
}


@pytest.mark.parametrize(("script", "expected"), BAD_SCRIPTS.values(), ids=BAD_SCRIPTS)
def test_a_script_that_cannot_be_used_is_one_sentence(simple, script, expected, monkeypatch):
    monkeypatch.chdir(simple.root)
    (simple.root / "scripts/toy/decay.py").write_text(script, encoding="utf-8", errors="surrogateescape")
    text = sentence(Project().check_parameters)
    assert text.startswith("scripts/toy/decay.py: ")
    assert expected in text


def test_a_script_that_does_not_end_when_it_is_imported_is_one_sentence(simple, monkeypatch):
    monkeypatch.setattr(parameters, "SECONDS", 2.0)
    (simple.root / "scripts/toy/decay.py").write_text("import time\ntime.sleep(60)\n")
    said = sentence(Project(simple.root).check_parameters)
    assert "scripts/toy/decay.py: cannot be imported: that takes more than 2 s; what a script does belongs under" in said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("'0.5'", "key 'horizon': input should be a valid number, found '0.5'"),
        ("true", "key 'horizon': input should be a valid number, found True"),
        ("null", "key 'horizon': input should be a valid number, found None"),
        ("0.5\n  samples: 3.0", "key 'samples': input should be a valid integer, found 3.0"),
        ("0.5\n  samples: '3'", "key 'samples': input should be a valid integer, found '3'"),
        ("0.5\n  samples: false", "key 'samples': input should be a valid integer, found False"),
    ],
)
def test_a_parameter_is_a_number_where_its_script_wants_one(simple, given, expected):
    simple.replace("experiments", "horizon: 1.0", f"horizon: {given}")
    assert expected in sentence(Project(simple.root).check_parameters)


def test_a_whole_number_stands_for_a_number_and_a_list_for_a_tuple(simple):
    text = SCRIPT + "    widths: tuple[int, ...] = ()\n    law: Law = Law.CIRCLE\n"
    law = "from enum import StrEnum\n\nclass Law(StrEnum):\n    CIRCLE = 'circle'\n    SPHERE = 'sphere'\n"
    (simple.root / "scripts/toy/decay.py").write_text(law + text)
    simple.replace("experiments", "horizon: 1.0", "horizon: 1\n  widths: [3, 4]\n  law: sphere")
    Project(simple.root).check_parameters()


def test_a_damaged_memory_of_what_was_valid_is_no_memory(simple):
    memory = simple.root / ".cache" / "parameters-valid"
    Project(simple.root).check_parameters()
    memory.write_bytes(bytes(range(256)))
    Project(simple.root).check_parameters()
    memory.unlink()
    memory.mkdir()
    Project(simple.root).check_parameters()


def test_what_was_found_valid_is_remembered_until_code_or_settings_change(simple):
    diary = simple.root / "imported"
    noted = (
        f"from pathlib import Path\nwith Path({str(diary)!r}).open('a') as stream:\n    print(Path(__file__).stem, file=stream)\n"
    )
    for name in ("decay", "order", "spread"):
        (simple.root / "scripts" / "toy" / f"{name}.py").write_text(SCRIPT + noted)

    def check():
        for cached in (digest._read,):
            cached.cache_clear()
        diary.write_text("")
        Project(simple.root).check_parameters()
        return sorted(set(diary.read_text().split()))

    assert check() == ["decay", "order", "spread"]
    assert check() == []
    simple.edit("experiments", entry(parameters={"horizon": 2.0}))
    assert check() == ["decay"]
    assert check() == []
    script = simple.root / "scripts/toy/spread.py"
    script.write_text(SCRIPT + noted + "\n# a comment\n")
    assert check() == []
    script.write_text(SCRIPT + noted + "\nlimit = 3\n")
    assert check() == ["spread"]
    (simple.root / ".cache/parameters-valid").write_text("garbage \0")
    assert check() == ["decay", "order", "spread"]


def test_what_was_found_invalid_is_not_remembered(simple):
    simple.edit("experiments", entry(parameters={"horizon": 0}))
    for _ in range(2):
        assert "key 'horizon'" in sentence(Project(simple.root).check_parameters)


def test_scripts_of_two_papers_may_share_a_name(simple):
    for paper, field in (("toy", "first"), ("twin", "second")):
        for folder in ("scripts", "notebooks"):
            if paper == "twin":
                shutil.copytree(simple.root / folder / "toy", simple.root / folder / "twin")
        (simple.root / "scripts" / paper / "decay.py").write_text(
            f"from pydantic import create_model\nParameters = create_model('M', {field}=(int, 1))"
        )
        if paper == "twin":
            for kind in ("experiments", "claims"):
                shutil.copytree(simple.root / "config" / kind / "toy", simple.root / "config" / kind / "twin")
            shutil.copy(simple.root / "config/deviations/toy.yaml", simple.root / "config/deviations/twin.yaml")
    path_before, modules_before = list(sys.path), set(sys.modules)
    project = Project(simple.root)
    models = [load_script(project.script(paper, "decay")).Parameters for paper in ("toy", "twin")]
    assert [next(iter(model.model_fields)) for model in models] == ["first", "second"]
    assert sys.path == path_before
    assert set(sys.modules) == modules_before


# ------------------------------------------------------------------------------------------------------------- settings


def test_a_scale_overrides_grid_and_parameters_key_by_key(checkout):
    checkout.edit(
        "experiments",
        entry(
            grid={"step_size": [0.1, 0.05], "width": [1, 2]},
            parameters={"horizon": 1.0, "samples": 5},
            scales={"smoke": {"grid": {"width": [3]}, "parameters": {"samples": 6}}},
        ),
    )
    project = Project(checkout.root)
    smoke, laptop = (project.settings("toy", "decay", scale) for scale in ("smoke", "laptop"))
    assert smoke.grid == {"step_size": [0.1, 0.05], "width": [3]}
    assert smoke.parameters == {"horizon": 1.0, "samples": 6}
    assert laptop.grid == {"step_size": [0.1, 0.05], "width": [1, 2]}
    assert laptop.parameters == {"horizon": 1.0, "samples": 5}
    assert (smoke.scale, smoke.seed, smoke.metrics) == ("smoke", 1, ["error_coarse", "error_fine", "error_wrong_rate"])


def settings(grid):
    return Settings(paper="toy", experiment="decay", scale="smoke", seed=1, grid=grid, parameters={})


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ({}, ["all"]),
        ({"n": [1, 2]}, ["n-1", "n-2"]),
        ({"n": [1, 2], "eta": [0.1]}, ["n-1_eta-0.1", "n-2_eta-0.1"]),
        ({"eta": [1e-5, 1e20, -0.5]}, ["eta-1e-05", "eta-1e+20", "eta--0.5"]),
        ({"eta": [1.0, -3.0, 2.5]}, ["eta-1", "eta--3", "eta-2.5"]),
        ({"kind": ["half space", "a/b", "ä"]}, ["kind-half-space", "kind-a-b", "kind--"]),
        ({"biased": [True, False]}, ["biased-True", "biased-False"]),
    ],
    ids=str,
)
def test_cells_are_named_after_their_grid_point_with_characters_a_file_can_have(grid, names):
    cells = settings(grid).cells()
    assert list(cells) == names
    assert all(list(point) == list(grid) for point in cells.values())


@pytest.mark.parametrize("values", [[1, 1], [1, 1.0], ["a b", "a-b"], [0.1, "0.1"]], ids=str)
def test_two_grid_points_of_one_name_are_refused(values):
    with pytest.raises(ValueError, match="have the same name"):
        settings({"x": values}).cells()


def test_settings_survive_being_written_for_a_script():
    import yaml

    before = settings({"eta": [1e-5, 0.1, 3], "kind": ["1e-5", "yes", "null"], "flag": [True]})
    assert Settings.model_validate(yaml.safe_load(before.to_yaml())) == before


@pytest.mark.parametrize(
    "text", [*TWO_WAYS, "1e5", "1E-5", ".5", "2.", "12", "-0", "null", "~", "", "true", "<<", "=", "a: b", "é", "- a"]
)
def test_text_that_could_be_a_number_is_written_in_quotes(tmp_path, text):
    before = Settings(
        paper="p", experiment="e", scale="smoke", seed=1, grid={"a": [text]}, parameters={text: [text, 1e-5, {text: 3}]}
    )
    path = tmp_path / "x.yaml"
    path.write_text(before.to_yaml(), encoding="utf-8")
    assert Settings.model_validate(read_yaml(path)) == before
    assert Settings.model_validate(yaml.safe_load(before.to_yaml())) == before


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("error", ["error"]),
        ("error_{a,b}", ["error_a", "error_b"]),
        ("error_{a, b}", ["error_a", "error_b"]),
        ("{x,y}_{1,2}", ["x_1", "x_2", "y_1", "y_2"]),
        ("error_{a}", ["error_a"]),
    ],
)
def test_braces_stand_for_every_combination(pattern, names):
    assert expand_braces(pattern) == names


def test_promised_metrics_carry_the_description_of_their_pattern(checkout):
    promised = Project(checkout.root).experiment("toy", "decay").promised_metrics
    assert promised["error_fine"] == promised["error_coarse"] == "largest error at the coarsest and finest step size"


# ------------------------------------------------------------------------------------------------- parameters of the papers

ROOT = TOY.parents[1]
SIZE = re.compile(r"(?:^|_)(?:deltas?|epsilons?|scales|sweep|(?<!power_)steps?|rtol|norms|radii)$")
NONSENSE = {
    "law": ("spherical_data", "plateau", "law", "cirkle"),
    "laws": ("spherical_data", "flow_rates", "laws", ["circle", "cirkle"]),
    "cases": ("deep_homogeneous", "alignment_flow", "degrees", {"SQ": 2.0}),
    "cases of an atlas": ("deep_homogeneous", "atlas", "degrees", {"SQ": 2.0}),
    "families": ("two_homogeneous", "correlation_flow", "drawn", ["leeky"]),
}


@pytest.mark.parametrize(("paper", "experiment", "key", "value"), NONSENSE.values(), ids=NONSENSE)
def test_a_name_that_an_experiment_does_not_know_is_refused_with_those_that_it_knows(paper, experiment, key, value):
    project = Project(ROOT)
    settings = project.settings(paper, experiment, "smoke")
    point = next(iter(settings.cells().values()))
    model = load_script(project.script(paper, experiment)).Parameters
    model.model_validate(settings.parameters | point)
    with pytest.raises(ValueError, match=r"allowed: |there must be one for each of: "):
        model.model_validate(settings.parameters | point | {key: value})


@pytest.mark.parametrize(("paper", "experiment"), list(Project(ROOT)), ids=str)
def test_a_size_is_positive(paper, experiment):
    project = Project(ROOT)
    settings = project.settings(paper, experiment, "smoke")
    parameters = settings.parameters | next(iter(settings.cells().values()))
    model = load_script(project.script(paper, experiment)).Parameters
    for key, value in parameters.items():
        if SIZE.search(key) and isinstance(value, (int, float, list)):
            broken = [*value[:-1], -1] if isinstance(value, list) else -1
            with pytest.raises(ValueError, match=re.escape(key)):
                model.model_validate(parameters | {key: broken})
