"""`automate_control`: what may be done to an execution: cancel, pause, resume, skip, retry, replay."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from automate.executions import control
from automate.management.commands.automate_execution import find_execution
from automate.models import Execution
from automate.replays import replay
from automate_core.management.base import AutomateCommand, json_object, plain

ACTOR = "command:automate_control"


class Command(AutomateCommand):
    """Do something to an execution."""

    help = "Cancel, pause, resume or replay an execution of any tenant, or help a step of it that waits."
    examples = """\
  automate_control cancel 01990000-0000-7000-8000-000000000001 --reason "wrong customer"
  automate_control skip 01990000-0000-7000-8000-000000000001 approve
  automate_control replay 01990000-0000-7000-8000-000000000001 --from 'orders[3]/charge' --allow ship
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(
            dest="verb", required=True, metavar="cancel | pause | resume | skip | retry | replay"
        )
        cancel = verbs.add_parser("cancel", help="end it, and those its steps wait for")
        pause = verbs.add_parser("pause", help="start no further step until it is resumed")
        resume = verbs.add_parser("resume", help="let it go on")
        skip = verbs.add_parser("skip", help="let a waiting step succeed without its answer")
        retry = verbs.add_parser("retry", help="end a step's wait for its next try, or a delay")
        again = verbs.add_parser("replay", help="run it again, whole or from one step on; prints the new id")
        for verb in (cancel, pause, resume, skip, retry, again):
            verb.add_argument("id", metavar="ID", help="the execution's id")
        for verb in (skip, retry):
            verb.add_argument("path", metavar="PATH", help="of the step, such as orders[3]/charge")
        cancel.add_argument("--reason", default="", help="why, for the audit trail")
        again.add_argument("--from", dest="start", metavar="PATH", help="first step to run again")
        again.add_argument("--of", type=int, metavar="N", help="version to run (default: the live one)")
        again.add_argument("--input", metavar="JSON", help="another input; - reads it from standard input")
        again.add_argument(
            "--allow", action="append", metavar="PATH", help="step that may run twice although it must not"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and say so."""
        execution = find_execution(options["id"])
        if options["verb"] == "replay":
            self.stdout.write(str(_replayed(execution, options).id))
        else:
            self.stdout.write(f"{execution.id} {plain(_done(execution, options))}")


def _replayed(execution: Execution, options: dict[str, Any]) -> Execution:
    payload = None if options["input"] is None else json_object(options["input"], "--input")
    return replay(
        execution,
        by=ACTOR,
        start=options["start"],
        version=options["of"],
        payload=payload,
        force=options["allow"] or (),
    )


def _done(execution: Execution, options: dict[str, Any]) -> str:
    """Do what is asked to an open execution; return what to say of it."""
    match options["verb"]:
        case "cancel":
            ended = control.cancel(execution, by=ACTOR, reason=options["reason"]).finished_at
            return "cancelled" if ended else "asked to stop"
        case "pause":
            control.pause(execution, by=ACTOR)
            return "paused"
        case "resume":
            control.resume(execution, by=ACTOR)
            return "resumed"
        case "skip":
            control.skip(execution, options["path"], by=ACTOR)
            return f"{options['path']} skipped"
        case _:
            control.retry_now(execution, options["path"], by=ACTOR)
            return f"{options['path']} is tried again"
