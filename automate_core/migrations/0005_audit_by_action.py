"""Find the entries of one kind of change among millions."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("automate_core", "0004_audit_heads")]

    operations = [
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["action", "-id"], name="automate_audit_action"),
        ),
    ]
