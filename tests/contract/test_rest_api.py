"""The REST reference, replayed: each request it shows is sent to a server, each answer compared with what it shows."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.urls import Resolver404, resolve

from automate import workflows
from automate.models import Automation, Event, Execution, StepRun
from automate.webhooks import sources
from automate_api import errors, keys
from automate_api.conf import DEFAULTS
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role, Tenant
from tests.contract import documented

EXAMPLES = documented.examples()

NOT_MOUNTED = (
    "/api/datachat/",
    "/api/embed/",
    "/api/rag/",
    "/api/automate/prompts/",
    "/api/v1/providers/",
)
"""Documented families that come with apps to come; a family leaves this list when its first route is mounted."""

ADDED: dict[str, set[str]] = {
    "GET /api/automate/executions/": {"next", "previous"},
    "GET /api/automate/executions/{id}/": {
        "workflow_version",
        "output",
        "error_code",
        "replay_of",
        "parent_execution_id",
        "parent_path",
        "children",
        "trace_id",
        "created_at",
        "cancel_requested_at",
        "paused_at",
        "held_at",
        "duration_ms",
        "trigger_event_id",
        "steps[].path",
        "steps[].attempt",
        "steps[].route",
        "steps[].error_code",
        "steps[].error_message",
        "steps[].wake_at",
    },
}
"""Fields our answers have beyond the documented ones."""

ANY_VALUE = re.compile(r"(.*\.|^)(id|\w+_id|\w+_at|trace_id|access|refresh)$")
"""Fields of which only the type is documented: ids, times and tokens."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SECRET = "webhook-secret"
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def url_of(path: str) -> str:
    """Return a documented path with something in each placeholder."""
    return re.sub(r"{\w+}", "11111111-1111-4111-8111-111111111111", path)


def is_mounted(path: str) -> bool:
    try:
        resolve(url_of(path))
    except Resolver404:
        return False
    return True


def documented_paths() -> set[str]:
    return {example.path for example in EXAMPLES.values()} | {path for _, path in documented.view_routes()}


MOUNTED = [example for example in EXAMPLES.values() if not example.path.startswith(NOT_MOUNTED)]


