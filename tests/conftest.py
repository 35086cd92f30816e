"""Fixtures every test may need; those of the embedded Valkey (`valkey_server`) come with its wheel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, settings

# The same examples in every run, however slow the machine: what a test says must not depend on chance or on load.
settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Forget, after each test, what processes remember: cached values, counted requests, tenants by name."""
    yield
    from automate_api import throttling
    from automate_core.models import DEFAULT_TENANT_ID, tenant

    cache.clear()
    throttling.reset()
    tenant._tenant_ids.clear()
    tenant._tenant_ids["default"] = DEFAULT_TENANT_ID


@pytest.fixture
def redis_url(valkey_server: Any) -> str:
    """URL of a real, empty server that speaks Redis' protocol; started when the first test asks for it."""
    client = valkey_server.client()
    client.flushall()
    client.close()
    host, port = valkey_server.connection_url.rsplit("/", 1)[-1].split(":")
    return f"redis://{host}:{port}/0"
