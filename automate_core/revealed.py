"""Secret values revealed while a block runs, so that whatever the block records can be redacted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_collectors: ContextVar[tuple[list[str], ...]] = ContextVar("automate_revealed", default=())


@contextmanager
def collect_secrets() -> Iterator[list[str]]:
    """Collect every secret value resolved inside the block, also by threads and tasks that share its context.

    Blocks nest: a value resolved inside reaches every block around it.
    """
    seen: list[str] = []
    token = _collectors.set((*_collectors.get(), seen))
    try:
        yield seen
    finally:
        _collectors.reset(token)


def note_revealed(value: str) -> None:
    """Add one resolved value to every block that collects."""
    for seen in _collectors.get():
        if value not in seen:
            seen.append(value)


def revealed_secrets() -> tuple[str, ...]:
    """Return the values collected so far by the blocks around the caller."""
    return tuple({value: None for seen in _collectors.get() for value in tuple(seen)})
