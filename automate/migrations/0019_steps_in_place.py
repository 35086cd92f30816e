"""Let rows of steps change in place: no index mentions what changes when a step ends, and pages keep room for it.

Indexes of the steps that wait for events went by their status, and an index whose condition names a column makes every
change of it a new entry in all indexes of the table. They go by `wake_event` alone now, which a step that no longer
waits gives up. Rows that gave it up under an older worker are cleared here, later ones cost a look.

That the tenant of an execution or a step is there follows from the compound keys to automations and executions; a
second key to the tenants was checked, and their row locked, for every row written.
"""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ROWS = 5_000
"""Rows cleared by one statement, which is one commit."""

_CLEAR = """
UPDATE automate_steprun SET wake_event = NULL WHERE id IN (
  SELECT id FROM automate_steprun
  WHERE wake_event > '' AND status IN ('SUCCESS', 'FAILED', 'CANCELLED') LIMIT %(rows)s FOR UPDATE SKIP LOCKED)
"""

CORRELATED = "ON automate_steprun (tenant_id, (hashtextextended(wake_rule #>> '{and,0,===}', 0)))"


def clear(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Have no step listen that is over; may be run again after it broke off."""
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_CLEAR, {"rows": ROWS})
            if cursor.rowcount < ROWS:
                return


def tenant() -> models.ForeignKey[Any, Any]:
    """Return the field of a tenant that the database does not check by itself."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        editable=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to="automate_core.tenant",
    )


class Migration(migrations.Migration):
    # Steps go on being written meanwhile, however many there are.
    atomic = False

    dependencies = [("automate", "0018_asked")]

    operations = [
        migrations.AlterField("execution", "tenant", tenant()),
        migrations.AlterField("steprun", "tenant", tenant()),
        AddIndexConcurrently(
            "steprun",
            models.Index(
                condition=models.Q(("wake_event__gt", "")),
                fields=["tenant", "wake_event"],
                name="automate_steprun_listeners",
            ),
        ),
        migrations.RunPython(clear, migrations.RunPython.noop),
        migrations.RunSQL(
            sql=f"CREATE INDEX CONCURRENTLY automate_steprun_matched {CORRELATED} WHERE wake_event > ''",
            reverse_sql="DROP INDEX CONCURRENTLY automate_steprun_matched",
        ),
        migrations.RunSQL(
            sql="DROP INDEX CONCURRENTLY automate_steprun_correlated",
            reverse_sql=f"CREATE INDEX CONCURRENTLY automate_steprun_correlated {CORRELATED}"
            " WHERE status = 'WAITING' AND wake_event > ''",
        ),
        RemoveIndexConcurrently("steprun", "automate_steprun_listening"),
        migrations.RunSQL(
            sql="ALTER TABLE automate_steprun SET (fillfactor = 70)",
            reverse_sql="ALTER TABLE automate_steprun RESET (fillfactor)",
        ),
    ]
