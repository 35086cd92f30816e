from __future__ import annotations

import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automate.models import Event
from automate_core.ids import uuid7

pytestmark = pytest.mark.django_db(transaction=True)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def run(*arguments: str, stderr: io.StringIO | None = None) -> str:
    out = io.StringIO()
    call_command("automate_prune", *arguments, stdout=out, stderr=stderr or io.StringIO())
    return out.getvalue()


def old_event(days: int) -> Event:
    age = timedelta(days=days)
    aged = UUID(int=uuid7().int - (int(age.total_seconds() * 1000) << 80))
    return Event.objects.create(id=aged, type="order.created", created_at=timezone.now() - age)


def test_prune_keeps_the_days_of_the_setting(settings: Any) -> None:
    settings.AUTOMATE = {"RETENTION_DAYS": 7}
    old_event(8)
    kept = old_event(6)
    said = (
        "Removed 0 executions with 0 steps, 1 events, and the payloads of 0 events with a dedupe key, "
        "older than 7 days\n"
    )
    assert run() == said
    assert Event.objects.get() == kept


def test_prune_takes_other_days() -> None:
    old_event(4)
    run("--days", "5")
    assert Event.objects.count() == 1
    run("--days", "3")
    assert Event.objects.count() == 0


def test_dry_run_removes_nothing() -> None:
    old_event(40)
    assert run("--dry-run").startswith("Would remove 0 executions with 0 steps, 1 events")
    assert Event.objects.count() == 1


def test_progress_goes_to_a_terminal_only() -> None:
    old_event(40)
    terminal, file = Terminal(), io.StringIO()
    run(stderr=file)
    old_event(40)
    run(stderr=terminal)
    assert (file.getvalue(), "0 executions, 1 events, 0 payloads" in terminal.getvalue()) == ("", True)


@pytest.mark.parametrize("days", ["-1", "99999999"])
def test_days_outside_the_range_are_wrong_usage(days: str) -> None:
    with pytest.raises(CommandError, match="--days must be 0 to 36500") as caught:
        run("--days", days)
    assert caught.value.returncode == 2
