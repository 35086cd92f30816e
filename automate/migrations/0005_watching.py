from django.db import migrations, models

TYPES = [
    ("webhook", "Webhook"),
    ("event", "Event"),
    ("schedule", "Schedule"),
    ("manual", "Manual"),
    ("model", "Model"),
    ("execution", "Execution"),
]


class Migration(migrations.Migration):
    dependencies = [("automate", "0004_correlated")]

    operations = [
        migrations.AlterField(
            model_name="trigger",
            name="type",
            field=models.CharField(choices=TYPES, default="manual", max_length=16),
        ),
        migrations.AlterField(
            model_name="workflowversion",
            name="trigger_type",
            field=models.CharField(choices=TYPES, default="manual", max_length=16),
        ),
        migrations.AddIndex(
            model_name="trigger",
            index=models.Index(
                condition=models.Q(("is_enabled", True), ("type__in", ["model", "execution"])),
                fields=["type", "tenant"],
                name="automate_trigger_watching",
            ),
        ),
    ]
