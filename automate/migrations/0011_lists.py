"""Index every list as it is ordered, newest first, by each thing it is narrowed by."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Executions and events go on being written meanwhile, however many there are.
    atomic = False

    dependencies = [("automate", "0010_subscriptions")]

    operations = [
        AddIndexConcurrently(
            "event", models.Index(fields=["tenant", "-created_at", "-id"], name="automate_event_recent")
        ),
        AddIndexConcurrently(
            "event", models.Index(fields=["tenant", "type", "-created_at", "-id"], name="automate_event_kind")
        ),
        AddIndexConcurrently(
            "event",
            models.Index(fields=["tenant", "source", "-created_at", "-id"], name="automate_event_from"),
        ),
        AddIndexConcurrently(
            "event",
            models.Index(
                condition=models.Q(("trace_id", ""), _negated=True),
                fields=["trace_id"],
                name="automate_event_trace",
            ),
        ),
        AddIndexConcurrently(
            "execution",
            models.Index(fields=["tenant", "-created_at", "-id"], name="automate_execution_recent"),
        ),
        AddIndexConcurrently(
            "execution",
            models.Index(fields=["tenant", "status", "-created_at", "-id"], name="automate_execution_state"),
        ),
        AddIndexConcurrently(
            "execution",
            models.Index(
                fields=["automation", "-created_at", "-id"],
                include=["tenant"],
                name="automate_execution_runs",
            ),
        ),
        AddIndexConcurrently(
            "execution",
            models.Index(
                fields=["automation", "status", "-created_at", "-id"],
                include=["tenant"],
                name="automate_execution_outcome",
            ),
        ),
        AddIndexConcurrently(
            "execution",
            models.Index(
                condition=models.Q(("trace_id", ""), _negated=True),
                fields=["trace_id"],
                name="automate_execution_trace",
            ),
        ),
        RemoveIndexConcurrently("event", "automate_event_type"),
        RemoveIndexConcurrently("execution", "automate_execution_status"),
        RemoveIndexConcurrently("execution", "automate_execution_of"),
    ]
