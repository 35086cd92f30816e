"""The examples of the views reference, as written, in a host project that has the wheel, over HTTP."""

from __future__ import annotations

import base64
import hmac
import json
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from tests.host_project import guide
from tests.host_project.conftest import Site

pytestmark = pytest.mark.timeout(900)

ORIGIN = {"Origin": "https://example.com"}


@pytest.fixture(scope="module")
def machine(site: Site) -> httpx.Client:
    """A caller with a key that belongs to no user."""
    return site.client(**{"X-API-Key": site.seeded["key"]})


@pytest.fixture(scope="module")
def ann(site: Site) -> httpx.Client:
    """A member of staff, who is an admin of her tenant and a member of the project apollo."""
    return bearer(site, "ann")


@pytest.fixture(scope="module")
def bob(site: Site) -> httpx.Client:
    """A user who may look."""
    return bearer(site, "bob")


def bearer(site: Site, username: str) -> httpx.Client:
    body = {"username": username, "password": "correct horse"}
    token = site.client().post("/backend/automation/auth/token/", json=body).json()["access"]
    return site.client(Authorization=f"Bearer {token}")


def basic(site: Site, username: str) -> httpx.Client:
    """Return a client that authenticates as the host's own views ask for."""
    pair = base64.b64encode(f"{username}:correct horse".encode()).decode()
    return site.client(Authorization=f"Basic {pair}")


def names(answer: httpx.Response) -> list[str]:
    body = answer.json()
    return [row["name"] for row in (body["results"] if isinstance(body, dict) else body)]


def test_every_example_of_the_reference_runs_or_waits_for_its_app() -> None:
    found = guide.examples()
    assert {example.title for example in found} == {*guide.SECTIONS, *guide.NOT_YET}
    shown = [line for line in guide.VIEWS if line.startswith("class ")]
    assert [line for example in found for line in example.lines if line.startswith("class ")] == shown
    start = guide.VIEWS.index("Customization Guide") + 1
    titles = {"Override Existing ViewSet", *list(guide.SECTIONS)[-4:]}
    whole = [line for example in found if example.title in titles for line in (example.title, *example.lines)]
    assert whole == guide.VIEWS[start:]


def test_indentation_is_all_that_is_added() -> None:
    for example in guide.examples():
        if example.title in guide.SECTIONS:
            lines = guide.indented(example.lines).splitlines()
            assert [line.strip() for line in lines if line.strip() != "..."] == list(example.lines)


def test_examples_that_wait_have_no_app_yet() -> None:
    assert {module for module in guide.NOT_YET.values() if find_spec(module)} == set()


def test_site_runs_from_the_wheel(site: Site) -> None:
    homes = [home.partition("/site-packages/")[2] for home in site.seeded["homes"]]
    assert homes == ["automate/__init__.py", "automate_api/v1/base.py", "automate_core/__init__.py"]
    assert str(guide.ROOT) not in "".join(site.seeded["homes"])
    assert "using settings 'host.site'" in site.log.read_text()


def test_custom_permissions(site: Site, ann: httpx.Client, bob: httpx.Client, machine: httpx.Client) -> None:
    tasks = {name: f"/backend/projects/{pk}/tasks/" for name, pk in site.seeded["projects"].items()}
    assert names(ann.get(tasks["apollo"])) == ["apollo", "gemini", "mercury"]
    refused = [ann.get(tasks["gemini"]), bob.get(tasks["apollo"]), machine.get(tasks["apollo"])]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [
        (403, "FORBIDDEN")
    ] * 3
    assert ann.get("/backend/projects/99999999999999999999/tasks/").status_code == 403
    assert site.client().get(tasks["apollo"]).status_code == 401


