"""`automate_execution`: one execution and its steps, as a table or as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from automate.models import Execution, StepRun
from automate_core.management.base import AutomateCommand, aligned, plain

LEAST_ERROR_WIDTH = 20
LONGEST_PATH = 40


class Command(AutomateCommand):
    """Show an execution."""

    help = "Show an execution of any tenant and what each of its steps did."
    examples = """\
  automate_execution 01990000-0000-7000-8000-000000000001
  automate_execution 01990000-0000-7000-8000-000000000001 --json | jq '.steps[].output'
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the execution."""
        parser.add_argument("id", metavar="ID", help="the execution's id")
        parser.add_argument("--json", action="store_true", help="everything, as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        execution = find_execution(options["id"])
        steps = list(StepRun.all_tenants.filter(execution=execution).order_by("seq", "id"))
        if options["json"]:
            self.stdout.write(json.dumps(_facts(execution, steps), indent=2, cls=DjangoJSONEncoder))
            return
        for line in [*_head(execution), "", *_table(steps, shutil.get_terminal_size().columns)]:
            self.stdout.write(line)


def find_execution(given: str) -> Execution:
    """Return the execution with this id, of any tenant; raises CommandError."""
    try:
        wanted = UUID(given)
    except ValueError:
        raise CommandError(
            f"{given!r} is not an execution's id; it looks like a UUID", returncode=2
        ) from None
    related = Execution.all_tenants.select_related("automation", "tenant", "version", "event")
    execution = related.filter(pk=wanted).first()
    if execution is None:
        raise CommandError(f"There is no execution {given!r}")
    return execution


def _head(execution: Execution) -> list[str]:
    version = f" v{execution.version.number}" if execution.version else ""
    event = execution.event
    started = f"{execution.created_at:%Y-%m-%d %H:%M:%S %Z}"
    rows = [
        ("execution", f"{execution.id}  {execution.status}"),
        ("workflow", f"{execution.automation.slug}{version}, tenant {execution.tenant.slug}"),
        ("event", f"{event.type}  {event.id}" if event else "-"),
        ("created", f"{started}, started after {_span(execution.created_at, execution.started_at)}"),
        ("ran", _span(execution.started_at, execution.finished_at)),
    ]
    if execution.replay_of_id:
        rows.append(("replay of", str(execution.replay_of_id)))
    if execution.parent_execution_id:
        rows.append(("called by", f"{execution.parent_execution_id}  {execution.parent_path}"))
    for name, since in (("paused", execution.paused_at), ("held", execution.held_at)):
        if since and not execution.finished_at:
            rows.append((name, f"since {since:%Y-%m-%d %H:%M:%S %Z}"))
    if execution.cancel_requested_at and not execution.finished_at:
        rows.append(("cancel", f"asked for {execution.cancel_requested_at:%Y-%m-%d %H:%M:%S %Z}"))
    if execution.error_code:
        rows.append(("error", f"{execution.error_code}: {execution.error_summary}"))
    return [f"{name:10} {plain(text)}" for name, text in rows]


def _table(steps: Sequence[StepRun], width: int) -> list[str]:
    if not steps:
        return ["No step has run."]
    rows = [
        [
            _cut(plain(step.path), LONGEST_PATH),
            str(step.attempt),
            step.status,
            _span(step.started_at, step.finished_at),
            plain(step.route) or "-",
        ]
        for step in steps
    ]
    lines = aligned([["STEP", "TRY", "STATUS", "TOOK", "ROUTE"], *rows])
    used = max(map(len, lines)) + 2
    room = max(LEAST_ERROR_WIDTH, width - used)
    details = ["ERROR", *(_cut(_detail(step), room) for step in steps)]
    return [f"{line:{used}}{detail}".rstrip() for line, detail in zip(lines, details, strict=True)]


def _detail(step: StepRun) -> str:
    if step.error_code:
        return plain(f"{step.error_code}: {step.error_message}")
    return f"wakes at {step.wake_at:%Y-%m-%d %H:%M:%S %Z}" if step.wake_at and not step.finished_at else ""


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _span(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "-"
    milliseconds = max(0.0, (end - start).total_seconds() * 1000)
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def _facts(execution: Execution, steps: Sequence[StepRun]) -> dict[str, Any]:
    return {
        "id": execution.id,
        "tenant": execution.tenant.slug,
        "workflow": execution.automation.slug,
        "version": execution.version.number if execution.version else None,
        "status": execution.status,
        "attempt": execution.attempt,
        "replay_of": execution.replay_of_id,
        "event": {"id": execution.event.id, "type": execution.event.type} if execution.event else None,
        "parent": {"id": execution.parent_execution_id, "path": execution.parent_path}
        if execution.parent_execution_id
        else None,
        "context": execution.context,
        "output": execution.output,
        "trace_id": execution.trace_id,
        "error_code": execution.error_code,
        "error_summary": execution.error_summary,
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "cancel_requested_at": execution.cancel_requested_at,
        "paused_at": execution.paused_at,
        "held_at": execution.held_at,
        "steps": [
            {
                "path": step.path,
                "type": step.node_type,
                "attempt": step.attempt,
                "status": step.status,
                "effect": step.effect,
                "route": step.route,
                "input": step.input_data,
                "output": step.output_data,
                "error_code": step.error_code,
                "error_message": step.error_message,
                "wake_at": step.wake_at,
                "started_at": step.started_at,
                "finished_at": step.finished_at,
            }
            for step in steps
        ],
    }
