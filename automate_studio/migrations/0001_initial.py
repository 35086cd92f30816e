"""What is kept of nodes that were run one by one."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.manager
from django.db import migrations, models

import automate_core.ids


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("automate", "0013_event_type_of_old"),
        ("automate_core", "0003_execution_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="NodeData",
            fields=[
                ("id", models.UUIDField(default=automate_core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("node_id", models.CharField(max_length=200)),
                ("form_values", models.JSONField(blank=True, default=dict)),
                ("input_data", models.JSONField(blank=True, null=True)),
                ("output_data", models.JSONField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("automation", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="node_data", to="automate.automation")),
                ("tenant", models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="automate_core.tenant")),
            ],
            options={
                "verbose_name_plural": "node data",
                "base_manager_name": "all_tenants",
                "constraints": [
                    models.UniqueConstraint(fields=("automation", "node_id"), name="automate_studio_node_once"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="automate_studio_node_in_tenant"),
                ],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("all_tenants", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE automate_studio_nodedata ADD CONSTRAINT automate_studio_nodedata_automation_id_in_tenant"
            " FOREIGN KEY (tenant_id, automation_id) REFERENCES automate_automation (tenant_id, id) ON DELETE CASCADE",
            "ALTER TABLE automate_studio_nodedata DROP CONSTRAINT automate_studio_nodedata_automation_id_in_tenant",
        ),
    ]
