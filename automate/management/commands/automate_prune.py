"""`automate_prune`: remove finished executions and old events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from automate import pruning
from automate_core import audit, conf
from automate_core.context import tenant_scope
from automate_core.management.base import AutomateCommand

ACTOR = "command:automate_prune"
LONGEST_DAYS = 36_500


class Command(AutomateCommand):
    """Prune the history."""

    help = (
        "Remove executions that finished long ago, with their steps, and the events nothing refers to any more. "
        "An event with a dedupe key keeps its key and loses its payload: a late repeat still starts nothing."
    )
    examples = """\
  automate_prune --dry-run        counts only
  automate_prune --days 90        instead of AUTOMATE["RETENTION_DAYS"]
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=int, help="how many days to keep (default: RETENTION_DAYS)")
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count or prune."""
        days = conf.get().RETENTION_DAYS if options["days"] is None else options["days"]
        if not 0 <= days <= LONGEST_DAYS:
            raise CommandError(f"--days must be 0 to {LONGEST_DAYS}, not {days}", returncode=2)
        before = timezone.now() - timedelta(days=days)
        if options["dry_run"]:
            self._say("Would remove", pruning.prunable(before=before), days)
            return
        self._record(before, days)
        done = pruning.prune(before=before, progress=self._progress)
        if self.stderr.isatty():
            self.stderr.write("\r\033[K", ending="")
        self._say("Removed", done, days)

    def _record(self, before: datetime, days: int) -> None:
        for tenant_id in pruning.tenants_with_old(before=before):
            with tenant_scope(tenant_id):
                audit.record(
                    actor=ACTOR,
                    action="history.prune",
                    target="history",
                    after={"older_than": before.isoformat(), "days": days},
                )

    def _say(self, verb: str, counts: pruning.Pruned, days: int) -> None:
        self.stdout.write(
            f"{verb} {counts.executions} executions with {counts.steps} steps, {counts.events} events, and the "
            f"payloads of {counts.payloads} events with a dedupe key, older than {days} days"
        )

    def _progress(self, done: pruning.Pruned) -> None:
        if self.stderr.isatty():
            text = f"\r{done.executions} executions, {done.events} events, {done.payloads} payloads"
            self.stderr.write(text, ending="")
            self.stderr.flush()
