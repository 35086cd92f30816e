"""Sessions in which nodes keep what they need from call to call."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
from django.db import migrations, models

import automate_core.ids


class Migration(migrations.Migration):

    dependencies = [
        ("automate", "0013_event_type_of_old"),
        ("automate_core", "0003_execution_index"),
        ("automate_studio", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="DevelopmentSession",
            fields=[
                ("id", models.UUIDField(default=automate_core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("owner", models.CharField(max_length=200)),
                ("name", models.CharField(max_length=128)),
                ("state", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
                ("automation", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="automate.automation")),
                ("tenant", models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="automate_core.tenant")),
            ],
            options={
                "base_manager_name": "all_tenants",
                "indexes": [
                    models.Index(fields=["expires_at"], name="automate_studio_session_old"),
                    models.Index(fields=["tenant", "owner", "expires_at"], name="automate_studio_session_owned"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "automation", "owner", "name"), name="automate_studio_session_once"),
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("all_tenants", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE automate_studio_developmentsession"
            " ADD CONSTRAINT automate_studio_developmentsession_in_tenant"
            " FOREIGN KEY (tenant_id, automation_id) REFERENCES automate_automation (tenant_id, id) ON DELETE CASCADE",
            "ALTER TABLE automate_studio_developmentsession DROP CONSTRAINT automate_studio_developmentsession_in_tenant",
        ),
    ]
