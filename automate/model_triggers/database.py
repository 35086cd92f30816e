"""Triggers of the database on tables of host models: installed, removed and looked at, never by themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.apps import apps
from django.db import connection, models, transaction
from psycopg import sql as compose

from automate.model_triggers import functions
from automate.triggers import UNWATCHED_APPS
from automate_core import conf, sql
from automate_core.errors import NotFound, ValidationFailed
from automate_core.models import TenantOwned

FRESH_SECONDS = 2.0
"""How long it is believed that there are, or are no, triggers at all."""

_HAS = """
SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%(table)s)
  AND tgname = 'automate_model_updated' AND tgenabled <> 'D')
"""

_ANY = "SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'automate_model_updated')"

_SCHEMA = """
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('automate_event')
"""

# Arguments are stored one after the other, each with a zero byte at its end.
_LIST = """
SELECT c.relname, convert_from(substring(t.tgargs FROM 1 FOR position('\\x00'::bytea IN t.tgargs) - 1), 'UTF8'),
  convert_from(trim('\\x00'::bytea FROM substring(t.tgargs FROM position('\\x00'::bytea IN t.tgargs) + 1)), 'UTF8')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname = 'automate_model_updated' ORDER BY 2
"""


class NotWatchable(ValidationFailed):
    """The database cannot watch this model's table."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Triggers on one table; they are outdated when they were made for what the model no longer is."""

    label: str
    table: str
    tenant_id: UUID | None
    is_outdated: bool


_any = False
_asked_at = float("-inf")


def install(label: str, *, tenant_id: UUID) -> str:
    """Put triggers on the table of a model, or renew them; waits for transactions that write to it.

    Args:
        label: `app_label.ModelName`.
        tenant_id: whose events they become when rows have no tenant of their own.

    Returns:
        The table's name.

    Raises:
        NotFound: there is no such model.
        NotWatchable: its table is not one the triggers understand, or the engine's own.
    """
    model = _model(label)
    if model._meta.app_label in UNWATCHED_APPS:
        raise NotWatchable(f"Changes of {label!r} start nothing; watch another model")
    if model._meta.proxy or model._meta.parents or not model._meta.managed:
        raise NotWatchable(f"{label!r} has no table of its own; name the model that has it")
    arguments = (model._meta.label_lower, _facts(model, tenant_id))
    with transaction.atomic(), connection.cursor() as cursor:
        schema = connection.ops.quote_name(sql.execute(_SCHEMA)[0][0])
        for statement in functions.create(schema):
            cursor.execute(statement)
        for change, (operation, rows) in functions.OPERATIONS.items():
            cursor.execute(
                compose.SQL(
                    "CREATE OR REPLACE TRIGGER {name} AFTER {operation} ON {table} REFERENCING {rows}"
                    " FOR EACH STATEMENT EXECUTE FUNCTION {name}({label}, {facts})"
                ).format(
                    name=compose.Identifier(f"automate_model_{change}"),
                    operation=compose.SQL(operation),
                    table=compose.Identifier(model._meta.db_table),
                    rows=compose.SQL(rows),
                    label=compose.Literal(arguments[0]),
                    facts=compose.Literal(arguments[1]),
                )
            )
    forget()
    return model._meta.db_table


def remove(table: str) -> None:
    """Take the triggers off a table, and the functions away when no other table needs them."""
    with transaction.atomic(), connection.cursor() as cursor:
        for change in functions.OPERATIONS:
            cursor.execute(
                compose.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    compose.Identifier(f"automate_model_{change}"), compose.Identifier(table)
                )
            )
        if not installed():
            for statement in functions.DROP:
                cursor.execute(statement)
    forget()


def installed() -> list[Installed]:
    """Return what is installed, by label."""
    return [_read(*row) for row in sql.execute(_LIST)]


def has_triggers(model: type[models.Model]) -> bool:
    """Ask the database whether its triggers tell of a model's changes."""
    if model._meta.proxy:
        return False
    table = connection.ops.quote_name(model._meta.db_table)
    return bool(sql.execute(_HAS, {"table": table})[0][0])


def any_triggers() -> bool:
    """Tell whether any table has triggers; asks the database once in FRESH_SECONDS."""
    global _any, _asked_at
    now = time.monotonic()
    if now - _asked_at > FRESH_SECONDS:
        _any, _asked_at = bool(sql.execute(_ANY)[0][0]), now
    return _any


def forget() -> None:
    """Ask the database anew at the next question."""
    global _asked_at
    _asked_at = float("-inf")


def _model(label: str) -> type[models.Model]:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        raise NotFound(f"There is no model {label!r} in the installed apps") from None


def _facts(model: type[models.Model], tenant_id: UUID | None) -> str:
    """Return what the functions have to know of a table, as JSON with sorted keys."""
    fields = model._meta.local_concrete_fields
    tenant = model._meta.get_field("tenant").column if issubclass(model, TenantOwned) else None
    facts: dict[str, Any] = {
        "version": functions.VERSION,
        "pk": model._meta.pk.column,
        "tenant_column": tenant,
        "tenant": None if tenant else str(tenant_id),
        "names": {field.column: field.attname for field in fields if field.column != field.attname},
        "texts": sorted(field.column for field in fields if isinstance(field, models.DecimalField)),
        "hidden": sorted(field.column for field in fields if isinstance(field, models.BinaryField)),
        "max_attempts": conf.get().MAX_CLAIMS,
    }
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode()


def _read(table: str, label: str, facts: str) -> Installed:
    given = orjson.loads(facts)["tenant"]
    tenant_id = UUID(given) if given else None
    try:
        is_outdated = _facts(_model(label), tenant_id) != facts
    except NotFound:
        is_outdated = True
    return Installed(label, table, tenant_id, is_outdated)
