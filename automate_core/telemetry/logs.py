"""Log formatters: one line per record, with trace id and tenant, redacted.

The convention for our own log calls: the message is a dotted event name, the facts are `extra`:

    logger.info("outbox.claimed", extra={"count": 3})
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from automate_core.context import tenant_in_context, trace_in_context
from automate_core.redaction import redact
from automate_core.revealed import revealed_secrets

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OURS = frozenset({"ts", "level", "logger", "event", "trace_id", "tenant", "exception", "stack"})


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object on one line.

    Fields: `ts` (ISO 8601, UTC), `level`, `logger`, `event` (the message), `trace_id` and `tenant` if known,
    the record's extras, `exception` (the traceback) and `stack` when there is one. An extra that has the name
    of one of these gets a `_` in front, except `trace_id` and `tenant`, which then override the context.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets and without a line break."""
        return orjson.dumps(_described(record)).decode()


class HumanFormatter(logging.Formatter):
    """Write a record for a person at a terminal: time, level, event, then `name=value` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets; a traceback follows on lines of its own."""
        line = _described(record)
        moment = datetime.fromtimestamp(record.created).astimezone()
        head = f"{moment:%H:%M:%S} {line.pop('level'):<7} {_one_line(line.pop('event'))}"
        tails = [str(line.pop(name)) for name in ("exception", "stack") if name in line]
        del line["ts"], line["logger"]
        pairs = [f"{name}={_one_line(value)}" for name, value in line.items()]
        return "\n".join([" ".join([head, *pairs]), *tails])


def _described(record: logging.LogRecord) -> dict[str, Any]:
    extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    line: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "event": record.getMessage(),
    }
    if trace_id := extras.pop("trace_id", None) or trace_in_context():
        line["trace_id"] = str(trace_id)
    if tenant := extras.pop("tenant", None) or tenant_in_context():
        line["tenant"] = str(tenant)
    line.update((f"_{name}" if name in _OURS else name, value) for name, value in extras.items())
    if record.exc_info and record.exc_info[0]:
        line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    if record.stack_info:
        line["stack"] = record.stack_info
    return dict(redact(line, revealed_secrets()))


def _one_line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
