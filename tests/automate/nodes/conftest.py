"""The scripted steps of the engine's tests."""

from __future__ import annotations

from tests.automate.runtime.conftest import register_step

__all__ = ["register_step"]
