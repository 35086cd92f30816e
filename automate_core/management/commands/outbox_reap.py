"""Take outbox items back from workers that stopped."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from automate_core.management.base import AutomateCommand
from automate_core.outbox.reaper import OutboxReaper


class Command(AutomateCommand):
    """Reap once."""

    help = "Recover outbox items whose worker stopped; workers do this by themselves every few seconds."
    examples = """\
  outbox_reap                        what no heartbeat has renewed in time
  outbox_reap --stale-seconds 60     also what is older than a minute"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--stale-seconds",
            type=float,
            default=600,
            help="also take items not renewed for this long although their lease still runs (default 600)",
        )

    def handle(self, *args: Any, stale_seconds: float, **options: Any) -> None:
        """Reap and say how many."""
        count = OutboxReaper(stale_threshold_seconds=stale_seconds).reap_stale_items()
        self.stdout.write(f"Recovered {count} stuck item{'' if count == 1 else 's'}")
