"""Index lists by the pairs of things they are narrowed by.

Two things that many rows have and few have both are an index of their own. Otherwise the index that puts a list in its
order also holds what else it may be narrowed by: then its entries are read and counted, not the rows.
"""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

NEWEST = ("-created_at", "-id")
ADDED = [
    (
        "execution",
        models.Index(
            fields=["tenant", "status", *NEWEST, "event_type"],
            name="automate_execution_by_status",
        ),
    ),
    (
        "execution",
        models.Index(
            fields=["tenant", "event_type", *NEWEST, "status"],
            condition=~models.Q(event_type=""),
            name="automate_execution_by_event",
        ),
    ),
    (
        "execution",
        models.Index(
            fields=["automation", "status", *NEWEST, "event_type"],
            include=["tenant"],
            name="automate_execution_by_outcome",
        ),
    ),
    (
        "execution",
        models.Index(
            fields=["automation", "event_type", *NEWEST, "status"],
            include=["tenant"],
            condition=~models.Q(event_type=""),
            name="automate_execution_by_cause",
        ),
    ),
    (
        "execution",
        models.Index(
            fields=["trace_id", *NEWEST, "tenant", "status", "automation", "event_type"],
            condition=~models.Q(trace_id=""),
            name="automate_execution_by_trace",
        ),
    ),
    ("event", models.Index(fields=["tenant", "source", "type", *NEWEST], name="automate_event_kind_from")),
    (
        "event",
        models.Index(
            fields=["trace_id", *NEWEST, "tenant", "type", "source"],
            condition=~models.Q(trace_id=""),
            name="automate_event_by_trace",
        ),
    ),
]
REMOVED = {"execution": ("state", "outcome", "trace"), "event": ("trace",)}

# Which of them go together: without it, what many rows have one by one is taken for what many have both, and a list
# that is empty for that is looked for in a million rows.
TOGETHER = [
    ("execution", "tenant_id, automation_id, event_type, status"),
    ("event", "tenant_id, type, source"),
]

# Found by the key alone, and still unique all the while.
KEY_FIRST = [
    "CREATE UNIQUE INDEX CONCURRENTLY automate_event_dedupe_key ON automate_event (tenant_id, dedupe_key, source)"
    " WHERE dedupe_key IS NOT NULL",
    "DROP INDEX CONCURRENTLY automate_event_dedupe",
    "ALTER INDEX automate_event_dedupe_key RENAME TO automate_event_dedupe",
]
SOURCE_FIRST = [KEY_FIRST[0].replace("dedupe_key, source", "source, dedupe_key"), *KEY_FIRST[1:]]


def dedupe(*fields: str) -> models.UniqueConstraint:
    """Return the constraint on dedupe keys with its columns in an order."""
    return models.UniqueConstraint(
        fields=fields, condition=models.Q(dedupe_key__isnull=False), name="automate_event_dedupe"
    )


class Migration(migrations.Migration):
    # Executions and events go on being written meanwhile, however many there are.
    atomic = False

    dependencies = [("automate", "0015_queues")]

    operations = [
        *(AddIndexConcurrently(model, index) for model, index in ADDED),
        *(
            RemoveIndexConcurrently(model, f"automate_{model}_{name}")
            for model, names in REMOVED.items()
            for name in names
        ),
        *(
            migrations.RunSQL(
                sql=[
                    f"CREATE STATISTICS automate_{model}_together (mcv) ON {columns} FROM automate_{model}",
                    f"ANALYZE automate_{model}",
                ],
                reverse_sql=f"DROP STATISTICS automate_{model}_together",
            )
            for model, columns in TOGETHER
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(sql=forwards, reverse_sql=backwards)
                for forwards, backwards in zip(KEY_FIRST, reversed(SOURCE_FIRST), strict=True)
            ],
            state_operations=[
                migrations.RemoveConstraint("event", "automate_event_dedupe"),
                migrations.AddConstraint("event", dedupe("tenant", "dedupe_key", "source")),
            ],
        ),
    ]
