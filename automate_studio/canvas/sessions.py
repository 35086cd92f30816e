"""Sessions of development mode: kept in the database, so that any web process can go on with them.

A session belongs to a tenant, a workflow and a caller: the name a client gives it opens nobody else's. Calls in one
session follow each other. A node that calls nobody holds it by a row lock from `enter` to the end of the transaction;
one that calls outside leases it, and has to come back before the lease ends.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import OperationalError, transaction

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
LOOK_SECONDS = 0.05
"""How often a call looks whether a lease has ended."""
NAME_BYTES = 16
PRUNED_AT_ONCE = 100

_ENTER = """
INSERT INTO automate_studio_developmentsession AS s
  (id, tenant_id, automation_id, owner, name, state, expires_at, lease, leased_until)
VALUES (%(id)s, %(tenant)s, %(automation)s, %(owner)s, %(name)s, '{}',
  clock_timestamp() + make_interval(secs => %(idle)s),
  %(lease)s, clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8))
ON CONFLICT (tenant_id, automation_id, owner, name) DO UPDATE SET
  id = CASE WHEN s.expires_at > clock_timestamp() THEN s.id ELSE excluded.id END,
  state = CASE WHEN s.expires_at > clock_timestamp() THEN s.state ELSE excluded.state END,
  expires_at = excluded.expires_at, lease = excluded.lease, leased_until = excluded.leased_until
WHERE s.leased_until IS NULL OR s.leased_until <= clock_timestamp()
RETURNING id, state::text
"""

# The setting is read before it is changed, and holds until the transaction ends.
_PATIENCE = """
WITH held AS MATERIALIZED (SELECT current_setting('lock_timeout') AS patience)
SELECT patience, set_config('lock_timeout', %(patience)s, true) FROM held
"""

_LEAVE = """
UPDATE automate_studio_developmentsession SET state = %(state)s::jsonb,
  expires_at = clock_timestamp() + make_interval(secs => %(idle)s), lease = NULL, leased_until = NULL
WHERE id = %(id)s AND lease IS NOT DISTINCT FROM %(lease)s
RETURNING id
"""

_RELEASE = """
UPDATE automate_studio_developmentsession SET lease = NULL, leased_until = NULL
WHERE id = %(id)s AND lease = %(lease)s
"""

_PRUNE = """
DELETE FROM automate_studio_developmentsession WHERE id IN (
  SELECT id FROM automate_studio_developmentsession WHERE expires_at <= clock_timestamp()
  ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""

# What somebody is at work in is not old, whatever its row says.
_MAKE_ROOM = """
DELETE FROM automate_studio_developmentsession WHERE id IN (
  SELECT id FROM automate_studio_developmentsession
  WHERE tenant_id = %(tenant)s AND owner = %(owner)s AND id <> %(id)s
    AND (leased_until IS NULL OR leased_until <= clock_timestamp())
  ORDER BY expires_at DESC OFFSET %(others)s FOR UPDATE SKIP LOCKED)
"""


class SessionBusy(Conflict):
    """Another call in this session has not returned; try again shortly, or leave session_id out."""


class SessionLost(PermanentError):
    """The session went to another call while this one ran; what the node did is done, and not kept there."""

    code = ErrorCodes.CONFLICT


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is held: what variables stand at, and what each node keeps.

    `lease` says who holds it: a row lock when None.
    """

    id: UUID
    name: str
    variables: dict[str, Any]
    nodes: dict[str, dict[str, Any]]
    lease: UUID | None = None

    def state_of(self, node_id: str) -> dict[str, Any]:
        """Return what a node keeps from call to call; it may be changed."""
        return self.nodes.setdefault(node_id, {})


def new_name() -> str:
    """Return a name nobody can guess: 128 bits."""
    return secrets.token_hex(NAME_BYTES)


def enter(automation: Automation, name: str, *, owner: str, lease_seconds: float | None = None) -> Session:
    """Hold a session, beginning it if there is none or it rested too long.

    It is held until the transaction ends; with a lease until `leave` or `release`, at most as long as the lease is.

    Args:
        automation: the workflow whose nodes are tried out.
        name: what the client calls the session.
        owner: who calls, as in the audit trail.
        lease_seconds: how long the session is leased; None to hold it by a row lock.

    Raises:
        SessionBusy: another call in it takes longer than 10 seconds.
    """
    lease = None if lease_seconds is None else uuid7()
    params = {
        "id": uuid7(),
        "tenant": automation.tenant_id,
        "automation": automation.pk,
        "owner": owner,
        "name": name,
        "idle": IDLE_SECONDS,
        "lease": lease,
        "lease_seconds": lease_seconds,
    }
    session_id, state = _held(params)
    if session_id == params["id"]:
        prune(limit=PRUNED_AT_ONCE)
        sql.execute(_MAKE_ROOM, {**params, "others": MAX_SESSIONS - 1})
    found: Mapping[str, Any] = orjson.loads(state)
    return Session(session_id, name, dict(found.get("variables", {})), dict(found.get("nodes", {})), lease)


def leave(session: Session) -> None:
    """Keep what changed in a session that is held, and end its lease.

    Raises:
        PermanentError: its nodes keep more than 1,000,000 bytes.
        SessionLost: the lease ended before, or the session is gone.
    """
    nodes = {node_id: state for node_id, state in session.nodes.items() if state}
    text = orjson.dumps({"variables": session.variables, "nodes": nodes}, option=orjson.OPT_NON_STR_KEYS)
    if len(text) > MAX_STATE_BYTES:
        raise PermanentError(
            ErrorCodes.PAYLOAD_TOO_LARGE,
            f"The session keeps {len(text)} bytes; at most {MAX_STATE_BYTES} are kept. Set smaller variables",
        )
    facts = {"id": session.id, "lease": session.lease, "state": text.decode(), "idle": IDLE_SECONDS}
    if not sql.execute(_LEAVE, facts):
        raise SessionLost


def release(session: Session) -> None:
    """End the lease of a session, if it still holds; what the session keeps stays as it was."""
    sql.execute(_RELEASE, {"id": session.id, "lease": session.lease})


def prune(*, limit: int) -> int:
    """Delete up to `limit` sessions that rested too long, of any tenant; return how many."""
    return len(sql.execute(_PRUNE, {"limit": limit}))


def _held(params: Mapping[str, Any]) -> tuple[UUID, str]:
    """Wait for a session and hold it; return its id and state."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # A savepoint: the row of a session that is leased to somebody must not stay locked while we wait for its end.
        with transaction.atomic():
            if rows := _entered(params, patience=max(deadline - time.monotonic(), LOOK_SECONDS)):
                session_id, state = rows[0]
                return session_id, state
            transaction.set_rollback(True)
        if time.monotonic() >= deadline:
            raise SessionBusy(retry_after_seconds=1)
        time.sleep(LOOK_SECONDS)


def _entered(params: Mapping[str, Any], *, patience: float) -> list[Any]:
    """Return the row of the session, locked; nothing when it is leased. Raises SessionBusy."""
    try:
        before = sql.execute(_PATIENCE, {"patience": f"{patience * 1000:.0f}ms"})[0][0]
        rows = sql.execute(_ENTER, params)
        sql.execute(_PATIENCE, {"patience": before})
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        raise SessionBusy(retry_after_seconds=1) from error
    return rows
