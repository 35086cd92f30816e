"""The form of a node, as fields: generated from the JSON Schema of its handler's config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automate_core.steps import StepHandler

MAX_DEPTH = 8
"""How deep forms go into nested objects and lists; what is deeper is a field of type `json`."""

_TYPES = ("string", "integer", "number", "boolean", "object", "array")


def form_fields(handler: StepHandler) -> list[dict[str, Any]]:
    """Return the fields of the handler's form, in the order its schema names them."""
    return fields_of(handler.config_schema, raw=handler.raw_fields)


def fields_of(
    schema: Mapping[str, Any],
    *,
    raw: frozenset[str] = frozenset(),
    is_template: bool = True,
    depth: int = 0,
) -> list[dict[str, Any]]:
    """Return the fields an object schema describes.

    A field has `name`, `label`, `help`, `type` (string, integer, number, boolean, select, object, array, or json for
    anything), `required`, `options` (value and label), `default`, `dependencies` and `is_template`. A dependency says
    that the field matters only while another one, `field`, has one of `values` (is filled in at all, when null). An
    object has its own `fields`; an array has `item`, the field its items are.

    Args:
        schema: JSON Schema (2020-12) of an object.
        raw: names of properties that are not templates.
        is_template: whether the other properties are.
        depth: how deep the object is in its form.
    """
    required = schema.get("required", ())
    conditional = _conditional(schema)
    found = []
    for name, inner in schema.get("properties", {}).items():
        field = _field(name, inner, is_template=is_template and name not in raw, depth=depth)
        field["required"] = name in required
        field["dependencies"] += conditional.get(name, [])
        found.append(field)
    return found


def _field(name: str, schema: Any, *, is_template: bool, depth: int) -> dict[str, Any]:
    schema = schema if isinstance(schema, Mapping) else {}
    options = _options(schema)
    kind = "select" if options else _kind(schema)
    if kind in ("object", "array") and depth >= MAX_DEPTH:
        kind = "json"
    field = {
        "name": name,
        "label": schema.get("title") or name.replace("_", " ").capitalize(),
        "help": schema.get("description", ""),
        "type": kind,
        "required": False,
        "options": options,
        "default": schema.get("default"),
        "dependencies": [
            {"field": other, "values": None if wanted is None else _listed(wanted)}
            for other, wanted in schema.get("x-depends-on", {}).items()
        ],
        "is_template": is_template,
    }
    if kind == "object":
        field["fields"] = fields_of(schema, is_template=is_template, depth=depth + 1)
    if kind == "array":
        field["item"] = _field("", schema.get("items", {}), is_template=is_template, depth=depth + 1)
    return field


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a field: the first a schema allows that is not null."""
    types = _listed(schema.get("type", ()))
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if isinstance(alternative, Mapping):
            types = [*types, *_listed(alternative.get("type", ()))]
    return next((kind for kind in types if kind in _TYPES), "object" if "properties" in schema else "json")


def _options(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "enum" in schema:
        return [{"value": value, "label": _label(value)} for value in schema["enum"]]
    alternatives = schema.get("oneOf") or schema.get("anyOf") or ()
    if alternatives and all(isinstance(one, Mapping) and "const" in one for one in alternatives):
        return [
            {"value": one["const"], "label": one.get("title") or _label(one["const"])} for one in alternatives
        ]
    return []


def _conditional(schema: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the dependencies that the schema itself states, by the field that depends.

    Understood are `dependentRequired`, and `if` with `const` or `enum` on a property, `then` naming fields.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for other, names in schema.get("dependentRequired", {}).items():
        for name in names:
            found.setdefault(name, []).append({"field": other, "values": None})
    for rule in (schema, *schema.get("allOf", ())):
        when, then = rule.get("if"), rule.get("then")
        if not isinstance(when, Mapping) or not isinstance(then, Mapping):
            continue
        conditions = [
            {"field": other, "values": [wanted["const"]] if "const" in wanted else list(wanted["enum"])}
            for other, wanted in when.get("properties", {}).items()
            if isinstance(wanted, Mapping) and ("const" in wanted or "enum" in wanted)
        ]
        for name in dict.fromkeys((*then.get("required", ()), *then.get("properties", {}))):
            found.setdefault(name, []).extend(conditions)
    return found


def _label(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
