"""Rows of one tenant: no query without a tenant, none of another tenant's rows, and no key that crosses tenants."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection
from django.db.models import CharField, Count, ForeignKey, IntegerField, Model, QuerySet, UniqueConstraint
from django.db.models.fields.reverse_related import ForeignObjectRel
from psycopg.errors import ForeignKeyViolation

from automate_core.context import tenant_scope
from automate_core.errors import TenantRequired
from automate_core.ids import uuid7
from automate_core.models import Tenant, TenantManager, TenantOwned
from tests.admin.test_pages import MAKE, named

pytestmark = pytest.mark.django_db

OURS = [
    model
    for config in apps.get_app_configs()
    if config.name.split(".")[0].startswith(("automate", "rag"))
    for model in config.get_models()
]
OWNED = sorted((model for model in OURS if issubclass(model, TenantOwned)), key=named)
UNOWNED = {
    "automate_core.Tenant": "is the tenant",
    "automate_core.Membership": "belongs to a user as much as to a tenant; read before the tenant is known",
    "automate_core.AuditHead": "is kept beside the chain of a tenant, and read by the verification alone",
    "automate_core.WorkerBeat": "belongs to the installation",
    "automate.RoutingRevision": "is read for all tenants at once, with their events",
    "automate.WindowedEvent": "is reached through its trigger",
    "automate.LiveWatch": "holds nothing but ids, for seconds",
    "automate.LiveSeat": "holds nothing but counts, for seconds",
    "automate_connectors.ConnectionPace": "is reached through its connection",
    "automate_connectors.ConnectionTurn": "is reached through its connection",
}
"""Models without a tenant of their own, and why."""
LOCAL = {
    "using",
    "db_manager",
    "check",
    "deconstruct",
    "contribute_to_class",
    "from_queryset",
    "get_queryset",
}
"""Methods of a manager that ask the database for nothing."""
KEYS = [
    (model, field)
    for model in OWNED
    for field in model._meta.concrete_fields
    if isinstance(field, ForeignKey) and issubclass(field.related_model, TenantOwned)
]
REVERSE = [
    (model, relation)
    for model in OWNED
    for relation in model._meta.related_objects
    if relation.get_accessor_name() and issubclass(relation.related_model, TenantOwned)
]


@pytest.fixture
def tenants(db: None) -> tuple[Tenant, Tenant]:
    return tuple(  # type: ignore[return-value]
        Tenant.objects.create(id=uuid7(), slug=slug, name=slug) for slug in ("acme", "globex")
    )


@pytest.fixture
def nowhere(settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "DEFAULT_TENANT": None}


def made(model: type[Model], tenant: Tenant, number: int) -> Any:
    """Make a row of a tenant and return it."""
    with tenant_scope(tenant.id):
        MAKE[model](number)
    found = model.all_tenants.filter(tenant=tenant).order_by("-pk").first()  # type: ignore[attr-defined]
    if found is None:
        pytest.fail(
            f"MAKE[{model.__name__}] of tests/admin/test_pages.py makes no row of the tenant in context"
        )
    return found


def key(value: Any) -> str:
    return getattr(value, "_meta", value).label if hasattr(value, "_meta") else value.name


def queries() -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Every public method of a manager that a queryset has too: they all ask for the rows first."""
    for name, _ in inspect.getmembers(QuerySet, inspect.isfunction):
        if not name.startswith("_") and name not in LOCAL and hasattr(TenantManager, name):
            yield name, lambda manager, name=name: getattr(manager, name)()


def test_every_model_is_owned_or_has_a_reason() -> None:
    """A new model derives from TenantOwned, or is in UNOWNED with the reason why not."""
    assert {model._meta.label for model in OURS} - {model._meta.label for model in OWNED} == set(UNOWNED)


@pytest.mark.parametrize("model", OWNED, ids=named)
def test_default_manager_is_the_one_of_a_tenant(model: Any) -> None:
    assert (type(model._default_manager), model._default_manager.name) == (TenantManager, "objects")
    assert model._meta.base_manager_name == "all_tenants"
    assert {manager.name for manager in model._meta.managers} == {"objects", "all_tenants"}