def test_custom_actions(site: Site, ann: httpx.Client, bob: httpx.Client) -> None:
    made = ann.post("/backend/projects/", json={"name": "vostok"})
    assert (made.status_code, made.json()["status"]) == (201, "draft")
    path = f"/backend/projects/{made.json()['id']}/"
    before = bob.get("/backend/projects/stats/").json()
    activated = ann.post(f"{path}activate/")
    assert (activated.status_code, activated.json()) == (200, {"status": "activated"})
    assert bob.get(path).json()["status"] == "active"
    assert bob.get("/backend/projects/stats/").json() == {**before, "active": before["active"] + 1}
    assert bob.post(f"{path}activate/").status_code == 403
    assert ann.post("/backend/projects/0/activate/").status_code == 404
    assert ann.delete(path).status_code == 204


def test_custom_routing(machine: httpx.Client) -> None:
    graph = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}], "edges": []}
    made = machine.post("/api/v1/workflows/", json={"name": "Hello", "graph": graph})
    assert (made.status_code, made.json()["workflow_version"]) == (201, 1)
    path = f"/api/v1/workflows/{made.json()['id']}/"
    assert machine.put(path, json={"name": "Hello again"}).json()["name"] == "Hello again"
    assert machine.get(path).json()["graph"]["nodes"][0]["id"] == "log"
    started = machine.post(f"{path}run/", json={"payload": {}})
    assert (started.status_code, sorted(started.json())) == (202, ["execution_id", "message", "trace_id"])
    execution = machine.get(f"/backend/automation/v1/executions/{started.json()['execution_id']}/")
    assert (execution.status_code, execution.json()["status"]) == (200, "QUEUED")
    assert machine.get("/api/v1/workflows.json").json()["count"] == 1
    assert machine.post("/api/v1/workflows.json", json={"name": "By suffix"}).status_code == 201
    wrong = machine.post("/api/v1/workflows/", json={})
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["field"]) == (400, "name")


def test_extend_base_viewset(site: Site, ann: httpx.Client, bob: httpx.Client) -> None:
    assert ann.get("/backend/my-app/").json() == {"names": ["apollo", "mercury"]}
    assert bob.get("/backend/my-app/").status_code == 403
    assert site.client().get("/backend/my-app/").status_code == 401


def test_base_classes(machine: httpx.Client, site: Site) -> None:
    assert machine.get("/backend/view/").json() == {"status": "ok"}
    assert machine.get("/backend/base/").json() == {"items": []}
    assert site.client().get("/backend/view/").status_code == 401
    made = machine.post("/backend/models/", json={"name": "soyuz"}).json()
    path = f"/backend/models/{made['id']}/"
    assert machine.patch(path, json={"status": "active"}).json()["status"] == "active"
    assert machine.put(path, json={"name": "soyuz", "status": "done"}).json()["status"] == "done"
    repeated = machine.post("/backend/models/", json={"name": "soyuz"})
    assert (repeated.status_code, repeated.json()["error"]["details"][0]["field"]) == (400, "name")
    assert machine.get(f"/backend/readonly/{made['id']}/").json() == machine.get(path).json()
    assert machine.post("/backend/readonly/", json={"name": "x"}).status_code == 405
    assert (machine.delete(path).status_code, machine.get(path).status_code) == (204, 404)
    listed = machine.get("/backend/readonly/?page_size=2").json()
    assert (listed["count"], names_of(listed), listed["next"]) == (
        3,
        ["apollo", "gemini"],
        "/backend/readonly/?page=2&page_size=2",
    )


def names_of(page: dict[str, Any]) -> list[str]:
    return [row["name"] for row in page["results"]]


