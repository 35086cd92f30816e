"""Sessions of development mode: kept in the database, so that any web process can go on with them.

A session belongs to a tenant, a workflow and a caller: the name a client gives it opens nobody else's. It is held by a
row lock from `enter` to the end of the transaction, so calls in one session follow each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import OperationalError

from automate.models import Automation
from automate_core import sql
from automate_core.errors import Conflict, ErrorCodes, PermanentError
from automate_core.ids import uuid7

IDLE_SECONDS = 1_800.0
"""How long a session is kept after its last call, by the database's clock."""
MAX_SESSIONS = 20
"""Sessions a caller has at once in a tenant; one more takes the place of the one that rested longest."""
MAX_STATE_BYTES = 1_000_000
PATIENCE_SECONDS = 10.0
"""How long a call waits for the one before it in the same session."""
NAME_BYTES = 16
PRUNED_AT_ONCE = 100

_ENTER = """
INSERT INTO automate_studio_developmentsession AS s (id, tenant_id, automation_id, owner, name, state, expires_at)
VALUES (%(id)s, %(tenant)s, %(automation)s, %(owner)s, %(name)s, '{}',
  clock_timestamp() + make_interval(secs => %(idle)s))
ON CONFLICT (tenant_id, automation_id, owner, name) DO UPDATE SET
  id = CASE WHEN s.expires_at > clock_timestamp() THEN s.id ELSE excluded.id END,
  state = CASE WHEN s.expires_at > clock_timestamp() THEN s.state ELSE excluded.state END,
  expires_at = clock_timestamp() + make_interval(secs => %(idle)s)
RETURNING id, state::text
"""

# The setting is read before it is changed, and holds until the transaction ends.
_PATIENCE = """
WITH held AS MATERIALIZED (SELECT current_setting('lock_timeout') AS patience)
SELECT patience, set_config('lock_timeout', %(patience)s, true) FROM held
"""

_LEAVE = """
UPDATE automate_studio_developmentsession SET state = %(state)s::jsonb,
  expires_at = clock_timestamp() + make_interval(secs => %(idle)s)
WHERE id = %(id)s
"""

# What somebody is at work in is not old, whatever its row says.
_PRUNE = """
DELETE FROM automate_studio_developmentsession WHERE id IN (
  SELECT id FROM automate_studio_developmentsession WHERE expires_at <= clock_timestamp()
  ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""

_MAKE_ROOM = """
DELETE FROM automate_studio_developmentsession WHERE id IN (
  SELECT id FROM automate_studio_developmentsession
  WHERE tenant_id = %(tenant)s AND owner = %(owner)s AND id <> %(id)s
  ORDER BY expires_at DESC OFFSET %(others)s FOR UPDATE SKIP LOCKED)
"""


class SessionBusy(Conflict):
    """Another call in this session has not returned; try again shortly, or leave session_id out."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is held: what variables stand at, and what each node keeps."""

    id: UUID
    name: str
    variables: dict[str, Any]
    nodes: dict[str, dict[str, Any]]

    def state_of(self, node_id: str) -> dict[str, Any]:
        """Return what a node keeps from call to call; it may be changed."""
        return self.nodes.setdefault(node_id, {})


def new_name() -> str:
    """Return a name nobody can guess: 128 bits."""
    return secrets.token_hex(NAME_BYTES)


def enter(automation: Automation, name: str, *, owner: str) -> Session:
    """Hold a session until the transaction ends, beginning it if there is none or it rested too long.

    Args:
        automation: the workflow whose nodes are tried out.
        name: what the client calls the session.
        owner: who calls, as in the audit trail.

    Raises:
        SessionBusy: another call in it takes longer than 10 seconds.
    """
    params = {
        "id": uuid7(),
        "tenant": automation.tenant_id,
        "automation": automation.pk,
        "owner": owner,
        "name": name,
        "idle": IDLE_SECONDS,
    }
    try:
        before = sql.execute(_PATIENCE, {"patience": f"{PATIENCE_SECONDS:g}s"})[0][0]
        session_id, state = sql.execute(_ENTER, params)[0]
        sql.execute(_PATIENCE, {"patience": before})
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        raise SessionBusy(retry_after_seconds=1) from error
    if session_id == params["id"]:
        prune(limit=PRUNED_AT_ONCE)
        sql.execute(_MAKE_ROOM, {**params, "others": MAX_SESSIONS - 1})
    found: Mapping[str, Any] = orjson.loads(state)
    return Session(session_id, name, dict(found.get("variables", {})), dict(found.get("nodes", {})))


def leave(session: Session) -> None:
    """Keep what changed in a session that is held.

    Raises:
        PermanentError: its nodes keep more than 1,000,000 bytes.
    """
    nodes = {node_id: state for node_id, state in session.nodes.items() if state}
    text = orjson.dumps({"variables": session.variables, "nodes": nodes}, option=orjson.OPT_NON_STR_KEYS)
    if len(text) > MAX_STATE_BYTES:
        raise PermanentError(
            ErrorCodes.PAYLOAD_TOO_LARGE,
            f"The session keeps {len(text)} bytes; at most {MAX_STATE_BYTES} are kept. Set smaller variables",
        )
    sql.execute(_LEAVE, {"id": session.id, "state": text.decode(), "idle": IDLE_SECONDS})


def prune(*, limit: int) -> int:
    """Delete up to `limit` sessions that rested too long, of any tenant; return how many."""
    return len(sql.execute(_PRUNE, {"limit": limit}))
