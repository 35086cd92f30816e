"""Keeps credentials out of what web servers log, with whatever handlers and formatters: their records come redacted.

Requests of sockets carry credentials where servers log them: in the request line and, at level DEBUG, in headers.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

from automate_core.redaction import is_sensitive_key, redact, redact_text
from automate_core.sensitive import REDACTED

LOGGERS = (
    "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets", "websockets.server",
    "websockets.client", "gunicorn.error", "gunicorn.access", "hypercorn.error", "hypercorn.access",
    "daphne.server", "daphne.http_protocol", "daphne.ws_protocol", "django.server", "django.request", "django.security",
)  # fmt: skip
"""Loggers of the servers this may run under; a filter of a logger is not asked for the records of its children."""

_PROTOCOLS = "sec-websocket-protocol"


class CredentialFilter(logging.Filter):
    """Lets every record pass, without the credentials in it; the shape of its arguments stays as formatters expect."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place."""
        if isinstance(record.args, Mapping):
            record.args = _mapping(record.args)
        elif record.args:
            record.args = _arguments(record.args)
        elif isinstance(record.msg, str):
            record.msg = redact_text(record.msg)
        if record.exc_info and record.exc_info[0] and not record.exc_text:
            # A formatter uses this text instead of making its own.
            record.exc_text = redact_text(logging.Formatter().formatException(record.exc_info))
        return True


def redact_server_logs() -> None:
    """Have the records of web servers' loggers redacted; more than once changes nothing."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, CredentialFilter) for one in logger.filters):
            logger.addFilter(CredentialFilter())


def _arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(args) == 2 and isinstance(args[0], str) and _holds_credential(args[0]):
        return (args[0], REDACTED)  # a header: its name and its value
    return tuple(_clean(arg) for arg in args)


def _holds_credential(header: str) -> bool:
    return header.lower() == _PROTOCOLS or is_sensitive_key(header)


def _mapping(args: Mapping[str, Any]) -> Mapping[str, Any]:
    found = {name: REDACTED if _holds_credential(name) else _clean(value) for name, value in args.items()}
    if all(found[name] is value for name, value in args.items()):
        return args
    if not isinstance(args, dict):
        return found
    kept = copy.copy(args)  # servers' own kind of dict answers for names it does not have
    kept.update(found)
    return kept


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return redact({**value, "subprotocols": REDACTED} if value.get("subprotocols") else value)
    text = str(value)
    clean = redact_text(text)
    return value if clean == text else clean
