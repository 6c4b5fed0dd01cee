"""YAML without repeated keys, and validation whose every error is one sentence: file, key, what is allowed."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from flowcheck.errors import ConfigError


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


def read_list(path: Path) -> list[Any]:
    content = read_yaml(path)
    if not isinstance(content, list):
        raise ConfigError(f"{path}: expected a list of entries, found {type(content).__name__}")
    return content


def validate(adapter: TypeAdapter[Any], content: Any, path: Path, where: str = "") -> Any:
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
            message = "unknown key" + (f"; allowed: {listing(allowed)}" if allowed else "")
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


def known(target: str, kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ConfigError(f"{target}: unknown {kind}: {name!r}; closest: {listing(closest(name, names))}")


def closest(name: str, names: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, list(names), n=5, cutoff=0.3) or sorted(names)[:8]


def listing(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
