"""Parameters that break a hypothesis of Theorem 5.1 leave evidence that says which one."""

import importlib.util
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from flowcheck.errors import HypothesisError
from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import Context
from flowcheck.pipeline.judge import judge
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.schema import expand_braces

ROOT = Path(__file__).parents[4]
PROJECT = Project(ROOT)
CONFIG = PROJECT.experiment("two_homogeneous", "alignment_flow").model_dump()
CLAIMS = list(PROJECT.claims_of("two_homogeneous", "alignment_flow").values())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("alignment_flow_two", ROOT / "scripts/two_homogeneous/alignment_flow.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


BROKEN = {
    "degree": ({"degrees": {"SQ": 3, "L2": 2, "D2": 2, "collapse": 2}}, "degree_defect"),
    "signal": ({"label_scale": 0.0}, "signal"),
}


@pytest.mark.parametrize("change", [{"sweep": [0.1, -0.01]}, {"escape_deltas": [0.01, 0.0]}], ids=["negative", "zero"])
def test_a_scale_that_is_not_positive_is_refused_before_anything_runs(script, change):
    with pytest.raises(ValidationError, match="greater than 0"):
        script.Parameters(**(CONFIG["parameters"] | change))


@pytest.mark.parametrize(("change", "metric"), BROKEN.values(), ids=BROKEN)
def test_a_broken_hypothesis_is_named_and_leaves_its_claims_undecided(script, change, metric):
    parameters = script.Parameters(**(CONFIG["parameters"] | {"seeds": 3} | change))
    with pytest.raises(HypothesisError) as unmet:
        script.cell(parameters, Context(CONFIG["seed"]))
    assert unmet.value.metric == metric
    evidence = Evidence.of_unmet_hypothesis(
        unmet.value, [name for pattern in CONFIG["metrics"] for name in expand_braces(pattern)]
    )
    concerned = [claim for claim in CLAIMS if metric in {hypothesis.metric for hypothesis in claim.hypotheses}]
    assert concerned
    assert {judge(claim, evidence.metrics).verdict for claim in concerned} == {Verdict.HYPOTHESIS_NOT_MET}
