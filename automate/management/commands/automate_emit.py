"""`automate_emit`: store an event, as a host's own code would."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from automate.manual import emit_by
from automate_core.management.base import AutomateCommand, add_tenant_option, in_tenant, json_object

ACTOR = "command:automate_emit"


class Command(AutomateCommand):
    """Emit one event and print its id."""

    help = "Emit an event: matching workflows start. Prints the event's id."
    examples = """\
  automate_emit order.created '{"order_id": "ORD-123"}'
  automate_emit order.created - < order.json
  automate_emit order.created '{}' --dedupe-key ORD-123     a second time: the same id, nothing starts
"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the event."""
        parser.add_argument("type", metavar="TYPE", help="event type, such as order.created")
        parser.add_argument("payload", metavar="JSON", help="JSON object, or - for standard input")
        parser.add_argument(
            "--dedupe-key", help="a second event with the same key and source is the first one"
        )
        parser.add_argument("--source", default="", help="where it comes from; triggers may ask for one")
        add_tenant_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Emit and print the id."""
        payload = json_object(options["payload"], "JSON")
        with in_tenant(options["tenant"]):
            emitted = emit_by(
                ACTOR, options["type"], payload, options["dedupe_key"], source=options["source"]
            )
        self.stdout.write(emitted.event_id)
