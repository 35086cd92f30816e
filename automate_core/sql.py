"""Hand-written statements on Django's own connection: server-side parameters, inside its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import connections

Row = tuple[Any, ...]


def execute(
    statement: str, params: Mapping[str, Any] | Sequence[Any] = (), *, using: str = "default"
) -> list[Row]:
    """Run one statement and return its rows (empty for a statement that returns none).

    Django's cursors bind on the client; arrays of thousands of values want the server to do it.
    Errors arrive as django.db exceptions, as from any cursor of Django's.
    """
    connection = connections[using]
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def connect_params(*, using: str = "default") -> dict[str, Any]:
    """Return what psycopg needs for a connection of its own to the same database."""
    params: dict[str, Any] = dict(connections[using].get_connection_params())
    for ours in ("cursor_factory", "context", "pool"):
        params.pop(ours, None)
    return params
