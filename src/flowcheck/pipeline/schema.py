"""The models of the configuration files: papers, experiments, resources, the run; and their JSON schemas."""

from __future__ import annotations

import itertools
import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model, field_validator, model_validator

from flowcheck.pipeline.claims import ClaimsFile, Deviation, Sentence
from flowcheck.pipeline.names import IDENTIFIER, Identifier, Label, Line, Whole, check_metric
from flowcheck.pipeline.settings import Scalar

MOST_NAMES = 10_000
"""Metrics that one pattern may stand for: each is a number that somebody reads."""


class Overrides(BaseModel):
    """What one scale changes in an experiment."""

    model_config = ConfigDict(extra="forbid")

    grid: dict[Identifier, Annotated[list[Scalar], Field(min_length=1)]] = {}
    parameters: dict[str, Any] = {}


class Resources(BaseModel):
    """Resources of one cell, for the scheduler."""

    model_config = ConfigDict(extra="forbid")

    mem_mb: Whole = Field(default=1500, gt=0, le=10**8)
    runtime: Whole = Field(default=10, gt=0, le=10**6, description="minutes")
    gpu: Whole = Field(default=0, ge=0, le=1000)


class Experiment(BaseModel):
    """One study of one paper: its grid of cells, its parameters, the metrics it promises and the figures it draws."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    summary: str
    seed: Whole = Field(ge=0)
    grid: dict[Identifier, Annotated[list[Scalar], Field(min_length=1)]] = {}
    parameters: dict[str, Any] = {}
    scales: dict[Literal["smoke", "laptop", "paper"], Overrides] = {}
    upstream: list[str] = []
    data: dict[Identifier, Line] = Field(default={}, description="data sets that it reads, each with the module that finds it")
    metrics: dict[str, Line] = Field(min_length=1)
    silent: dict[str, Sentence] = Field(default={}, description="arrays and columns that may hold NaN, each with the reason")
    figures: dict[Label, Line] = Field(min_length=1)
    resources: Resources = Resources()

    @field_validator("metrics")
    @classmethod
    def _can_be_told_apart(cls, metrics: dict[str, str]) -> dict[str, str]:
        names = [name for pattern in metrics for name in expand_braces(pattern)]
        for name in names:
            check_metric(name)
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(f"{twice[0]!r} is promised twice")
        return metrics

    @cached_property
    def promised_metrics(self) -> dict[str, str]:
        """Every metric name with its description; ``name_{1,2}`` in the file stands for ``name_1`` and ``name_2``."""
        return {name: text for pattern, text in self.metrics.items() for name in expand_braces(pattern)}

    @property
    def silent_names(self) -> list[str]:
        """The names under `silent`, with ``*`` for any letters."""
        return sorted(name for pattern in self.silent for name in expand_braces(pattern))


class Paper(BaseModel):
    """What is said of one paper, and the list of its results; its experiments have files of their own."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    authors: Line
    reference: Line
    about: str
    results: dict[Label, Sentence] = Field(default={}, description="its numbered results: id and label")
    statements: dict[Label, Sentence] = Field(default={}, description="its equations and sentences that are checked besides")
    unchecked: dict[Label, Sentence] = Field(default={}, description="those of them that no claim is about, each with the reason")

    @model_validator(mode="after")
    def _list_is_sound(self) -> Paper:
        if twice := sorted(set(self.results) & set(self.statements)):
            raise ValueError(f"{twice[0]!r} is listed twice, under 'results' and under 'statements'")
        if unknown := sorted(set(self.unchecked) - set(self.results) - set(self.statements)):
            raise ValueError(f"'unchecked' names {unknown[0]!r}, which is listed neither under 'results' nor under 'statements'")
        return self


def names_of_papers(papers: Any) -> list[str]:
    """Each paper once, from a list of names or from one text, with commas or blanks between. Raises ValueError."""
    names = re.split(r"[,\s]+", papers.strip(", ")) if isinstance(papers, str) else papers
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names) or not names:
        raise ValueError(f"input should be 'all', a paper, or papers as in 'a,b' or [a, b], found {papers!r}")
    return list(dict.fromkeys(names))


Papers = Annotated[list[str], BeforeValidator(names_of_papers, json_schema_input_type=list[str] | str)]


class RunConfig(BaseModel):
    """`config/config.yaml`, and what `--config` overrides."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"patternProperties": {f"^{IDENTIFIER}_dir$": {"type": "string", "description": "where data lie"}}},
    )

    scale: Literal["smoke", "laptop", "paper"] = Field(default="laptop", description="how much is run")
    papers: Papers = Field(default=["all"], description="'all', one paper, or several: a list, or with commas or blanks between")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where torch runs")

    def folder_of(self, data_set: str) -> Path | None:
        """The folder that the run names for a data set, or None."""
        named = getattr(self, f"{data_set}_dir", None)
        return Path(named).expanduser() if named else None


def run_config_for(data_sets: Iterable[str]) -> type[RunConfig]:
    """The model with a key ``NAME_dir`` for each data set: the folder that its files lie in."""
    keys: dict[str, Any] = {f"{name}_dir": (str | None, None) for name in data_sets}
    return create_model("RunConfig", __base__=RunConfig, **keys)


def expand_braces(pattern: str) -> list[str]:
    """``a_{1,2}`` -> ``a_1``, ``a_2``; several groups multiply. Raises ValueError (nested or unpaired braces, too many names)."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    if any(brace in part for part in parts for brace in "{}"):
        raise ValueError(f"{reprlib.repr(pattern)}: braces come in pairs, and not within each other")
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    if math.prod(map(len, choices)) > MOST_NAMES:
        raise ValueError(f"{reprlib.repr(pattern)}: stands for more than {MOST_NAMES} names")
    return ["".join(choice).replace(" ", "") for choice in itertools.product(*choices)]


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schemas of the configuration files, by file name, generated from the models."""
    models: dict[str, TypeAdapter[Any]] = {
        "config": TypeAdapter(RunConfig),
        "paper": TypeAdapter(Paper),
        "experiment": TypeAdapter(Experiment),
        "claims": TypeAdapter(ClaimsFile),
        "deviations": TypeAdapter(list[Deviation]),
    }
    return {f"{name}.schema.json": adapter.json_schema(by_alias=True) for name, adapter in models.items()}
