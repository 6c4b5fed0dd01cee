"""The configuration: papers, experiments, claims, deviations; read, validated, and resolved for one scale.

Everything wrong with it is reported before any job starts, as one sentence that names the file, the key and what is allowed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import re
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from flowcheck.claims import Claim, Deviation
from flowcheck.digest import code_digest
from flowcheck.errors import ConfigError
from flowcheck.settings import SCALES, Scalar, Settings


class Overrides(BaseModel):
    """What one scale changes in an experiment."""

    model_config = ConfigDict(extra="forbid")

    grid: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = {}
    parameters: dict[str, Any] = {}


class Resources(BaseModel):
    """Resources of one cell, for the scheduler."""

    model_config = ConfigDict(extra="forbid")

    mem_mb: int = Field(default=1500, gt=0)
    runtime: int = Field(default=10, gt=0, description="minutes")
    gpu: int = Field(default=0, ge=0)


class Experiment(BaseModel):
    """One study of one paper: its grid of cells, its parameters, the metrics it promises and the figures it draws."""

    model_config = ConfigDict(extra="forbid")

    title: str
    summary: str
    seed: int = Field(ge=0)
    grid: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = {}
    parameters: dict[str, Any] = {}
    scales: dict[Literal["smoke", "laptop", "paper"], Overrides] = {}
    upstream: list[str] = []
    metrics: dict[str, str] = Field(min_length=1)
    figures: dict[str, str] = Field(min_length=1)
    resources: Resources = Resources()

    @cached_property
    def promised_metrics(self) -> dict[str, str]:
        """Every metric name with its description; ``name_{1,2}`` in the file stands for ``name_1`` and ``name_2``."""
        return {name: text for pattern, text in self.metrics.items() for name in expand_braces(pattern)}


class Paper(BaseModel):
    """One paper and its experiments."""

    model_config = ConfigDict(extra="forbid")

    title: str
    authors: str
    reference: str
    about: str
    experiments: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Experiment]


class RunConfig(BaseModel):
    """`config/config.yaml`, and what `--config` overrides."""

    model_config = ConfigDict(extra="forbid")

    scale: Literal["smoke", "laptop", "paper"] = Field(default="laptop", description="how much is run")
    papers: Literal["all"] | Annotated[list[str], Field(min_length=1)] | str = Field(
        default="all", description="'all', one paper or a list of papers"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where torch runs")


class Project:
    """A checkout: its configuration, read once and validated as a whole. Raises ConfigError on the first defect."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = Path(root)
        self.papers: dict[str, Paper] = {}
        self.claims: dict[str, dict[str, Claim]] = {}
        self.deviations: dict[str, list[Deviation]] = {}
        folder = self.root / "config"
        for path in sorted((folder / "experiments").glob("*.yaml")):
            name = path.stem
            self.papers[name] = _validate(TypeAdapter(Paper), read_yaml(path), path)
            self.claims[name] = self._read_claims(folder / "claims" / f"{name}.yaml", name)
            self.deviations[name] = self._read_deviations(folder / "deviations" / f"{name}.yaml", name)
        if not self.papers:
            raise ConfigError(f"{folder / 'experiments'}: no experiment file found; expected one <paper>.yaml per paper")
        for kind in ("claims", "deviations"):
            for path in (folder / kind).glob("*.yaml"):
                if path.stem not in self.papers:
                    raise ConfigError(f"{path}: unknown paper {path.stem!r}; allowed: {_listing(self.papers)}")
        for paper in self.papers:
            self._check_experiments(paper)

    def run_config(self, overrides: Mapping[str, Any]) -> RunConfig:
        """`config/config.yaml` with the command line's overrides. Raises ConfigError (unknown scale, paper, device, key)."""
        path = self.root / "config" / "config.yaml"
        content = read_yaml(path)
        content = content | dict(overrides) if isinstance(content, dict) else content
        run: RunConfig = _validate(TypeAdapter(RunConfig), content, path)
        names = list(self.papers) if run.papers == "all" else [run.papers] if isinstance(run.papers, str) else run.papers
        for name in names:
            if name not in self.papers:
                raise ConfigError(f"{path}: key 'papers': unknown paper {name!r}; allowed: 'all', {_listing(self.papers)}")
        if run.device == "cuda" and not _cuda_is_there():
            raise ConfigError(f"{path}: key 'device': 'cuda' was asked for and torch finds no GPU; allowed here: 'auto', 'cpu'")
        return run.model_copy(update={"papers": list(dict.fromkeys(names))})

    def experiment(self, paper: str, experiment: str) -> Experiment:
        """One experiment. Raises ConfigError if the paper or the experiment is unknown."""
        if paper not in self.papers:
            raise ConfigError(f"unknown paper {paper!r}; allowed: {_listing(self.papers)}")
        experiments = self.papers[paper].experiments
        if experiment not in experiments:
            raise ConfigError(f"unknown experiment {experiment!r} of {paper}; allowed: {_listing(experiments)}")
        return experiments[experiment]

    def settings(self, paper: str, experiment: str, scale: str) -> Settings:
        """One experiment resolved for one scale."""
        if scale not in SCALES:
            raise ConfigError(f"unknown scale {scale!r}; allowed: {_listing(SCALES)}")
        entry = self.experiment(paper, experiment)
        changes = entry.scales.get(scale, Overrides())  # type: ignore[call-overload]
        return Settings(
            paper=paper,
            experiment=experiment,
            scale=scale,
            seed=entry.seed,
            grid=entry.grid | changes.grid,
            parameters=entry.parameters | changes.parameters,
            metrics=sorted(entry.promised_metrics),
        )

    def check_target(self, target: str) -> None:
        """Raise ConfigError if a file under ``results/`` names a scale, paper, experiment or claim that does not exist."""
        match Path(target).parts:
            case ("results", scale, "claims", paper, file):
                _known(target, "scale", scale, SCALES)
                _known(target, "paper", paper, self.papers)
                _known(target, f"claim of {paper}", file.removesuffix(".json"), self.claims[paper])
            case ("results", scale, "report", _, *_):
                _known(target, "scale", scale, SCALES)
            case ("results", scale, paper, experiment, _, *_):
                _known(target, "scale", scale, SCALES)
                _known(target, "paper", paper, self.papers)
                _known(target, f"experiment of {paper}", experiment, self.papers[paper].experiments)

    def claims_of(self, paper: str, experiment: str) -> dict[str, Claim]:
        """The claims that one experiment decides."""
        return {name: claim for name, claim in self.claims[paper].items() if claim.experiment == experiment}

    def script(self, paper: str, experiment: str) -> Path:
        return self.root / "scripts" / paper / f"{experiment}.py"

    def notebook(self, paper: str, experiment: str) -> Path:
        return self.root / "notebooks" / paper / f"{experiment}.ipynb"

    def check_parameters(self) -> None:
        """Validate each experiment's parameters, at every scale, against its script's `Parameters` model.

        Importing the scripts costs seconds, so what was found valid is remembered under a digest of the code and the settings.
        Raises ConfigError.
        """
        memory = self.root / ".cache" / "parameters-valid"
        known = set(memory.read_text().split()) if memory.is_file() else set()
        seen: set[str] = set()
        for paper, experiment in self:
            path = self.script(paper, experiment)
            settings = [self.settings(paper, experiment, scale) for scale in SCALES]
            try:
                digest = code_digest(path)
            except (SyntaxError, ImportError) as error:
                raise ConfigError(f"{path}: cannot be read: {type(error).__name__}: {error}") from None
            text = digest + "".join(s.model_dump_json() for s in settings)
            stamp = hashlib.sha256(text.encode()).hexdigest()
            seen.add(stamp)
            if stamp not in known:
                model = _load_script(path).Parameters
                for resolved in settings:
                    self._check_parameters_of(model, resolved)
        if seen != known:
            memory.parent.mkdir(exist_ok=True)
            memory.write_text("\n".join(sorted(seen)) + "\n")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """All (paper, experiment) pairs."""
        for paper, content in self.papers.items():
            for experiment in content.experiments:
                yield paper, experiment

    def _check_parameters_of(self, model: Any, settings: Settings) -> None:
        file = self.root / "config" / "experiments" / f"{settings.paper}.yaml"
        for point in settings.cells().values():
            where = f"experiment '{settings.experiment}' at scale '{settings.scale}', parameters"
            _validate(TypeAdapter(model), settings.parameters | point, file, where)

    def _read_claims(self, path: Path, paper: str) -> dict[str, Claim]:
        claims: dict[str, Claim] = {}
        for index, record in enumerate(_read_list(path)):
            name = record.get("id", f"number {index + 1}") if isinstance(record, dict) else f"number {index + 1}"
            claim = _validate(TypeAdapter(Claim), record, path, f"claim '{name}'")
            if claim.id in claims:
                raise ConfigError(f"{path}: claim '{name}', key 'id': used twice; ids are unique within a paper")
            experiments = self.papers[paper].experiments
            if claim.experiment not in experiments:
                raise ConfigError(
                    f"{path}: claim '{name}', key 'experiment': unknown experiment {claim.experiment!r}; "
                    f"allowed: {_listing(experiments)}"
                )
            entry = experiments[claim.experiment]
            for metric in sorted(claim.metrics() - set(entry.promised_metrics)):
                raise ConfigError(
                    f"{path}: claim '{name}': experiment '{claim.experiment}' never writes metric {metric!r}; "
                    f"closest: {_listing(_closest(metric, entry.promised_metrics))}"
                )
            for figure in claim.figures:
                if figure not in entry.figures:
                    raise ConfigError(
                        f"{path}: claim '{name}', key 'figures': experiment '{claim.experiment}' draws no figure {figure!r}; "
                        f"allowed: {_listing(entry.figures)}"
                    )
            claims[claim.id] = claim
        return claims

    def _read_deviations(self, path: Path, paper: str) -> list[Deviation]:
        deviations = []
        for index, record in enumerate(_read_list(path) if path.is_file() else []):
            name = record.get("id", f"number {index + 1}") if isinstance(record, dict) else f"number {index + 1}"
            deviation = _validate(TypeAdapter(Deviation), record, path, f"entry '{name}'")
            for claim in deviation.claims:
                if claim not in self.claims[paper]:
                    raise ConfigError(
                        f"{path}: entry '{name}', key 'claims': unknown claim {claim!r}; "
                        f"closest: {_listing(_closest(claim, self.claims[paper]))}"
                    )
            deviations.append(deviation)
        return deviations

    def _check_experiments(self, paper: str) -> None:
        path = self.root / "config" / "experiments" / f"{paper}.yaml"
        experiments = self.papers[paper].experiments
        for name, entry in experiments.items():
            for needed in entry.upstream:
                if needed not in experiments or needed == name:
                    raise ConfigError(
                        f"{path}: experiment '{name}', key 'upstream': unknown experiment {needed!r}; "
                        f"allowed: {_listing(e for e in experiments if e != name)}"
                    )
            for file in (self.script(paper, name), self.notebook(paper, name)):
                if not file.is_file():
                    raise ConfigError(f"{path}: experiment '{name}' needs the file {file}, which is not there")
            for scale, changes in entry.scales.items():
                for key in set(changes.grid) - set(entry.grid):
                    raise ConfigError(
                        f"{path}: experiment '{name}', key 'scales.{scale}.grid.{key}': not a grid axis; "
                        f"allowed: {_listing(entry.grid)}"
                    )
            for size in SCALES:
                try:
                    self.settings(paper, name, size).cells()
                except ValueError as error:
                    raise ConfigError(f"{path}: experiment '{name}', key 'grid' at scale '{size}': {error}") from None
        try:
            TopologicalSorter({name: entry.upstream for name, entry in experiments.items()}).prepare()
        except CycleError as error:
            raise ConfigError(f"{path}: key 'upstream': experiments wait for each other: {' <- '.join(error.args[1])}") from None


