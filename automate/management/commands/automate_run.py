"""`automate_run`: start one workflow, and with --wait run it here to its end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate.enums import ExecutionStatus
from automate.manual import run_by
from automate.models import Execution
from automate.runtime import Runtime
from automate_core.management.base import AutomateCommand, add_tenant_option, in_tenant, json_object

ACTOR = "command:automate_run"


class Command(AutomateCommand):
    """Start an execution and print its id."""

    help = "Start a workflow, bypassing its triggers. Prints the execution's id."
    examples = """\
  automate_run orders '{"order_id": "ORD-123"}'
  automate_run orders '{}' --wait && echo done
"""
    exit_codes = """\
exit codes: 0 started (with --wait: it succeeded); 1 refused, or with --wait it failed, was cancelled or has not
finished in time; 2 wrong usage"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the workflow and its input."""
        parser.add_argument("slug", metavar="SLUG", help="the workflow")
        parser.add_argument(
            "payload", metavar="JSON", help="its input: a JSON object, or - for standard input"
        )
        parser.add_argument("--wait", action="store_true", help="run it here and wait for its end")
        parser.add_argument(
            "--timeout",
            type=float,
            default=300.0,
            metavar="SECONDS",
            help="with --wait: how long to wait while it waits for a delay, a retry or another worker (default 300)",
        )
        add_tenant_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Start it, print the id, and wait when asked."""
        payload = json_object(options["payload"], "JSON")
        with in_tenant(options["tenant"]):
            execution_id = str(run_by(ACTOR, options["slug"], payload).id)
        self.stdout.write(execution_id)
        if options["wait"]:
            self.stdout.flush()
            Runtime(options["timeout"]).run_execution(execution_id)
            _require_success(Execution.all_tenants.get(pk=execution_id))


def _require_success(execution: Execution) -> None:
    status = ExecutionStatus(execution.status)
    if status == ExecutionStatus.SUCCESS:
        return
    if not status.is_terminal:
        raise CommandError(
            f"It is still {status.value}; a worker goes on with it: automate_execution {execution.id}"
        )
    reason = f": {execution.error_code} {execution.error_summary}" if execution.error_code else ""
    raise CommandError(f"It ended as {status.value}{reason}; see: automate_execution {execution.id}")
