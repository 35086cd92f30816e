"""Makes the tables, users, a key and projects, and prints what a client needs."""

import json
import sys

from django.core.management import call_command
from django.core.management.base import BaseCommand
from people.models import User

from automate.webhooks.sources import create_source
from automate_api import keys
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role, Tenant
from portal.models import Project


class Command(BaseCommand):
    """Make the rows."""

    def handle(self, **options):
        call_command("check", fail_level="WARNING")
        call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
        call_command("migrate", verbosity=0)
        other = Tenant.objects.create(slug="other", name="Other")
        ann = User.objects.create_user("ann", password="correct horse", nickname="Annie", is_staff=True)
        bob = User.objects.create_user("bob", password="correct horse")
        for user, role in ((ann, Role.ADMIN), (bob, Role.VIEWER)):
            Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=user, role=role)
        made = {}
        for name, tenant_id, app in (
            ("apollo", DEFAULT_TENANT_ID, "myapp"), ("gemini", other.pk, ""), ("mercury", None, "myapp"),
        ):  # fmt: skip
            made[name] = Project.objects.create(name=name, organization_id=tenant_id, app=app)
        made["apollo"].members.add(ann)
        _, key = keys.create_key(
            name="machine", tenant_id=DEFAULT_TENANT_ID, role=Role.ADMIN, user=None, by="seed"
        )
        create_source(slug="shop", preset="generic", secret="webhook-secret", by="seed")
        seen = {
            "key": key,
            "projects": {name: project.pk for name, project in made.items()},
            "other": str(other.pk),
            "homes": [
                sys.modules[name].__file__ for name in ("automate", "automate_api.v1.base", "automate_core")
            ],
        }
        self.stdout.write(json.dumps(seen))
