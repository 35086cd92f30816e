"""What the tests of secrets share: a clean cache, two tenants, an in-memory Vault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hvac
import pytest

from automate_core.ids import uuid7
from automate_core.models import Tenant
from automate_core.secrets.database import database_backend


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    database_backend._values.clear()
    yield
    database_backend._values.clear()


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="globex", name="Globex")


class FakeVault:
    """An hvac client over dictionaries: mounts of engine version 2 and 1, and refused paths.

    Answers as a Vault server does to hvac: InvalidPath for what is not there and for the wrong engine,
    Forbidden for what the policy refuses.
    """

    def __init__(self) -> None:
        self.v2_mounts: dict[tuple[str, str], dict[str, Any]] = {}
        self.v1_mounts: dict[tuple[str, str], dict[str, Any]] = {}
        self.refused: set[tuple[str, str]] = set()
        self.failure: Exception | None = None

    @property
    def secrets(self) -> FakeVault:
        return self

    kv = secrets

    @property
    def v2(self) -> FakeVault:
        return self

    v1 = v2

    def read_secret_version(self, *, path: str, mount_point: str, raise_on_deleted_version: bool) -> Any:
        assert raise_on_deleted_version
        return {"data": {"data": self._at(self.v2_mounts, mount_point, path)}}

    def read_secret(self, *, path: str, mount_point: str) -> Any:
        return {"data": self._at(self.v1_mounts, mount_point, path)}

    def _at(self, mounts: dict[tuple[str, str], dict[str, Any]], mount: str, path: str) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        if (mount, path) in self.refused:
            raise hvac.exceptions.Forbidden("permission denied")
        if (mount, path) not in mounts:
            raise hvac.exceptions.InvalidPath("nothing here")
        return mounts[mount, path]


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault()
