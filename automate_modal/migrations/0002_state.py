"""Find jobs by their status."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("automate_modal", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["tenant", "status", "-created_at", "-id"], name="automate_job_state"),
        ),
    ]
