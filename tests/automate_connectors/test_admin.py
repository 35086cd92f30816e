"""Connections in the admin obey the same rules."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.test import RequestFactory

from automate_connectors import connections
from automate_connectors.admin import ConnectionAdmin
from automate_connectors.models import Connection

pytestmark = pytest.mark.django_db


def submit(config: dict[str, object], row: Connection | None = None) -> Connection | dict[str, list[str]]:
    """Post the admin form; return the saved row or the errors."""
    admin = ConnectionAdmin(Connection, site)
    request = RequestFactory().post("/")
    request.user = get_user_model()(pk=1, is_superuser=True)
    data = {"name": "shop", "connector": "http", "config": json.dumps(config), "is_enabled": "on"}
    form = admin.get_form(request, row, change=row is not None)(data, instance=row)
    if not form.is_valid():
        return dict(form.errors)
    made = form.save(commit=False)
    admin.save_model(request, made, form, change=row is not None)
    return Connection.objects.get()


def test_admin_refuses_a_secret_in_place_of_a_reference() -> None:
    errors = submit({"base_url": "https://a.example", "bearer_token": "raw"})
    assert isinstance(errors, dict)
    assert list(errors) == ["config"]
    assert Connection.objects.count() == 0


def test_admin_creates_a_connection() -> None:
    config: dict[str, object] = {"base_url": "https://a.example", "bearer_token": "$secret:X"}
    made = submit(config)
    assert isinstance(made, Connection)
    assert (made.name, made.connector, made.config) == ("shop", "http", config)


def test_admin_change_of_the_host_drops_the_references() -> None:
    row = connections.create(
        name="shop", connector="http", config={"base_url": "https://a.example", "bearer_token": "$secret:X"}
    )
    changed = submit({"base_url": "https://evil.example", "bearer_token": "$secret:X"}, row)
    assert isinstance(changed, Connection)
    assert changed.config == {"base_url": "https://evil.example"}
