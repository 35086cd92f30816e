"""Executions with a step that waits, as a worker leaves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from automate.models import Execution, StepRun
from automate.waits.tokens import resume_token, token_hash
from tests.factories.engine import node, workflow

PUBLIC_URL = "https://flows.example"


@pytest.fixture
def waiting_step() -> Callable[..., StepRun]:
    """Return a function that makes a waiting step; its execution is new unless one is given."""

    def make(path: str = "wait", *, execution: Execution | None = None, **fields: Any) -> StepRun:
        if execution is None:
            automation = workflow(
                node("wait", "logging", {"message": "x"}), slug=f"w{Execution.all_tenants.count()}"
            )
            execution = Execution.objects.create(
                automation=automation, version=automation.live_version, status="WAITING"
            )
        row = {
            "execution": execution, "path": path, "node_key": "wait", "node_type": "wait_for_event",
            "status": "WAITING", "effect": "pure", "started_at": timezone.now(), **fields,
        }  # fmt: skip
        return StepRun.objects.create(**row)

    return make


@pytest.fixture
def step_with_link(waiting_step: Callable[..., StepRun]) -> Callable[..., tuple[StepRun, str]]:
    """Return a function that makes a step waiting for its link, and the link's token."""

    def make(**fields: Any) -> tuple[StepRun, str]:
        step = waiting_step(node_type="wait_for_webhook", **fields)
        token = resume_token(step.execution_id, step.path)
        StepRun.all_tenants.filter(pk=step.pk).update(wake_token=token_hash(token))
        return step, token

    return make


@pytest.fixture
def public_url(settings: Any) -> str:
    """Set where the site is reached."""
    settings.AUTOMATE = {**settings.AUTOMATE, "PUBLIC_URL": PUBLIC_URL}
    return PUBLIC_URL


def past() -> Any:
    """Return a moment that is over."""
    return timezone.now() - timedelta(seconds=5)
