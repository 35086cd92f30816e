"""Node discovery: every registered step and connector action with its form, found by registration alone."""

from __future__ import annotations

import pytest

from automate_connectors.base import ActionSpec, Connector
from automate_connectors.registry import registry
from automate_core.steps import Effect, StepHandler, StepResult, step_registry
from automate_studio.canvas.forms import fields_of
from automate_studio.checks import check_node_types

pytestmark = pytest.mark.django_db

FIELD = {
    "name", "label", "help", "type", "required", "options", "default", "dependencies", "is_template",
}  # fmt: skip


class WeighStep(StepHandler):
    """Weighs what it is given.

    More about it.
    """

    type = "t.weigh"
    aliases = ("t.scale",)
    label = "Weigh"
    effect = Effect.DATABASE
    routes = ("light", "heavy")
    raw_fields = frozenset({"rule"})
    config_schema = {
        "type": "object",
        "required": ["unit"],
        "properties": {
            "unit": {"enum": ["kg", "lb"], "default": "kg", "title": "Unit", "description": "What to weigh in."},
            "limit": {"type": ["number", "null"], "x-depends-on": {"unit": "kg"}},
            "rule": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
            "parts": {"type": "array", "items": {"type": "object", "required": ["n"], "properties": {
                "n": {"type": "integer"},
            }}},
        },
    }  # fmt: skip

    def run(self, config, context):
        """Weigh."""
        return StepResult({})


class ScaleConnector(Connector):
    """A scale."""

    key = "t_scale"
    display_name = "Scales"

    @classmethod
    def actions(cls):
        return [
            ActionSpec(
                "read_weight",
                input_schema={"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                description="Reads the weight.",
                idempotent=True,
            )
        ]

    def execute_action(self, action, input_data):
        return {}


@pytest.fixture
def weigh():
    step_registry.register("t.weigh", WeighStep())
    yield
    step_registry.unregister("t.weigh")


@pytest.fixture
def scale():
    registry.register("t_scale", ScaleConnector)
    yield
    registry.unregister("t_scale")


def test_every_registered_step_and_action_is_listed_once(key_client):
    found = key_client().get("/api/nodes/").json()
    types = [one["type"] for one in found]
    actions = [f"{key}.{spec.name}" for key in registry for spec in registry.get(key).actions()]
    assert sorted(types) == sorted({*step_registry, *actions})
    for one in found:
        assert (bool(one["label"]), bool(one["description"]), bool(one["category"])) == (True, True, True)
        assert [field for field in one["fields"] if not field.keys() >= FIELD] == []


def test_registered_step_is_there_by_registration_alone(key_client, weigh):
    client = key_client()
    one = client.get("/api/nodes/t.weigh/").json()
    assert one in client.get("/api/nodes/").json()
    assert {name: one[name] for name in one if name != "fields"} == {
        "type": "t.weigh",
        "aliases": ["t.scale"],
        "label": "Weigh",
        "description": "Weighs what it is given.",
        "category": "Flow",
        "effect": "database",
        "routes": ["light", "heavy"],
    }
    unit, limit, rule, parts = one["fields"]
    assert unit == {
        "name": "unit",
        "label": "Unit",
        "help": "What to weigh in.",
        "type": "select",
        "required": True,
        "options": [{"value": "kg", "label": "kg"}, {"value": "lb", "label": "lb"}],
        "default": "kg",
        "dependencies": [],
        "is_template": True,
    }
    assert (limit["type"], limit["label"], limit["required"], limit["dependencies"]) == (
        "number",
        "Limit",
        False,
        [{"field": "unit", "values": ["kg"]}],
    )
    assert (rule["type"], rule["is_template"]) == ("object", False)
    assert [(field["name"], field["type"], field["is_template"]) for field in rule["fields"]] == [
        ("deep", "boolean", False)
    ]
    (inner,) = parts["item"]["fields"]
    assert (parts["type"], parts["item"]["type"], inner["name"], inner["required"]) == (
        "array",
        "object",
        "n",
        True,
    )


def test_registered_action_is_there_by_registration_alone(key_client, scale):
    one = key_client().get("/api/nodes/t_scale.read_weight/").json()
    assert (one["type"], one["category"], one["effect"], one["description"]) == (
        "t_scale.read_weight",
        "Scales",
        "idempotent",
        "Reads the weight.",
    )
    assert [field["name"] for field in one["fields"]] == ["connection", "id"]


@pytest.mark.parametrize(
    ("spelling", "type"),
    [
        ("http-request", "http_request"),
        ("if-condition", "condition"),
        ("for-each", "for_each"),
        ("slack.send_message", "slack.send_message"),
        ("slack-send-message", "slack.send_message"),
    ],
)
def test_type_is_found_in_every_spelling(key_client, spelling, type):
    assert key_client().get(f"/api/nodes/{spelling}/").json()["type"] == type


def test_every_alias_of_every_type_finds_it(key_client):
    client = key_client()
    for one in client.get("/api/nodes/").json():
        for alias in one["aliases"]:
            assert client.get(f"/api/nodes/{alias}/").json()["type"] == one["type"]


class Unreadable(StepHandler):
    """Has a schema that cannot be read."""

    effect = Effect.PURE

    def __init__(self, kind, schema):
        self.type = kind
        self._schema = schema

    @property
    def config_schema(self):
        if isinstance(self._schema, Exception):
            raise self._schema
        return self._schema

    def run(self, config, context):
        return StepResult(None)


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("t.none", None),
        ("t.text", "object"),
        ("t.list", {"properties": ["a", "b"]}),
        ("t.raising", KeyError("properties")),
        ("t.opaque", {"type": "object", "properties": {"a": {"default": object()}}}),
    ],
)
def test_type_that_cannot_be_described_is_listed_with_its_error_and_told_once(
    key_client, caplog, kind, schema
):
    client = key_client()
    before = client.get("/api/nodes/").json()
    step_registry.register(kind, Unreadable(kind, schema))
    try:
        with caplog.at_level("ERROR", "automate_studio.canvas.node_types"):
            found = {one["type"]: one for one in client.get("/api/nodes/").json()}
            alone = client.get(f"/api/nodes/{kind}/")
        warnings = check_node_types()
    finally:
        step_registry.unregister(kind)
    broken = found.pop(kind)
    assert list(found.values()) == before
    assert (alone.status_code, alone.json()) == (200, broken)
    assert (broken["fields"], broken["label"], "Unreadable" in broken["error"]) == ([], kind, True)
    assert [record.node_type for record in caplog.records] == [kind]
    assert [(one.id, kind in one.msg) for one in warnings] == [("automate_studio.W001", True)]


