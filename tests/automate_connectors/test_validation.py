"""JSON Schema validation in problems with paths."""

from __future__ import annotations

from typing import Any

import pytest

from automate_connectors.validation import InvalidSchema, check_schema, problems, problems_before_rendering
from automate_core.errors import Problem

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1},
        "kind": {"enum": ["a", "b"]},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        },
        "to": {"anyOf": [{"type": "string"}, {"type": "array"}]},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "n", "count": 1, "items": [{"id": 1}], "to": []}, []),
        ({"name": "n"}, [Problem("count", "This field is required")]),
        ({"name": 1, "count": 1}, [Problem("name", "Must be string")]),
        (
            {"name": "long name", "count": 0},
            [Problem("count", "Violates minimum 1"), Problem("name", "Violates maxLength 5")],
        ),
        ({"name": "n", "count": 1, "kind": "c"}, [Problem("kind", "Must be one of a, b")]),
        (
            {"name": "n", "count": 1, "items": [{"id": 1}, {}]},
            [Problem("items[1].id", "This field is required")],
        ),
        ({"name": "n", "count": 1, "items": [{"id": "x"}]}, [Problem("items[0].id", "Must be integer")]),
        (
            {"name": "n", "count": 1, "nmae": 2},
            [Problem("nmae", "Unknown field; known: count, items, kind, name, to")],
        ),
        ({"name": "n", "count": 1, "to": 5}, [Problem("to", "Does not satisfy anyOf")]),
        ([], [Problem("", "Must be object")]),
    ],
)
def test_problems_name_the_field(value: Any, expected: list[Problem]) -> None:
    assert problems(SCHEMA, value) == expected


def test_problems_never_quote_the_value() -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "pattern": "^a+$"}}}
    assert "hunter2" not in str(problems(schema, {"key": "hunter2"}))


def test_templates_are_judged_after_rendering() -> None:
    value = {
        "name": "{{ event.payload.name }}",
        "count": "{{ n }}",
        "kind": "{{ k }}",
        "to": {"x": "{{ y }}"},
    }
    assert problems_before_rendering(SCHEMA, value) == []
    assert [problem.field for problem in problems(SCHEMA, value)] == ["count", "kind", "name", "to"]


def test_what_templates_cannot_cure_is_told_before_rendering() -> None:
    value = {"name": "{{ event.payload.name }}", "typo": 1, "kind": "c"}
    assert [problem.field for problem in problems_before_rendering(SCHEMA, value)] == [
        "count",
        "kind",
        "typo",
    ]


def test_problems_are_limited() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    assert len(problems(schema, list(range(100)))) == 20


def test_schema_references_are_never_fetched() -> None:
    with pytest.raises(InvalidSchema):
        problems({"$ref": "http://127.0.0.1:1/schema.json"}, {})


def test_invalid_schema_is_an_error() -> None:
    with pytest.raises(InvalidSchema):
        check_schema({"type": "strnig"})
