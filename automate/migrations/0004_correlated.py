"""Lets an event find the steps that wait for its own value, among all that wait for its type."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("automate", "0003_flow")]

    operations = [
        migrations.RunSQL(
            """
            CREATE INDEX automate_steprun_correlated
            ON automate_steprun (tenant_id, (hashtextextended(wake_rule #>> '{and,0,===}', 0)))
            WHERE status = 'WAITING' AND wake_event > ''
            """,
            "DROP INDEX automate_steprun_correlated",
        )
    ]
