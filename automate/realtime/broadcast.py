"""After a commit: tell whoever watches what changed. Lossy by design; the database is the truth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from automate.executions import notices
from automate.executions.rows import Change, Recorded
from automate.realtime import history, messages, sender

logger = logging.getLogger(__name__)


def send(changes: Sequence[Change], recorded: Recorded) -> None:
    """Say what was recorded of changes of watched automations; an error is logged and costs nothing else."""
    try:
        sender.current().put(messages.of_changes(changes, recorded))
    except Exception:
        logger.exception("realtime.broadcast_failed")


def send_since(before: Mapping[str, int]) -> None:
    """Say what happened outside the engine to executions since these numbers, of those somebody watches."""
    found = history.watched(before)
    if found:
        sender.current().put(found)


def connect() -> None:
    """Be told of what happens to executions outside the engine."""
    notices.listen(send_since)
