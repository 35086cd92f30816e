"""The transactional outbox: promises committed with the change that made them, delivered at least once.

Exports load lazily: the writer and the reaper need the app registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "OutboxStore": "base",
    "SkipLockedClaimOutboxStore": "store",
    "LeaseLost": "base",
    "OutboxReaper": "reaper",
    "enqueue": "writer",
}

__all__ = ["LeaseLost", "OutboxReaper", "OutboxStore", "SkipLockedClaimOutboxStore", "enqueue"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
