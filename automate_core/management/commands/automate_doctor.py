"""`automate_doctor`: every check of this installation, and what to do about what is wrong."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate_core.doctor import Level, Result, examine
from automate_core.management.base import AutomateCommand, plain

NAME_WIDTH = 14


class Command(AutomateCommand):
    """Examine the installation."""

    help = "Check this installation: database, workers, queue, clock, keys, secrets, workflows and more."
    exit_codes = "exit codes: 0 nothing FAILs (there may be warnings); 1 something FAILs; 2 wrong usage"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the output form."""
        parser.add_argument(
            "--json", action="store_true", help="a JSON list of check, level, message and hint"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each finding as it comes; raise CommandError when something FAILs."""
        results = []
        for result in examine():
            results.append(result)
            if not options["json"]:
                self._say(result)
        if options["json"]:
            facts = [{"check": result.check, **result.finding._asdict()} for result in results]
            self.stdout.write(json.dumps(facts, indent=2))
        failed = sum(result.finding.level == Level.FAIL for result in results)
        if failed:
            raise CommandError(f"{failed} of {len(results)} checks FAIL")

    def _say(self, result: Result) -> None:
        level, message, hint = result.finding
        colour = {Level.OK: self.style.SUCCESS, Level.WARN: self.style.WARNING, Level.FAIL: self.style.ERROR}
        self.stdout.write(
            f"{colour[level](f'{level.value:4}')}  {result.check:{NAME_WIDTH}} {plain(message)}"
        )
        if hint:
            self.stdout.write(f"{'':6}{'':{NAME_WIDTH}} -> {plain(hint)}")
        self.stdout.flush()
