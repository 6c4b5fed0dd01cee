"""YAML of plain data, bounded in size, and validation whose every error is one sentence: file, key, what is allowed."""

from __future__ import annotations

import contextlib
import json
import math
import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from flowcheck.errors import ConfigError

LARGEST = 1_000_000
"""Characters of one file, thirty times those of the longest."""
MOST_NODES = 100_000
"""Values of one file with its aliases written out: a few lines of them can stand for more than fits into memory."""
DEEPEST = 20
"""Collections within collections: the library goes down by recursion, in C, and past a depth it crashes without a message."""

NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
TWO_WAYS = re.compile(
    r"(?i:yes|no|on|off|true|false|null|[-+]?\.?(?:inf|infinity|nan))"
    r"|[-+]?(?:0[xob][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9_]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)"
)
"""What some version of YAML takes for a number or a truth value, and another does not: 010, 0x10, 1_000, 1:30, .inf, yes."""
WRITE = "write a decimal number, true, false or null, or put text in quotes"
TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}
"""What a value is, is seen by how it is written."""
NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]")
"""Control characters, and those that turn the direction of what follows: a terminal or a page would obey them."""


def read_yaml(path: Path) -> Any:
    """One YAML document. Raises ConfigError if it is missing, malformed, too large or too deep, or repeats a key."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: a file is needed, and this is a {'folder' if path.is_dir() else 'device'}")
        with path.open(encoding="utf-8") as stream:
            text = stream.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ConfigError(f"{path}: longer than {LARGEST} characters")
        content = parse_yaml(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: malformed YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a text file: {' '.join(str(error).split())}") from None
    return {} if content is None else content


def parse_yaml(text: str) -> Any:
    """One YAML document. Raises YAMLError if it is malformed, too deep, repeats a key, or can be read in two ways."""
    check_tree(text)
    return yaml.load(text, Loader=_StrictLoader)


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML of plain data: numbers are decimal, truth is `true` or `false`, and a key that occurs twice is an error."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {}
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)):
                raise _problem(f"{key!r} cannot be a key", key_node)
            if key in keys:
                raise _problem(f"key {key!r} occurs twice", key_node)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _plain, _first in (
    ("null", "~|null|", ["~", "n", ""]),
    ("bool", "true|false", ["t", "f"]),
    ("int", INTEGER.pattern, list("-+0123456789")),
    ("float", NUMBER.pattern, list("-+.0123456789")),
    ("merge", "<<", ["<"]),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_plain})\Z"), _first)


class _Writer(yaml.SafeDumper):
    """Quotes text that this reader, or another one, would take for a number or a truth value."""


_Writer.yaml_implicit_resolvers = {first: list(known) for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()}
for _pattern in (NUMBER, TWO_WAYS):
    _Writer.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def write_yaml(content: Any) -> str:
    """The text that `read_yaml` reads as `content`: plain data, without aliases."""
    return yaml.dump(content, Dumper=_Writer, sort_keys=False, default_flow_style=None, width=120)


def _problem(text: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, where.start_mark)


@dataclass
class _Level:
    """A collection that is being read: its size and depth with aliases written out, and the key or number of its last item."""

    anchor: str | None = None
    mapping: bool = False
    nodes: int = 1
    depth: int = 1
    last: str = ""
    items: int = 0

    def item(self, event: Any) -> None:
        """One more item; in a mapping, keys and values take turns."""
        if not self.mapping:
            self.last = str(self.items)
        elif self.items % 2 == 0:
            self.last = getattr(event, "value", "")
        self.items += 1


def check_tree(text: str) -> None:
    """Raise YAMLError for what would send the library's recursion too deep, or can be read in two ways. Builds nothing."""
    inside, named, nodes = [_Level()], dict[str, _Level](), 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        found = _Level(depth=0)
        if isinstance(event, yaml.CollectionEndEvent):
            found = inside.pop()
            named[found.anchor or ""] = found
        elif isinstance(event, yaml.NodeEvent):
            inside[-1].item(event)
            problem = ""
            if isinstance(event, yaml.ScalarEvent):
                problem = _problem_of_scalar(event.value, event.tag, plain=event.implicit[0])
            elif isinstance(event, yaml.AliasEvent):
                found = named.get(event.anchor or "", found)
                problem = "an alias of what it stands in" if event.anchor in [level.anchor for level in inside] else ""
            nodes += found.nodes
            if len(inside) + found.depth + isinstance(event, yaml.CollectionStartEvent) > DEEPEST + 1:
                problem = f"more than {DEEPEST} lists and mappings within each other"
            elif nodes > MOST_NODES:
                problem = f"more than {MOST_NODES} values, with all aliases written out"
            if problem:
                key = ".".join(level.last for level in inside[1:])
                raise _problem(f"key '{key}': {problem}" if key else problem, event)
            if isinstance(event, yaml.CollectionStartEvent):
                inside.append(_Level(event.anchor, isinstance(event, yaml.MappingStartEvent)))
                continue
        else:
            continue
        inside[-1].nodes += found.nodes
        inside[-1].depth = max(inside[-1].depth, found.depth + 1)


def _problem_of_scalar(value: str, tag: str | None, plain: bool) -> str:
    if character := NO_TEXT.search(value):
        return f"the character U+{ord(character[0]):04X} is no text"
    if tag in TAGS:  # it would make .inf, 010 or abc a number past all that follows
        return f"the tag !!{tag.rpartition(':')[2]}; {WRITE}"
    if not plain or value in ("true", "false", "null"):
        return ""
    if not NUMBER.fullmatch(value):
        return f"{value!r} can be read in two ways; {WRITE}" if TWO_WAYS.fullmatch(value) else ""
    if INTEGER.fullmatch(value):
        return "" if len(value.lstrip("+-")) < 20 and abs(int(value)) < 2**63 else "an integer of more than 64 bits"
    number = float(value)
    lost = number == 0 and re.search("[1-9]", re.split("[eE]", value)[0])
    return f"{value} is beyond the range of a double" if math.isinf(number) or lost else ""


def read_list(path: Path) -> list[Any]:
    """The entries of a YAML file that is a list. Raises ConfigError on anything else."""
    content = read_yaml(path)
    if content == {}:
        raise ConfigError(f"{path}: expected a list of entries, and the file is empty")
    if not isinstance(content, list):
        raise ConfigError(f"{path}: expected a list of entries, found {type(content).__name__}")
    return content


def validate(adapter: TypeAdapter[Any], content: Any, path: Path, where: str = "", strict: bool = False) -> Any:
    """What the adapter makes of a file's content. `strict` takes no text or truth value for a number, and no 3.0 for 3.

    Raises ConfigError.
    """
    try:
        return adapter.validate_json(json.dumps(content), strict=True) if strict else adapter.validate_python(content)
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
    """Raise ConfigError, beginning with `target`, if `name` is none of `names`; it says the closest."""
    if name not in names:
        raise ConfigError(f"{target}: unknown {kind}: {name!r}; closest: {listing(closest(name, names))}")


def closest(name: str, names: Iterable[str]) -> list[str]:
    """At most five names that are spelt alike, or the first eight of all."""
    import difflib

    return difflib.get_close_matches(name, list(names), n=5, cutoff=0.3) or sorted(names)[:8]


def listing(names: Any) -> str:
    """Names for a sentence, in quotes."""
    return ", ".join(repr(name) for name in names) or "none"
