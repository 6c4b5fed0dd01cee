"""The configuration: papers, experiments, claims, deviations; read, validated, and resolved for one scale.

Everything wrong with it is reported before any job starts, as one sentence that names the file, the key and what is allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flowcheck.errors import ConfigError
from flowcheck.pipeline import parameters
from flowcheck.pipeline.claims import Claim, ClaimEntry, ClaimsFile, Deviation, Hypothesis, stand_on
from flowcheck.pipeline.digest import code_digest, recall_syntax, remember_syntax
from flowcheck.pipeline.memory import recall, remember
from flowcheck.pipeline.names import PAPER_FILE, check_experiment, check_paper
from flowcheck.pipeline.schema import Experiment, Overrides, Paper, RunConfig, run_config_for
from flowcheck.pipeline.settings import SCALES, Settings
from flowcheck.pipeline.strict_yaml import closest, known, listing, read_list, read_yaml, validate

PAPER = f"{PAPER_FILE}.yaml"
"""What is said of a paper, beside the entries of its experiments."""
FIGURE_FORMATS = ("png", "svg", "pdf")


class Project:
    """A checkout: its configuration, read once and validated as a whole. Raises ConfigError on the first defect."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = Path(root)
        self.papers: dict[str, Paper] = {}
        self.experiments: dict[str, dict[str, Experiment]] = {}
        self.claims: dict[str, dict[str, Claim]] = {}
        self.deviations: dict[str, list[Deviation]] = {}
        folder = self.root / "config"
        for path in (folder / kind for kind in ("experiments", "claims", "deviations")):
            if path.exists() and not path.is_dir():
                raise ConfigError(f"{path}: a folder is needed, and this is a file")
        for path in folder.rglob("*.yml"):
            raise ConfigError(f"{path}: the files of the configuration end in .yaml, and this one would not be read")
        for path in (*(folder / "experiments").glob("*"), *(folder / "claims").glob("*")):
            if not path.is_dir() and not path.name.startswith("."):
                raise ConfigError(f"{path}: a paper is a folder, with a file for each of its experiments")
        for path in sorted(path for path in (folder / "experiments").glob("[!.]*") if path.is_dir()):
            name = path.name
            check_paper(path, name)
            self.papers[name] = validate(TypeAdapter(Paper), read_yaml(path / PAPER), path / PAPER)
            self.experiments[name] = self._read_experiments(path)
            self.claims[name] = self._read_claims(folder / "claims" / name, name)
            self._check_results(path / PAPER, name)
            self.deviations[name] = self._read_deviations(folder / "deviations" / f"{name}.yaml", name)
        if not self.papers:
            raise ConfigError(f"{folder / 'experiments'}: no paper found; expected a folder for each")
        for path in (*(folder / "claims").glob("*"), *(folder / "deviations").glob("*.yaml")):
            if path.stem not in self.papers:
                raise ConfigError(f"{path}: unknown paper {path.stem!r}; allowed: {listing(self.papers)}")
        for paper in self.papers:
            self._check_experiments(paper)
        rules: dict[str, tuple[str, str]] = {}
        for paper, experiment in self:
            other = rules.setdefault(f"{paper}_{experiment}", (paper, experiment))
            if other != (paper, experiment):
                raise ConfigError(
                    f"{self.experiment_file(paper, experiment)}: its rules would have the names of those of "
                    f"{'/'.join(other)}; rename one of them"
                )

    def experiment_file(self, paper: str, experiment: str) -> Path:
        """Where the entry of an experiment is."""
        return self.root / "config" / "experiments" / paper / f"{experiment}.yaml"

    def run_config(self, overrides: Mapping[str, Any]) -> RunConfig:
        """`config/config.yaml` with the command line's overrides. Raises ConfigError (unknown scale, paper, device, key)."""
        path = self.root / "config" / "config.yaml"
        run = self._run_config(path, read_yaml(path))
        if overrides:
            run = self._run_config(Path("--config"), run.model_dump() | dict(overrides))
        if run.device == "cuda" and not _cuda_is_there():
            place = "--config" if "device" in overrides else path
            raise ConfigError(f"{place}: key 'device': 'cuda' was asked for and torch finds no GPU; allowed here: 'auto', 'cpu'")
        return run

    def _run_config(self, place: Path, content: Any) -> RunConfig:
        data_sets = self.data_sets()
        run: RunConfig = validate(TypeAdapter(run_config_for(data_sets)), content, place)
        for name in data_sets:
            folder = run.folder_of(name)
            if folder is not None and not (self.root / folder).is_dir():
                raise ConfigError(f"{place}: key '{name}_dir': no folder {str(folder)!r}; the files of {name} lie in one")
        if "all" in run.papers:
            return run.model_copy(update={"papers": list(self.papers)})
        for name in run.papers:
            if name not in self.papers:
                raise ConfigError(f"{place}: key 'papers': unknown paper {name!r}; allowed: 'all', {listing(self.papers)}")
        return run

    def data_sets(self) -> dict[str, tuple[str, str, str]]:
        """The data sets that experiments read: for each name its module, and the paper and the experiment that name it first."""
        found: dict[str, tuple[str, str, str]] = {}
        for paper, experiment in self:
            for name, module in self.experiments[paper][experiment].data.items():
                found.setdefault(name, (module, paper, experiment))
        return found

    def experiment(self, paper: str, experiment: str) -> Experiment:
        """One experiment. Raises ConfigError if the paper or the experiment is unknown."""
        if paper not in self.papers:
            raise ConfigError(f"unknown paper {paper!r}; allowed: {listing(self.papers)}")
        experiments = self.experiments[paper]
        if experiment not in experiments:
            raise ConfigError(f"unknown experiment {experiment!r} of {paper}; allowed: {listing(experiments)}")
        return experiments[experiment]

    def settings(self, paper: str, experiment: str, scale: str) -> Settings:
        """One experiment resolved for one scale."""
        if scale not in SCALES:
            raise ConfigError(f"unknown scale {scale!r}; allowed: {listing(SCALES)}")
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
            silent=entry.silent_names,
        )

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
        remembered = recall(memory)
        recall_syntax(memory.with_name("syntax"))
        seen: set[str] = set()
        questions = []
        for paper, experiment in self:
            path = self.script(paper, experiment)
            settings = [self.settings(paper, experiment, scale) for scale in SCALES]
            try:
                digest = code_digest(path, Path(parameters.__file__))
            except (SyntaxError, ImportError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ConfigError(f"{path}: cannot be read: {type(error).__name__}: {reason}") from None
            text = digest + "".join(s.model_dump_json() for s in settings)
            stamp = hashlib.sha256(text.encode()).hexdigest()
            seen.add(stamp)
            if stamp not in remembered:
                given = [(s.scale, s.parameters | point) for s in settings for point in s.cells().values()]
                questions.append(parameters.Question(str(path), str(self.experiment_file(paper, experiment)), given))
        parameters.check(questions)
        if seen != remembered:
            remember(memory, seen)
        remember_syntax(memory.with_name("syntax"))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """All (paper, experiment) pairs."""
        for paper, experiments in self.experiments.items():
            for experiment in experiments:
                yield paper, experiment

    def _read_experiments(self, folder: Path) -> dict[str, Experiment]:
        experiments = {}
        for path in sorted(folder.glob("*.yaml")):
            if path.name == PAPER:
                continue
            check_experiment(path, path.stem)
            experiments[path.stem] = validate(TypeAdapter(Experiment), read_yaml(path), path)
        if not experiments:
            raise ConfigError(f"{folder}: no experiment found; expected <experiment>.yaml for each")
        return experiments

    def _read_claims(self, folder: Path, paper: str) -> dict[str, Claim]:
        experiments = self.experiments[paper]
        for path in folder.glob("*.yaml"):
            if path.stem not in experiments:
                raise ConfigError(f"{path}: unknown experiment {path.stem!r}; allowed: {listing(experiments)}")
        claims: dict[str, Claim] = {}
        for experiment, entry in experiments.items():
            path = folder / f"{experiment}.yaml"
            for name, claim in _claims_of_file(path, experiment):
                if claim.id in claims:
                    raise ConfigError(f"{path}: claim '{name}', key 'id': used twice; ids are unique within a paper")
                for metric in sorted(claim.metrics() - set(entry.promised_metrics)):
                    raise ConfigError(
                        f"{path}: claim '{name}': experiment '{experiment}' never writes metric {metric!r}; "
                        f"closest: {listing(closest(metric, entry.promised_metrics))}"
                    )
                for figure in claim.figures:
                    if figure not in entry.figures:
                        raise ConfigError(
                            f"{path}: claim '{name}', key 'figures': experiment '{experiment}' draws no figure {figure!r}; "
                            f"allowed: {listing(entry.figures)}"
                        )
                claims[claim.id] = claim
        return claims

    def _check_results(self, path: Path, paper: str) -> None:
        listed = self.papers[paper].results | self.papers[paper].statements
        claimed = set[str]()
        for claim in self.claims[paper].values():
            if claim.about is None:
                continue
            if claim.about not in listed:
                raise ConfigError(
                    f"{path}: no result {claim.about!r}, which claim '{claim.id}' is about; closest: "
                    f"{listing(closest(claim.about, listed))}"
                )
            claimed.add(claim.about)
        for result in listed:
            if (result in claimed) == (result in self.papers[paper].unchecked):
                raise ConfigError(
                    f"{path}: result {result!r} is listed under 'unchecked', and has a claim"
                    if result in claimed
                    else f"{path}: result {result!r} has no claim; write one, or name it under 'unchecked' with the reason"
                )

    def _read_deviations(self, path: Path, paper: str) -> list[Deviation]:
        deviations = []
        there = path.exists() or path.is_symlink()
        for index, record in enumerate(read_list(path) if there else []):
            name = record.get("id", f"number {index + 1}") if isinstance(record, dict) else f"number {index + 1}"
            deviation = validate(TypeAdapter(Deviation), record, path, f"entry '{name}'")
            for claim in deviation.claims:
                if claim not in self.claims[paper]:
                    raise ConfigError(
                        f"{path}: entry '{name}', key 'claims': unknown claim {claim!r}; "
                        f"closest: {listing(closest(claim, self.claims[paper]))}"
                    )
            listed = self.papers[paper].results | self.papers[paper].statements
            for result in deviation.hits:
                if result not in listed:
                    raise ConfigError(
                        f"{path}: entry '{name}', key 'hits': unknown result {result!r}; "
                        f"closest: {listing(closest(result, listed))}"
                    )
            deviations.append(deviation)
        for claim in self.claims[paper].values():
            kind = {"printed": "erratum", "extracted": "extraction"}.get(claim.variant)
            if kind and not any(d.kind == kind and claim.id in d.claims for d in deviations):
                raise ConfigError(
                    f"{path}: claim '{claim.id}' is one of variant '{claim.variant}': an entry of kind '{kind}' is to name it"
                )
            if kind == "erratum" and not any(claim.id in d.claims and claim.about in d.hits for d in deviations):
                raise ConfigError(
                    f"{path}: claim '{claim.id}' is about {claim.about!r}: the erratum that names it is to have that under 'hits'"
                )
        return deviations

    def _check_experiments(self, paper: str) -> None:
        experiments = self.experiments[paper]
        for name, entry in experiments.items():
            path = self.experiment_file(paper, name)
            for needed in entry.upstream:
                if needed not in experiments or needed == name:
                    raise ConfigError(
                        f"{path}: key 'upstream': unknown experiment {needed!r}; "
                        f"allowed: {listing(e for e in experiments if e != name)}"
                    )
            for data_set, module in entry.data.items():
                first, *where = self.data_sets()[data_set]
                if module != first:
                    raise ConfigError(
                        f"{path}: key 'data.{data_set}': {module!r}, and {'/'.join(where)} has {first!r}; a data set is one thing"
                    )
            for file in (self.script(paper, name), self.notebook(paper, name)):
                if not file.is_file():
                    raise ConfigError(f"{path}: the experiment needs the file {file}, which is not there")
            for key in sorted(set(entry.grid) & set(entry.parameters)):
                raise ConfigError(f"{path}: key 'parameters.{key}': an axis of the grid too, which would hide it")
            for scale, changes in entry.scales.items():
                for key in sorted(set(entry.grid) & set(changes.parameters)):
                    raise ConfigError(f"{path}: key 'scales.{scale}.parameters.{key}': an axis of the grid, which would hide it")
                for key in set(changes.grid) - set(entry.grid):
                    raise ConfigError(f"{path}: key 'scales.{scale}.grid.{key}': not a grid axis; allowed: {listing(entry.grid)}")
            for size in SCALES:
                try:
                    self.settings(paper, name, size).cells()
                except ValueError as error:
                    raise ConfigError(f"{path}: key 'grid' at scale '{size}': {error}") from None
        try:
            TopologicalSorter({name: entry.upstream for name, entry in experiments.items()}).prepare()
        except CycleError as error:
            folder = self.root / "config" / "experiments" / paper
            raise ConfigError(
                f"{folder}: key 'upstream': experiments wait for each other: {' <- '.join(error.args[1])}"
            ) from None


def _claims_of_file(path: Path, experiment: str) -> Iterator[tuple[str, Claim]]:
    """The claims of one experiment, each with the name by which a reader finds it in the file. Raises ConfigError."""
    content = read_yaml(path)
    if content == {}:
        raise ConfigError(f"{path}: expected the keys {listing(ClaimsFile.model_fields)}, and the file is empty")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected the keys {listing(ClaimsFile.model_fields)}, found {type(content).__name__}")
    for key in content:
        known(str(path), "key", key, ClaimsFile.model_fields)
    inherited = validate(TypeAdapter(list[Hypothesis]), content.get("hypotheses", []), path, "hypotheses")
    records = content.get("claims")
    if not isinstance(records, list) or not records:
        raise ConfigError(f"{path}: key 'claims': expected a list of at least one claim, found {records!r}")
    for index, record in enumerate(records):
        name = record.get("id", f"number {index + 1}") if isinstance(record, dict) else f"number {index + 1}"
        entry = validate(TypeAdapter(ClaimEntry), record, path, f"claim '{name}'")
        try:
            yield name, stand_on(entry, experiment, inherited)
        except ValueError as error:
            raise ConfigError(f"{path}: claim '{name}', key 'waives': {error}") from None


def _cuda_is_there() -> bool:
    import torch  # seconds to import, and asked for only with device=cuda

    return torch.cuda.is_available()
