"""The `AUTOMATE` setting, typed: every key we enforce, its default and its unit. A key we do not know is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from automate_core.errors import AutomateError


class UnknownSetting(AutomateError):
    """The AUTOMATE setting has a key that nothing reads."""


@dataclass(frozen=True, slots=True)
class AutomateSettings:
    """Values of `settings.AUTOMATE`, with defaults for what is absent."""

    DEFAULT_TENANT: str | None = "default"
    """Slug of the tenant used where none is in context; None turns that off."""
    LEASE_SECONDS: float = 30.0
    """How long a claim lasts without a heartbeat; heartbeats come every third of it."""
    CLAIM_LIMIT: int = 100
    """Most outbox items one claim takes."""
    POLL_SECONDS: float = 0.5
    """How long an idle worker sleeps between looks at the outbox, before jitter."""
    EFFECT_SLOTS: int = 64
    """Outside calls one worker process makes at the same time."""
    DELIVERY_SLOTS: int = 32
    """Calls of webhook subscriptions one worker process makes at the same time."""
    MAX_CLAIMS: int = 3
    """Claims after which an item that never came back becomes a dead letter."""
    CANCEL_GRACE_SECONDS: float = 30.0
    """How long the calls of a cancelled execution may take to return before they are given up."""
    MAX_CAUSATION_DEPTH: int = 20
    """Longest chain of events caused by executions caused by events."""
    MAX_QUEUE: int = 1_000_000
    """Pending outbox items of one tenant above which webhook ingest answers 429."""
    MAX_WAITING_ANSWERS: int = 1_000
    """Deliveries that one web process lets wait for what a workflow responds; more are answered at once."""
    STEP_ATTEMPTS: int = 3
    """Tries a failing step gets when its node and workflow say nothing."""
    RETRY_INITIAL_SECONDS: float = 1.0
    """First back-off of a retry, before jitter."""
    RETRY_MAX_SECONDS: float = 300.0
    """Longest back-off of a retry."""
    CHANNEL_LAYER: str = "default"
    """Alias in CHANNEL_LAYERS of the layer that carries live messages; one over PostgreSQL where there is none."""
    LIVE_CONNECTIONS: int = 20
    """Live connections (WebSockets and event streams) one caller may hold at the same time."""
    BODY_LIMIT_BYTES: int = 1_048_576
    """Largest request body accepted under /api/."""
    JSON_DEPTH_LIMIT: int = 64
    """Deepest nesting of a JSON body."""
    HTTP_ALLOW: tuple[str, ...] = ()
    """Exact `host:port` targets the outbound guard lets through although they are not public."""
    HTTP_RESPONSE_LIMIT_BYTES: int = 5_242_880
    """Largest response body an outbound call may read."""
    CELERY_DOORBELL: bool = False
    """Whether a new outbox item also sends Celery's drain task, at most once a second."""
    SECRET_KEYS: tuple[str, ...] = ()
    """Base64 256-bit keys that encrypt stored secrets, newest first; derived from SECRET_KEY when empty."""
    SECRET_ENV_ALLOW: tuple[str, ...] = ()
    """Environment variables `$env:` may read."""
    VAULT: tuple[str, str] | None = None
    """(address, token) of the HashiCorp Vault `$vault:` reads; needs the extra `vault`."""
    PUBLIC_URL: str = ""
    """Where people and other systems reach this site, as in "https://shop.example"; links in messages begin with it."""
    JOB_WAIT_SECONDS: float = 30.0
    """How long a synchronous run of an endpoint waits for its job to end, before it answers with the open job."""
    JOB_WAIT_SLOTS: int = 32
    """Synchronous runs of endpoints that wait in one web process; more are answered with the open job at once."""
    JOB_STREAM_SECONDS: float = 600.0
    """How long one stream of a job's events lasts; clients go on with `Last-Event-ID`."""
    JOB_STREAM_SLOTS: int = 100
    """Streams of jobs' events one web process has open; more are answered 503."""
    ARTIFACT_LIMIT_BYTES: int = 26_214_400
    """Largest file an endpoint's job may leave behind."""
    RETENTION_DAYS: int = 30
    """Age in days after which `automate_prune` removes finished executions and their events."""


@cache
def get() -> AutomateSettings:
    """Return the current settings; raises UnknownSetting for a key that nothing reads."""
    given: dict[str, Any] = dict(getattr(settings, "AUTOMATE", {}))
    known = {field.name for field in fields(AutomateSettings)}
    if unknown := sorted(set(given) - known):
        raise UnknownSetting(f"Unknown AUTOMATE setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    return AutomateSettings(**plain)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "AUTOMATE":
        get.cache_clear()


setting_changed.connect(_forget, dispatch_uid="automate_core.conf")
