"""The JSON schemas of the configuration: in step with the models, and satisfied by the files they describe."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from flowcheck.__main__ import main
from flowcheck.pipeline.schema import json_schemas

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = {"project": ROOT / "config", "toy": ROOT / "tests" / "toy" / "config"}
FILES = {
    f"{project}/{path.relative_to(folder)}": path
    for project, folder in CONFIGS.items()
    for path in sorted(folder.rglob("*.yaml"))
}


def schema_of(path):
    kinds = {"experiments": "paper" if path.stem == "paper" else "experiment", "claims": "claims", "deviations": "deviations"}
    kind = next((kinds[part] for part in path.parts[-3:-1] if part in kinds), path.stem)
    return json.loads((ROOT / "config" / "schema" / f"{kind}.schema.json").read_text())


def test_the_schemas_in_the_checkout_are_those_of_the_models(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["schemas", "--check"]) == 0, capsys.readouterr().err
    assert {path.name for path in (ROOT / "config" / "schema").glob("*.json")} == set(json_schemas())


def test_stale_and_missing_schemas_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["schemas"]) == 0
    assert main(["schemas", "--check"]) == 0
    (tmp_path / "config/schema/claims.schema.json").write_text("{}")
    (tmp_path / "config/schema/config.schema.json").unlink()
    assert main(["schemas", "--check"]) == 1
    said = capsys.readouterr().err
    assert "stale: config/schema/config.schema.json, config/schema/claims.schema.json; write them with" in said


@pytest.mark.parametrize("name", json_schemas())
def test_a_schema_is_a_valid_schema(name):
    jsonschema.Draft202012Validator.check_schema(json_schemas()[name])


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_a_configuration_file_satisfies_its_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), schema_of(path))


WRONG = {
    "unknown key": lambda claim: claim.update(statment="x"),
    "unknown comparison": lambda claim: claim["predicates"][0].update({"is": "=<"}),
    "no predicates": lambda claim: claim.update(predicates=[]),
    "no reason": lambda claim: claim["predicates"][0].pop("why"),
    "bad id": lambda claim: claim.update(id="Theorem 1"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_an_editor_that_knows_the_schema_sees_the_mistake(change):
    path = CONFIGS["toy"] / "claims" / "toy" / "decay.yaml"
    claims = yaml.safe_load(path.read_text())
    change(claims["claims"][0])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(claims, schema_of(path))
