from django.db import migrations, models


class Migration(migrations.Migration):
    """Numbers everything that happens to an execution, and notes who watches workflows live."""

    dependencies = [("automate", "0013_event_type_of_old")]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="marks",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="steprun",
            name="marks",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.CreateModel(
            name="LiveWatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("automation_id", models.UUIDField()),
                ("process", models.UUIDField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "live watches",
                "constraints": [
                    models.UniqueConstraint(fields=("automation_id", "process"), name="automate_livewatch_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LiveSeat",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("caller", models.CharField(max_length=100)),
                ("process", models.UUIDField()),
                ("seats", models.PositiveIntegerField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("caller", "process"), name="automate_liveseat_once")
                ],
            },
        ),
    ]
