"""What every outbox store promises, and the items it hands out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from automate_core.errors import AutomateError
from automate_core.sql import Row


class LeaseLost(AutomateError):
    """The lease on this outbox item is no longer held; somebody else may have it."""


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """An outbox item under lease: what to deliver, and the epoch that fences writes about it."""

    id: int
    tenant_id: UUID
    kind: str
    key: str | None
    payload: dict[str, Any]
    attempts: int
    max_attempts: int
    suspect: bool
    epoch: int
    trace_id: str

    @classmethod
    def of_row(cls, row: Row) -> ClaimedItem:
        """Build an item from a row of `statements.COLUMNS`."""
        return cls(row[0], row[1], row[2], row[3], orjson.loads(row[4]), *row[5:10])


@dataclass(frozen=True, slots=True)
class Retry:
    """Give an item back for later: at `at` (aware datetime) or after `delay_seconds`."""

    item: ClaimedItem
    error: str
    delay_seconds: float = 0.0
    at: datetime | None = None


class OutboxStore(ABC):
    """Where promises wait. Implementations pass the conformance suite in tests."""

    @abstractmethod
    def claim_batch(self, worker: str, limit: int = 100, *, suspects: bool = True) -> list[ClaimedItem]:
        """Lease up to `limit` ready items to `worker`; each claim counts as an attempt.

        An item whose earlier claim ended with a lost worker is a suspect: it comes alone, and only when no
        other item is ready or `suspects` work is asked for by `claim_suspect`.
        """

    @abstractmethod
    def claim_suspect(self, worker: str, *, waited_seconds: float = 0.0) -> list[ClaimedItem]:
        """Lease one suspect item that has been ready for `waited_seconds`, or none."""

    @abstractmethod
    def mark_success(self, item_id: int, worker: str) -> None:
        """Settle an item as delivered; it leaves the outbox. Raises LeaseLost."""

    @abstractmethod
    def mark_retry(self, item_id: int, worker: str, next_attempt: datetime, error: str) -> None:
        """Give an item back until `next_attempt`; a dead letter when its attempts are used up. Raises LeaseLost."""

    @abstractmethod
    def mark_failed(self, item_id: int, worker: str, error: str) -> None:
        """Settle an item as a dead letter. Raises LeaseLost."""

    @abstractmethod
    def complete(self, items: Sequence[ClaimedItem], worker: str) -> set[int]:
        """Settle a batch as delivered; return the ids whose lease was still held."""

    @abstractmethod
    def retry(self, retries: Sequence[Retry], worker: str) -> dict[int, str]:
        """Give a batch back; return the new status of each item whose lease was still held."""

    @abstractmethod
    def renew(self, worker: str) -> set[int]:
        """Extend the leases of everything held; return the ids that turned out to be lost."""

    @abstractmethod
    def release(self, items: Sequence[ClaimedItem], worker: str) -> None:
        """Give back items that were not started; their claim does not count as an attempt."""
