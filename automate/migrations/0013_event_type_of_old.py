"""Fill in the event types of the executions that were there before, and index lists narrowed by them."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ROWS = 5_000
"""Rows filled in by one statement, which is one commit."""

# Rows that a worker holds are left for later: waiting for one while holding others could end in a deadlock.
_NEXT = """
WITH next AS MATERIALIZED (
  SELECT x.id, e.type FROM automate_execution x JOIN automate_event e ON e.id = x.event_id
  WHERE x.id > %(after)s AND x.event_type = '' AND e.type <> ''
  ORDER BY x.id LIMIT %(rows)s FOR NO KEY UPDATE OF x SKIP LOCKED),
filled AS (
  UPDATE automate_execution x SET event_type = next.type FROM next WHERE next.id = x.id RETURNING x.id)
SELECT id FROM filled ORDER BY id DESC LIMIT 1
"""

_LEFT = """
SELECT x.id FROM automate_execution x JOIN automate_event e ON e.id = x.event_id
WHERE x.event_type = '' AND e.type <> ''
"""

_ONE = """
UPDATE automate_execution x SET event_type = e.type FROM automate_event e
WHERE x.id = %(id)s AND e.id = x.event_id AND x.event_type = ''
"""


def fill(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Fill in every execution that has an event, in the order of the ids; may be run again after it broke off."""
    with schema_editor.connection.cursor() as cursor:
        found: tuple[Any] | None = ("00000000-0000-0000-0000-000000000000",)
        while found:
            cursor.execute(_NEXT, {"after": found[0], "rows": ROWS})
            found = cursor.fetchone()
        cursor.execute(_LEFT)
        for (id_,) in cursor.fetchall():
            cursor.execute(_ONE, {"id": id_})


class Migration(migrations.Migration):
    # Each statement commits by itself, so that workers go on meanwhile.
    atomic = False

    dependencies = [("automate", "0012_event_type")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