class World:
    """The rows the examples are about, as the document shows them, and a caller."""

    def __init__(self, url: str) -> None:
        Tenant.objects.get_or_create(id=DEFAULT_TENANT_ID, defaults={"slug": "default", "name": "Default"})
        self.user = get_user_model().objects.create_user("admin", password="secret", is_staff=True)
        Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=self.user, role=Role.ADMIN)
        self.key = keys.create_key(
            name="contract", user=self.user, tenant_id=DEFAULT_TENANT_ID, role=Role.ADMIN, by="test"
        )[1]
        sources.create_source(slug="shop", preset="generic", secret=SECRET, by="test")
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self.workflow = self._workflows()
        self.execution = self._executions()

    def send(self, example: documented.Example, **headers: str) -> httpx.Response:
        path = example.path.replace("{source}", "shop")
        if "{id}" in path:
            path = path.replace("{id}", str(self._thing(example).pk))
        content = b"" if example.sent is None else json.dumps(example.sent).encode()
        sent = {**example.headers, **headers}
        if "X-Webhook-Signature" in sent:
            sent["X-Webhook-Signature"] = (
                "sha256=" + hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
            )
        return self.client.request(example.method, path, content=content, headers=sent)

    def _thing(self, example: documented.Example) -> Automation | Execution:
        """Return what an example is about; a workflow of its own for one that changes it."""
        if "/executions/" in example.path:
            return self.execution
        if example.method == "GET":
            return self.workflow
        return workflows.create_workflow(by="test", name="Changing")

    def credentials(self, kind: str) -> dict[str, str]:
        if kind == "key":
            return {"X-API-Key": self.key}
        pair = self.send(EXAMPLES["POST /api/auth/token/"]).json()
        return {"Authorization": f"Bearer {pair['access']}"}

    def _workflows(self) -> Automation:
        """Make as many as the list counts; the newest is the one the document shows, at its third version."""
        shown = EXAMPLES["GET /api/automate/workflows/{id}/"].body
        total = EXAMPLES["GET /api/automate/workflows/"].body["count"]
        for number in range(1, total):
            workflows.create_workflow(name=f"Other {number}", by="test")
        fields = {
            name: shown[name]
            for name in ("name", "slug", "description", "trigger_type", "trigger_config", "graph")
        }
        made = workflows.create_workflow(by="test", **fields)
        for version in range(2, shown["workflow_version"]):
            made = workflows.update_workflow(
                made, by="test", trigger_config={"event_type": f"version.{version}"}
            )
        return workflows.update_workflow(made, by="test", trigger_config=shown["trigger_config"])

    def _executions(self) -> Execution:
        row = EXAMPLES["GET /api/automate/executions/"].body
        shown = EXAMPLES["GET /api/automate/executions/{id}/"].body
        event = Event.all_tenants.create(tenant_id=DEFAULT_TENANT_ID, type="order.created", source="stripe")
        start = datetime(2024, 1, 20, 14, 45, tzinfo=UTC)
        times = {
            "started_at": start,
            "finished_at": start + timedelta(milliseconds=row["results"][0]["duration_ms"]),
        }
        made = [
            Execution(
                tenant_id=DEFAULT_TENANT_ID,
                automation=self.workflow,
                version_id=self.workflow.live_version_id,
                event=event,
                status=shown["status"],
                attempt=shown["attempt"],
                context=shown["context"],
                **times,
            )
            for _ in range(row["count"])
        ]
        Execution.all_tenants.bulk_create(made)
        (step,) = shown["steps"]
        StepRun.all_tenants.create(
            tenant_id=DEFAULT_TENANT_ID,
            execution=made[-1],
            path=step["node_key"],
            node_key=step["node_key"],
            node_type="slack.send_message",
            effect="idempotent",
            status=step["status"],
            input_data=step["input_data"],
            output_data=step["output_data"],
            **times,
        )
        return made[-1]


@pytest.fixture
def world(server_url: str) -> Iterator[World]:
    made = World(server_url)
    yield made
    made.client.close()


def differences(shown: Any, got: Any, added: set[str], path: str = "") -> list[str]:
    """Return where an answer is not what the document shows: fields, types, and values where they are not chance."""
    if isinstance(shown, dict) and isinstance(got, dict):
        prefix = f"{path}." if path else ""
        found = [f"{prefix}{name} is missing" for name in sorted(shown.keys() - got.keys())]
        extra = {f"{prefix}{name}" for name in got.keys() - shown.keys()}
        found += [f"{name} is not documented" for name in sorted(extra - added)]
        return found + [
            line
            for name in shown.keys() & got.keys()
            for line in differences(shown[name], got[name], added, prefix + name)
        ]
    if isinstance(shown, list) and isinstance(got, list):
        if bool(shown) != bool(got):
            return [f"{path} has {len(got)} items"]
        return [
            line for item in got[: len(shown)] for line in differences(shown[0], item, added, f"{path}[]")
        ]
    if kind_of(shown) != kind_of(got):
        return [f"{path} is {got!r}, not like {shown!r}"]
    if shown != got and not ANY_VALUE.fullmatch(path):
        return [f"{path} is {got!r}, not {shown!r}"]
    return []


def kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "moment" if MOMENT.fullmatch(value) else "string"
    return type(value).__name__


def test_unmounted_families_are_exactly_the_listed_ones() -> None:
    missing = {path for path in documented_paths() if not is_mounted(path)}
    assert {path for path in missing if not path.startswith(NOT_MOUNTED)} == set()
    assert {family for family in NOT_MOUNTED if not any(path.startswith(family) for path in missing)} == set()
    mounted = documented_paths() - missing
    assert {path for path in mounted if path.startswith(NOT_MOUNTED)} == set()


