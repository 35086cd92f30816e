"""`automate_execution`: one execution and its steps, as a table or as JSON; and what may be done to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from automate.executions import control
from automate.models import Execution, StepRun
from automate.replays import replay
from automate_core.management.base import AutomateCommand, aligned, json_object, plain

LEAST_ERROR_WIDTH = 20
LONGEST_PATH = 40
ACTOR = "command:automate_execution"


class Command(AutomateCommand):
    """Show an execution, or do something to it."""

    help = (
        "Show an execution of any tenant and what each of its steps did; cancel, pause, resume or replay it."
    )
    examples = """\
  automate_execution 01990000-0000-7000-8000-000000000001
  automate_execution 01990000-0000-7000-8000-000000000001 --json | jq '.steps[].output'
  automate_execution 01990000-0000-7000-8000-000000000001 cancel --reason "wrong customer"
  automate_execution 01990000-0000-7000-8000-000000000001 skip approve
  automate_execution 01990000-0000-7000-8000-000000000001 replay --from 'orders[3]/charge' --allow ship
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the execution and what may be done to it."""
        parser.add_argument("id", metavar="ID", help="the execution's id")
        parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
        verbs = parser.add_subparsers(dest="verb", metavar="cancel | pause | resume | skip | retry | replay")
        cancel = verbs.add_parser("cancel", help="end it, and those its steps wait for")
        cancel.add_argument("--reason", default="", help="why, for the audit trail")
        verbs.add_parser("pause", help="start no further step until it is resumed")
        verbs.add_parser("resume", help="let it go on")
        skip = verbs.add_parser("skip", help="let a waiting step succeed without its answer")
        retry = verbs.add_parser("retry", help="end a step's wait for its next try, or a delay")
        for verb in (skip, retry):
            verb.add_argument("path", metavar="PATH", help="of the step, such as orders[3]/charge")
        again = verbs.add_parser("replay", help="run it again, whole or from one step on; prints the new id")
        again.add_argument("--from", dest="start", metavar="PATH", help="first step to run again")
        again.add_argument("--of", type=int, metavar="N", help="version to run (default: the live one)")
        again.add_argument("--input", metavar="JSON", help="another input; - reads it from standard input")
        again.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="PATH",
            help="step that may run twice although it must not",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it, or do what is asked and say so."""
        execution = _found(options["id"])
        if options["verb"] == "replay":
            given = None if options["input"] is None else json_object(options["input"], "--input")
            copy = replay(
                execution,
                by=ACTOR,
                start=options["start"],
                version=options["of"],
                payload=given,
                force=options["allow"],
            )
            self.stdout.write(str(copy.id))
        elif options["verb"]:
            self.stdout.write(_do(execution, options))
        else:
            self._show(execution, as_json=options["json"])

    def _show(self, execution: Execution, *, as_json: bool) -> None:
        steps = list(StepRun.all_tenants.filter(execution=execution).order_by("seq", "id"))
        if as_json:
            self.stdout.write(json.dumps(_facts(execution, steps), indent=2, cls=DjangoJSONEncoder))
            return
        for line in [*_head(execution), "", *_table(steps, shutil.get_terminal_size().columns)]:
            self.stdout.write(line)


def _do(execution: Execution, options: dict[str, Any]) -> str:
    """Do one thing to an open execution; return what to say of it."""
    verb, path = options["verb"], options.get("path", "")
    orders: dict[str, tuple[Callable[[], Any], str]] = {
        "cancel": (lambda: control.cancel(execution, by=ACTOR, reason=options["reason"]), "asked to stop"),
        "pause": (lambda: control.pause(execution, by=ACTOR), "paused"),
        "resume": (lambda: control.resume(execution, by=ACTOR), "resumed"),
        "skip": (lambda: control.skip(execution, path, by=ACTOR), f"{path} skipped"),
        "retry": (lambda: control.retry_now(execution, path, by=ACTOR), f"{path} is tried again"),
    }
    order, said = orders[verb]
    order()
    return f"{execution.id} {'cancelled' if verb == 'cancel' and execution.finished_at else plain(said)}"


def _found(given: str) -> Execution:
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