def expand_braces(pattern: str) -> list[str]:
    """``a_{1,2}`` -> ``a_1``, ``a_2``; several groups multiply; no nesting."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(choice).replace(" ", "") for choice in itertools.product(*choices)]


def read_yaml(path: Path) -> Any:
    """One YAML document. Raises ConfigError if it is missing, malformed, or repeats a key."""
    try:
        content = yaml.load(path.read_text(), Loader=_StrictLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: malformed YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a text file: {' '.join(str(error).split())}") from None
    return {} if content is None else content


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schemas of the configuration files, by file name, generated from the models."""
    models: dict[str, TypeAdapter[Any]] = {
        "config": TypeAdapter(RunConfig),
        "experiments": TypeAdapter(Paper),
        "claims": TypeAdapter(list[Claim]),
        "deviations": TypeAdapter(list[Deviation]),
    }
    return {f"{name}.schema.json": adapter.json_schema(by_alias=True) for name, adapter in models.items()}


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without silent overwriting: a key that occurs twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)):
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} cannot be a key", key_node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} occurs twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def _read_list(path: Path) -> list[Any]:
    content = read_yaml(path)
    if not isinstance(content, list):
        raise ConfigError(f"{path}: expected a list of entries, found {type(content).__name__}")
    return content


def _validate(adapter: TypeAdapter[Any], content: Any, path: Path, where: str = "") -> Any:
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = _key_in_file(first, content)
        # where a value may have one of several types, pydantic reports one error for each
        same = [other["msg"].removeprefix("Value error, ") for other in error.errors() if _key_in_file(other, content) == key]
        message = " or ".join(dict.fromkeys(text[0].lower() + text[1:] for text in same))
        if first["type"] == "extra_forbidden":
            allowed = _allowed_keys(adapter, first["loc"][:-1])
            message = "unknown key" + (f"; allowed: {_listing(allowed)}" if allowed else "")
        elif first["type"] not in ("missing", "value_error"):
            message = f"{message}, found {reprlib.repr(first['input'])}"
        place = ", ".join(part for part in (where, f"key '{key}'" if key else "") if part)
        raise ConfigError(": ".join(part for part in (str(path), place, message) if part)) from None


