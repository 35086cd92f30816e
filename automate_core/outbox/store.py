"""Claiming outbox items and settling them, each write fenced by owner and lease epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from automate_core import sql
from automate_core.arrays import plain
from automate_core.outbox import statements
from automate_core.outbox.base import ClaimedItem, LeaseLost, OutboxStore, Retry
from automate_core.outbox.lanes import Lanes

FLOOR_SLACK_SECONDS = 0.00001
"""What a floor may lose on its way through a double; times have microseconds."""


@dataclass(slots=True)
class _Held:
    item: ClaimedItem
    deadline: float
    lost: bool = False


class SkipLockedClaimOutboxStore(OutboxStore):
    """The outbox in PostgreSQL, claimed with FOR UPDATE SKIP LOCKED, round the tenants.

    Args:
        lease_seconds: how long a claim lasts unless renewed, on the database's clock.
        kinds: claim only these kinds; None claims all.
        using: Django database alias.

    The store remembers its own claims with their epochs, so `mark_*` need only the id.
    """

    def __init__(
        self, lease_seconds: float = 300, *, kinds: Sequence[str] | None = None, using: str = "default"
    ) -> None:
        self.lease_seconds = float(lease_seconds)
        self.using = using
        self._kinds = list(kinds) if kinds is not None else None
        self._lanes = Lanes()
        self._held: dict[int, _Held] = {}
        self._ahead: float | None = None

    @property
    def suspects_waiting(self) -> bool:
        """Whether the last look at the outbox saw suspect items."""
        return self._lanes.suspects_waiting

    def claim_batch(self, worker: str, limit: int = 100, *, suspects: bool = True) -> list[ClaimedItem]:
        """Lease up to `limit` ready items to `worker`, the oldest of each tenant and priority first."""
        if self._lanes.look_is_overdue():
            self._look()
        claimed = self._claim_known(worker, limit)
        if not claimed and self._lanes.look_is_due():
            self._look()
            claimed = self._claim_known(worker, limit)
        if not claimed and suspects and self._lanes.suspects_waiting:
            return self.claim_suspect(worker)
        return claimed

    def look_soon(self) -> None:
        """Let the next claim look at the whole outbox when the lanes it knows give nothing."""
        self._lanes.look_soon()

    def claim_suspect(self, worker: str, *, waited_seconds: float = 0.0) -> list[ClaimedItem]:
        """Lease the oldest suspect item, alone."""
        params = {
            "worker": worker,
            "lease": self.lease_seconds,
            "kinds": self._kinds,
            "waited": waited_seconds,
        }
        claimed = self._keep(sql.execute(statements.CLAIM_SUSPECT, params, using=self.using))
        if not claimed and not waited_seconds:
            self._lanes.suspects_waiting = False
        return claimed

    def now(self) -> float:
        """Return the database's time in seconds since the epoch, kept from the last claim by the monotonic clock."""
        if self._ahead is None:
            self._read_clock(sql.execute(statements.NOW, using=self.using)[0][0])
        assert self._ahead is not None
        return time.monotonic() + self._ahead

    def mark_success(self, item_id: int, worker: str) -> None:
        """Settle an item as delivered."""
        self._settle(statements.COMPLETE, item_id, worker)

    def mark_retry(self, item_id: int, worker: str, next_attempt: datetime, error: str) -> None:
        """Give an item back until `next_attempt`."""
        self._settle(
            statements.RETRY, item_id, worker, at=[next_attempt], delays=[0.0], errors=[_stored(error)]
        )

    def mark_failed(self, item_id: int, worker: str, error: str) -> None:
        """Settle an item as a dead letter."""
        self._settle(statements.FAIL, item_id, worker, errors=[_stored(error)])

    def complete(self, items: Sequence[ClaimedItem], worker: str) -> set[int]:
        """Settle a batch as delivered, in one statement."""
        return {row[0] for row in self._batch(statements.COMPLETE, items, worker)}

    def retry(self, retries: Sequence[Retry], worker: str) -> dict[int, str]:
        """Give a batch back, in one statement."""
        rows = self._batch(
            statements.RETRY,
            [retry.item for retry in retries],
            worker,
            at=[retry.at for retry in retries],
            delays=[float(retry.delay_seconds) for retry in retries],
            errors=[_stored(retry.error) for retry in retries],
        )
        return {row[0]: row[1] for row in rows}

    def fail(self, failures: Sequence[tuple[ClaimedItem, str]], worker: str) -> set[int]:
        """Settle a batch as dead letters, in one statement; return the ids whose lease was still held."""
        items = [item for item, _ in failures]
        errors = [_stored(error) for _, error in failures]
        return {row[0] for row in self._batch(statements.FAIL, items, worker, errors=errors)}

    def renew(self, worker: str) -> set[int]:
        """Extend the leases of everything held, in one statement; called from the heartbeat's thread."""
        held = list(self._held.values())
        if not held:
            return set()
        deadline = time.monotonic() + self.lease_seconds
        params = {
            "ids": plain(one.item.id for one in held),
            "epochs": plain(one.item.epoch for one in held),
            "worker": worker,
            "lease": self.lease_seconds,
        }
        renewed = {row[0] for row in sql.execute(statements.RENEW, params, using=self.using)}
        for one in held:
            if one.item.id in renewed:
                one.deadline = deadline
            else:
                one.lost = True
        return {one.item.id for one in held if one.item.id not in renewed and one.item.id in self._held}

    def holds(self, item: ClaimedItem) -> bool:
        """Tell whether, as far as this process can know, the lease on `item` still runs."""
        one = self._held.get(item.id)
        if one is None or one.lost or one.item.epoch != item.epoch:
            return False
        return one.deadline > time.monotonic()

    def has_again(self, item_id: int) -> bool:
        """Tell whether an item whose lease was found lost has been claimed anew by this store since."""
        one = self._held.get(item_id)
        return one is not None and not one.lost

    def held_count(self) -> int:
        """Return how many items are under lease to this store."""
        return len(self._held)

    def adopt(self, item: ClaimedItem) -> None:
        """Take note of an item that was created already leased to this store's worker."""
        self._held[item.id] = _Held(item, time.monotonic() + self.lease_seconds)

    def release(self, items: Sequence[ClaimedItem], worker: str) -> None:
        """Give back items that were not started."""
        self._batch(statements.RELEASE, items, worker)

    def defer(self, deferrals: Sequence[tuple[ClaimedItem, float]], worker: str) -> None:
        """Give back items that were not started, each for so many seconds; the claim does not count as an attempt."""
        items = [item for item, _ in deferrals]
        self._batch(statements.DEFER, items, worker, delays=plain(float(delay) for _, delay in deferrals))

    def forget(self, item_id: int) -> None:
        """Drop an item that was settled by a fenced write elsewhere, or lost."""
        self._held.pop(item_id, None)

    def _look(self) -> None:
        started = time.perf_counter()
        rows = sql.execute(statements.LANES, {"kinds": self._kinds}, using=self.using)
        self._lanes.found(rows, took_seconds=time.perf_counter() - started)

    def _claim_known(self, worker: str, limit: int) -> list[ClaimedItem]:
        lanes = self._lanes.turn(limit)
        if not lanes:
            return []
        params = {
            "worker": worker,
            "lease": self.lease_seconds,
            "kinds": self._kinds,
            "tenants": plain(lane.tenant_id for lane in lanes),
            "priorities": plain(lane.priority for lane in lanes),
            "floors": plain(lane.floor - FLOOR_SLACK_SECONDS for lane in lanes),
            "share": -(-limit // len({lane.tenant_id for lane in lanes})),
            "limit": limit,
        }
        rows = sql.execute(statements.CLAIM, params, using=self.using)
        self._lanes.claimed(lanes, rows)
        return self._keep(rows)

    def _read_clock(self, moment: float) -> None:
        self._ahead = moment - time.monotonic()

    def _keep(self, rows: list[sql.Row]) -> list[ClaimedItem]:
        if rows:
            self._read_clock(rows[0][12])
        rows.sort(key=lambda row: (-row[10], row[11], row[0]))
        items = [ClaimedItem.of_row(row) for row in rows]
        for item in items:
            self.adopt(item)
        return items

    def _batch(
        self, statement: str, items: Sequence[ClaimedItem], worker: str, **columns: Any
    ) -> list[sql.Row]:
        if not items:
            return []
        params = {
            "ids": plain(item.id for item in items),
            "epochs": plain(item.epoch for item in items),
            "worker": worker,
            **columns,
        }
        rows = sql.execute(statement, params, using=self.using)
        for item in items:
            self._held.pop(item.id, None)
        return rows

    def _settle(self, statement: str, item_id: int, worker: str, **columns: Any) -> None:
        held = self._held.pop(item_id, None)
        epoch = held.item.epoch if held else None
        params = {"ids": plain([item_id]), "epochs": plain([epoch]), "worker": worker, **columns}
        if held is None or not sql.execute(statement, params, using=self.using):
            raise LeaseLost(f"{worker!r} no longer holds outbox item {item_id}")


def _stored(error: str) -> str:
    return error.replace("\x00", "")[:10_000]
