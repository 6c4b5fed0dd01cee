"""Parameters that break a hypothesis leave evidence that says which one: alignment_flow and atlas of deep_homogeneous."""

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from flowcheck.pipeline.claims import Verdict
from flowcheck.pipeline.evidence import UNMET, Evidence
from flowcheck.pipeline.experiment import main, only_cell
from flowcheck.pipeline.judge import judge
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.schema import expand_braces

ROOT = Path(__file__).parents[4]
PROJECT = Project(ROOT)
CONFIG = {name: entry.model_dump() for name, entry in PROJECT.experiments["deep_homogeneous"].items()}
CLAIMS = list(PROJECT.claims["deep_homogeneous"].values())

BROKEN = {
    "degree": ("alignment_flow", {"degrees": CONFIG["alignment_flow"]["parameters"]["degrees"] | {"L3": 4}}, "degree_defect"),
    "degree in the atlas": ("atlas", {"degrees": CONFIG["atlas"]["parameters"]["degrees"] | {"power_2": 3}}, "degree_defect"),
}
REFUSED = {
    "zero scale": ("alignment_flow", {"escape_deltas": [0.01, 0.0]}),
    "negative scale": ("alignment_flow", {"sweep": [0.1, -0.01]}),
    "scale in the atlas": ("atlas", {"deltas": [1.0, 0.1, 1.0e-4, -1.0]}),
}


def script_of(experiment, monkeypatch):
    spec = importlib.util.spec_from_file_location(f"deep_{experiment}", ROOT / f"scripts/deep_homogeneous/{experiment}.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize(("experiment", "change"), REFUSED.values(), ids=REFUSED)
def test_a_scale_that_is_not_positive_is_refused_before_anything_runs(monkeypatch, experiment, change):
    with pytest.raises(ValidationError, match="greater than 0"):
        script_of(experiment, monkeypatch).Parameters(**(CONFIG[experiment]["parameters"] | change))


@pytest.mark.parametrize(("experiment", "change", "metric"), BROKEN.values(), ids=BROKEN)
def test_a_broken_hypothesis_is_evidence_of_claims_that_are_not_met(tmp_path, monkeypatch, experiment, change, metric):
    script, entry = script_of(experiment, monkeypatch), CONFIG[experiment]
    metrics = [name for pattern in entry["metrics"] for name in expand_braces(pattern)]
    settings = {
        "paper": "deep_homogeneous",
        "experiment": experiment,
        "scale": "smoke",
        "seed": entry["seed"],
        "grid": {},
        "parameters": entry["parameters"] | {"seeds": 3} | change,
        "metrics": metrics,
    }
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(sys, "argv", [str(ROOT / f"scripts/deep_homogeneous/{experiment}.py")])
    options = ["--parameters", str(tmp_path / "parameters.yaml"), "--output", str(tmp_path), "--device", "cpu"]
    main(script.Parameters, script.cell, getattr(script, "gather", only_cell), options)
    evidence = Evidence.load(tmp_path)
    assert metric in evidence.provenance[UNMET]
    concerned = [claim for claim in CLAIMS if claim.experiment == experiment]
    assert {judge(claim, evidence.metrics).verdict for claim in concerned} == {Verdict.HYPOTHESIS_NOT_MET}
