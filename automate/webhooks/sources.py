"""Webhook sources: creating them, rotating their secrets, and the cached view the ingest route looks them up in."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from automate.models import WebhookSource
from automate.webhooks.presets import PRESETS
from automate.webhooks.signatures import signing_key
from automate_core import audit, secrets
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError, Problem, ValidationFailed
from automate_core.models import Secret, current_tenant_id

logger = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""How long a web process may go on with what it read about a source."""
CACHE_LIMIT = 10_000
SHORTEST_ANSWER_SECONDS, LONGEST_ANSWER_SECONDS = 0.1, 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """What ingest needs to know about a source; an unknown one has no keys and so refuses everything."""

    slug: str
    tenant_id: str
    preset: str
    keys: tuple[bytes, ...]
    type_header: str | None
    type_field: str | None
    answer_seconds: float | None = None


_cache: dict[str, tuple[float, Source]] = {}


def create_source(
    *,
    slug: str,
    preset: str,
    secret: str,
    by: str,
    type_header: str = "",
    type_field: str = "",
    answer_seconds: float | None = None,
) -> WebhookSource:
    """Create a source in the tenant in context; its secret is stored encrypted.

    Args:
        slug: last part of the route, unique across tenants.
        preset: generic, github, stripe, slack or standard-webhooks.
        secret: what the sender signs with.
        type_header: header that carries the event type, instead of the preset's.
        type_field: dotted path in the body that carries it.
        answer_seconds: how long a delivery waits for what a workflow responds, 0.1 to 60; None answers at once.

    Raises:
        ValidationFailed: with every wrong field.
    """
    problems = []
    if preset not in PRESETS:
        problems.append(Problem("preset", f"must be one of {', '.join(PRESETS)}, not {preset!r}"))
    if (
        not slug
        or len(slug) > 100
        or not slug.replace("-", "").replace("_", "").isalnum()
        or not slug.isascii()
    ):
        problems.append(Problem("source", "must be 1 to 100 letters, digits, hyphens or underscores"))
    if not secret:
        problems.append(Problem("secret", "must not be empty"))
    problems += _answer_problems(answer_seconds)
    if problems:
        raise ValidationFailed.of(problems)
    signing_key(preset, secret.encode())
    name, tenant_id = f"webhook.{slug}", current_tenant_id()
    try:
        with transaction.atomic():
            source = WebhookSource.all_tenants.create(
                tenant_id=tenant_id, slug=slug, preset=preset, secret_name=name,
                type_header=type_header, type_field=type_field, answer_seconds=answer_seconds,
            )  # fmt: skip
            secrets.store(name, secret, by=by)
            _record(source, "webhook_source.create", by=by, before=None)
    except IntegrityError as error:
        raise ValidationFailed.of([Problem("source", f"{slug!r} already exists")]) from error
    forget()
    return source


def rotate_secret(source: WebhookSource, secret: str, *, by: str) -> WebhookSource:
    """Sign with a new secret from now on; the one before stays valid until the next rotation.

    Raises:
        ValidationFailed: the secret is empty or the one that is in use.
    """
    if not secret:
        raise ValidationFailed.of([Problem("secret", "must not be empty")])
    signing_key(source.preset, secret.encode())
    with _changing(source, "webhook_source.rotate", by=by):
        previous = secrets.resolve(f"$secret:{source.secret_name}")
        if previous == secret:
            raise ValidationFailed.of([Problem("secret", "is the one in use; give a new one")])
        source.previous_secret_name = f"webhook.{source.slug}.previous"
        # The older row first, as when encryption keys are rotated: the two wait for each other and never deadlock.
        secrets.store(source.secret_name, secret, by=by)
        secrets.store(source.previous_secret_name, previous, by=by)
        source.save(update_fields=["previous_secret_name", "updated_at"])
    forget()
    return source


def answer_within(source: WebhookSource, seconds: float | None, *, by: str) -> WebhookSource:
    """Let deliveries wait so long for what a workflow responds; None answers them at once.

    Raises:
        ValidationFailed: `seconds` is not from 0.1 to 60.
    """
    if problems := _answer_problems(seconds):
        raise ValidationFailed.of(problems)
    with _changing(source, "webhook_source.answer_within", by=by):
        source.answer_seconds = seconds
        source.save(update_fields=["answer_seconds", "updated_at"])
    forget()
    return source


def disable(source: WebhookSource, *, by: str) -> WebhookSource:
    """Refuse the source's deliveries from now on."""
    return _switch(source, is_enabled=False, action="webhook_source.disable", by=by)


def enable(source: WebhookSource, *, by: str) -> WebhookSource:
    """Accept the source's deliveries again."""
    return _switch(source, is_enabled=True, action="webhook_source.enable", by=by)


def cached(slug: str) -> Source | None:
    """Return what is known about a source without asking the database; None when that is too old."""
    held = _cache.get(slug)
    return held[1] if held and held[0] > time.monotonic() else None


def look_up(slug: str) -> Source:
    """Read a source and its keys; an unknown or disabled one comes back without keys."""
    row = WebhookSource.all_tenants.filter(slug=slug, is_enabled=True).first()
    source = Source(slug, "", "generic", (), None, None) if row is None else _loaded(row)
    if len(_cache) >= CACHE_LIMIT:
        _cache.clear()
    _cache[slug] = (time.monotonic() + FRESH_SECONDS, source)
    return source


def forget() -> None:
    """Drop what is cached."""
    _cache.clear()


def _answer_problems(seconds: float | None) -> list[Problem]:
    if seconds is None or SHORTEST_ANSWER_SECONDS <= seconds <= LONGEST_ANSWER_SECONDS:
        return []
    return [Problem("answer_seconds", f"must be from 0.1 to 60 seconds, or absent, not {seconds!r}")]


def _switch(source: WebhookSource, *, is_enabled: bool, action: str, by: str) -> WebhookSource:
    with _changing(source, action, by=by):
        source.is_enabled = is_enabled
        source.save(update_fields=["is_enabled", "updated_at"])
    forget()
    return source


@contextmanager
def _changing(source: WebhookSource, action: str, *, by: str) -> Iterator[None]:
    """Open a transaction with the source as it is stored now, locked, and an audit entry at its end."""
    with transaction.atomic(), tenant_scope(source.tenant_id):
        source.refresh_from_db(from_queryset=WebhookSource.all_tenants.select_for_update())
        before = _facts(source)
        yield
        _record(source, action, by=by, before=before)


def _record(source: WebhookSource, action: str, *, by: str, before: dict[str, Any] | None) -> None:
    target = f"webhook_source:{source.slug}"
    audit.record(actor=by, action=action, target=target, before=before, after=_facts(source))


def _facts(source: WebhookSource) -> dict[str, Any]:
    names = ("preset", "type_header", "type_field", "answer_seconds", "is_enabled")
    stored = Secret.objects.filter(name=source.secret_name).values_list("version", flat=True).first()
    return {**{name: getattr(source, name) for name in names}, "secret_version": stored}


def _loaded(row: WebhookSource) -> Source:
    keys = []
    with tenant_scope(row.tenant_id):
        for name in filter(None, (row.secret_name, row.previous_secret_name)):
            try:
                secret = secrets.resolve(f"$secret:{name}").encode()
                signing_key(row.preset, secret)
            except AutomateError as error:
                logger.warning("webhook.secret_unusable", extra={"source": row.slug, "error": error.message})
            else:
                keys.append(secret)
    return Source(
        row.slug, str(row.tenant_id), row.preset, tuple(keys), row.type_header or None, row.type_field or None,
        row.answer_seconds,
    )  # fmt: skip