def test_the_reference_is_read_whole() -> None:
    blocks = len(re.findall(r"^(?:GET|POST|PUT|PATCH|DELETE) /api/", documented.REFERENCE, re.MULTILINE))
    assert len(EXAMPLES) == blocks == 18
    assert len(MOUNTED) == 11
    assert len(documented.view_routes()) == 37


@pytest.mark.parametrize("kind", ["key", "bearer"])
def test_examples_are_answered_as_documented(world: World, subtests: pytest.Subtests, kind: str) -> None:
    credentials = world.credentials(kind)
    for example in MOUNTED:
        with subtests.test(example.name):
            answer = world.send(example, **credentials)
            assert answer.status_code == example.status
            if example.body is not None:
                body = answer.json()
                if example.is_partial:
                    body = {name: body.get(name) for name in example.body}
                assert differences(example.body, body, ADDED.get(example.name, set())) == []
                assert answer.headers["Content-Type"] == "application/json"
            assert {name for name in (*RATE_HEADERS, "X-Trace-ID") if name not in answer.headers} == set()


def test_documented_parameters_have_their_types_and_defaults(world: World, subtests: pytest.Subtests) -> None:
    headers = world.credentials("key")

    def get(path: str, query: str = "") -> httpx.Response:
        return world.client.get(f"{path}?{query}", headers=headers)

    right = {
        "page": "1",
        "page_size": "25",
        "enabled": "true",
        "search": "slack",
        "ordering": "-created_at",
        "workflow": str(world.workflow.pk),
        "status": "success",
        "since": "2024-01-15T10:30:00Z",
        "until": "2124-01-15T10:30:00Z",
    }
    documented_ones = [(e.path, name, p) for e in MOUNTED for name, p in e.parameters.items()]
    assert [name for _, name, _ in documented_ones] == list(right)
    for path, name, parameter in documented_ones:
        with subtests.test(f"{path}?{name}"):
            assert get(path, f"{name}={right[name]}").status_code == 200
            if parameter["default"] != "-":
                assert (
                    get(path, f"{name}={parameter['default']}").json()["results"]
                    == get(path).json()["results"]
                )
            if parameter["type"] != "string":
                refused = get(path, f"{name}=wrong")
                assert refused.status_code == 400
                assert [problem["field"] for problem in refused.json()["error"]["details"]] == [name]


def test_filters_select_what_they_say(world: World) -> None:
    headers = world.credentials("key")

    def count(path: str) -> int:
        return int(world.client.get(f"/api/automate/{path}", headers=headers).json()["count"])

    total = EXAMPLES["GET /api/automate/executions/"].body["count"]
    assert count("workflows/?search=SLACK") == 1
    assert count("workflows/?enabled=false") == 0
    assert count(f"executions/?workflow={world.workflow.pk}") == total
    assert count(f"executions/?workflow={UUID(int=0)}") == 0
    assert [count(f"executions/?status={name}") for name in ("QUEUED", "RUNNING", "SUCCESS", "FAILED")] == [
        0,
        0,
        total,
        0,
    ]
    assert count("executions/?since=2124-01-01T00:00:00Z") == 0
    assert count("executions/?until=2024-01-01T00:00:00Z") == 0
    huge = world.client.get("/api/automate/executions/?page_size=1000000000", headers=headers).json()
    assert (huge["count"], len(huge["results"])) == (total, 100)


def test_update_changes_what_it_names_and_nothing_else(world: World) -> None:
    headers = world.credentials("key")
    example = EXAMPLES["PUT /api/automate/workflows/{id}/"]
    before = world.client.post("/api/automate/workflows/", json={"name": "Before"}, headers=headers).json()
    after = world.client.put(
        f"/api/automate/workflows/{before['id']}/", json=example.sent, headers=headers
    ).json()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {*example.sent, "updated_at"}
    assert {name: after[name] for name in example.sent} == example.sent


def test_deleted_workflow_is_gone(world: World) -> None:
    headers = world.credentials("key")
    made = world.client.post("/api/automate/workflows/", json={"name": "Before"}, headers=headers).json()
    url = f"/api/automate/workflows/{made['id']}/"
    answers = [world.client.request(method, url, headers=headers) for method in ("DELETE", "GET", "DELETE")]
    assert [answer.status_code for answer in answers] == [204, 404, 404]
    assert answers[0].content == b""


