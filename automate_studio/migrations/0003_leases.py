"""Leases of sessions, for nodes that call outside: no transaction is open meanwhile."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("automate_studio", "0002_sessions"),
    ]

    operations = [
        migrations.AddField("developmentsession", "lease", models.UUIDField(editable=False, null=True)),
        migrations.AddField("developmentsession", "leased_until", models.DateTimeField(editable=False, null=True)),
    ]