@pytest.mark.parametrize("model", OWNED, ids=named)
@pytest.mark.usefixtures("nowhere")
def test_no_query_without_a_tenant(model: Any) -> None:
    names = []
    for name, ask in queries():
        names.append(name)
        with pytest.raises(TenantRequired):
            ask(model.objects)
    assert set(names) >= {
        "filter", "get", "aget", "count", "acount", "aggregate", "aaggregate", "in_bulk", "ain_bulk", "raw", "update",
        "aupdate", "bulk_create", "abulk_create", "bulk_update", "create", "acreate", "get_or_create", "iterator",
        "aiterator", "values", "exists", "aexists", "first", "afirst", "update_or_create", "none", "select_for_update",
    }  # fmt: skip
    with pytest.raises(TenantRequired):
        model.objects.all()
    assert model.all_tenants.count() >= 0


@pytest.mark.parametrize(("model", "relation"), REVERSE, ids=key)
def test_no_query_through_a_relation_without_a_tenant(
    model: Any, relation: ForeignObjectRel, tenants: tuple[Tenant, Tenant], settings: Any
) -> None:
    parent = made(model, tenants[0], 1)
    settings.AUTOMATE = {**settings.AUTOMATE, "DEFAULT_TENANT": None}
    name = relation.get_accessor_name()
    assert name is not None
    with pytest.raises(TenantRequired):
        getattr(parent, name).all()
    with pytest.raises(TenantRequired):
        getattr(parent, name).count()
    with pytest.raises(TenantRequired):
        list(model.all_tenants.prefetch_related(name))


@pytest.mark.parametrize("model", OWNED, ids=named)
def test_rows_of_another_tenant_are_not_there(model: Any, tenants: tuple[Tenant, Tenant]) -> None:
    acme, globex = tenants
    foreign, mine = made(model, globex, 1), made(model, acme, 2)
    with tenant_scope(acme.id):
        everything = model.objects.all()
        assert foreign.pk not in {row.pk for row in everything}
        assert mine.pk in {row.pk for row in everything.iterator()}
        assert {row.tenant_id for row in everything} == {acme.id}
        theirs = model.objects.filter(pk=foreign.pk)
        assert (theirs.count(), theirs.exists(), theirs.first()) == (0, False, None)
        assert model.objects.in_bulk([foreign.pk]) == {}
        assert model.objects.aggregate(n=Count("pk"))["n"] == everything.count()
        assert theirs.update(tenant_id=acme.id) == 0
        assert theirs._raw_delete("default") == 0
        with pytest.raises(model.DoesNotExist):
            model.objects.get(pk=foreign.pk)
    assert model.all_tenants.filter(pk=foreign.pk, tenant=globex).exists()


@pytest.mark.parametrize("model", OWNED, ids=named)
def test_new_row_belongs_to_the_tenant_in_context(model: Any, tenants: tuple[Tenant, Tenant]) -> None:
    assert made(model, tenants[1], 1).tenant_id == tenants[1].id


def composite(model: type[Model], field: ForeignKey[Any, Any]) -> list[str]:
    """Return the names of constraints by which (tenant, key) refers to (tenant, id)."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.conname FROM pg_constraint c WHERE c.contype = 'f' AND c.convalidated
                 AND c.conrelid = %s::regclass AND c.confrelid = %s::regclass
                 AND ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
                   JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY i) = %s
                 AND ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
                   JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY i) = %s""",
            [model._meta.db_table, field.related_model._meta.db_table, ["tenant_id", field.column],
             ["tenant_id", field.related_model._meta.pk.column]],
        )  # fmt: skip
        return [row[0] for row in cursor.fetchall()]


