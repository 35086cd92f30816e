"""Let deliveries of a source wait for what a workflow responds, and find it without reading all of its steps."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("automate", "0008_places")]

    operations = [
        migrations.AddField(
            model_name="webhooksource",
            name="answer_seconds",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="webhooksource",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("answer_seconds__isnull", True), ("answer_seconds__range", (0.1, 60.0)), _connector="OR"
                ),
                name="automate_webhooksource_answer_seconds",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("node_type", "respond")),
                fields=["execution"],
                name="automate_steprun_responds",
            ),
        ),
    ]