def test_mixins_on_the_hosts_own_views(site: Site) -> None:
    ann, bob = basic(site, "ann"), basic(site, "bob")
    assert ann.get("/backend/settings/").json() == {"page_size": 7}
    crossed = ann.get("/backend/cors/", headers=ORIGIN)
    assert (crossed.headers["Access-Control-Allow-Origin"], crossed.headers["Vary"]) == (
        "https://example.com",
        "Accept, Origin",
    )
    preflight = site.client().options(
        "/backend/cors/", headers={**ORIGIN, "Access-Control-Request-Method": "POST"}
    )
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Methods"]) == (204, "GET, POST")
    assert names(ann.get("/backend/organizations/")) == ["apollo"]
    assert ann.get(f"/backend/organizations/{site.seeded['projects']['gemini']}/").status_code == 404
    limited = [client.get("/backend/limited/").headers for client in (ann, ann, bob)]
    assert [headers["X-RateLimit-Limit"] for headers in limited] == ["100"] * 3
    assert [headers["X-RateLimit-Remaining"] for headers in limited] == ["99", "98", "99"]
    assert [client.get("/backend/staff/").status_code for client in (ann, bob, site.client())] == [
        200,
        403,
        401,
    ]
    public = [site.client().get("/backend/public/").status_code for _ in range(11)]
    assert public == [200] * 10 + [429]


def test_rows_are_saved_in_the_callers_tenant(site: Site) -> None:
    ann = basic(site, "ann")
    made = ann.post("/backend/organizations/", json={"name": "salyut", "organization": site.seeded["other"]})
    assert made.status_code == 201
    assert made.json()["organization"] == "00000000-0000-7000-8000-000000000001"
    assert ann.delete(f"/backend/organizations/{made.json()['id']}/").status_code == 204


def test_api_works_under_the_hosts_prefix(site: Site, machine: httpx.Client, ann: httpx.Client) -> None:
    base = "/backend/automation/automate"
    emitted = machine.post(f"{base}/events/", json={"type": "order.created", "payload": {"n": 1}})
    assert emitted.status_code == 201
    page = machine.get(f"{base}/events/?page_size=1").json()
    assert page["results"][0]["id"] == emitted.json()["event_id"]
    assert machine.get(f"{base}/zapier/triggers/").json()[0]["event_type"] == "order.created"
    body = b'{"event_type": "order.paid", "data": {"n": 2}}'
    signature = hmac.new(b"webhook-secret", body, "sha256").hexdigest()
    sent = {"Content-Type": "application/json", "X-Webhook-Signature": f"sha256={signature}"}
    hooked = site.client(**sent).post(f"{base}/webhooks/shop/", content=body)
    assert (hooked.status_code, hooked.json()["message"]) == (202, "Event accepted for processing")
    forged = site.client(**sent).post(f"{base}/webhooks/shop/", content=body.replace(b"2", b"3"))
    assert (forged.status_code, forged.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    absent = site.client().get("/backend/absent/")
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert (absent.headers["Cache-Control"], "X-Trace-ID" in absent.headers) == ("no-store", True)
    large = machine.post(f"{base}/events/", content=json.dumps({"type": "x" * 2_000_000}))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert site.client().get("/elsewhere/").headers["Content-Type"].startswith("text/html")


def test_schema_lists_the_hosts_models_without_what_is_secret(ann: httpx.Client, bob: httpx.Client) -> None:
    path = "/backend/automation/automate/schema/apps/"
    apps = {app["label"]: app for app in ann.get(path).json()["apps"]}
    assert sorted(apps) == ["automate", "automate_connectors", "people", "portal", "shop"]
    (project,) = apps["portal"]["models"]
    assert project["label"] == "portal.Project"
    fields = {field["name"]: field for field in project["fields"]}
    assert fields["name"] == {
        "name": "name",
        "type": "CharField",
        "relation": None,
        "nullable": False,
        "help_text": "How members call it",
    }
    assert (fields["members"]["type"], fields["members"]["relation"]) == ("ManyToManyField", "people.User")
    (user,) = apps["people"]["models"]
    assert {"nickname"} <= {field["name"] for field in user["fields"]}
    assert "password" not in {field["name"] for field in user["fields"]}
    assert bob.get(path).status_code == 403


def test_server_met_no_fault(site: Site) -> None:
    assert "Traceback" not in site.log.read_text()
