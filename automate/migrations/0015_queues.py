"""Named queues, and the answers of steps under every name of `respond`."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Steps go on being recorded meanwhile, however many there are.
    atomic = False

    dependencies = [("automate", "0014_live"), ("automate_core", "0003_execution_index")]

    operations = [
        migrations.CreateModel(
            name="QueueMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("queue", models.CharField(max_length=100)),
                ("body", models.JSONField(null=True)),
                ("size", models.PositiveIntegerField()),
                ("written_by", models.UUIDField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="automate_core.tenant",
                    ),
                ),
            ],
            options={
                "base_manager_name": "all_tenants",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "queue", "id"), name="automate_queuemessage_place"
                    )
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("all_tenants", django.db.models.manager.Manager()),
            ],
        ),
        AddIndexConcurrently(
            "steprun",
            models.Index(
                condition=models.Q(node_type__in=("respond", "http-response", "http_response")),
                fields=["execution"],
                name="automate_steprun_answers",
            ),
        ),
        RemoveIndexConcurrently("steprun", "automate_steprun_responds"),
    ]
