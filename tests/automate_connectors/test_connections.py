"""Connections: references only, resolved at the call, dropped when the host changes."""

from __future__ import annotations

import pytest

from automate_connectors import connections
from automate_connectors.connections import ConnectionNameTaken, ConnectionUnusable
from automate_connectors.models import Connection
from automate_core import secrets
from automate_core.context import tenant_scope
from automate_core.errors import ValidationFailed
from automate_core.models import Tenant
from automate_core.secrets import SecretNotFoundError

pytestmark = pytest.mark.django_db

SHOP = {"base_url": "https://shop.example/api", "bearer_token": "$secret:SHOP", "headers": {"X-Team": "a"}}


def test_load_resolves_references_when_called() -> None:
    connections.create(name="shop", connector="http", config=SHOP)
    secrets.store("SHOP", "first-value", by="tests")
    assert connections.load("http", "shop").config["bearer_token"] == "first-value"
    secrets.store("SHOP", "second-value", by="tests")
    loaded = connections.load("http", "shop")
    assert loaded.config == {**SHOP, "bearer_token": "second-value"}
    assert loaded.secrets == ("second-value",)
    assert "second-value" not in repr(loaded)
    assert Connection.objects.get(name="shop").config == SHOP


def test_load_fails_when_a_secret_is_missing() -> None:
    connections.create(name="shop", connector="http", config=SHOP)
    with pytest.raises(SecretNotFoundError):
        connections.load("http", "shop")


def test_load_refuses_missing_disabled_and_foreign_connections() -> None:
    connections.create(
        name="off", connector="http", config={"base_url": "https://a.example"}, is_enabled=False
    )
    connections.create(name="slack", connector="slack")
    with tenant_scope(Tenant.objects.create(slug="other", name="Other").id):
        connections.create(name="theirs", connector="http", config={"base_url": "https://a.example"})
    for name in ("nothing", "off", "slack", "theirs"):
        with pytest.raises(ConnectionUnusable):
            connections.load("http", name)


def test_load_without_a_name_uses_the_only_enabled_connection() -> None:
    with pytest.raises(ConnectionUnusable, match="create one"):
        connections.load("slack")
    connections.create(name="one", connector="slack")
    connections.create(name="off", connector="slack", is_enabled=False)
    assert connections.load("slack").name == "one"
    connections.create(name="two", connector="slack")
    with pytest.raises(ConnectionUnusable, match="several"):
        connections.load("slack")


@pytest.mark.parametrize(
    ("connector", "config", "field"),
    [
        ("http", {"base_url": "https://a.example", "bearer_token": "a-real-token"}, "config.bearer_token"),
        (
            "http",
            {"base_url": "https://a.example", "headers": {"X-API-Key": "raw"}},
            "config.headers.X-API-Key",
        ),
        ("http", {"base_url": "http://169.254.169.254/"}, "config.base_url"),
        ("http", {"base_url": "http://localhost/"}, "config.base_url"),
        ("http", {}, "config.base_url"),
        ("http", {"base_url": "https://a.example", "typo": 1}, "config.typo"),
        ("slack", {"webhook_url": "https://hooks.slack.com/services/T/B/x"}, "config.webhook_url"),
        ("nothing", {}, "connector"),
    ],
)
def test_create_refuses_what_does_not_fit(connector: str, config: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        connections.create(name="x", connector=connector, config=config)
    assert field in [problem.field for problem in refused.value.details]
    assert "a-real-token" not in str(refused.value.details)
    assert Connection.objects.count() == 0


def test_names_are_unique_in_a_tenant() -> None:
    connections.create(name="x", connector="slack")
    with pytest.raises(ConnectionNameTaken):
        connections.create(name="x", connector="slack")
    with tenant_scope(Tenant.objects.create(slug="other", name="Other").id):
        connections.create(name="x", connector="slack")
    assert Connection.all_tenants.filter(name="x").count() == 2


def test_name_is_checked() -> None:
    with pytest.raises(ValidationFailed):
        connections.create(name="no spaces", connector="slack")


def test_changing_the_host_drops_the_stored_references() -> None:
    row = connections.create(name="shop", connector="http", config=SHOP)
    changed = connections.change(row, config={**SHOP, "base_url": "https://evil.example"})
    assert changed.config == {"base_url": "https://evil.example", "headers": {"X-Team": "a"}}
    assert Connection.objects.get().config == changed.config


def test_a_new_reference_given_with_the_new_host_is_kept() -> None:
    row = connections.create(name="shop", connector="http", config=SHOP)
    config = {"base_url": "https://new.example", "bearer_token": "$secret:NEW"}
    assert connections.change(row, config=config).config == config


def test_changing_something_else_keeps_the_references() -> None:
    row = connections.create(name="shop", connector="http", config=SHOP)
    changed = connections.change(row, config={**SHOP, "headers": {}}, name="store", is_enabled=False)
    assert (changed.config["bearer_token"], changed.name, changed.is_enabled) == (
        "$secret:SHOP",
        "store",
        False,
    )