def insert_again(model: type[Model], row: Any, changed: dict[str, Any]) -> None:
    """Put a row in place of itself by raw SQL, with other values in some columns."""
    table, columns = model._meta.db_table, [one.column for one in model._meta.concrete_fields]
    chosen = ", ".join("%s" if column in changed else f'"{column}"' for column in columns)
    given = [changed[column] for column in columns if column in changed]
    listed = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(
            f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {table} WHERE id = %s", [row.pk]
        )
        cursor.execute(f"DELETE FROM {table} WHERE id = %s", [row.pk])
        cursor.execute(f"INSERT INTO {table} ({listed}) SELECT {chosen} FROM kept", given)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def beside(model: type[Model], field: ForeignKey[Any, Any]) -> dict[str, Any]:
    """Return other values for what is unique together with the key."""
    together = [one.fields for one in model._meta.constraints if isinstance(one, UniqueConstraint)]
    fields = [model._meta.get_field(name) for names in together if field.name in names for name in names]
    found: dict[str, Any] = {one.column: 77 for one in fields if isinstance(one, IntegerField)}
    return found | {one.column: "other" for one in fields if isinstance(one, CharField)}


@pytest.mark.parametrize(("model", "field"), KEYS, ids=key)
def test_key_to_a_row_of_another_tenant_is_an_integrity_error(
    model: type[Model], field: ForeignKey[Any, Any], tenants: tuple[Tenant, Tenant]
) -> None:
    """A key between two models of tenants needs a constraint over (tenant_id, key), in its migration."""
    row, foreign = made(model, tenants[0], 1), made(field.related_model, tenants[1], 2)
    guards = composite(model, field)
    assert len(guards) == 1, (
        f"{named(model)}.{field.column} has no constraint over (tenant_id, {field.column})"
    )
    with pytest.raises(IntegrityError) as caught:
        insert_again(model, row, {**beside(model, field), field.column: foreign.pk})
    cause = caught.value.__cause__
    assert isinstance(cause, ForeignKeyViolation)
    assert cause.diag.constraint_name == guards[0]


UNGUARDED = """
SELECT c.conrelid::regclass::text, a.attname::text FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.contype = 'f' AND array_length(c.conkey, 1) = 1 AND c.confrelid <> 'automate_core_tenant'::regclass
  AND EXISTS (SELECT 1 FROM pg_attribute t WHERE t.attrelid = c.conrelid AND t.attname = 'tenant_id')
  AND EXISTS (SELECT 1 FROM pg_attribute t WHERE t.attrelid = c.confrelid AND t.attname = 'tenant_id')
  AND NOT EXISTS (
    SELECT 1 FROM pg_constraint g
    WHERE g.contype = 'f' AND g.convalidated AND g.conrelid = c.conrelid AND g.confrelid = c.confrelid
      AND g.conkey @> c.conkey AND array_length(g.conkey, 1) = 2
      AND (SELECT attnum FROM pg_attribute WHERE attrelid = g.conrelid AND attname = 'tenant_id') = ANY(g.conkey)
      AND (SELECT attnum FROM pg_attribute WHERE attrelid = g.confrelid AND attname = 'tenant_id') = ANY(g.confkey))
"""


def test_every_foreign_key_between_rows_of_tenants_is_guarded() -> None:
    """Read from the database itself, so that tables and keys that are no models are seen, too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND array_length(conkey, 1) = 2"
        )
        assert cursor.fetchone()[0] >= len(KEYS)
        cursor.execute(UNGUARDED)
        assert cursor.fetchall() == []


LOOSE = {
    "automate_event.cause_execution_id": "the execution may be pruned first",
    "automate_execution.cause_execution_id": "the execution may be pruned first",
    "automate_execution.parent_execution_id": "the execution may be pruned first",
    "automate_triggerwindow.event_id": "the event may be pruned first",
    "automate_modal_job.run_id": "names a row of whatever table the kind of endpoint has",
}
"""Columns that name a row without a foreign key, and why; the engine takes all of them from the tenant in context."""


def test_every_id_of_another_row_is_a_key_or_has_a_reason() -> None:
    """A column `<something>_id` that is no foreign key could name another tenant's row."""
    owned = {model._meta.db_table for model in OWNED}
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute a
               WHERE a.attrelid::regclass::text = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
                 AND a.attname LIKE '%%\\_id' AND a.atttypid IN ('uuid'::regtype, 'bigint'::regtype)
                 AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = a.attrelid
                                 AND a.attnum = ANY(c.conkey))""",
            [sorted(owned)],
        )
        assert {row[0] for row in cursor.fetchall()} == set(LOOSE)
