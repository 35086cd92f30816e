"""`automate_secret`: store, list and delete the secrets of a tenant, and re-encrypt them all."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from automate_core import secrets
from automate_core.management.base import AutomateCommand, in_tenant
from automate_core.models import Secret

ACTOR = "command:automate_secret"


class Command(AutomateCommand):
    """Manage stored secrets; values go in and are never shown."""

    help = "Store, list and delete the secrets of a tenant; re-encrypt all of them under the newest key."
    examples = """\
  automate_secret set STRIPE_API_KEY              asks for the value, without showing it
  automate_secret set STRIPE_API_KEY < key.txt    takes it from standard input
  automate_secret list --tenant acme
  automate_secret rotate-keys                     after a new key was put first in AUTOMATE["SECRET_KEYS"]
"""
    exit_codes = "exit codes: 0 done; 1 refused or not found (the message says what to do); 2 wrong usage"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the four verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="set | list | delete | rotate-keys")
        setting = verbs.add_parser("set", help="store a secret; an existing one gets a new version")
        setting.add_argument("name", help="what follows $secret: in a reference")
        setting.add_argument(
            "--value", help="the value; other users of this machine can see it, so prefer standard input"
        )
        listing = verbs.add_parser("list", help="list names and versions, never values")
        deleting = verbs.add_parser("delete", help="delete a secret")
        deleting.add_argument("name")
        for verb in (setting, listing, deleting):
            verb.add_argument("--tenant", help="slug of the tenant (default: the default tenant)")
        verbs.add_parser("rotate-keys", help="re-encrypt the secrets of every tenant under the newest key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        if options["verb"] == "rotate-keys":
            self.stdout.write(f"{secrets.rotate_keys(by=ACTOR)} secrets re-encrypted")
            return
        with in_tenant(options["tenant"]):
            self._in_tenant(options)

    def _in_tenant(self, options: dict[str, Any]) -> None:
        name = options.get("name", "")
        match options["verb"]:
            case "set":
                value = _asked_value() if options["value"] is None else options["value"]
                stored = secrets.store(name, value, by=ACTOR)
                self.stdout.write(f"Stored $secret:{stored.name}, version {stored.version}")
            case "delete":
                secrets.delete(name, by=ACTOR)
                self.stdout.write(f"Deleted $secret:{name}")
            case "list":
                for secret in Secret.objects.order_by("name"):
                    self.stdout.write(
                        f"{secret.name}\tversion {secret.version}\tkey {secret.key_id}\t"
                        f"updated {secret.updated_at:%Y-%m-%d %H:%M:%S%z}"
                    )


def _asked_value() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Value (not shown): ")
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError:
        raise CommandError(
            "Standard input is not UTF-8 text; encode a binary secret, in base64 say"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
