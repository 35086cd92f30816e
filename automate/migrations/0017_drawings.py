from django.db import migrations, models


class Migration(migrations.Migration):
    """Keeps what is drawn of a workflow: a graph that does not compile yet, and where nodes are drawn.

    An execution may say how often its steps are tried.
    """

    dependencies = [("automate", "0016_narrowed_lists")]

    operations = [
        migrations.AddField(
            model_name="automation",
            name="draft",
            field=models.JSONField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="automation",
            name="layout",
            field=models.JSONField(blank=True, db_default={}, default=dict, editable=False),
        ),
        migrations.AddField(
            model_name="execution",
            name="max_attempts",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
    ]
