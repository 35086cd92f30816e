"""Forms of manual triggers: which schemas are forms, and what a run's input becomes."""

from __future__ import annotations

import copy
import io
from contextlib import suppress

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from automate.events import run_workflow
from automate.forms import MAX_DEPTH, MAX_FIELDS, filled, form_problems
from automate.models import Execution
from automate.triggers import trigger_problems
from automate.workflows import update_workflow
from automate_core.errors import ValidationFailed
from tests.factories.engine import node, workflow

FORM = {
    "type": "object",
    "required": ["amount", "currency"],
    "properties": {
        "amount": {"type": "number", "minimum": 0, "title": "Amount"},
        "currency": {"type": "string", "enum": ["EUR", "USD"], "default": "EUR"},
        "on": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "to": {
            "type": "object",
            "properties": {
                "copies": {"type": "integer", "default": 1},
                "mail": {"type": "string", "format": "email"},
            },
        },
    },
    "additionalProperties": False,
}


def form(**properties):
    return {"type": "object", "properties": properties}


def refused(schema, payload):
    with pytest.raises(ValidationFailed) as caught:
        filled(schema, payload)
    return [(problem.field, problem.message) for problem in caught.value.details]


def test_defaults_fill_what_is_absent_and_nothing_else():
    payload = {"amount": 5, "to": {}}
    whole = filled(FORM, payload)
    assert whole == {"amount": 5, "currency": "EUR", "tags": [], "to": {"copies": 1}}
    assert payload == {"amount": 5, "to": {}}
    whole["tags"].append("x")
    assert filled(FORM, payload)["tags"] == []
    assert filled(FORM, {"amount": 5, "currency": "USD", "tags": ["a"]}) == {
        "amount": 5,
        "currency": "USD",
        "tags": ["a"],
    }


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        ({}, [("payload.amount", "This field is required")]),
        ({"amount": "5"}, [("payload.amount", "Must be number")]),
        ({"amount": -1}, [("payload.amount", "Violates minimum 0")]),
        ({"amount": True}, [("payload.amount", "Must be number")]),
        ({"amount": 1, "currency": "GBP"}, [("payload.currency", "Must be one of EUR, USD")]),
        ({"amount": 1, "on": "tomorrow"}, [("payload.on", "Must be of the format date")]),
        ({"amount": 1, "tags": ["a", 5]}, [("payload.tags[1]", "Must be string")]),
        ({"amount": 1, "to": {"mail": "nobody"}}, [("payload.to.mail", "Must be of the format email")]),
        ({"amount": 1, "to": []}, [("payload.to", "Must be object")]),
        (
            {"amount": "a", "currency": 5},
            [
                ("payload.amount", "Must be number"),
                ("payload.currency", "Must be one of EUR, USD"),
                ("payload.currency", "Must be string"),
            ],
        ),
    ],
)
def test_wrong_input_is_named_by_field(payload, problems):
    found = refused(FORM, payload)
    assert [field for field, _ in dict.fromkeys(found)][: len(problems)] == [
        field for field, _ in problems
    ] or {field for field, _ in found} == {field for field, _ in problems}
    assert set(problems) <= set(found)


