"""What processes note of those who look on: which workflows they watch, and how many connections each caller holds.

Rows expire by themselves, so a process that was killed leaves nothing behind that lasts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from uuid import UUID, uuid4

from automate.realtime.reader import Reader
from automate_core.errors import AutomateError, ErrorCodes

KEEP_SECONDS = 30.0
"""How long a row counts that nobody refreshes."""
REFRESH_SECONDS = 10.0

_EXPIRES = f"clock_timestamp() + make_interval(secs => {KEEP_SECONDS})"

_WATCH = f"""
INSERT INTO automate_livewatch (automation_id, process, expires_at)
SELECT id, %(process)s::uuid, {_EXPIRES} FROM unnest(%(ids)s::uuid[]) AS w(id) ORDER BY id
ON CONFLICT (automation_id, process) DO UPDATE SET expires_at = excluded.expires_at
RETURNING extract(epoch FROM clock_timestamp())::float8
"""
_UNWATCH = "DELETE FROM automate_livewatch WHERE process = %(process)s::uuid AND automation_id = ANY(%(ids)s::uuid[])"
_SWEEP = """
WITH watches AS (DELETE FROM automate_livewatch WHERE expires_at < clock_timestamp() - interval '1 minute')
DELETE FROM automate_liveseat WHERE expires_at < clock_timestamp() - interval '1 minute'
"""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('automate.live/' || %(caller)s::text, 0))"
_TAKE = f"""
INSERT INTO automate_liveseat AS mine (caller, process, seats, expires_at)
SELECT %(caller)s::text, %(process)s::uuid, %(seats)s::int4, {_EXPIRES} WHERE %(seats)s::int4 + coalesce((
  SELECT sum(seats) FROM automate_liveseat
  WHERE caller = %(caller)s::text AND process <> %(process)s::uuid AND expires_at > clock_timestamp()), 0) <= %(limit)s
ON CONFLICT (caller, process) DO UPDATE SET seats = excluded.seats, expires_at = excluded.expires_at
RETURNING seats
"""
_HOLD = f"""
INSERT INTO automate_liveseat (caller, process, seats, expires_at)
SELECT caller, %(process)s::uuid, seats, {_EXPIRES}
FROM unnest(%(callers)s::text[], %(seats)s::int4[]) AS s(caller, seats) ORDER BY caller
ON CONFLICT (caller, process) DO UPDATE SET seats = excluded.seats, expires_at = excluded.expires_at
"""
_LEAVE = (
    "DELETE FROM automate_liveseat WHERE process = %(process)s::uuid AND caller = ANY(%(callers)s::text[])"
)


class TooManyConnections(AutomateError):
    """You hold as many live connections as one caller may; close one first."""

    code = ErrorCodes.RATE_LIMITED


class Presence:
    """The rows of one process."""

    def __init__(self, reader: Reader) -> None:
        self.process: UUID = uuid4()
        self._reader = reader
        self._seats: Counter[str] = Counter()
        self._noted: set[str] = set()
        self._lock = asyncio.Lock()
        self.is_unsettled = False

    async def watch(self, workflow_ids: Iterable[str]) -> float:
        """Note, for the next KEEP_SECONDS, that workflows are watched here; return the database's time."""
        rows = await self._reader.fetch(_WATCH, {"process": self.process, "ids": list(workflow_ids)})
        return float(rows[0][0]) if rows else 0.0

    async def unwatch(self, workflow_ids: Iterable[str]) -> None:
        """Note that workflows are not watched here any more."""
        await self._reader.fetch(_UNWATCH, {"process": self.process, "ids": list(workflow_ids)})

    async def take_seat(self, caller: str, *, limit: int) -> None:
        """Count one more connection of a caller, of all processes together.

        Raises:
            TooManyConnections: the caller holds `limit` already.
        """
        async with self._lock:
            seats = {
                "caller": caller,
                "process": self.process,
                "limit": limit,
                "seats": self._seats[caller] + 1,
            }
            async with self._reader.transaction() as connection:
                await connection.execute(_LOCK, seats)
                if await (await connection.execute(_TAKE, seats)).fetchone() is None:
                    raise TooManyConnections
            self._seats[caller] += 1
            self._noted.add(caller)

    def leave_seat(self, caller: str) -> None:
        """Count one connection less; the rows follow with `settle_seats`."""
        self._seats[caller] -= 1
        self.is_unsettled = True

    @property
    def is_empty(self) -> bool:
        """Whether nobody is connected here."""
        return not any(self._seats.values())

    async def refresh(self, workflow_ids: Iterable[str]) -> None:
        """Keep what is watched and held here from expiring, and remove what others left behind."""
        await self.watch(workflow_ids)
        await self.settle_seats()
        await self._reader.fetch(_SWEEP, {})

    async def settle_seats(self) -> None:
        """Bring the rows in line with the connections held here."""
        async with self._lock:
            self._seats += Counter()  # keeps what is above zero
            self.is_unsettled = False
            held = dict(self._seats)
            gone = self._noted - held.keys()
            if gone:
                await self._reader.fetch(_LEAVE, {"process": self.process, "callers": sorted(gone)})
            if held:
                seats = {"callers": list(held), "seats": list(held.values())}
                await self._reader.fetch(_HOLD, {"process": self.process, **seats})
            self._noted = set(held)
