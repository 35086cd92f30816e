"""After a commit: tell whoever watches what changed. Lossy by design; the database is the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from automate.executions.rows import Change

logger = logging.getLogger(__name__)

Sink = Callable[[Sequence[Change]], None]

_sinks: list[Sink] = []


def add_sink(sink: Sink) -> None:
    """Have `sink` called with every committed batch of changes, on the worker's thread; it must not block."""
    if sink not in _sinks:
        _sinks.append(sink)


def remove_sink(sink: Sink) -> None:
    """Stop calling a sink."""
    if sink in _sinks:
        _sinks.remove(sink)


def send(changes: Sequence[Change]) -> None:
    """Hand committed changes to the sinks; a sink that fails is logged and costs nothing else."""
    for sink in _sinks:
        try:
            sink(changes)
        except Exception:
            logger.exception("realtime.sink_failed")
