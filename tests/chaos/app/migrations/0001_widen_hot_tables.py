"""A migration of the kind an upgrade brings: a nullable column more on every hot table."""

from django.db import migrations

TABLES = ("automate_core_outboxitem", "automate_event", "automate_execution", "automate_steprun")


class Migration(migrations.Migration):
    dependencies = [("automate", "__first__"), ("automate_core", "__first__")]

    operations = [
        migrations.RunSQL(
            f"ALTER TABLE {table} ADD COLUMN chaos_note text", f"ALTER TABLE {table} DROP COLUMN chaos_note"
        )
        for table in TABLES
    ]
