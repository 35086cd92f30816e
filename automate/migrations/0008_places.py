"""Count the executions that have a place without reading those that wait for one."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("automate", "0007_approvals")]

    operations = [
        migrations.RemoveIndex(model_name="execution", name="automate_execution_open_key"),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True), ("held_at__isnull", True), ("key__isnull", False)),
                fields=["automation", "key"],
                name="automate_execution_placed",
            ),
        ),
    ]
