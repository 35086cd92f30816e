"""Endpoints to call, workers to run what is called, and storage that goes with the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from automate_core.context import tenant_scope
from automate_core.models import Tenant
from automate_core.outbox.drain import Drain
from automate_modal import endpoints, jobs
from automate_modal.models import Endpoint, Job
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.contract.conftest import front, server_url
from tests.factories.engine import node, workflow

__all__ = ["front", "key_client", "make_key", "make_user", "other_tenant", "server_url", "tenant"]

DOUBLE = node(
    "double", "transform", {"output": {"seen": "{{ input.n }}", "name": "{{ input.name | default('') }}"}}
)


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    """Keep artifacts in a directory of the test."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture
def make_endpoint(tenant: Tenant) -> Callable[..., Endpoint]:
    """Make an endpoint with a workflow behind it."""

    def make(
        *nodes: Any, slug: str = "orders", of: Tenant = tenant, edges: Any = (), **fields: Any
    ) -> Endpoint:
        with tenant_scope(of.pk):
            workflow(*(nodes or (DOUBLE,)), edges=edges, slug=slug, trigger_type="manual", trigger_config={})
            return endpoints.create_endpoint(
                by="test",
                **{"name": slug, "slug": slug, "kind": "automation", "config": {"workflow": slug}, **fields},
            )

    return make


@pytest.fixture
def make_job(make_endpoint: Callable[..., Endpoint]) -> Callable[..., Job]:
    """Start a job of a new endpoint."""

    def make(*nodes: Any, given: Any = None, wants_artifact: bool = False, **fields: Any) -> Job:
        endpoint = make_endpoint(*nodes, **fields)
        with tenant_scope(endpoint.tenant_id):
            return jobs.start(endpoint, given or {"n": 1}, by="test", wants_artifact=wants_artifact)

    return make


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """Run a worker beside the test."""
    stopping = threading.Event()

    def work() -> None:
        try:
            while not stopping.wait(0.01):
                Drain().run_until_empty(max_seconds=5)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopping.set()
    thread.join(60)
