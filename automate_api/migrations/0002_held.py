"""Hold the response of a request that is still being answered."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("automate_api", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="idempotencyrecord",
            name="held_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
