"""What is changed in executions outside the engine is told of after the commit, to whoever asked to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from django.db import transaction

from automate_core import sql
from automate_core.arrays import plain

logger = logging.getLogger(__name__)

Listener = Callable[[Mapping[str, int]], None]
"""Called with ids of executions and the number of the last thing that had happened to each before."""

POSITION = """
SELECT x.id, greatest(x.seq, coalesce((
  SELECT max(s.seq) FROM automate_steprun s WHERE s.execution_id = x.id), 0)) AS seq
FROM automate_execution x WHERE x.id = ANY(%(ids)s::uuid[])
"""
"""SQL: the number of the last thing that happened to executions; their own rows lag behind while they run."""

_POSITIONS = f"SELECT id::text, seq FROM ({POSITION}) AS position"

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` called after each commit that changed executions outside the engine."""
    if listener not in _listeners:
        _listeners.append(listener)


def positions(execution_ids: Iterable[UUID | str]) -> dict[str, int]:
    """Return the number of the last thing that happened to each of these executions."""
    ids = plain(sorted({str(execution_id) for execution_id in execution_ids}))
    return dict(sql.execute(_POSITIONS, {"ids": ids}))


def announce(before: Mapping[str, int]) -> None:
    """After this transaction's commit, tell of what happened to executions since `before`."""
    if before:
        transaction.on_commit(lambda: _tell(before), robust=True)


def _tell(before: Mapping[str, int]) -> None:
    for listener in _listeners:
        try:
            listener(before)
        except Exception:
            logger.exception("notices.listener_failed")
