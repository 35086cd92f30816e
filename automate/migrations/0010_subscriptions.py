"""Tell subscribers of events."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
from django.db import migrations, models

import automate_core.ids


class Migration(migrations.Migration):
    dependencies = [("automate", "0009_answers"), ("automate_core", "0003_execution_index")]

    operations = [
        migrations.CreateModel(
            name="WebhookSubscription",
            fields=[
                ("id", models.UUIDField(default=automate_core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("event_type", models.CharField(max_length=255)),
                ("callback_url", models.CharField(max_length=1024)),
                ("is_enabled", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, default="", max_length=200)),
                ("last_status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("last_error", models.CharField(blank=True, default="", max_length=500)),
                ("last_attempt_at", models.DateTimeField(blank=True, null=True)),
                ("last_success_at", models.DateTimeField(blank=True, null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tenant", models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="automate_core.tenant")),
            ],
            options={
                "base_manager_name": "all_tenants",
                "indexes": [models.Index(condition=models.Q(("is_enabled", True)), fields=["tenant"], name="automate_subscription_live")],
                "constraints": [models.UniqueConstraint(fields=("tenant", "callback_url", "event_type"), name="automate_subscription_once")],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("all_tenants", django.db.models.manager.Manager()),
            ],
        ),
    ]
