"""What endpoints run: the contract of a backend, one for each kind of endpoint, registered in `AppConfig.ready`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models.expressions import Combinable, OuterRef

from automate_core.errors import Problem
from automate_core.registry import Registry

SOON_SECONDS = 0.01
LATE_SECONDS = 0.25
"""Shortest and longest time between two looks at a run that is waited for; a tenth of how long it has been."""


class RunStatus(models.TextChoices):
    """Where a run stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over."""
        return self in TERMINAL


TERMINAL = frozenset({RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as it stands."""

    status: RunStatus
    error_code: str = ""
    error_message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunChange:
    """Something that happened in a run: `seq` orders what happened, `type` is a word such as `step`."""

    seq: int
    type: str
    at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class EndpointBackend(ABC):
    """Runs the endpoints of one kind, in the tenant in context.

    A run is durable: it is found by its id in every process, and goes on when a process is lost. Everything given
    back is plain data without secrets.
    """

    kind: ClassVar[str]
    label: ClassVar[str] = ""
    config_schema: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with an endpoint's config; fields are paths inside it."""

    @abstractmethod
    def start(self, config: Mapping[str, Any], payload: Mapping[str, Any]) -> UUID:
        """Start a run in the caller's transaction and return its id.

        Raises:
            ValidationFailed: the payload is not acceptable; fields begin with `input`.
            Conflict: what the config names cannot be run now.
        """

    @abstractmethod
    def state(self, run_id: UUID) -> RunState | None:
        """Return where a run stands; None when it is gone."""

    @abstractmethod
    def columns(self, run_id: OuterRef) -> Mapping[str, Combinable]:
        """Return SQL expressions of a run's `status`, `started_at` and `finished_at`, NULL when it is gone."""

    @abstractmethod
    def output(self, run_id: UUID) -> Any:
        """Return what a run that succeeded gave back, as JSON-like data."""

    @abstractmethod
    def changes(self, run_id: UUID, *, after: int, limit: int) -> Sequence[RunChange]:
        """Return what happened after the change `after`, in order, at most `limit`; of one thing the latest."""

    @abstractmethod
    def cancel(self, run_id: UUID, *, by: str) -> None:
        """End a run at once where nothing is at work on it, else ask it to stop.

        Raises:
            Conflict: it is over.
            NotFound: it is gone.
        """

    def progress(self, run_id: UUID) -> float | None:
        """Return how far a run is, from 0 to 1; None when nobody can tell."""
        return None

    def wait(self, run_id: UUID, *, seconds: float) -> RunState | None:
        """Return the state a run has when it ends, or after `seconds`; None when it is gone."""
        started = time.monotonic()
        while True:
            state = self.state(run_id)
            waited = time.monotonic() - started
            if state is None or state.status.is_terminal or waited >= seconds:
                return state
            time.sleep(min(max(waited / 10, SOON_SECONDS), LATE_SECONDS, seconds - waited))


endpoint_registry: Registry[EndpointBackend] = Registry("kind of endpoint")
