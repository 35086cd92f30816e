"""Find whom approvals are put to through indexes, and list workflows in their order."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.fields.json import KeyTransform


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("automate", "0017_drawings")]

    operations = [
        AddIndexConcurrently(
            "approval",
            GinIndex(fields=["assignees"], opclasses=["jsonb_path_ops"], name="automate_approval_assigned"),
        ),
        AddIndexConcurrently(
            "approval",
            models.Index(KeyTransform("permission", "assignees"), name="automate_approval_permission"),
        ),
        AddIndexConcurrently(
            "automation",
            models.Index(fields=["tenant", "-created_at", "-id"], name="automate_automation_recent"),
        ),
    ]
