"""`automate_deadletters`: list what failed for good, queue it again or discard it."""

from __future__ import annotations

import shutil
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from automate_core.management.base import AutomateCommand, aligned, find_tenant, plain
from automate_core.models import OutboxItem
from automate_core.outbox import deadletters

ACTOR = "command:automate_deadletters"
LEAST_ERROR_WIDTH = 20


class Command(AutomateCommand):
    """Operate on dead letters."""

    help = "List, redrive or discard dead letters: outbox items that failed for good."
    examples = """\
  automate_deadletters list --kind execution
  automate_deadletters redrive --id 41 42         run them again, with fresh attempts
  automate_deadletters discard --kind event       delete all of one kind
  automate_deadletters redrive --all --tenant acme
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | redrive | discard")
        listing = verbs.add_parser("list", help="show them, oldest first")
        listing.add_argument("--limit", type=int, default=100, help="most to show (default 100)")
        redrive = verbs.add_parser("redrive", help="queue them again, in one transaction")
        discard = verbs.add_parser("discard", help="delete them, in one transaction")
        for verb in (listing, redrive, discard):
            verb.add_argument("--kind", help="only this outbox kind")
            verb.add_argument(
                "--id", type=int, nargs="+", action="extend", metavar="N", help="only these items"
            )
            verb.add_argument("--tenant", help="slug of a tenant (default: all)")
        for verb in (redrive, discard):
            verb.add_argument("--all", action="store_true", help="every one the other options leave")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one verb."""
        tenant_id = find_tenant(options["tenant"]).id if options["tenant"] else None
        found = deadletters.dead_letters(kind=options["kind"], ids=options["id"], tenant_id=tenant_id)
        if options["verb"] == "list":
            self._list(found, options["limit"])
            return
        if not (options["all"] or options["kind"] or options["id"]):
            raise CommandError("Say which: --id N ..., --kind K or --all", returncode=2)
        ids = list(found.values_list("id", flat=True))
        if missing := sorted(set(options["id"] or ()) - set(ids)):
            raise CommandError(
                f"Not a dead letter: {', '.join(map(str, missing))}; see `automate_deadletters list`"
            )
        if options["verb"] == "redrive":
            self.stdout.write(f"{len(deadletters.redrive(ids, by=ACTOR))} queued again")
        else:
            self.stdout.write(f"{len(deadletters.discard(ids, by=ACTOR))} discarded")

    def _list(self, found: QuerySet[OutboxItem], limit: int) -> None:
        total = found.count()
        items = list(found.select_related("tenant")[: max(0, limit)])
        rows = [
            (
                str(item.id),
                item.kind,
                item.tenant.slug,
                str(item.attempts),
                f"{item.created_at:%Y-%m-%d %H:%M}",
            )
            for item in items
        ]
        lines = aligned([("ID", "KIND", "TENANT", "CLAIMS", "CREATED"), *rows])
        used = max(map(len, lines)) + 2
        room = max(LEAST_ERROR_WIDTH, shutil.get_terminal_size().columns - used)
        errors = ["ERROR", *(plain(item.error)[:room] for item in items)]
        for line, error in zip(lines, errors, strict=True):
            self.stdout.write(f"{line:{used}}{error}".rstrip())
        if total > len(items):
            self.stdout.write(f"... and {total - len(items)} more; see --limit")
