"""The configuration: every kind of bad input is one sentence that names file, key and what is allowed."""

import shutil
import sys
import types
from pathlib import Path

import pytest

from flowcheck.errors import ConfigError
from flowcheck.pipeline import digest
from flowcheck.pipeline import project as config
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
CLAIM_KEYS = "'id', 'label', 'title', 'location', 'kind', 'class', 'priority', 'variant', 'origin', 'strength', 'statement', "
CLAIM_KEYS += "'note', 'figures', 'hypotheses', 'waives', 'predicates', 'controls', 'no_control', 'vacuous_above'"

# readable id: (file, change, the sentence)
BAD = {
    "experiment: unknown key": (
        "experiments",
        entry(sede=1),
        EXPERIMENTS + "key 'sede': unknown key; allowed: 'title', 'summary', 'seed', 'grid', 'parameters', "
        "'scales', 'upstream', 'metrics', 'figures', 'resources'",
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
        THEOREM + ", key 'predicates.0.wyh': unknown key; allowed: 'metric', 'is', 'value', 'why'",
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
        THEOREM + ", key 'waives.error_fine': string should have at least 3 characters, found ''",
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
    "claim: neither controls nor no_control": (
        "claims",
        without(0, "controls"),
        THEOREM + ": a claim needs either 'controls' (at least one) or 'no_control' with the reason why none can exist, "
        "and has neither",
    ),
    "claim: controls and no_control": (
        "claims",
        claim(no_control="nothing"),
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
    "deviation: unknown claim": (
        "deviations",
        deviation(claims=["theorem-2"]),
        DEVIATIONS
        + ", key 'claims': unknown claim 'theorem-2'; closest: 'theorem-1', 'theorem-1-printed', 'remark-2', 'figure-1'",
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
    own = [{"metric": "error_wrong_rate", "is": ">", "value": 0.0, "why": "large"}]

    def change(content):
        content["hypotheses"] = shared
        content["claims"][1] |= {"waives": {"error_coarse": "it is not looked at"}, "hypotheses": own}

    checkout.edit("claims", change)
    claims = Project(checkout.root).claims["toy"]
    assert [h.metric for h in claims["theorem-1"].hypotheses] == ["error_fine", "error_coarse"]
    assert [h.metric for h in claims["theorem-1-printed"].hypotheses] == ["error_fine", "error_wrong_rate"]
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
    assert Project(checkout.root).deviations == {"toy": []}


# ------------------------------------------------------------------------------------------------------ config.yaml and --config

OVERRIDES = {
    "unknown scale": ({"scale": "huge"}, "key 'scale': input should be 'smoke', 'laptop' or 'paper', found 'huge'"),
    "unknown paper": ({"papers": "toi"}, "key 'papers': unknown paper 'toi'; allowed: 'all', 'toy'"),
    "unknown paper in a list": ({"papers": ["toy", "toi"]}, "key 'papers': unknown paper 'toi'; allowed: 'all', 'toy'"),
    "papers of the wrong type": ({"papers": 3}, "key 'papers': input should be 'all' or input should be a valid list or "),
    "no papers": ({"papers": []}, "or list should have at least 1 item after validation, not 0 or"),
    "unknown device": ({"device": "tpu"}, "key 'device': input should be 'auto', 'cpu' or 'cuda', found 'tpu'"),
    "unknown key": ({"sclae": "smoke"}, "key 'sclae': unknown key; allowed: 'scale', 'papers', 'device'"),
}


@pytest.mark.parametrize(("overrides", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_bad_overrides_are_one_sentence(checkout, overrides, expected, monkeypatch):
    monkeypatch.chdir(checkout.root)
    text = sentence(lambda: Project().run_config(overrides))
    assert text.startswith("config/config.yaml: ")
    assert expected in text


def test_a_config_file_that_is_no_mapping_is_one_sentence(checkout):
    checkout.path("config").write_text("- smoke\n")
    assert "config.yaml: input should be a valid dictionary" in sentence(lambda: Project(checkout.root).run_config({}))


@pytest.mark.parametrize("papers", ["all", "toy", ["toy"], ["toy", "toy"]], ids=str)
def test_papers_are_all_one_or_a_list_and_each_counts_once(checkout, papers):
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


# ---------------------------------------------------------------------------------------------------------------- targets

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
    "scale of the report": ("results/labtop/report/index.html", "unknown scale: 'labtop'; closest: 'laptop'"),
}


@pytest.mark.parametrize(("target", "expected"), TARGETS.values(), ids=TARGETS)
def test_a_target_that_cannot_exist_is_one_sentence_with_the_closest_names(checkout, target, expected):
    assert expected in sentence(lambda: Project(checkout.root).check_target(target))


@pytest.mark.parametrize(
    "argument",
    [
        *("results/smoke/claims/toy/theorem-1.json", "results/laptop/toy/decay/metrics.json", "results/paper/report/index.html"),
        *("results/smoke/ledger.json", "results/report.zip", "results", "--cores", "2", "-n", "all", "scale=smoke", ""),
    ],
)
def test_other_arguments_of_the_command_line_are_left_alone(checkout, argument):
    Project(checkout.root).check_target(argument)


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
    (simple.root / "scripts/toy/decay.py").write_text(script)
    text = sentence(Project().check_parameters)
    assert text.startswith("scripts/toy/decay.py: ")
    assert expected in text


def count_imports(monkeypatch):
    loaded = []
    original = config._load_script
    monkeypatch.setattr(config, "_load_script", lambda path: loaded.append(path.stem) or original(path))
    return loaded


def test_what_was_found_valid_is_remembered_until_code_or_settings_change(simple, monkeypatch):
    loaded = count_imports(monkeypatch)

    def check():
        for cached in (digest._read,):
            cached.cache_clear()
        loaded.clear()
        Project(simple.root).check_parameters()
        return sorted(set(loaded))

    assert check() == ["decay", "order", "spread"]
    assert check() == []
    simple.edit("experiments", entry(parameters={"horizon": 2.0}))
    assert check() == ["decay"]
    assert check() == []
    script = simple.root / "scripts/toy/spread.py"
    script.write_text(SCRIPT + "\n# a comment\n")
    assert check() == []
    script.write_text(SCRIPT + "\nlimit = 3\n")
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
    path_before, modules_before = list(sys.path), set(sys.modules)
    project = Project(simple.root)
    models = [config._load_script(project.script(paper, "decay")).Parameters for paper in ("toy", "twin")]
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
        ({"kind": ["half space", "a/b", "ä"]}, ["kind-half-space", "kind-a-b", "kind--"]),
        ({"biased": [True, False]}, ["biased-True", "biased-False"]),
    ],
    ids=str,
)
def test_cells_are_named_after_their_grid_point_with_characters_a_file_can_have(grid, names):
    cells = settings(grid).cells()
    assert list(cells) == names
    assert all(list(point) == list(grid) for point in cells.values())


@pytest.mark.parametrize("values", [[1, 1], ["a b", "a-b"], [0.1, "0.1"]], ids=str)
def test_two_grid_points_of_one_name_are_refused(values):
    with pytest.raises(ValueError, match="have the same name"):
        settings({"x": values}).cells()


def test_settings_survive_being_written_for_a_script():
    import yaml

    before = settings({"eta": [1e-5, 0.1, 3], "kind": ["1e-5", "yes", "null"], "flag": [True]})
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
