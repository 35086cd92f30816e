"""Runs executions. `Runtime` loads lazily: it needs the app registry."""

from __future__ import annotations

from typing import Any

__all__ = ["Runtime"]


def __getattr__(name: str) -> Any:
    if name != "Runtime":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automate.runtime.local import Runtime

    return Runtime
