"""Fields nobody may set: whatever else a body names, no name of a column or of a shown field is taken from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from automate_core.context import tenant_scope
from automate_core.models import Tenant
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.automate_api.test_routes import PUBLIC
from tests.contract import rows

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

pytestmark = pytest.mark.django_db

PLANTED_ID = "11111111-1111-4111-8111-111111111111"
PLANTED_TIME = "2001-02-03T04:05:06Z"
PLANTED_NUMBER = 918273645
MARKS = ("planted-", PLANTED_ID, "2001-02-03", str(PLANTED_NUMBER))

GIVEN: Mapping[str, Mapping[str, Any]] = {
    "POST /api/automate/workflows/": {"name": "A", "graph": rows.GRAPH},
    "PUT /api/automate/workflows/{id}/": {"name": "B"},
    "PATCH /api/automate/workflows/{id}/": {"description": "b"},
    "POST /api/automate/workflows/{id}/run/": {"payload": {}},
    "POST /api/automate/workflows/{id}/validate/": {"graph": rows.GRAPH},
    "POST /api/automate/events/": {"type": "a"},
    "POST /api/v1/events/": {"type": "a"},
    "POST /api/automate/executions/{id}/replay/": {},
    "POST /api/v1/executions/{id}/replay/": {},
    "POST /api/automate/zapier/subscribe/": {
        "event_type": "order.*",
        "callback_url": "https://93.184.216.34/hook",
    },
    "POST /api/v1/endpoints/": {"name": "A", "kind": "automation", "config": {"workflow": "orders"}},
    "PUT /api/v1/endpoints/{id}/": {"name": "B"},
    "PATCH /api/v1/endpoints/{id}/": {"name": "C"},
    "POST /api/v1/endpoints/{id}/run/": {"input": {}},
    "POST /api/modal/endpoints/{id}/run/": {"input": {}},
    "POST /api/modal/endpoints/{id}/job/": {"input": {}},
}
"""Bodies that are accepted; an operation without one is sent what its schema requires, and may refuse it."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(Client().get("/api/schema/").json())


def mutations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and body schema of each operation that reads JSON of a caller we know."""
    public = {url.replace("<", "{").replace(">", "}") for url in PUBLIC}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content and path not in public:
                yield method.upper(), path, resolved(document, content["application/json"]["schema"])


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(document["components"]["schemas"][name]) if name else schema


def names(document: dict[str, Any]) -> set[str]:
    """Return every name a client might try: shown fields, and columns of our tables."""
    shown = {
        name for schema in document["components"]["schemas"].values() for name in schema.get("properties", {})
    }
    columns = {
        name
        for model in apps.get_models()
        if model._meta.app_label.startswith("automate")
        for field in model._meta.concrete_fields
        for name in (field.name, field.attname)
    }
    return shown | columns


def required(schema: dict[str, Any]) -> dict[str, Any]:
    samples = {"string": "a", "object": {}, "array": [], "integer": 1, "number": 1, "boolean": True}
    return {
        name: samples.get(schema["properties"][name].get("type", "object"))
        for name in schema.get("required", ())
    }


def as_text(name: str) -> Any:
    return f"planted-{name}"


def as_typed(name: str) -> Any:
    """Return a value a writable column of this name would probably take."""
    if name.endswith("_at"):
        return PLANTED_TIME
    if name.endswith(
        ("id", "tenant", "execution", "automation", "event", "version", "endpoint", "job", "user")
    ):
        return PLANTED_ID
    if name in (
        "attempt",
        "attempts",
        "number",
        "seq",
        "failures",
        "workflow_version",
        "lease_epoch",
        "size",
    ):
        return PLANTED_NUMBER
    return f"planted-{name}"


def marked_rows() -> list[str]:
    """Return the rows of all tables of the database that hold something planted."""
    with connection.cursor() as cursor:
        tables = [
            name for name in connection.introspection.table_names(cursor) if not name.startswith("django_")
        ]
        every = " UNION ALL ".join(
            f"SELECT '{name} ' || t::text AS found FROM \"{name}\" t" for name in tables
        )
        cursor.execute(f"SELECT found FROM ({every}) rows WHERE found ~ %s", ["|".join(MARKS)])
        return [row for (row,) in cursor.fetchall()]


def rows_of(tenant: Tenant) -> int:
    models = [m for m in apps.get_models() if "tenant_id" in {f.attname for f in m._meta.concrete_fields}]
    counts = (f'SELECT count(*) FROM "{m._meta.db_table}" WHERE tenant_id = %(tenant)s' for m in models)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(count) FROM ({' UNION ALL '.join(counts)}) c", {"tenant": tenant.pk})
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("value", [as_text, as_typed], ids=["as text", "typed"])
def test_no_body_sets_what_it_may_not(
    key_client: Callable[..., Client],
    tenant: Tenant,
    other_tenant: Tenant,
    document: dict[str, Any],
    subtests: pytest.Subtests,
    value: Callable[[str], Any],
) -> None:
    client = key_client()
    with tenant_scope(tenant.pk):
        rows.make("workflows", tenant)
    tried = set()
    for method, path, schema in mutations(document):
        operation = f"{method} {path}"
        collection = next((name for name in path.split("/") if name in rows.MAKERS), "")
        own = str(rows.make(collection, tenant).pk) if "{" in path else ""
        others = rows_of(other_tenant)
        planted = {name: value(name) for name in names(document) - schema.get("properties", {}).keys()}
        spelt = {"event", "trigger", "target_url", "hookUrl", "from", "to"}  # other names of writable fields
        body = {name: given for name, given in planted.items() if name not in spelt}
        body |= (
            {"tenant": str(other_tenant.pk), "tenant_id": str(other_tenant.pk)} if value is as_typed else {}
        )
        body |= GIVEN.get(operation, required(schema))
        with subtests.test(operation):
            answer = client.generic(
                method, path.replace("{id}", own), json.dumps(body), content_type="application/json"
            )
            assert answer.status_code < 300 if operation in GIVEN else answer.status_code < 500, (
                answer.content
            )
            assert marked_rows() == []
            assert rows_of(other_tenant) == others
            if not answer.streaming and answer.status_code < 300:
                assert [mark for mark in MARKS if mark in answer.content.decode()] == []
        tried.add(operation)
    assert GIVEN.keys() - tried == set()
    assert len(tried) >= 25
