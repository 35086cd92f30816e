"""Callers of the engine's routes, and the rows they ask for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from automate import workflows
from automate.models import Automation, Event, Execution, StepRun
from automate_core.context import tenant_scope
from automate_core.models import Tenant
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

GRAPH = {"nodes": [{"id": "step_1", "type": "logging", "config": {"message": "hello"}}], "edges": []}


@pytest.fixture
def make_workflow(tenant: Tenant) -> Callable[..., Automation]:
    def make(name: str = "Orders", *, of: Tenant = tenant, **fields: Any) -> Automation:
        with tenant_scope(of.pk):
            return workflows.create_workflow(name=name, by="test", **{"graph": GRAPH, **fields})

    return make


@pytest.fixture
def make_event(tenant: Tenant) -> Callable[..., Event]:
    def make(type: str = "order.created", *, of: Tenant = tenant, **fields: Any) -> Event:
        return Event.all_tenants.create(tenant=of, type=type, **fields)

    return make


@pytest.fixture
def make_execution() -> Callable[..., Execution]:
    def make(automation: Automation, *, steps: int = 0, **fields: Any) -> Execution:
        end = timezone.now()
        finished = {"status": "SUCCESS", "started_at": end - timedelta(seconds=2), "finished_at": end}
        execution = Execution.all_tenants.create(
            tenant_id=automation.tenant_id,
            automation=automation,
            version_id=automation.live_version_id,
            **{**finished, **fields},
        )
        for number in range(1, steps + 1):
            StepRun.all_tenants.create(
                tenant_id=automation.tenant_id,
                execution=execution,
                path=f"step_{number}",
                node_key=f"step_{number}",
                node_type="logging",
                effect="pure",
                status="SUCCESS",
                input_data={"channel": "#orders", "message": "***REDACTED***"},
                output_data={"ok": True},
                started_at=end - timedelta(seconds=2),
                finished_at=end,
            )
        return execution

    return make