def _key_in_file(error: Any, content: Any) -> str:
    """The key an error is about, without the union branches that pydantic appends to it."""
    found = []
    for part in error["loc"]:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            found += [part] if error["type"] == "missing" else []
            break
        found.append(part)
    return ".".join(map(str, found))


def _allowed_keys(adapter: TypeAdapter[Any], location: Iterable[int | str]) -> list[str]:
    """The keys that a model takes at a location of the file; none where its schema does not tell."""
    with contextlib.suppress(LookupError, TypeError, AttributeError, PydanticInvalidForJsonSchema):
        schema = adapter.json_schema(by_alias=True)
        definitions = schema.get("$defs", {})
        for part in location:
            others = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            schema = schema["items"] if isinstance(part, int) else schema.get("properties", {}).get(part) or others[0]
            schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return list(schema["properties"])
    return []


def _load_script(path: Path) -> Any:
    """Import a script without running it; its folder is importable meanwhile, as it is when the script is run."""
    specification = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module, folder, before = importlib.util.module_from_spec(specification), path.parent.absolute(), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        sys.modules[specification.name] = module
        specification.loader.exec_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{path}: cannot be imported: {reason}") from error
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before - {specification.name}:
            if Path(getattr(sys.modules[name], "__file__", None) or "").parent == folder:
                del sys.modules[name]  # another paper may have a module of the same name beside its scripts
    if not hasattr(module, "Parameters"):
        raise ConfigError(f"{path}: defines no 'Parameters' model; every experiment script does")
    return module


def _known(target: str, kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(f"{target}: unknown {kind}: {name!r}; closest: {_listing(_closest(name, names))}")


def _cuda_is_there() -> bool:
    import torch  # seconds to import, and asked for only with device=cuda

    return torch.cuda.is_available()


def _closest(name: str, names: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, list(names), n=5, cutoff=0.3) or sorted(names)[:8]


def _listing(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
