"""Input schemas of endpoints: which JSON Schemas are accepted, and what is wrong with an input.

Accepted are those that every input can be judged by in little time: nothing that refers elsewhere or to itself, and
no patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automate_connectors import validation
from automate_core.errors import Problem

MAX_DEPTH = 16
"""Deepest nesting of schemas in schemas."""
MAX_SCHEMAS = 500
"""Most schemas in one, itself included."""

_MAPS = frozenset({"properties"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_ONES = frozenset({"items", "additionalProperties", "not"})
_KEYWORDS = frozenset({
    "$schema", "$comment", "type", "title", "description", "default", "examples", "format", "enum", "const",
    "deprecated", "readOnly", "writeOnly", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "required", "minProperties", "maxProperties",
}) | _MAPS | _LISTS | _ONES  # fmt: skip


def schema_problems(schema: Any) -> list[Problem]:
    """Return what is wrong with an input schema; fields are paths inside it."""
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        return [Problem("", 'must be a JSON Schema of an object: {"type": "object", "properties": {...}}')]
    found: list[Problem] = []
    for count, (where, inner, depth) in enumerate(_schemas(schema, "", 1), start=1):
        if depth > MAX_DEPTH or count > MAX_SCHEMAS:
            return [*found, Problem(where, f"has more than {MAX_DEPTH} levels or {MAX_SCHEMAS} schemas")]
        found += _keyword_problems(inner, where)
    if not found:
        try:
            validation.check_schema(schema)
        except validation.InvalidSchema as error:
            return [Problem("", error.message)]
    return found


def input_problems(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with an input; fields begin with `input`."""
    found = validation.problems({**(schema or {}), "type": "object"}, given)
    return [Problem(_join("input", problem.field), problem.message) for problem in found]


def _keyword_problems(schema: Any, where: str) -> Iterator[Problem]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield Problem(where, "must be a schema: an object, true or false")
        return
    for name in sorted(set(schema) - _KEYWORDS):
        yield Problem(_join(where, name[:100]), f"is not accepted; accepted: {', '.join(sorted(_KEYWORDS))}")
    for name in _MAPS & set(schema):
        if not isinstance(schema[name], Mapping):
            yield Problem(_join(where, name), "must be an object of schemas")
    for name in _LISTS & set(schema):
        if not isinstance(schema[name], list):
            yield Problem(_join(where, name), "must be a list of schemas")


def _schemas(schema: Any, where: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Yield a schema and those in it, each with its path and depth; one that is too deep is not looked into."""
    yield where, schema, depth
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return
    for name in _MAPS & set(schema):
        if isinstance(schema[name], Mapping):
            for key, inner in schema[name].items():
                yield from _schemas(inner, _join(_join(where, name), key[:100]), depth + 1)
    for name in _LISTS & set(schema):
        if isinstance(schema[name], list):
            for index, inner in enumerate(schema[name]):
                yield from _schemas(inner, f"{_join(where, name)}[{index}]", depth + 1)
    for name in _ONES & set(schema):
        yield from _schemas(schema[name], _join(where, name), depth + 1)


def _join(path: str, name: str) -> str:
    if not path or not name or name.startswith("["):
        return path + name
    return f"{path}.{name}"
