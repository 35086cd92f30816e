"""Create, list and revoke API keys from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils import timezone

from automate_api.keys import create_key, revoke_key
from automate_api.models import ApiKey
from automate_core.errors import Conflict
from automate_core.management.base import AutomateCommand
from automate_core.models import Role, Tenant

ACTOR = "command:automate_apikey"
MOST_DAYS = 36_500


class Command(AutomateCommand):
    """Create an API key (printed once, alone on the last line), list the keys, or revoke one."""

    help = "Create, list and revoke API keys. The plain key is printed once, alone on the last line."
    examples = """\
  automate_apikey create --name ci --role runner
  KEY=$(automate_apikey create --name me 2>/dev/null | tail -n 1)
  automate_apikey revoke 4bdca82c"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare create, list and revoke."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="create a key and print it on the last line")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--tenant", default="default", help="slug of the tenant (default: default)")
        create.add_argument("--user", help="username the key acts for")
        create.add_argument("--role", default=Role.ADMIN.value, choices=Role.values)
        create.add_argument("--scope", action="append", default=[], help="such as events:write; repeatable")
        create.add_argument("--expires-in", type=float, metavar="DAYS", help="when it ends (default: never)")
        listing = verbs.add_parser("list", help="list keys, newest first")
        listing.add_argument("--tenant", help="slug of a tenant (default: all)")
        revoke = verbs.add_parser("revoke", help="end a key at once")
        revoke.add_argument("prefix", help="the 8 characters after ak_, as `list` shows them")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        {"create": self._create, "list": self._list, "revoke": self._revoke}[options["verb"]](options)

    def _create(self, options: dict[str, Any]) -> None:
        name = options["name"].strip()
        if not 1 <= len(name) <= 100:
            raise CommandError("--name takes 1 to 100 characters")
        key, plain = create_key(
            name=name,
            tenant_id=_tenant(options["tenant"]).pk,
            user=_user(options["user"]),
            role=Role(options["role"]),
            scopes=options["scope"],
            expires_at=_end(options["expires_in"]),
            by=ACTOR,
        )
        self.stderr.write(f"Created {key} with the role {key.role}; the key is shown this once:")
        self.stdout.write(plain)

    def _list(self, options: dict[str, Any]) -> None:
        now = timezone.now()
        found = ApiKey.all_tenants.select_related("tenant", "user").order_by("-created_at")
        if options["tenant"]:
            found = found.filter(tenant=_tenant(options["tenant"]))
        for key in found:
            state = "revoked" if key.revoked_at else "active" if key.is_usable(now) else "expired"
            used = key.last_used_at.isoformat(timespec="seconds") if key.last_used_at else "never used"
            whose = key.user.get_username() if key.user else "-"
            self.stdout.write(
                f"{key.prefix}  {state:7}  {key.tenant.slug}  {key.role}  {whose}  {used}  {key.name}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        key = ApiKey.all_tenants.filter(prefix=options["prefix"]).first()
        if key is None:
            raise CommandError(f"No key has the prefix {options['prefix']!r}; see `automate_apikey list`")
        try:
            revoke_key(key, by=ACTOR)
        except Conflict as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Revoked {key}")


def _tenant(slug: str) -> Tenant:
    found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no tenant {slug!r}")
    return found


def _end(days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days <= MOST_DAYS:
        raise CommandError(f"--expires-in takes days, more than 0 and at most {MOST_DAYS}")
    return timezone.now() + timedelta(days=days)


def _user(username: str | None) -> Any:
    if username is None:
        return None
    model = get_user_model()
    found = model._default_manager.filter(**{model.USERNAME_FIELD: username}).first()
    if found is None:
        raise CommandError(f"There is no user {username!r}")
    return found
