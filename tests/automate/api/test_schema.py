"""The list of the project's apps and models: for staff, with names and types, without anything secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.api.viewsets.schema import SchemaViewSet, _is_sensitive
from automate_core.models import Role
from tests.automate_api.conftest import make_key, make_user

__all__ = ["make_key", "make_user"]

pytestmark = pytest.mark.django_db

URL = "/api/automate/schema/apps/"


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """Return the models of the answer by their label."""
    return {model["label"]: model for app in client.get(URL).json()["apps"] for model in app["models"]}


def test_apps_come_with_models_and_fields(key_client: Callable[..., Client]) -> None:
    answer = key_client().get(URL)
    assert (answer.status_code, sorted(answer.json())) == (200, ["apps"])
    apps = answer.json()["apps"]
    assert {tuple(sorted(app)) for app in apps} == {("label", "models", "name")}
    labels = [app["label"] for app in apps]
    assert labels == sorted(labels)
    assert {"automate", "automate_connectors"} <= set(labels)
    models = listed(key_client())
    workflow = models["automate.Automation"]
    assert (workflow["label"], workflow["name"]) == ("automate.Automation", "automation")
    fields = {field.pop("name"): field for field in workflow["fields"]}
    assert fields["name"] == {"type": "CharField", "relation": None, "nullable": False, "help_text": ""}
    assert fields["live_version"] == {
        "type": "ForeignKey",
        "relation": "automate.WorkflowVersion",
        "nullable": True,
        "help_text": "",
    }


def test_relation_to_what_is_hidden_is_not_named(key_client: Callable[..., Client]) -> None:
    (field,) = [
        one for one in listed(key_client())["automate.Automation"]["fields"] if one["name"] == "tenant"
    ]
    assert (field["type"], field["relation"]) == ("ForeignKey", None)


def test_accounts_sessions_and_secrets_are_hidden(key_client: Callable[..., Client]) -> None:
    apps = {label.split(".")[0] for label in listed(key_client())}
    hidden = {"admin", "auth", "automate_api", "automate_core", "contenttypes", "sessions", "token_blacklist"}
    assert apps & hidden == set()


@pytest.mark.parametrize("kept", [[], ["auth"], ["django.contrib.auth"]])
def test_excluded_apps_are_labels_or_names(
    key_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, kept: list[str]
) -> None:
    monkeypatch.setattr(SchemaViewSet, "excluded_apps", kept)
    models = listed(key_client())
    assert ("auth.User" in models) == (kept == [])
    assert "automate_core.Tenant" in models


def test_secret_models_and_fields_are_hidden_in_every_app(
    key_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SchemaViewSet, "excluded_apps", [])
    models = listed(key_client())
    assert {"automate_api.ApiKey", "automate_core.Secret"} & set(models) == set()
    assert not any("Token" in label for label in models)
    user = models["auth.User"]["fields"]
    assert "password" not in {field["name"] for field in user}
    (groups,) = [field for field in user if field["name"] == "groups"]
    assert (groups["type"], groups["relation"]) == ("ManyToManyField", "auth.Group")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ApiKey", True), ("Secret", True), ("SecretVersion", True), ("TokenLog", True), ("PasswordHistory", True),
     ("Credential", True), ("OAuthCredentials", True), ("Order", False), ("Keyboard", False), ("Execution", False)],
)  # fmt: skip
def test_models_are_hidden_by_any_word_of_their_name(name: str, expected: bool) -> None:
    assert _is_sensitive(name) is expected


def test_apps_are_for_staff(
    key_client: Callable[..., Client], make_user: Callable[..., Any], make_key: Callable[..., Any]
) -> None:
    staff, other = make_user("staff", is_staff=True, role=Role.VIEWER), make_user("other", role=Role.ADMIN)
    assert key_client(Role.VIEWER, user=staff).get(URL).status_code == 200
    assert key_client(Role.ADMIN, user=other).get(URL).status_code == 403
    assert key_client(Role.PUBLISHER).get(URL).status_code == 403
    assert Client().get(URL).status_code == 401


@pytest.mark.parametrize(("scopes", "status"), [(["schema:read"], 200), (["events:read"], 403)])
def test_apps_need_their_scope(key_client: Callable[..., Client], scopes: list[str], status: int) -> None:
    assert key_client(scopes=scopes).get(URL).status_code == status


def test_only_reading_is_answered(key_client: Callable[..., Client]) -> None:
    assert key_client().post(URL, {}, content_type="application/json").status_code == 405


def test_no_table_is_read_for_it(key_client: Callable[..., Client]) -> None:
    client = key_client()
    client.get(URL)
    with CaptureQueriesContext(connection) as seen:
        client.get(URL)
    assert {query["sql"].split('FROM "')[1].split('"')[0] for query in seen if "FROM" in query["sql"]} == {
        "automate_api_apikey"
    }


def test_document_describes_it(key_client: Callable[..., Client]) -> None:
    operation = Client().get("/api/schema/").json()["paths"][URL]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/DatabaseSchema"}
    assert [model["label"] for model in content["examples"]["Apps"]["value"]["apps"][0]["models"]] == [
        "shop.Order"
    ]
