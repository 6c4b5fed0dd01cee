"""Whether each script takes the parameters of its experiment at every scale, found out in a process of its own.

A script is imported for it, which runs all that stands at its top. There it can end, crash or hang without ending, crashing or
hanging the process that plans the run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from flowcheck.errors import ConfigError
from flowcheck.pipeline.digest import PACKAGE_FOLDER
from flowcheck.pipeline.strict_yaml import validate

SECONDS = 600.0
"""For all scripts together; importing torch for the first time takes a minute on a slow disk."""
MAIN = "what a script does belongs under: if __name__ == '__main__'"


@dataclass(frozen=True)
class Question:
    """Whether `script` takes these parameters, each with the scale they are of; `file` is what an answer is about."""

    script: str
    file: str
    parameters: list[tuple[str, dict[str, Any]]]


def check(questions: Iterable[Question]) -> None:
    """Raise ConfigError for the first script that cannot be imported, or does not take its parameters."""
    asked = list(questions)
    if not asked:
        return
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers"
        answers.touch()
        path = os.pathsep.join(filter(None, (str(PACKAGE_FOLDER.parent), os.environ.get("PYTHONPATH"))))
        try:
            status = subprocess.run(
                [sys.executable, "-P", "-m", __name__, str(answers)],
                input=json.dumps([asdict(question) for question in asked]).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
                timeout=SECONDS,
                check=False,
            ).returncode
            end = f"it ends the process with status {status}" if status >= 0 else f"signal {-status} ends the process"
        except subprocess.TimeoutExpired:
            end = f"that takes more than {SECONDS:g} s"
        said = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    if refused := [answer for answer in said if answer]:
        raise ConfigError(refused[0])
    if len(said) < len(asked):
        raise ConfigError(f"{asked[len(said)].script}: cannot be imported: {end}; {MAIN}")


def load_script(path: Path) -> Any:
    """Import a script without running it. Raises ConfigError if that fails, or if it defines no `Parameters`."""
    specification = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    try:
        sys.modules[specification.name] = module  # dataclasses look their module up
        specification.loader.exec_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{path}: cannot be imported: {reason}") from error
    except SystemExit as error:
        raise ConfigError(f"{path}: cannot be imported: it exits with {error.code!r}; {MAIN}") from None
    finally:
        del sys.modules[specification.name]
    if not hasattr(module, "Parameters"):
        raise ConfigError(f"{path}: defines no 'Parameters' model; every experiment script does")
    if not (isinstance(module.Parameters, type) and issubclass(module.Parameters, BaseModel)):
        raise ConfigError(f"{path}: 'Parameters' is no pydantic model; every script derives it from ParametersModel")
    return module


def _answer(question: Question) -> str:
    """The sentence against it, or nothing."""
    try:
        model = TypeAdapter(load_script(Path(question.script)).Parameters)
        for scale, parameters in question.parameters:
            validate(model, parameters, Path(question.file), f"parameters at scale '{scale}'", strict=True)
    except ConfigError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="utf-8") as stream:
        for record in json.load(sys.stdin):
            print(json.dumps(_answer(Question(**record))), file=stream, flush=True)
    os._exit(0)  # whatever a script started does not hold up the answers
