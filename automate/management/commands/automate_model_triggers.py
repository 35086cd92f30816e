"""`automate_model_triggers`: let the database itself tell of changes of host models."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate.model_triggers import database
from automate_core import audit
from automate_core.management.base import AutomateCommand, add_tenant_option, aligned, in_tenant
from automate_core.models import Tenant, current_tenant_id

ACTOR = "command:automate_model_triggers"


class Command(AutomateCommand):
    """Manage database triggers of host models."""

    help = (
        "Put triggers on the tables of models, so that bulk_create, update() and raw SQL start workflows too. "
        "Optional: without them Django's signals tell of each save and deletion."
    )
    examples = """\
  automate_model_triggers install shop.Order shop.Customer
  automate_model_triggers status
  automate_model_triggers remove shop.Order
  automate_model_triggers remove --all          before the engine is uninstalled
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="install | remove | status")
        install = verbs.add_parser("install", help="put triggers on tables, or renew outdated ones")
        install.add_argument("models", nargs="+", metavar="MODEL", help="app_label.ModelName")
        add_tenant_option(install)
        remove = verbs.add_parser("remove", help="take them off; Django's signals tell again")
        remove.add_argument("models", nargs="*", metavar="MODEL", help="app_label.ModelName")
        remove.add_argument("--all", action="store_true", help="off every table")
        verbs.add_parser("status", help="list tables with triggers")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        {"install": self._install, "remove": self._remove, "status": self._status}[options["verb"]](options)

    def _install(self, options: dict[str, Any]) -> None:
        with in_tenant(options["tenant"]):
            for label in options["models"]:
                table = database.install(label, tenant_id=current_tenant_id())
                audit.record(
                    actor=ACTOR,
                    action="model_triggers.install",
                    target=f"model:{label.lower()}",
                    after={"table": table},
                )
                self.stdout.write(f"Installed on {table}: the database tells of changes of {label}")

    def _remove(self, options: dict[str, Any]) -> None:
        held = {one.label: one for one in database.installed()}
        labels = sorted(held) if options["all"] else [label.lower() for label in options["models"]]
        if not labels and not options["all"]:
            raise CommandError("Name the models, or give --all", returncode=2)
        for label in labels:
            if label not in held:
                raise CommandError(f"{label!r} has no triggers; see `automate_model_triggers status`")
            database.remove(held[label].table)
            audit.record(
                actor=ACTOR,
                action="model_triggers.remove",
                target=f"model:{label}",
                before={"table": held[label].table},
            )
            self.stdout.write(
                f"Removed from {held[label].table}: Django's signals tell of changes of {label}"
            )

    def _status(self, options: dict[str, Any]) -> None:
        slugs = dict(Tenant.objects.values_list("id", "slug"))
        rows = [
            (
                one.label,
                one.table,
                "outdated: install it again" if one.is_outdated else "on",
                slugs.get(one.tenant_id, "?") if one.tenant_id else "each row's own",
            )
            for one in database.installed()
        ]
        for line in aligned([("MODEL", "TABLE", "STATE", "TENANT"), *rows]):
            self.stdout.write(line)
