"""Makes one row of each collection of the API, in any tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import models
from django.utils import timezone

from automate import workflows
from automate.models import Approval, Event, Execution
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import Tenant
from automate_modal import endpoints
from automate_modal.models import Artifact, Job

GRAPH = {"nodes": [{"id": "step_1", "type": "logging", "config": {"message": "hello"}}], "edges": []}


def make(collection: str, of: Tenant) -> models.Model:
    """Return a new row of a collection, named as in its URL."""
    with tenant_scope(of.pk):
        return MAKERS[collection]()


def _workflow() -> Any:
    return workflows.create_workflow(name="Orders", by="test", graph=GRAPH)


def _execution(**fields: Any) -> Any:
    workflow = _workflow()
    now = timezone.now()
    ended = {"status": "SUCCESS", "started_at": now, "finished_at": now}
    return Execution.objects.create(
        automation=workflow, version_id=workflow.live_version_id, **{**ended, **fields}
    )


def _approval() -> Any:
    return Approval.objects.create(execution=_execution(), path="ask", title="Pay?")


def _event() -> Any:
    return Event.objects.create(type="order.created")


def _endpoint() -> Any:
    return endpoints.create_endpoint(
        by="test", name="Orders", kind="automation", config={"workflow": _workflow().slug}
    )


def _job() -> Any:
    now = timezone.now()
    ended = {"status": "SUCCESS", "started_at": now, "finished_at": now}
    return Job.objects.create(endpoint=_endpoint(), kind="automation", run_id=uuid7(), **ended)


def _artifact() -> Any:
    file = {"content_type": "text/plain", "size": 1, "sha256": "0" * 64, "file": "absent"}
    return Artifact.objects.create(job=_job(), name="output", **file)


MAKERS: Mapping[str, Callable[[], Any]] = {
    "workflows": _workflow,
    "workflow": _workflow,
    "executions": _execution,
    "approvals": _approval,
    "events": _event,
    "endpoints": _endpoint,
    "jobs": _job,
    "artifacts": _artifact,
}
