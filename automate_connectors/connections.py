"""Verbs on connections: save or delete one, audited, and load one for a call with its secrets resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from automate_connectors import validation
from automate_connectors.base import Connector
from automate_connectors.models import Connection
from automate_connectors.pace import rate_problems
from automate_connectors.registry import registry
from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.errors import Conflict, PermanentError, Problem, ValidationFailed
from automate_core.http import OutboundRefused, check_url
from automate_core.models import current_tenant_id
from automate_core.redaction import is_sensitive_key
from automate_core.secrets import InvalidSecretRef, SecretRef, collect_secrets, resolve

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ConnectionUnusable(PermanentError):
    """The step's connection is missing, switched off or for another connector."""


class ConnectionNameTaken(Conflict):
    """A connection with this name exists; choose another name."""


@dataclass(frozen=True, slots=True)
class LoadedConnection:
    """A connection ready for a call; `secrets` are the resolved values, to be redacted everywhere."""

    name: str = ""
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    id: UUID | None = None
    rate_limit: Mapping[str, Any] | None = None


def load(connector_key: str, name: str | None = None) -> LoadedConnection:
    """Return the connection a call uses, secrets resolved now.

    Args:
        connector_key: the connector the connection must be for.
        name: the connection's name; None means the tenant's only enabled connection of this connector.

    Raises:
        ConnectionUnusable: there is no such connection, or it is not clear which.
        AutomateError: a secret does not resolve (see `automate_core.secrets.resolve`).
    """
    row = _only(connector_key) if name is None else _named(connector_key, name)
    with collect_secrets() as revealed:
        config = _resolved(row.config)
    return LoadedConnection(row.name, config, tuple(revealed), row.id, row.rate_limit)


def create(
    *,
    name: str,
    connector: str,
    config: Mapping[str, Any] | None = None,
    is_enabled: bool = True,
    rate_limit: Mapping[str, Any] | None = None,
    by: str = "system",
) -> Connection:
    """Store a new connection in the tenant in context.

    Args:
        name: 1 to 100 letters, digits, `-` or `_`; unique in the tenant.
        connector: key of the connector it is for.
        config: what the connector's schema asks for, secrets as references.
        is_enabled: whether steps may use it.
        rate_limit: `{"limit": calls, "per_seconds": seconds, "burst": calls at once}`; calls over it wait.
        by: who does it, for the audit trail.

    Raises:
        ValidationFailed: the config does not fit the connector, or holds a secret instead of a reference.
        ConnectionNameTaken: the name is in use.
    """
    row = Connection(
        tenant_id=current_tenant_id(),
        name=name,
        connector=connector,
        config=dict(config or {}),
        is_enabled=is_enabled,
        rate_limit=rate_limit,
    )
    _require_valid(row)
    return _saved(row, by=by, action="connection.created", before=None)


def change(
    row: Connection, *, config: Mapping[str, Any] | None = None, by: str = "system", **changes: Any
) -> Connection:
    """Change a connection; a new host drops every stored reference, so that no key follows to another server.

    Args:
        row: the connection, as it should be found in the database.
        config: the whole new config, when it changes.
        by: who does it, for the audit trail.
        changes: `name`, `is_enabled` or `rate_limit`.

    Raises:
        ValidationFailed, ConnectionNameTaken: as for `create`.
    """
    with transaction.atomic():
        stored = Connection.all_tenants.select_for_update().get(pk=row.pk)
        before = _facts(stored)
        for attribute in ("name", "is_enabled", "rate_limit"):
            setattr(stored, attribute, changes.get(attribute, getattr(stored, attribute)))
        if config is not None:
            stored.config = _without_followers(stored, dict(config))
        _require_valid(stored)
        return _saved(stored, by=by, action="connection.changed", before=before)


def delete(row: Connection, *, by: str = "system") -> None:
    """Delete a connection; steps that name it fail from then on."""
    with transaction.atomic():
        stored = Connection.all_tenants.select_for_update().get(pk=row.pk)
        before = _facts(stored)
        stored.delete()
        _record(row, "connection.deleted", by=by, before=before, after=None)


