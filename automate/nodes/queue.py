"""The nodes `queue_writer` and `queue_reader`: leave messages in a named queue, and take them from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate import queues
from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult
from automate_core.templating import is_fixed

MAX_NAME_LENGTH = 100

_QUEUE = {
    "type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "title": "Queue",
    "description": "Name of the queue; one that does not exist is empty.",
}  # fmt: skip


class QueueWriterStep(StepHandler):
    """Adds a message, or several, to the end of a queue of the tenant: exactly once."""

    type = "queue_writer"
    label = "Write to a queue"
    effect = Effect.DATABASE
    config_schema = {
        "type": "object",
        "required": ["queue"],
        "properties": {
            "queue": _QUEUE,
            "message": {"title": "Message", "description": "What to write: any JSON of at most 256,000 bytes."},
            "messages": {
                "type": ["array", "string"], "title": "Messages", "maxItems": queues.MAX_BATCH,
                "description": "Several messages instead of one: a list, or a template that gives one.",
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a queue, and a message or messages."""
        found = _queue_problems(config)
        if ("message" in config) == ("messages" in config):
            found.append(Problem("message", "is required: give either message or messages"))
        elif not isinstance(config.get("messages", []), str | list):
            found.append(Problem("messages", "must be a list, or a template that gives one"))
        return found

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Write within the transaction that records the step."""
        messages = [config["message"]] if "message" in config else config["messages"]
        if not isinstance(messages, list) or len(messages) > queues.MAX_BATCH:
            raise PermanentError(f"messages must be a list of at most {queues.MAX_BATCH} messages")
        queue = _queue(config)
        if messages:
            queues.write(queue, messages, tenant_id=context.tenant_id, written_by=context.execution_id)
        return StepResult({"queue": queue, "written": len(messages)})


class QueueReaderStep(StepHandler):
    """Takes up to `limit` messages from the front of a queue of the tenant, each of them exactly once.

    It leaves by `messages`, or by `empty` when there is nothing to take; an edge without a handle is not taken then.
    """

    type = "queue_reader"
    label = "Read from a queue"
    effect = Effect.DATABASE
    routes = ("messages", "empty")
    side_routes = frozenset({"empty"})
    config_schema = {
        "type": "object",
        "required": ["queue"],
        "properties": {
            "queue": _QUEUE,
            "limit": {
                "type": ["integer", "string"], "minimum": 1, "maximum": queues.MAX_BATCH, "default": 1,
                "title": "Limit", "description": "Most messages to take at once.",
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a queue; check the limit."""
        found = _queue_problems(config)
        limit = config.get("limit", 1)
        if is_fixed(limit) and not _is_limit(_whole(limit)):
            found.append(Problem("limit", f"must be a whole number from 1 to {queues.MAX_BATCH}"))
        return found

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Take messages within the transaction that records the step."""
        limit = _whole(config.get("limit", 1))
        if not _is_limit(limit):
            raise PermanentError(
                f"limit must be a whole number from 1 to {queues.MAX_BATCH}, not {limit!r:.100}"
            )
        queue = _queue(config)
        messages = queues.read(queue, limit=limit, tenant_id=context.tenant_id)
        output = {"queue": queue, "count": len(messages), "messages": messages}
        return StepResult(output, route="messages" if messages else "empty")


def _queue_problems(config: Mapping[str, Any]) -> list[Problem]:
    if _is_name(config.get("queue")):
        return []
    return [Problem("queue", f"is required: a text of 1 to {MAX_NAME_LENGTH} characters")]


def _queue(config: Mapping[str, Any]) -> str:
    queue = config["queue"]
    if not _is_name(queue):
        raise PermanentError(f"queue must be a text of 1 to {MAX_NAME_LENGTH} characters, not {queue!r:.200}")
    return str(queue)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME_LENGTH and value.isprintable()


def _whole(value: Any) -> Any:
    """Return the whole number a text holds, and anything else as it is."""
    return int(value[:10]) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= queues.MAX_BATCH
