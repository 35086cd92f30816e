"""Rate limits of connections: each call takes the next turn in time, and one that is early waits for it.

Turns are handed out by the generic cell rate algorithm (ITU-T I.371, Annex A) on one row a connection, by the
database's clock, so all workers together keep the limit. A turn that lies ahead is stored under its holder, who
comes back for it: waiting costs neither a worker nor a place in line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from automate_core import sql
from automate_core.errors import NotYet, Problem

MAX_LIMIT = 100_000
MAX_SECONDS = 86_400
LATE_SECONDS = 10.0
"""A turn taken up later than this is exchanged, once, for a new one: after a standstill nobody storms ahead."""
FORGOTTEN_SECONDS = 86_400.0
"""Turns nobody came for, because their execution was cancelled, are removed after this."""

_TAKE = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now, make_interval(secs => %(every)s) AS every),
mine AS MATERIALIZED (
  SELECT t.id, t.at, t.at > clock.now AS is_ahead,
    t.at <= clock.now AND (t.is_exchanged OR t.at > clock.now - make_interval(secs => %(late)s)) AS is_due
  FROM automate_connectors_connectionturn t, clock
  WHERE t.connection_id = %(connection)s AND t.holder = %(holder)s),
used AS (
  DELETE FROM automate_connectors_connectionturn t USING clock
  WHERE t.connection_id = %(connection)s
    AND (t.id IN (SELECT id FROM mine WHERE is_due) OR t.at < clock.now - make_interval(secs => %(forgotten)s))),
taken AS (
  INSERT INTO automate_connectors_connectionpace AS pace (connection_id, taken_until)
  SELECT %(connection)s, clock.now + clock.every FROM clock
  WHERE NOT EXISTS (SELECT FROM mine WHERE is_due OR is_ahead)
  ON CONFLICT (connection_id) DO UPDATE SET taken_until =
    greatest(pace.taken_until, excluded.taken_until - make_interval(secs => %(every)s))
    + make_interval(secs => %(every)s)
  RETURNING taken_until - %(burst)s * make_interval(secs => %(every)s) AS at),
kept AS (
  INSERT INTO automate_connectors_connectionturn (connection_id, holder, at, is_exchanged)
  SELECT %(connection)s, %(holder)s, taken.at, false FROM taken, clock WHERE taken.at > clock.now
  ON CONFLICT (connection_id, holder) DO UPDATE SET at = excluded.at, is_exchanged = true)
SELECT extract(epoch FROM turn.at)::float8, extract(epoch FROM clock.now)::float8
FROM clock, (SELECT at FROM taken UNION ALL SELECT at FROM mine WHERE is_due OR is_ahead) turn
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a call may be made and what time it is, in seconds since the epoch on the database's clock."""

    at: float
    now: float

    @property
    def wait_seconds(self) -> float:
        """How long until the call may be made; 0 when it may be made now."""
        return max(0.0, self.at - self.now)


def rate_problems(rate: Any) -> list[Problem]:
    """Return what is wrong with a connection's rate limit; fields are `rate_limit...`."""
    if rate is None:
        return []
    if not isinstance(rate, Mapping):
        return [Problem("rate_limit", 'Must be an object such as {"limit": 10, "per_seconds": 1}, or null')]
    found = [
        Problem(f"rate_limit.{name}", "Unknown field; known: burst, limit, per_seconds")
        for name in rate
        if name not in ("limit", "per_seconds", "burst")
    ]
    limit, seconds = rate.get("limit"), rate.get("per_seconds")
    if not _is_whole(limit, most=MAX_LIMIT):
        found.append(Problem("rate_limit.limit", f"Must be a whole number of calls from 1 to {MAX_LIMIT}"))
    elif not _is_whole(rate.get("burst", 1), most=int(limit or 0)):
        found.append(Problem("rate_limit.burst", "Must be a whole number of calls from 1 to the limit"))
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= MAX_SECONDS:
        found.append(Problem("rate_limit.per_seconds", f"Must be a number of seconds up to {MAX_SECONDS}"))
    return found


def take_turn(connection_id: UUID, rate: Mapping[str, Any], *, holder: str) -> Turn:
    """Return the holder's turn on a connection: the one it waits for, or else the next one. One statement.

    Args:
        connection_id: the connection that is called.
        rate: its limit: `limit` calls every `per_seconds`, spaced evenly after at most `burst` (1) at once.
        holder: who calls; the same each time it comes back for its turn.
    """
    params = {
        "connection": connection_id,
        "holder": holder,
        "every": rate["per_seconds"] / rate["limit"],
        "burst": rate.get("burst", 1),
        "late": LATE_SECONDS,
        "forgotten": FORGOTTEN_SECONDS,
    }
    return Turn(*sql.execute(_TAKE, params)[0])


def wait_turn(connection_id: UUID, name: str, rate: Mapping[str, Any], *, holder: str) -> None:
    """Return when the holder may call the connection now; otherwise raises NotYet with the time to wait."""
    wait = take_turn(connection_id, rate, holder=holder).wait_seconds
    if wait > 0:
        raise NotYet(
            wait,
            f"The connection {name!r} allows {rate['limit']} calls every {rate['per_seconds']:g} s; "
            f"the next free turn is in {wait:.3g} s",
        )


def _is_whole(value: Any, *, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
