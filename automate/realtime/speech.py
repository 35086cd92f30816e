"""What steps say while they run: bounded, without secrets, and only if somebody watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from django.db import DatabaseError

from automate.realtime import sender
from automate.realtime.messages import Message
from automate_core import sql
from automate_core.live import Live
from automate_core.redaction import redact_text
from automate_core.revealed import revealed_secrets

logger = logging.getLogger(__name__)

LONGEST_TEXT = 4_000
"""Characters of one line or piece."""
MOST_LINES = 100
"""Lines a step without a call of its own says."""
MOST_MESSAGES = 5_000
"""Messages one call says."""
HOLD_SECONDS = 0.05
"""How long pieces of a text are collected before they go out as one."""
FRESH_SECONDS = 1.0
"""How long it is believed who watches."""
LEVELS = frozenset({"debug", "info", "warning", "error"})

_WATCHED = "SELECT automation_id::text FROM automate_livewatch WHERE expires_at > statement_timestamp()"

Redact = Callable[[Any], Any]

_watched: frozenset[str] = frozenset()
_read_at = float("-inf")


def is_watched(workflow_id: str) -> bool:
    """Tell whether anybody watches a workflow; the database is asked once a second at most."""
    global _watched, _read_at
    now = time.monotonic()
    if now - _read_at > FRESH_SECONDS:
        _read_at = now
        try:
            _watched = frozenset(row[0] for row in sql.execute(_WATCHED))
        except DatabaseError:
            logger.warning("speech.unreadable", exc_info=True)
            _watched = frozenset()
    return workflow_id in _watched


class Lines(Live):
    """What a step without a call of its own says: kept with its row, and told after the commit that records it."""

    def __init__(self, row: Any, redact: Redact) -> None:
        self._row = row
        self._redact = redact
        self._said: list[tuple[str, str, str]] = []

    def log(self, text: str, *, level: str = "info") -> None:
        """Keep one line."""
        self._keep("node_log", text, level)

    def token(self, text: str) -> None:
        """Keep the next piece of a text."""
        self._keep("node_token", text, "")

    def messages(self, workflow_id: str, execution_id: str) -> Iterable[Message]:
        """Yield what was said, numbered by the step's last mark."""
        for count, (kind, text, level) in enumerate(self._said, 1):
            yield _message(kind, workflow_id, execution_id, self._row, count, self._redact(text), level)

    def _keep(self, kind: str, text: str, level: str) -> None:
        if len(self._said) < MOST_LINES:
            self._said.append((kind, str(text)[:LONGEST_TEXT], level))
            self._row.lines = self


class Speech(Live):
    """What a call says: told at once, from the thread it runs on."""

    def __init__(self, workflow_id: str, execution_id: str, row: Any, redact: Redact) -> None:
        self._workflow_id = workflow_id
        self._execution_id = execution_id
        self._row = row
        self._redact = redact
        self._lock = threading.Lock()
        self._count = 0
        self._held = ""
        self._held_since = 0.0

    def log(self, text: str, *, level: str = "info") -> None:
        """Say one line."""
        if not is_watched(self._workflow_id):
            return
        with self._lock:
            self._let_go()
            self._say("node_log", str(text), level)

    def token(self, text: str) -> None:
        """Say the next piece of a text, together with those that come right after it."""
        if not is_watched(self._workflow_id):
            return
        with self._lock:
            now = time.monotonic()
            if not self._held:
                self._held_since = now
            self._held += str(text)
            if len(self._held) >= LONGEST_TEXT or now - self._held_since >= HOLD_SECONDS:
                self._let_go()

    def close(self) -> None:
        """Say the pieces that are held back."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, ""
        for first in range(0, len(held), LONGEST_TEXT):
            self._say("node_token", held[first : first + LONGEST_TEXT], "")

    def _say(self, kind: str, text: str, level: str) -> None:
        if self._count >= MOST_MESSAGES:
            return
        self._count += 1
        said = redact_text(self._redact(text[:LONGEST_TEXT]), revealed_secrets())
        message = _message(kind, self._workflow_id, self._execution_id, self._row, self._count, said, level)
        sender.current().put({self._workflow_id: [message]})


def _message(
    kind: str, workflow_id: str, execution_id: str, row: Any, count: int, text: Any, level: str
) -> Message:
    said: dict[str, Any] = {
        "type": kind,
        "workflow_id": workflow_id,
        "execution_id": execution_id,
        "seq": row.seq,
        "count": count,
        "node_id": row.node_key,
        "node_type": row.node_type,
        "path": row.path,
        "text": text,
    }
    if level:
        said["level"] = level if level in LEVELS else "info"
    return Message(execution_id, row.seq, kind, orjson.dumps(said).decode())
