"""A site and a worker on each channel layer, and a key to look on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from automate_api import keys
from automate_core.models import Role, Tenant
from tests.automate.runtime.conftest import gate, register_step
from tests.factories.live import Site, serving, working

__all__ = ["gate", "register_step"]

MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
POSTGRES = {"BACKEND": "automate.realtime.layers.PostgresChannelLayer"}


@pytest.fixture
def layer(request: pytest.FixtureRequest, settings: Any) -> str:
    """Configure the channel layer a test names with `parametrize(..., indirect=True)`; PostgreSQL's otherwise."""
    name: str = getattr(request, "param", "postgres")
    if name == "redis":
        url = request.getfixturevalue("redis_url")
        chosen = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [url]}}
    else:
        chosen = {"memory": MEMORY, "postgres": POSTGRES}[name]
    settings.CHANNEL_LAYERS = {"default": chosen}
    return name


@pytest.fixture
def site(transactional_db: None, layer: str) -> Iterator[Site]:
    """Serve the project."""
    with serving() as served:
        yield served


@pytest.fixture
def worker(site: Site) -> Iterator[Any]:
    """Run a worker beside the site."""
    with working() as drain:
        yield drain


@pytest.fixture
def make_key(transactional_db: None) -> Callable[..., str]:
    """Return a function that makes a key of a tenant, the default one if none is named."""

    def make(role: Role = Role.VIEWER, *, of: Tenant | None = None, **given: Any) -> str:
        tenant = of or Tenant.objects.get(slug="default")
        return keys.create_key(name="test", tenant_id=tenant.pk, role=role, by="test", **given)[1]

    return make


@pytest.fixture
def key(make_key: Callable[..., str]) -> str:
    """A key that may look."""
    return make_key()
