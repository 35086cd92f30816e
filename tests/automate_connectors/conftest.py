"""The loopback server of the HTTP tests, name lookups that stay in the process, and a step context."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from automate_core.models import DEFAULT_TENANT_ID
from automate_core.steps import StepContext
from tests.automate_core.http.conftest import answers, other_server, server

__all__ = ["answers", "other_server", "server"]


@pytest.fixture(autouse=True)
def _no_name_lookups(answers: dict[str, Any]) -> None:
    """Names resolve to nothing unless a test says otherwise."""


@pytest.fixture
def context() -> StepContext:
    """A step's context in the default tenant."""
    return StepContext(
        tenant_id=DEFAULT_TENANT_ID,
        execution_id=UUID(int=7),
        path="loop[3]/call",
        attempt=1,
        idempotency_key="k" * 64,
        trace_id="t" * 32,
        scope={},
        timeout_seconds=5.0,
    )
