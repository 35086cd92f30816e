"""Tells the database which execution writes, so that events of its triggers carry their cause and loops end.

Only where triggers are installed, and only for what is written from inside an execution, a statement goes before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from automate.model_triggers import database
from automate_core import conf, sql
from automate_core.context import current_cause, trace_in_context

SETTING = "automate.cause"
"""Setting of the session: execution, depth, deepest allowed and trace id, with a bar between them."""

_SAY = f"SELECT set_config('{SETTING}', %(cause)s, %(local)s)"
# A comment may stand before anything, so it counts as a write.
_WRITE = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|MERGE|WITH|CALL|DO|--|/\*)", re.IGNORECASE)


def connect() -> None:
    """Go before the statements of every connection to the default database."""
    connection_created.connect(_wrap, dispatch_uid="automate.model_triggers.causes")


def _wrap(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.alias == "default" and _carry not in connection.execute_wrappers:
        connection.execute_wrappers.append(_carry)


def _carry(
    execute: Callable[..., Any], statement: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    cause = current_cause()
    if cause is None or (isinstance(statement, str) and not _WRITE.match(statement)):
        return execute(statement, params, many, context)
    if not database.any_triggers():
        return execute(statement, params, many, context)
    deepest = conf.get().MAX_CAUSATION_DEPTH
    said = f"{cause.execution_id}|{cause.depth}|{deepest}|{trace_in_context() or ''}"
    if context["connection"].in_atomic_block:
        # The setting ends with the transaction.
        sql.execute(_SAY, {"cause": said, "local": True})
        return execute(statement, params, many, context)
    sql.execute(_SAY, {"cause": said, "local": False})
    try:
        return execute(statement, params, many, context)
    finally:
        sql.execute(_SAY, {"cause": "", "local": False})
