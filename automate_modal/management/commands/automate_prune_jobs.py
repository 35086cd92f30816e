"""`automate_prune_jobs`: remove jobs that ended long ago, and their artifacts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from automate_core import conf
from automate_core.management.base import AutomateCommand
from automate_modal import pruning

ACTOR = "command:automate_prune_jobs"
LONGEST_DAYS = 36_500


class Command(AutomateCommand):
    """Prune jobs."""

    help = (
        "Remove the jobs of endpoints that ended long ago, with their events and the files they left behind."
    )
    examples = """\
  automate_prune_jobs --dry-run        counts only
  automate_prune_jobs --days 90        instead of AUTOMATE["RETENTION_DAYS"]
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
        is_dry = options["dry_run"]
        counts = pruning.prunable(before=before) if is_dry else pruning.prune(before=before, by=ACTOR)
        verb = "Would remove" if is_dry else "Removed"
        self.stdout.write(
            f"{verb} {counts.jobs} jobs with {counts.artifacts} artifacts, older than {days} days"
        )