def test_unknown_input_is_refused_when_the_form_says_so():
    (problem,) = refused(FORM, {"amount": 1, "extra": 2})
    assert problem[0] == "payload.extra"
    assert problem[1].startswith("Unknown field; known: ")
    assert filled(form(), {"extra": 2}) == {"extra": 2}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-05-01T09:00:00+02:00", "2026-05-01T09:00:00"),
        ("date-time", "2026-05-01T09:00Z", "2026-05-01"),
        ("time", "09:30", "25:00"),
        ("email", "ada@example.com", "ada @example.com"),
        ("uri", "https://example.com/a", "example.com"),
        ("uuid", "019e0c2c-64aa-7af1-8d4c-5d2f0a6b7c11", "019e"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8::g"),
    ],
)
def test_formats_are_checked(kind, good, bad):
    schema = form(a={"type": "string", "format": kind})
    assert filled(schema, {"a": good}) == {"a": good}
    assert [field for field, _ in refused(schema, {"a": bad})] == ["payload.a"]


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth - 1):
        schema = form(a=schema)
    return schema


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (FORM, []),
        (form(), []),
        ({"properties": {"a": {"type": "string"}}}, []),
        ([], [""]),
        ({"type": "string"}, [""]),
        (form(a={}), ["properties.a.type"]),
        (form(a={"type": "text"}), ["properties.a.type"]),
        (form(a={"type": ["string", "null"]}), ["properties.a.type"]),
        (form(a="string"), ["properties.a"]),
        (form(a={"type": "string", "pattern": "(a+)+$"}), ["properties.a.pattern"]),
        (form(a={"type": "string", "$ref": "https://example.com/"}), ["properties.a.$ref"]),
        (form(a={"type": "string", "format": "phone"}), ["properties.a.format"]),
        (form(a={"type": "string", "format": []}), ["properties.a"]),
        (form(a={"type": "string", "minLength": "x"}), ["properties.a"]),
        (form(a={"type": "string", "enum": "x"}), ["properties.a"]),
        (form(a={"type": "integer", "default": "x"}), ["properties.a.default"]),
        (form(a={"type": "string", "format": "date", "default": "x"}), ["properties.a.default"]),
        (form(a=form(b={"type": "object", "default": {"c": 1}, "properties": {"c": {"type": "string"}}})),
         ["properties.a.properties.b.default.c"]),
        (form(a={"type": "array", "items": {"type": "x"}}), ["properties.a.items.type"]),
        (form(a={"type": "array", "items": []}), ["properties.a.items"]),
        ({"type": "object", "properties": []}, ["properties"]),
        ({"type": "object", "properties": {}, "required": ["a"]}, ["required"]),
        ({"type": "object", "required": "a"}, ["required"]),
        ({"type": "object", "additionalProperties": {}}, ["additionalProperties"]),
        (nested(MAX_DEPTH), []),
        (nested(MAX_DEPTH + 1), [".".join(["properties.a"] * MAX_DEPTH)]),
        (form(**{f"f{n}": {"type": "string"} for n in range(MAX_FIELDS + 1)}), [""]),
    ],
)  # fmt: skip
def test_problems_of_a_form_name_the_place(schema, fields):
    assert [problem.field for problem in form_problems(schema)] == fields


def test_problems_are_named_under_the_trigger():
    found = trigger_problems("manual", {"form": form(a={"type": "text"})})
    assert [problem.field for problem in found] == ["trigger_config.form.properties.a.type"]
    assert [problem.field for problem in trigger_problems("manual", {"form": 5})] == ["trigger_config.form"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "default", "enum", "format", "required", "minimum", "a"]
            ),
            inner | st.sampled_from(["object", "array", "string", "date"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(schema=JSON, payload=st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_any_form_is_judged_and_any_input_filled_or_refused(schema, payload):
    given_payload = copy.deepcopy(payload)
    if not form_problems(schema):
        # Whatever else happens here is a fault.
        with suppress(ValidationFailed):
            filled(schema, payload)
    assert payload == given_payload


def manual(schema=FORM):
    return workflow(node("a", "merge"), slug="pay", trigger_type="manual", trigger_config={"form": schema})


@pytest.mark.django_db(transaction=True)
def test_run_gets_the_defaults_and_a_wrong_one_does_not_start():
    manual()
    execution_id = run_workflow("pay", {"amount": 5})
    assert Execution.objects.get(pk=execution_id).context == {"amount": 5, "currency": "EUR", "tags": []}
    with pytest.raises(ValidationFailed) as caught:
        run_workflow("pay", {"amount": "5"})
    assert [problem.field for problem in caught.value.details] == ["payload.amount"]
    assert Execution.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_live_form_counts():
    made = manual()
    update_workflow(made, by="test", trigger_config={})
    run_workflow("pay", {"amount": "anything"})
    assert Execution.objects.get().context == {"amount": "anything"}


@pytest.mark.django_db(transaction=True)
def test_command_says_which_field_is_wrong():
    manual()
    with pytest.raises(CommandError, match=r"payload\.amount This field is required"):
        call_command("automate_run", "pay", "{}", stdout=io.StringIO())
