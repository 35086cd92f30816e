"""Every command that changes something leaves its audit entries; commands and their verbs are looked up."""

from __future__ import annotations

import io
import sys
from argparse import _SubParsersAction
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import call_command, get_commands, load_command_class
from django.utils import timezone

from automate.models import Event, Execution
from automate.webhooks import sources
from automate.workflows import create_workflow
from automate_api.keys import create_key
from automate_core import secrets
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, OutboxItem, Role
from automate_modal.models import Job
from tests.admin.test_audited_routes import CANARY, World

pytestmark = pytest.mark.django_db


def a_source() -> None:
    sources.create_source(slug="shop", preset="generic", secret="first-secret", by="test")


def a_secret() -> None:
    secrets.store("SHOP", "first-secret", by="test")


def a_dead_letter() -> str:
    return str(OutboxItem.objects.create(kind="mail", status="FAILED").pk)


def a_key() -> str:
    return create_key(name="ci", tenant_id=DEFAULT_TENANT_ID, role=Role.VIEWER, by="test")[0].prefix


def a_schedule() -> None:
    create_workflow(
        name="Report", slug="report", graph={"nodes": [], "edges": []}, by="test", trigger_type="schedule",
        trigger_config={"cron": "0 12 * * *", "timezone": "UTC"},
    )  # fmt: skip


def an_old_event() -> None:
    event = Event.objects.create(type="a")
    Event.objects.filter(pk=event.pk).update(created_at=timezone.now() - timedelta(days=400))


def an_old_job() -> None:
    ended = timezone.now() - timedelta(days=400)
    Job.objects.create(
        id=UUID(int=(int(ended.timestamp() * 1000) << 80) + 1), endpoint=World().endpoint, kind="automation",
        run_id=uuid7(), status="SUCCESS", created_at=ended, finished_at=ended,
    )  # fmt: skip


def the_run(execution: Execution) -> str:
    return str(execution.pk)


