"""Callers of the orchestrator API and the workflows they draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from automate.models import Automation
from automate_core.models import Role
from automate_core.steps import Effect, step_registry
from tests.automate.api.conftest import make_execution, make_workflow
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.factories.scripted import ScriptedStep

__all__ = ["key_client", "make_execution", "make_key", "make_user", "make_workflow", "other_tenant", "tenant"]


class Canvas:
    """A caller who draws one workflow."""

    def __init__(self, client: Client, workflow_id: str) -> None:
        self.client = client
        self.workflow_id = workflow_id

    @property
    def automation(self) -> Automation:
        return Automation.all_tenants.select_related("live_version").get(pk=self.workflow_id)

    def url(self, path: str = "") -> str:
        return f"/api/workflow/{self.workflow_id}/{path}"

    def get(self, path: str = "", **headers: str) -> Any:
        return self.client.get(self.url(path), headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(self.url(path), body or {}, "application/json", headers=headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.client.patch(self.url(path), body, "application/json")

    def delete(self, path: str = "") -> Any:
        return self.client.delete(self.url(path))

    def add(self, node_type: str, form_values: Any = None, **more: Any) -> str:
        """Draw a node and return its id."""
        body = {"nodeTemplate": node_type, "form_values": form_values or {}, **more}
        answer = self.post("nodes/add/", body)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    def connect(self, source: str, target: str, **more: Any) -> Any:
        return self.post("connections/add/", {"source": source, "target": target, **more})


@pytest.fixture
def canvas(key_client: Callable[..., Client]) -> Canvas:
    """A canvas of an admin with nothing drawn on it."""
    client = key_client()
    made = client.post("/api/workflow/", {"name": "Drawn"}, "application/json").json()
    return Canvas(client, made["id"])


@pytest.fixture
def as_role(key_client: Callable[..., Client]) -> Callable[[Canvas, Role], Canvas]:
    """Return the canvas as a caller of another role sees it."""

    def make(canvas: Canvas, role: Role, **key: Any) -> Canvas:
        return Canvas(key_client(role, **key), canvas.workflow_id)

    return make


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedStep]]:
    names: list[str] = []

    def register(kind: str, effect: Effect, act: Any) -> ScriptedStep:
        names.append(kind)
        step = ScriptedStep(kind, effect, act)
        step_registry.register(kind, step)
        return step

    yield register
    for name in names:
        step_registry.unregister(name)