def test_connector_that_cannot_name_its_actions_leaves_the_others_listed(key_client, monkeypatch):
    class Nameless(ScaleConnector):
        def actions(self):
            raise RuntimeError("no actions today")

    client = key_client()
    before = client.get("/api/nodes/").json()
    registry.register("t_nameless", Nameless)
    try:
        assert client.get("/api/nodes/").json() == before
    finally:
        registry.unregister("t_nameless")


def test_every_type_there_is_can_be_described():
    assert check_node_types() == []


def test_unknown_type_is_404_with_what_it_could_mean(key_client):
    answer = key_client().get("/api/nodes/http-reqest/")
    assert (answer.status_code, answer.json()["code"], answer.json()["details"]) == (404, "NOT_FOUND", {})
    assert "'http-request'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "json"),
        (True, "json"),
        ({"type": "string"}, "string"),
        ({"type": ["null", "integer"]}, "integer"),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, "array"),
        ({"properties": {}}, "object"),
        ({"oneOf": [{"const": 1, "title": "One"}, {"const": 2}]}, "select"),
        ({"enum": [True, False]}, "select"),
    ],
)
def test_type_of_a_field_follows_its_schema(schema, expected):
    (field,) = fields_of({"properties": {"a": schema}})
    assert field["type"] == expected


def test_titles_of_alternatives_are_the_labels_of_options():
    (field,) = fields_of({"properties": {"a": {"oneOf": [{"const": 1, "title": "One"}, {"const": True}]}}})
    assert field["options"] == [{"value": 1, "label": "One"}, {"value": True, "label": "true"}]


def test_dependencies_a_schema_states_are_found():
    schema = {
        "properties": {"kind": {}, "size": {}, "note": {}},
        "dependentRequired": {"kind": ["note"]},
        "if": {"properties": {"kind": {"const": "big"}}},
        "then": {"required": ["size"]},
        "allOf": [
            {"if": {"properties": {"kind": {"enum": ["a", "b"]}}}, "then": {"properties": {"note": {}}}},
        ],
    }
    found = {field["name"]: field["dependencies"] for field in fields_of(schema)}
    assert found == {
        "kind": [],
        "size": [{"field": "kind", "values": ["big"]}],
        "note": [{"field": "kind", "values": None}, {"field": "kind", "values": ["a", "b"]}],
    }


def test_schema_that_nests_for_ever_ends_as_json():
    schema: dict = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    (field,) = fields_of(schema)
    for _ in range(8):
        (field,) = field["fields"]
    assert field["type"] == "json"
