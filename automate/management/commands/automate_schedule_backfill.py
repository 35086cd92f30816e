"""`automate_schedule_backfill`: make up for the fires a schedule had in a span of time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate.backfill import Backfilled, backfill, fires_of
from automate.timetable import parse_moment
from automate_core import audit
from automate_core.management.base import AutomateCommand, add_tenant_option, in_tenant

ACTOR = "command:automate_schedule_backfill"
SHOWN = 10


class Command(AutomateCommand):
    """Backfill a schedule."""

    help = (
        "Emit one event for each time a schedule names from --since to before --until. What fired then, or was "
        "backfilled before, is left alone; so it can be interrupted and run again."
    )
    examples = """\
  automate_schedule_backfill report --since 2026-05-01T00:00:00+02:00 --until 2026-06-01T00:00:00+02:00 --dry-run
  automate_schedule_backfill report --since 2026-05-01T00:00:00Z --until 2026-05-08T00:00:00Z --tenant acme
"""

    _done = Backfilled(0, 0, 0)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the workflow and the span."""
        parser.add_argument("slug", metavar="SLUG", help="the workflow")
        parser.add_argument(
            "--since", required=True, metavar="ISO", help="beginning, ISO 8601 with an offset; it counts"
        )
        parser.add_argument("--until", required=True, metavar="ISO", help="end; it does not count")
        parser.add_argument("--dry-run", action="store_true", help="say what would fire, and emit nothing")
        add_tenant_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show or emit the fires."""
        span = {
            "slug": options["slug"],
            "since": _moment(options["since"], "--since"),
            "until": _moment(options["until"], "--until"),
        }
        with in_tenant(options["tenant"]):
            if options["dry_run"]:
                self._show(fires_of(**span)[1])
                return
            with self._recorded(options):
                done = backfill(**span, progress=self._progress)
        if self.stderr.isatty():
            self.stderr.write("\r\033[K", ending="")
        self.stdout.write(
            f"Emitted {done.created} events; {done.fires - done.created} of {done.fires} fires had theirs already"
        )

    def _show(self, fires: list[datetime]) -> None:
        for at in fires[:SHOWN]:
            self.stdout.write(at.isoformat())
        if len(fires) > SHOWN:
            self.stdout.write(f"... and {len(fires) - SHOWN} more, the last at {fires[-1].isoformat()}")
        self.stdout.write(f"{len(fires)} fires; those that have their event already would be left alone")

    @contextmanager
    def _recorded(self, options: dict[str, Any]) -> Iterator[None]:
        """Leave an audit entry with what was emitted, also when it is interrupted."""
        try:
            yield
        finally:
            if self._done.created:
                audit.record(
                    actor=ACTOR,
                    action="schedule.backfill",
                    target=f"workflow:{options['slug']}",
                    after={
                        "since": options["since"], "until": options["until"], "events": self._done.created,
                    },
                )  # fmt: skip

    def _progress(self, done: Backfilled) -> None:
        self._done = done
        if self.stderr.isatty():
            text = f"\r{done.done} of {done.fires} fires, {done.created} events"
            self.stderr.write(text, ending="")
            self.stderr.flush()


def _moment(text: str, name: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise CommandError(f"{name} {text!r}: {error}", returncode=2) from error
