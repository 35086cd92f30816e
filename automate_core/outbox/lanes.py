"""Which lanes (tenant, priority) a store claims from next: fair turns, and where in each to start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from automate_core.sql import Row

LOOK_SHARE = 50
"""A look for lanes may cost one part in this many of the time, so that bloat never slows claims."""
LOOK_AT_LEAST_SECONDS = 2.0
"""How long claims that find work may put off a look."""
KEEP_SECONDS = 1.5
"""How long a lane stays known after it last gave an item: no shorter than the doorbell keeps a worker alert."""
LANES_PER_CLAIM = 64


@dataclass(slots=True)
class Lane:
    """One tenant and priority; `floor` is the oldest `available_at`, in Unix seconds, that may still be ready."""

    tenant_id: UUID
    priority: int
    floor: float
    last_hit: float


class Lanes:
    """The lanes known to have work. Selection is by state, the floor is only a hint: a look forgets it."""

    def __init__(self) -> None:
        self.suspects_waiting = False
        self._lanes: dict[tuple[UUID, int], Lane] = {}
        self._next_look = self._last_look = 0.0
        self._turn = 0

    def look_is_due(self) -> bool:
        """Tell whether enough time has passed since the last look, in proportion to its cost."""
        return time.monotonic() >= self._next_look

    def look_is_overdue(self) -> bool:
        """Tell whether a look is due although claims find work: late commits and suspects wait for one."""
        return self.look_is_due() and time.monotonic() - self._last_look >= LOOK_AT_LEAST_SECONDS

    def look_soon(self) -> None:
        """Let the next claim that finds nothing look, whatever the last look cost."""
        self._next_look = 0.0

    def found(self, rows: Sequence[Row], *, took_seconds: float) -> None:
        """Take the rows of a look: (tenant, priority, oldest ready, suspects); lanes lately in use stay known."""
        now = time.monotonic()
        self._last_look, self._next_look = now, now + LOOK_SHARE * took_seconds
        self.suspects_waiting = bool(rows and rows[0][3])
        oldest = now - KEEP_SECONDS
        self._lanes = {place: lane for place, lane in self._lanes.items() if lane.last_hit >= oldest}
        for tenant_id, priority, floor, _ in rows:
            if tenant_id is not None:
                self._lanes[tenant_id, priority] = Lane(tenant_id, priority, floor, now)

    def turn(self, limit: int) -> list[Lane]:
        """Return the lanes of the next claim, rotated so that every tenant is first in its turn."""
        oldest = time.monotonic() - KEEP_SECONDS
        lanes = [lane for lane in self._lanes.values() if lane.last_hit >= oldest]
        if not lanes:
            return []
        self._turn = (self._turn + 1) % len(lanes)
        return (lanes[self._turn :] + lanes[: self._turn])[: min(limit, LANES_PER_CLAIM)]

    def claimed(self, lanes: Sequence[Lane], rows: Sequence[Row]) -> None:
        """Move floors up to the oldest item each lane just gave; rows carry priority and available_at."""
        first: dict[tuple[UUID, int], float] = {}
        for row in rows:
            place = (row[1], row[10])
            if place not in first or row[11] < first[place]:
                first[place] = row[11]
        now = time.monotonic()
        for lane in lanes:
            oldest = first.get((lane.tenant_id, lane.priority))
            if oldest is not None:
                lane.floor, lane.last_hit = oldest, now