def test_repeated_event_is_the_same_event(world: World) -> None:
    headers = world.credentials("key")
    first, second = (world.send(EXAMPLES["POST /api/automate/events/"], **headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["event_id"] == second.json()["event_id"]


def test_error_has_the_documented_shape(world: World) -> None:
    shown = documented.json_block(documented.section("Error Responses"))
    answer = world.client.post("/api/automate/workflows/", json={}, headers=world.credentials("key"))
    assert differences(shown, answer.json(), set()) == []


def test_error_codes_have_the_documented_statuses() -> None:
    rows = documented.table(documented.section("Error Codes"))
    assert {code.strip("`"): int(status) for code, status, _ in rows} == {
        code.strip("`"): errors.STATUS[code.strip("`")] for code, _, _ in rows
    }


def test_common_headers_are_understood(world: World) -> None:
    rows = documented.table(documented.section("Common Headers"))
    assert [row[0].strip("`") for row in rows] == [
        "Authorization",
        "Content-Type",
        "X-Tenant-ID",
        "X-Trace-ID",
        "X-Request-ID",
    ]
    example = EXAMPLES["POST /api/automate/workflows/"]
    given = {
        **world.credentials("bearer"),
        "X-Tenant-ID": "default",
        "X-Trace-ID": "abc123",
        "X-Request-ID": "once",
    }
    first, second = world.send(example, **given), world.send(example, **given)
    assert (first.status_code, first.headers["X-Trace-ID"]) == (201, "abc123")
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Automation.all_tenants.filter(slug=example.sent["slug"]).count() == 1


def test_session_cookie_opens_the_api_to_admin_users(world: World) -> None:
    page = world.client.get("/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {
        "username": "admin",
        "password": "secret",
        "csrfmiddlewaretoken": token[1],
        "next": "/api/schema/",
    }
    assert world.client.post("/admin/login/", data=form).status_code == 302
    assert world.client.get("/api/automate/workflows/").status_code == 200
    refused = world.client.post("/api/automate/workflows/", json={"name": "A"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    csrf = {"X-CSRFToken": world.client.cookies["csrftoken"]}
    assert world.client.post("/api/automate/workflows/", json={"name": "A"}, headers=csrf).status_code == 201


def test_documents_are_where_the_reference_says(world: World) -> None:
    paths = re.findall(r"`(/api/schema/[^`]*)`", documented.section("OpenAPI Schema"))
    answers = {path: world.client.get(path) for path in paths}
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/api/schema/swagger-ui/": 200,
        "/api/schema/redoc/": 200,
        "/api/schema/": 200,
    }
    assert answers["/api/schema/"].json()["openapi"].startswith("3.0")


def test_pages_load_nothing_from_elsewhere(world: World) -> None:
    for path in ("/api/schema/swagger-ui/", "/api/schema/redoc/"):
        answer = world.client.get(path)
        assert "default-src 'self';" in answer.headers["Content-Security-Policy"]
        page = answer.text
        assert re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]*", page) == []
        loaded = re.findall(r"(?:src|href)=\"(/static/[^\"]*)", page)
        assert loaded != []
        assert {world.client.get(asset).status_code for asset in loaded} == {200}


def test_limits_default_to_the_documented_ones() -> None:
    names = {"Standard API": "STANDARD", "DataChat": "DATACHAT", "RAG Query": "RAG", "Embed Widget": "EMBED"}
    rows = documented.table(documented.section("Rate Limiting"))
    assert {names[kind]: rate.removesuffix(" per embed") for kind, rate in rows} == {
        name: DEFAULTS[f"RATE_{name}"] for name in names.values()
    }


def test_rate_headers_are_those_documented() -> None:
    assert (
        tuple(re.findall(r"^(X-RateLimit-\w+):", documented.section("Rate Limiting"), re.MULTILINE))
        == RATE_HEADERS
    )
