"""What is said to an execution from outside while it runs or waits: answers to its steps, and pokes.

A poke raises the execution's count and makes its outbox item ready, making one when it has none. The row lock on
the execution orders pokes with the worker's own parking, which compares the count it has seen; so a poke is
either seen by the worker that holds the execution or finds the item that worker left behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from automate_core import conf, sql
from automate_core.arrays import plain
from automate_core.errors import Conflict
from automate_core.outbox import doorbell
from automate_core.outbox.statements import TABLE as OUTBOX

_POKE = """
UPDATE automate_execution SET pokes = pokes + 1
WHERE id IN (SELECT id FROM automate_execution WHERE id = ANY(%(ids)s::uuid[]) AND finished_at IS NULL
             ORDER BY id FOR UPDATE)
RETURNING id::text
"""

_WAKE = f"""
WITH poked AS MATERIALIZED (
  SELECT id, tenant_id, priority, trace_id FROM automate_execution
  WHERE id = ANY(%(ids)s::uuid[]) AND held_at IS NULL),
woken AS (
  UPDATE {OUTBOX} o SET available_at = least(o.available_at, clock_timestamp()) FROM poked
  WHERE o.kind = 'execution' AND o.payload ->> 'execution_id' = poked.id::text AND o.status = 'PENDING')
INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
SELECT p.tenant_id, 'execution', p.priority, jsonb_build_object('execution_id', p.id), p.trace_id, %(max_attempts)s
FROM poked p WHERE NOT EXISTS (
  SELECT 1 FROM {OUTBOX} o WHERE o.kind = 'execution' AND o.payload ->> 'execution_id' = p.id::text)
"""

_FIND = """
SELECT id::text, execution_id::text FROM automate_steprun
WHERE {where} AND status = 'WAITING' AND answer IS NULL
"""
_BY_TOKEN = _FIND.format(where="wake_token = %(token)s")
_BY_PATH = _FIND.format(where="execution_id = %(execution)s::uuid AND path = %(path)s")
_BY_ID = _FIND.format(where="id = %(id)s::uuid")

_ANSWER = """
UPDATE automate_steprun SET answer = %(answer)s::jsonb
WHERE id = %(id)s::uuid AND status = 'WAITING' AND answer IS NULL
RETURNING id
"""


class NothingWaits(Conflict):
    """No step waits for this answer (any more): it was answered, it ran out of time, or its execution is over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a waiting step is told: its output and route, or the error it fails with."""

    output: Any = None
    route: str | None = None
    error_code: str = ""
    error_message: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return it as it is stored."""
        if self.error_code:
            return {"error": {"code": self.error_code, "message": self.error_message}}
        return {"output": self.output, "route": self.route}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Answer:
        """Read it as it was stored."""
        error = data.get("error") or {}
        return cls(data.get("output"), data.get("route"), error.get("code", ""), error.get("message", ""))


def answer_token(token_hash: str, answer: Answer) -> str:
    """Answer the step whose token has this hash; return its execution's id. Raises NothingWaits."""
    return _answer(_BY_TOKEN, {"token": token_hash}, answer)


def answer_path(execution_id: UUID | str, path: str, answer: Answer) -> str:
    """Answer the waiting step at a path of an execution; return the execution's id. Raises NothingWaits."""
    return _answer(_BY_PATH, {"execution": str(execution_id), "path": path}, answer)


def answer_step(step_id: UUID | str, answer: Answer) -> str:
    """Answer a waiting step by its id; return its execution's id. Raises NothingWaits."""
    return _answer(_BY_ID, {"id": str(step_id)}, answer)


def poke(execution_ids: Iterable[UUID | str]) -> list[str]:
    """Make the workers of these executions look at what was said to them; return those not finished.

    Part of the caller's transaction, which holds the rows of the executions from here to its end.
    """
    ids = sorted({str(execution_id) for execution_id in execution_ids})
    with transaction.atomic():
        poked = _count(ids)
        _wake(poked)
    return poked


def _answer(find: str, params: dict[str, Any], answer: Answer) -> str:
    text = orjson.dumps(answer.as_data()).decode()
    with transaction.atomic():
        found = sql.execute(find, params)
        # The execution's row is locked before the step's, in the order in which its worker writes them.
        if not found or not (poked := _count([found[0][1]])):
            raise NothingWaits
        if not sql.execute(_ANSWER, {"id": found[0][0], "answer": text}):
            raise NothingWaits
        _wake(poked)
    return poked[0]


def _count(execution_ids: list[str]) -> list[str]:
    return [row[0] for row in sql.execute(_POKE, {"ids": plain(execution_ids)})]


def _wake(execution_ids: list[str]) -> None:
    """Make their outbox items ready; a statement of its own, to see what committed while the rows were waited for."""
    if execution_ids:
        sql.execute(_WAKE, {"ids": plain(execution_ids), "max_attempts": conf.get().MAX_CLAIMS})
        transaction.on_commit(doorbell.ring, robust=True)
