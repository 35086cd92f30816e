"""Which JSON Schemas are accepted for inputs, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest

from automate_core.errors import Problem
from automate_modal.schemas import MAX_DEPTH, input_problems, schema_problems


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth - 1):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}},
        {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": True}},
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["c"]}},
        {"properties": {"a": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}}},
        nested(MAX_DEPTH),
    ],
)
def test_ordinary_schema_is_accepted(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ([], ""),
        ({"type": "string"}, ""),
        ({"$ref": "#"}, "$ref"),
        ({"$ref": "http://127.0.0.1/schema"}, "$ref"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "properties.a.pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties"),
        ({"properties": {"a": {"uniqueItems": True}}}, "properties.a.uniqueItems"),
        ({"anyOf": [{"$dynamicRef": "#x"}]}, "anyOf[0].$dynamicRef"),
        ({"properties": []}, "properties"),
        ({"anyOf": {}}, "anyOf"),
        ({"items": 1}, "items"),
        ({"properties": {"a": {"type": "text"}}}, ""),
    ],
)
def test_other_schema_is_refused(schema: Any, field: str) -> None:
    assert [problem.field for problem in schema_problems(schema)] == [field]


def test_deep_and_large_schemas_are_refused() -> None:
    assert "levels" in schema_problems(nested(MAX_DEPTH + 1))[-1].message
    assert "schemas" in schema_problems({"properties": {str(n): {} for n in range(600)}})[-1].message


def test_input_is_judged_by_its_schema() -> None:
    schema = {"required": ["n"], "properties": {"n": {"type": "integer"}, "m": {"minimum": 2}}}
    assert input_problems(schema, {"n": 1, "m": 2}) == []
    assert input_problems(None, {"anything": [1]}) == []
    assert input_problems(schema, {"m": 1}) == [
        Problem("input.m", "Violates minimum 2"),
        Problem("input.n", "This field is required"),
    ]
