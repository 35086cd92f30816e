"""Callers of the API: keys, users and tenants, and a client that sends JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from automate_api import keys, throttling
from automate_api.models import ApiKey
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role, Tenant


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    throttling.reset()
    yield
    throttling.reset()


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.get_or_create(
        id=DEFAULT_TENANT_ID, defaults={"slug": "default", "name": "Default"}
    )[0]


@pytest.fixture
def other_tenant(db: None) -> Tenant:
    return Tenant.objects.create(slug="other", name="Other")


@pytest.fixture
def make_key(tenant: Tenant) -> Callable[..., tuple[ApiKey, str]]:
    def make(role: Role = Role.ADMIN, **given: Any) -> tuple[ApiKey, str]:
        fields = {"name": "test", "tenant_id": tenant.pk, "role": role, "by": "test", **given}
        return keys.create_key(**fields)

    return make


@pytest.fixture
def make_user(tenant: Tenant) -> Callable[..., Any]:
    def make(username: str = "ada", *, role: Role | None = Role.ADMIN, **fields: Any) -> Any:
        user = get_user_model().objects.create_user(username, password="correct horse", **fields)
        if role is not None:
            Membership.objects.create(tenant=tenant, user=user, role=role)
        return user

    return make


@pytest.fixture
def key_client(make_key: Callable[..., tuple[ApiKey, str]]) -> Callable[..., Client]:
    def make(role: Role = Role.ADMIN, **given: Any) -> Client:
        return Client(headers={"X-API-Key": make_key(role, **given)[1]}, raise_request_exception=False)

    return make
