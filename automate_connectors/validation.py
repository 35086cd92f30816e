"""JSON Schema validation that answers in problems: where, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from automate_core.errors import AutomateError, Problem

MAX_PROBLEMS = 20
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
# These judge the whole value, so a template anywhere inside leaves their verdict open until it is rendered.
_WHOLE_VALUE = frozenset({"oneOf", "anyOf", "not", "if", "contains", "enum", "const", "uniqueItems"})


class InvalidSchema(AutomateError):
    """A connector's schema is not valid JSON Schema; fix the connector."""


def problems(schema: Mapping[str, Any], value: Any) -> list[Problem]:
    """Return what is wrong with `value`, at most 20 problems, paths like `items[0].name`."""
    return _listed(_errors(schema, value))


def problems_before_rendering(schema: Mapping[str, Any], value: Any) -> list[Problem]:
    """Return what is wrong with `value` whatever its templates will turn into."""
    return _listed(error for error in _errors(schema, value) if not _may_change(error))


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check a schema itself; raises InvalidSchema."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise InvalidSchema(f"Invalid JSON Schema at {_path(error)!r}: {error.message}") from error


def has_template(value: Any) -> bool:
    """Tell whether a value contains a template anywhere."""
    if isinstance(value, str):
        return _TEMPLATE.search(value) is not None
    if isinstance(value, Mapping):
        return any(map(has_template, value.values()))
    return isinstance(value, list | tuple) and any(map(has_template, value))


def _errors(schema: Mapping[str, Any], value: Any) -> Iterable[ValidationError]:
    # The empty registry keeps a "$ref" to a URL from being fetched.
    try:
        yield from _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)).iter_errors(value)
    except Unresolvable as error:
        raise InvalidSchema(f"A schema refers to {error.ref!r}, which it does not contain") from error


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Draft202012Validator:
    parsed = orjson.loads(schema)
    check_schema(parsed)
    return Draft202012Validator(parsed, registry=Registry())


def _may_change(error: ValidationError) -> bool:
    if isinstance(error.instance, str) or error.validator in _WHOLE_VALUE:
        return has_template(error.instance)
    return False


def _listed(errors: Iterable[ValidationError]) -> list[Problem]:
    found = []
    for error in errors:
        found += list(_unknown_fields(error)) or [Problem(_path(error), _message(error))]
        if len(found) >= MAX_PROBLEMS:
            break
    return sorted(found[:MAX_PROBLEMS], key=lambda problem: problem.field)


def _unknown_fields(error: ValidationError) -> Iterator[Problem]:
    """Yield the fields an object has that its schema does not allow, each as a problem of its own."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, Mapping):
        return
    known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
    where, message = _path(error), f"Unknown field; known: {', '.join(sorted(known))}"
    for name in sorted(str(name)[:100] for name in error.instance if name not in known):
        yield Problem(f"{where}.{name}".removeprefix("."), message)


def _path(error: ValidationError | SchemaError) -> str:
    path = ""
    for part in [*error.absolute_path, *_missing(error)]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _missing(error: ValidationError | SchemaError) -> list[str]:
    """Return the absent field of a `required` error, so that the problem names it."""
    if error.validator != "required" or not isinstance(error.instance, Mapping):
        return []
    wanted: Any = error.validator_value
    absent = [name for name in wanted if name not in error.instance]
    return [name for name in absent if error.message.startswith(repr(name))][:1]


def _message(error: ValidationError) -> str:
    rule: Any = error.validator
    wanted: Any = error.validator_value
    if rule == "required":
        return "This field is required"
    if rule == "type":
        return f"Must be {' or '.join([wanted] if isinstance(wanted, str) else wanted)}"
    if rule == "enum":
        return f"Must be one of {', '.join(map(str, wanted))}"
    if rule in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"):
        return f"Violates {rule} {wanted}"
    if rule in ("anyOf", "oneOf") and all(set(option) == {"required"} for option in wanted):
        names = (" and ".join(option["required"]) for option in wanted)
        return f"{'At least' if rule == 'anyOf' else 'Exactly'} one is needed: {' / '.join(names)}"
    if rule == "not" and isinstance(wanted, Mapping) and set(wanted) == {"required"}:
        return f"Only one of these may be given: {' / '.join(wanted['required'])}"
    # The library's message quotes the value, which may be secret; the rule's name does not.
    return f"Does not satisfy {rule}"
