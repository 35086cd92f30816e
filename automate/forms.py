"""Input forms of manual triggers: which JSON Schemas are forms, and the input a form makes of a payload."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from automate_connectors import validation
from automate_core.errors import Problem, ValidationFailed

TYPES = ("string", "number", "integer", "boolean", "array", "object")
MAX_DEPTH = 8
"""Deepest nesting of objects and arrays in a form."""
MAX_FIELDS = 200
"""Most fields of a form, nested ones included."""

_FOR_ALL = frozenset({"type", "title", "description", "default", "enum"})
_FOR_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_KEYWORDS = {
    "string": _FOR_ALL | {"format", "minLength", "maxLength"},
    "number": _FOR_ALL | _FOR_NUMBERS,
    "integer": _FOR_ALL | _FOR_NUMBERS,
    "boolean": _FOR_ALL,
    "array": _FOR_ALL | {"items", "minItems", "maxItems"},
    "object": _FOR_ALL | {"properties", "required", "additionalProperties"},
}
"""What a field of a type may say. `pattern` is left out because a pattern can take for ever, `$ref` because a form
stands alone."""


def form_problems(form: Any) -> list[Problem]:
    """Return what is wrong with a form; fields are paths inside it, such as `properties.amount.type`."""
    if not isinstance(form, Mapping) or form.get("type", "object") != "object":
        return [Problem("", 'must be a JSON Schema of an object: {"type": "object", "properties": {...}}')]
    found = list(_schema_problems({**form, "type": "object"}, "", 1))
    if not found and _count(form) > MAX_FIELDS:
        found.append(Problem("", f"has more than {MAX_FIELDS} fields"))
    return found


def filled(form: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload with the form's defaults for what is absent.

    Args:
        form: a form without problems.
        payload: plain JSON data; it stays as it is.

    Raises:
        ValidationFailed: the payload does not satisfy the form; fields are `payload.<name>`.
    """
    schema = {**form, "type": "object"}
    whole: dict[str, Any] = _with_defaults(schema, payload)
    found = _value_problems(schema, whole)
    if found:
        raise ValidationFailed.of(
            [Problem(_join("payload", problem.field), problem.message) for problem in found],
            "The input does not satisfy the workflow's form",
        )
    return whole


def _schema_problems(schema: Any, path: str, depth: int) -> Iterator[Problem]:
    if not isinstance(schema, Mapping):
        yield Problem(path, "must be an object")
        return
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        yield Problem(_join(path, "type"), f"must be one of {', '.join(TYPES)}")
        return
    if depth > MAX_DEPTH:
        yield Problem(path, f"is nested deeper than {MAX_DEPTH} levels")
        return
    unknown = sorted(map(str, set(schema) - _KEYWORDS[kind]))
    for name in unknown:
        known = ", ".join(sorted(_KEYWORDS[kind]))
        yield Problem(_join(path, name[:100]), f"is not a keyword of type {kind}; known: {known}")
    found = list(_nested_problems(schema, path, depth))
    yield from found
    if unknown or found:
        return
    try:
        validation.check_schema(schema)
    except validation.InvalidSchema as error:
        yield Problem(path, error.message)
        return
    if "format" in schema and schema["format"] not in _FORMATS:
        yield Problem(_join(path, "format"), f"must be one of {', '.join(_FORMATS)}")
    elif "default" in schema:
        for problem in _value_problems(schema, schema["default"]):
            yield Problem(_join(_join(path, "default"), problem.field), problem.message)


def _nested_problems(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[Problem]:
    if "items" in schema:
        yield from _schema_problems(schema["items"], _join(path, "items"), depth + 1)
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield Problem(_join(path, "properties"), "must be an object")
        return
    for name, field in properties.items():
        yield from _schema_problems(field, _join(_join(path, "properties"), str(name)), depth + 1)
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield Problem(_join(path, "required"), "must be a list of names of properties")
        return
    for name in required:
        if name not in properties:
            yield Problem(_join(path, "required"), f"{name!r} is not among the properties")
    if not isinstance(schema.get("additionalProperties", True), bool):
        yield Problem(_join(path, "additionalProperties"), "must be true or false")


def _count(schema: Mapping[str, Any]) -> int:
    fields = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return len(fields) + sum(map(_count, fields))


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, list) and "items" in schema:
        return [_with_defaults(schema["items"], item) for item in value]
    if not isinstance(value, Mapping):
        return value
    fields = schema.get("properties", {})
    whole = {
        name: _with_defaults(fields[name], held) if name in fields else held for name, held in value.items()
    }
    for name, field in fields.items():
        if name not in whole and "default" in field:
            whole[name] = copy.deepcopy(field["default"])
    return whole


def _value_problems(schema: Mapping[str, Any], value: Any) -> list[Problem]:
    return validation.problems(schema, value) or list(_format_problems(schema, value, ""))


def _format_problems(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[Problem]:
    """Yield the texts that are not what their format says, of a value that satisfies the schema otherwise."""
    if isinstance(value, str) and "format" in schema:
        try:
            _FORMATS[schema["format"]](value)
        except ValueError:
            yield Problem(path, f"Must be of the format {schema['format']}")
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _format_problems(schema["items"], item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for name, field in schema.get("properties", {}).items():
            if name in value:
                yield from _format_problems(field, value[name], _join(path, name))


def _join(path: str, name: str) -> str:
    if not path or not name or name.startswith("["):
        return path + name
    return f"{path}.{name}"


def _moment(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None or len(text) < len("2026-01-01T00:00Z"):
        raise ValueError("no offset")


def _email(text: str) -> None:
    name, _, host = text.rpartition("@")
    if not name or not host or any(mark.isspace() for mark in text):
        raise ValueError("not an address")


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path) or any(mark.isspace() for mark in text):
        raise ValueError("not absolute")


_FORMATS: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": _moment,
    "time": time.fromisoformat,
    "email": _email,
    "uri": _uri,
    "uuid": UUID,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
}
"""Formats and what refuses a text that is not one (RFC 3339 times as Python reads ISO 8601)."""