def problems(connector: str, config: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a connection's config for this connector."""
    if connector not in registry:
        known = ", ".join(registry.list_connectors())
        return [Problem("connector", f"Unknown connector; known: {known}")]
    found = [
        Problem(f"config.{problem.field}".rstrip("."), problem.message)
        for problem in validation.problems(registry.get_connector(connector).connection_schema, config)
    ]
    return found + list(_value_problems(config, "config"))


def _named(connector_key: str, name: str) -> Connection:
    row = Connection.objects.filter(name=name).first()
    if row is None or row.connector != connector_key:
        raise ConnectionUnusable(
            f"There is no {connector_key} connection {name!r}; create it or correct the name"
        )
    if not row.is_enabled:
        raise ConnectionUnusable(f"The connection {name!r} is switched off; enable it")
    return row


def _only(connector_key: str) -> Connection:
    rows = list(Connection.objects.filter(connector=connector_key, is_enabled=True).order_by("name")[:2])
    if not rows:
        raise ConnectionUnusable(f"There is no enabled {connector_key} connection; create one")
    if len(rows) > 1:
        raise ConnectionUnusable(
            f"There are several {connector_key} connections; name one in the field 'connection'"
        )
    return rows[0]


def _resolved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    return resolve(value) if _is_reference(value) else value


def _is_reference(value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith("$"):
        return False
    try:
        SecretRef(value)
    except InvalidSecretRef:
        return False
    return True


def _value_problems(value: Any, path: str, *, sensitive: bool = False) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _value_problems(
                item, f"{path}.{key}", sensitive=sensitive or is_sensitive_key(str(key))
            )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value_problems(item, f"{path}[{index}]", sensitive=sensitive)
    elif sensitive and value not in (None, "") and not isinstance(value, bool) and not _is_reference(value):
        yield Problem(path, "Must be a secret reference such as $secret:NAME, not the secret itself")
    elif isinstance(value, str) and "://" in value and path.rsplit(".", 1)[-1].endswith("url"):
        try:
            check_url(value)
        except OutboundRefused as error:
            yield Problem(path, error.message)


def _require_valid(row: Connection) -> None:
    found = problems(row.connector, row.config) + rate_problems(row.rate_limit)
    if not _NAME.fullmatch(row.name):
        found.append(Problem("name", "Must be 1 to 100 letters, digits, '-' or '_'"))
    if found:
        raise ValidationFailed.of(found, "The connection is not valid")


def _saved(row: Connection, *, by: str, action: str, before: dict[str, Any] | None) -> Connection:
    try:
        with transaction.atomic():
            row.save()
            _record(row, action, by=by, before=before, after=_facts(row))
    except IntegrityError as error:
        raise ConnectionNameTaken(f"A connection named {row.name!r} exists; choose another name") from error
    return row


def _record(
    row: Connection, action: str, *, by: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    with tenant_scope(row.tenant_id):
        audit.record(actor=by, action=action, target=f"connection:{row.name}", before=before, after=after)


def _facts(row: Connection) -> dict[str, Any]:
    return {
        "name": row.name,
        "connector": row.connector,
        "config": row.config,
        "rate_limit": row.rate_limit,
        "is_enabled": row.is_enabled,
    }


def _without_followers(stored: Connection, config: dict[str, Any]) -> dict[str, Any]:
    host_fields = _connector(stored).host_fields
    if all(stored.config.get(name) == config.get(name) for name in host_fields):
        return config
    kept: dict[str, Any] = _dropped(config, set(_references(stored.config)))
    return kept


def _connector(row: Connection) -> type[Connector]:
    return registry.get_connector(row.connector)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif _is_reference(value):
        yield value


def _dropped(value: Any, references: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _dropped(item, references)
            for key, item in value.items()
            if not (isinstance(item, str) and item in references)
        }
    if isinstance(value, list):
        return [
            _dropped(item, references) for item in value if not (isinstance(item, str) and item in references)
        ]
    return value
