"""Backfill: one event for each fire of a span, the same as the regular fire's."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automate import backfill as module
from automate.backfill import backfill, fires_of
from automate.models import Event, Execution, Trigger
from automate.schedules import fire_due
from automate.workflows import update_workflow
from automate_core.errors import Conflict, NotFound, ValidationFailed
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

SINCE = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=3)
BERLIN = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
FIRES = ["2026-03-28T01:30:00+00:00", "2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"]
"""On the 29th there is no 02:30 in Berlin; it fires when the clock jumps."""


def scheduled(config=BERLIN, **more):
    return workflow(
        node("a", "merge"), slug="report", trigger_type="schedule", trigger_config={**config, **more}
    )


def run(*arguments):
    out = io.StringIO()
    call_command("automate_schedule_backfill", *arguments, stdout=out)
    return out.getvalue()


def span(since=SINCE, until=UNTIL):
    return ["--since", since.isoformat(), "--until", until.isoformat()]


def test_each_fire_of_the_span_starts_the_workflow_once_however_often_it_is_run():
    made = scheduled()
    done = [backfill(slug="report", since=SINCE, until=UNTIL) for _ in range(2)]
    assert [(one.fires, one.created) for one in done] == [(3, 3), (3, 0)]
    payloads = Event.objects.order_by("id").values_list("payload", flat=True)
    assert list(payloads) == [
        {"trigger_id": str(made.triggers.get().id), "fire_at": fire, "backfill": True} for fire in FIRES
    ]
    drain()
    assert list(Execution.objects.values_list("status", flat=True)) == ["SUCCESS"] * 3


def test_fire_that_happened_then_is_not_made_up_for():
    scheduled(missed="all")
    Trigger.objects.update(next_fire_at=datetime.fromisoformat(FIRES[1]))
    assert fire_due(now=UNTIL) == 2
    assert backfill(slug="report", since=SINCE, until=UNTIL).created == 1
    assert sorted(Event.objects.values_list("payload__fire_at", flat=True)) == FIRES


def test_spread_fires_are_the_same_fires():
    scheduled(jitter_seconds=3600)
    first = Trigger.objects.get()
    assert backfill(slug="report", since=SINCE, until=UNTIL).created == 3
    Trigger.objects.update(next_fire_at=first.next_fire_at)
    assert sorted(Event.objects.values_list("payload__fire_at", flat=True)) == FIRES


def test_batches_are_reported_as_they_go(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    scheduled()
    seen = []
    backfill(slug="report", since=SINCE, until=UNTIL, progress=seen.append)
    assert [(one.done, one.fires, one.created) for one in seen] == [(2, 3, 2), (3, 3, 3)]


def test_thousands_of_fires_are_few_statements(django_assert_num_queries):
    scheduled({"interval_seconds": 60})
    with django_assert_num_queries(3):
        done = backfill(slug="report", since=SINCE, until=SINCE + timedelta(minutes=2_000))
    assert done.created == 2_000


def test_what_cannot_be_backfilled_is_refused(monkeypatch):
    made = scheduled()
    workflow(node("a", "merge"), slug="other")
    for slug, error in (("nope", NotFound), ("other", Conflict)):
        with pytest.raises(error):
            fires_of(slug=slug, since=SINCE, until=UNTIL)
    for since, until in ((UNTIL, SINCE), (SINCE, timezone.now() + timedelta(hours=1))):
        with pytest.raises(ValidationFailed):
            fires_of(slug="report", since=since, until=until)
    monkeypatch.setattr(module, "MAX_FIRES", 2)
    with pytest.raises(ValidationFailed, match="more than 2"):
        fires_of(slug="report", since=SINCE, until=UNTIL)
    update_workflow(made, by="test", enabled=False)
    with pytest.raises(Conflict, match="disabled"):
        fires_of(slug="report", since=SINCE, until=UNTIL)


def test_command_shows_and_emits():
    scheduled()
    tail = "3 fires; those that have their event already would be left alone\n"
    assert run("report", *span(), "--dry-run") == "".join(f"{fire}\n" for fire in FIRES) + tail
    assert Event.objects.count() == 0
    assert run("report", *span()) == "Emitted 3 events; 0 of 3 fires had theirs already\n"
    assert run("report", *span()) == "Emitted 0 events; 3 of 3 fires had theirs already\n"


def test_dry_run_of_many_shows_the_first_and_the_last():
    scheduled({"interval_seconds": 3600})
    lines = run("report", *span(), "--dry-run").splitlines()
    assert len(lines) == 12
    assert lines[10] == "... and 62 more, the last at 2026-03-30T23:00:00+00:00"


def test_command_refuses_a_time_without_offset():
    scheduled()
    with pytest.raises(CommandError, match="offset") as caught:
        run("report", "--since", "2026-03-28", "--until", "2026-03-29")
    assert caught.value.returncode == 2