Prepared = list[str]
SPAN = ["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-03T00:00:00Z"]
CHANGES: dict[tuple[str, str | None], tuple[Callable[[], Prepared], list[str]]] = {
    ("automate_apikey", "create"): (lambda: ["--name", "ci", "--role", "viewer"], ["apikey.created"]),
    ("automate_apikey", "revoke"): (lambda: [a_key()], ["apikey.revoked"]),
    ("automate_control", "cancel"): (
        lambda: [the_run(World().execution()), "--reason", f"password={CANARY}"],
        ["execution.cancel"],
    ),
    ("automate_control", "pause"): (lambda: [the_run(World().execution())], ["execution.pause"]),
    ("automate_control", "resume"): (
        lambda: [the_run(World().execution(paused_at=timezone.now()))],
        ["execution.resume"],
    ),
    ("automate_control", "skip"): (lambda: [the_run(World().waiting()), "ask"], ["execution.skip"]),
    ("automate_control", "retry"): (lambda: [the_run(World().waiting()), "ask"], ["execution.retry"]),
    ("automate_control", "replay"): (lambda: [the_run(World().execution("SUCCESS"))], ["execution.replay"]),
    ("automate_deadletters", "redrive"): (lambda: ["--id", a_dead_letter()], ["outbox.redriven"]),
    ("automate_deadletters", "discard"): (lambda: ["--id", a_dead_letter()], ["outbox.discarded"]),
    ("automate_emit", None): (lambda: ["order.paid", f'{{"password": "{CANARY}"}}'], ["event.emit"]),
    ("automate_model_triggers", "install"): (lambda: ["auth.Group"], ["model_triggers.install"]),
    ("automate_model_triggers", "remove"): (
        lambda: [str(call_command("automate_model_triggers", "install", "auth.Group") or "auth.Group")],
        ["model_triggers.remove"],
    ),
    ("automate_prune", None): (lambda: [str(an_old_event() or "--days=90")], ["history.prune"]),
    ("automate_prune_jobs", None): (lambda: [str(an_old_job() or "--days=90")], ["jobs.prune"]),
    ("automate_run", None): (
        lambda: [World().workflow.slug, f'{{"password": "{CANARY}"}}'],
        ["workflow.run"],
    ),
    ("automate_schedule_backfill", None): (
        lambda: [str(a_schedule() or "report"), *SPAN],
        ["schedule.backfill"],
    ),
    ("automate_secret", "set"): (lambda: ["SHOP", "--value", CANARY], ["secret.stored"]),
    ("automate_secret", "delete"): (lambda: [str(a_secret() or "SHOP")], ["secret.deleted"]),
    ("automate_webhook", "create"): (
        lambda: ["--source", "shop", "--preset", "generic", "--secret", CANARY],
        ["secret.stored", "webhook_source.create"],
    ),
    ("automate_webhook", "rotate"): (
        lambda: [str(a_source() or "--source"), "shop", "--secret", CANARY],
        ["secret.stored", "secret.stored", "webhook_source.rotate"],
    ),
    ("automate_webhook", "answer"): (
        lambda: [str(a_source() or "--source"), "shop", "--within", "5"],
        ["webhook_source.answer_within"],
    ),
    ("automate_webhook", "disable"): (
        lambda: [str(a_source() or "--source"), "shop"],
        ["webhook_source.disable"],
    ),
    ("automate_webhook", "enable"): (
        lambda: [
            str(a_source() or call_command("automate_webhook", "disable", "--source", "shop") or "--source"),
            "shop",
        ],
        ["webhook_source.enable"],
    ),
}
"""Each command and verb that changes something: arguments, made together with what they are about, and the entries."""
UNCHANGING: dict[tuple[str, str | None], str] = {
    ("automate_apikey", "list"): "reads",
    ("automate_audit", "verify"): "reads",
    ("automate_deadletters", "list"): "reads",
    ("automate_doctor", None): "reads",
    ("automate_execution", None): "reads",
    ("automate_lint", None): "reads",
    ("automate_model_triggers", "status"): "reads",
    ("automate_secret", "list"): "reads",
    ("automate_secret", "rotate-keys"): "tested beside the verb: it needs two keys in the settings",
    ("automate_webhook", "list"): "reads",
    ("automate_worker", None): "does what was promised, by whoever promised it",
    ("outbox_reap", None): "does what workers do by themselves",
}
"""Commands and verbs that leave no entry, and why."""


def verbs_of(name: str, app: str) -> list[tuple[str, str | None]]:
    parser = load_command_class(app, name).create_parser("manage.py", name)
    choices = [action.choices for action in parser._actions if isinstance(action, _SubParsersAction)]
    return [(name, verb) for verb in choices[0]] if choices else [(name, None)]


def test_every_command_is_here() -> None:
    """A new command or verb belongs in CHANGES, with the entries it leaves, or in UNCHANGING with the reason."""
    ours = {config.name for config in apps.get_app_configs() if config.name.startswith(("automate", "rag"))}
    found = {verb for name, app in get_commands().items() if app in ours for verb in verbs_of(name, app)}
    assert found - set(CHANGES) - set(UNCHANGING) == set()
    assert (set(CHANGES) | set(UNCHANGING)) - found == set()


@pytest.mark.parametrize(("command", "verb"), CHANGES)
def test_change_by_command_is_audited(command: str, verb: str | None, monkeypatch: Any) -> None:
    prepare, expected = CHANGES[command, verb]
    arguments = prepare()
    last = AuditEntry.all_tenants.order_by("-id").values_list("id", flat=True).first() or 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    out, err = io.StringIO(), io.StringIO()
    call_command(command, *([verb] if verb else []), *arguments, stdout=out, stderr=err)
    entries = list(AuditEntry.all_tenants.filter(id__gt=last).order_by("id"))
    assert [entry.action for entry in entries] == expected
    assert len({entry.trace_id for entry in entries}) == 1
    for entry in entries:
        assert (entry.actor, len(entry.trace_id)) == (f"command:{command}", 32)
        assert entry.before != entry.after
        assert CANARY not in str(AuditEntry.all_tenants.filter(pk=entry.pk).values())
