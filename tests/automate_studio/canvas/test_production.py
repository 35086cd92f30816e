"""Production mode: who may start and stop by which kind of request, and what is answered."""

from __future__ import annotations

import pytest
from django.test import Client

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate_core.models import Membership, Role
from automate_studio.canvas import node_data
from tests.automate.runtime.conftest import register_step
from tests.factories.engine import drain, finish, wake

__all__ = ["register_step"]

pytestmark = pytest.mark.django_db

OUTPUT = {"output": {"n": "{{ input.n | default(1) }}"}}
JSON = "application/json"


@pytest.fixture
def session(make_user, canvas):
    """A browser: a session cookie, CSRF enforced."""
    user = make_user(role=Role.ADMIN)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def started():
    return Execution.objects.count()


def test_start_queues_what_is_drawn_and_status_follows_it(canvas):
    canvas.add("transform", OUTPUT)
    answer = canvas.post("start_execution/", {"input": {"n": 5}})
    execution = Execution.objects.get()
    assert (answer.status_code, answer.json()) == (200, {"task_id": str(execution.pk), "status": "PENDING"})
    assert answer["Cache-Control"] == "no-store"
    assert (execution.context, execution.max_attempts) == ({"n": 5}, 1)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("QUEUED", "PENDING"),
        ("RUNNING", "STARTED"),
        ("WAITING", "STARTED"),
        ("SUCCESS", "SUCCESS"),
        ("FAILED", "FAILURE"),
        ("CANCELLED", "REVOKED"),
    ],
)
def test_every_status_has_its_word(canvas, make_execution, status, word):
    is_open = status in ("QUEUED", "RUNNING", "WAITING")
    made = make_execution(canvas.automation, status=status, **({"finished_at": None} if is_open else {}))
    assert canvas.get("task_status/").json() == {"task_id": str(made.pk), "status": word}


def test_task_is_the_newest_unless_it_is_named(canvas, make_execution):
    old, new = make_execution(canvas.automation, status="FAILED"), make_execution(canvas.automation)
    assert canvas.get("task_status/").json() == {"task_id": str(new.pk), "status": "SUCCESS"}
    assert canvas.get(f"task_status/?task_id={old.pk}").json() == {
        "task_id": str(old.pk),
        "status": "FAILURE",
    }
    assert canvas.get("task_status/?task_id=1").status_code == 422
    assert canvas.get(f"task_status/?task_id={canvas.workflow_id}").status_code == 404


def test_workflow_that_never_ran_has_no_task(canvas):
    assert [canvas.get(f"{name}/").status_code for name in ("task_status", "stop_execution")] == [404, 404]


def test_stop_of_what_is_over_says_how_it_ended(canvas, make_execution):
    made = make_execution(canvas.automation)
    assert canvas.post("stop_execution/").json() == {"task_id": str(made.pk), "status": "SUCCESS"}


def test_stop_ends_what_no_worker_has_in_hand(canvas):
    canvas.add("transform", OUTPUT)
    task = canvas.post("start_execution/").json()["task_id"]
    assert canvas.post("stop_execution/").json() == {"task_id": task, "status": "REVOKED"}
    drain()
    assert (Execution.objects.get().status, StepRun.objects.count()) == ("CANCELLED", 0)


def test_stop_prefers_what_still_runs(canvas, make_execution):
    running = make_execution(canvas.automation, status="QUEUED", finished_at=None)
    make_execution(canvas.automation)
    assert canvas.post("stop_execution/").json() == {"task_id": str(running.pk), "status": "REVOKED"}


@pytest.mark.django_db(transaction=True)
def test_repeated_stop_with_its_key_stops_nothing_else(canvas):
    canvas.add("transform", OUTPUT)
    canvas.post("start_execution/")
    first = canvas.post("stop_execution/", **{"X-Request-ID": "stop"})
    canvas.post("start_execution/")
    again = canvas.post("stop_execution/", **{"X-Request-ID": "stop"})
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert sorted(Execution.objects.values_list("status", flat=True)) == ["CANCELLED", "QUEUED"]


def test_started_by_hand_a_step_is_tried_once_and_by_an_event_three_times(canvas, register_step):
    from automate_core.errors import TransientError
    from automate_core.steps import Effect

    def fail(config, context):
        raise TransientError("not now")

    register_step("t.fail", Effect.IDEMPOTENT, fail)
    canvas.add("t.fail")
    canvas.client.patch(
        f"/api/automate/workflows/{canvas.workflow_id}/",
        {"trigger_type": "event", "trigger_config": {"event_type": "go"}},
        JSON,
    )

    def tries(execution):
        return finish(execution.pk) and StepRun.objects.filter(execution=execution).count()

    canvas.post("start_execution/")
    assert tries(Execution.objects.get()) == 1
    canvas.post("start_execution/", {"max_attempts": 2})
    assert tries(Execution.objects.latest("created_at")) == 2
    emit_event("go", {})
    drain()
    assert tries(Execution.objects.latest("created_at")) == 3


def test_workflow_that_is_off_is_409(canvas):
    canvas.client.patch(f"/api/automate/workflows/{canvas.workflow_id}/", {"enabled": False}, JSON)
    answer = canvas.post("start_execution/")
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")


def test_triggers_go_on_with_the_live_version_while_there_is_a_draft(canvas):
    canvas.add("transform", {"output": "live"})
    canvas.client.patch(
        f"/api/automate/workflows/{canvas.workflow_id}/",
        {"trigger_type": "event", "trigger_config": {"event_type": "go"}},
        JSON,
    )
    canvas.add("http-request")
    emit_event("go", {})
    drain()
    assert Execution.objects.get().status == "SUCCESS"
    assert list(StepRun.objects.values_list("output_data", flat=True)) == ["live"]


def test_get_with_a_request_id_starts_once(canvas):
    canvas.add("transform", OUTPUT)
    first, again = (canvas.get("start_execution/", **{"X-Request-ID": "r1"}) for _ in range(2))
    assert (again.content, again.headers["Idempotent-Replayed"], started()) == (first.content, "true", 1)
    canvas.get("start_execution/", **{"X-Request-ID": "r2"})
    assert started() == 2


def test_refused_get_keeps_nothing_under_its_request_id(canvas):
    canvas.add("transform", OUTPUT)
    refused = canvas.get("start_execution/", **{"X-Request-ID": "r1", "Purpose": "prefetch"})
    assert (refused.status_code, canvas.get("task_status/", **{"X-Request-ID": "r1"}).status_code) == (
        405,
        404,
    )
    assert canvas.get("start_execution/", **{"X-Request-ID": "r1"}).status_code == 200
    assert started() == 1


@pytest.mark.parametrize("verb", ["start_execution/", "stop_execution/"])
class TestSafeRequests:
    """Decision on GET: as documented for a credential in a header, for nothing a browser sends by itself."""

    def test_get_with_a_key_or_token_works(self, canvas, verb):
        canvas.add("transform", OUTPUT)
        canvas.post("start_execution/")
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Purpose": "", "Sec-Fetch-Site": "none"}):
            answer = canvas.get(verb, **headers)
            assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")

    def test_head_starts_nothing(self, canvas, verb):
        canvas.add("transform", OUTPUT)
        answer = canvas.client.head(canvas.url(verb))
        assert (answer.status_code, answer["Allow"]) == (405, "GET, POST")
        assert canvas.client.delete(canvas.url(verb))["Allow"] == "GET, POST"
        assert started() == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {"Purpose": "prefetch"},
            {"X-Purpose": "preview"},
            {"Sec-Purpose": "prefetch"},
            {"Sec-Purpose": "prefetch;prerender"},
            {"X-Moz": "prefetch"},
            {"Sec-Fetch-Site": "cross-site"},
        ],
    )
    def test_guess_of_a_browser_or_another_site_starts_nothing(self, canvas, verb, headers):
        canvas.add("transform", OUTPUT)
        answer = canvas.get(verb, **headers)
        assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (
            405,
            "POST",
            "METHOD_NOT_ALLOWED",
        )
        assert answer["Cache-Control"] == "no-store"
        assert started() == 0

    def test_page_of_an_allowed_origin_may(self, canvas, verb, settings):
        settings.AUTOMATE_API = {**settings.AUTOMATE_API, "CORS_ORIGINS": ("https://app.example",)}
        canvas.add("transform", OUTPUT)
        canvas.post("start_execution/")
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
        assert canvas.get(verb, **headers).status_code == 200
        assert canvas.get(verb, **{**headers, "Origin": "https://other.example"}).status_code == 405

    @pytest.mark.parametrize("site", [None, "same-origin", "same-site", "cross-site", "none"])
    def test_cookie_alone_starts_nothing_by_get(self, canvas, session, verb, site):
        canvas.add("transform", OUTPUT)
        answer = session.get(canvas.url(verb), headers={"Sec-Fetch-Site": site} if site else {})
        assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (
            405,
            "POST",
            "METHOD_NOT_ALLOWED",
        )
        assert started() == 0

    def test_cookie_needs_the_csrf_token_to_post(self, canvas, session, verb):
        canvas.add("transform", OUTPUT)
        canvas.post("start_execution/")
        before = Execution.objects.get().status
        refused = session.post(canvas.url(verb), {}, JSON)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        assert (started(), Execution.objects.get().status) == (1, before)
        session.get("/admin/")
        token = session.cookies["csrftoken"].value if "csrftoken" in session.cookies else "t" * 32
        session.cookies["csrftoken"] = token
        assert session.post(canvas.url(verb), {}, JSON, headers={"X-CSRFToken": token}).status_code == 200

    def test_key_that_may_only_read_starts_nothing_by_get(self, canvas, as_role, verb):
        canvas.add("transform", OUTPUT)
        reader = as_role(canvas, Role.ADMIN, scopes=["workflows:read"])
        assert [reader.get(verb).status_code, reader.post(verb).status_code] == [403, 403]
        assert started() == 0

    def test_workflow_of_another_tenant_is_404(self, canvas, make_workflow, other_tenant, verb):
        foreign = make_workflow(of=other_tenant)
        url = f"/api/workflow/{foreign.pk}/{verb}"
        assert [canvas.client.get(url).status_code, canvas.client.post(url).status_code] == [404, 404]


def test_several_memberships_need_the_header(canvas, make_user, other_tenant):
    user = make_user("both")
    Membership.objects.create(tenant=other_tenant, user=user, role=Role.ADMIN)
    client = Client()
    client.force_login(user)
    refused = client.get(canvas.url())
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_REQUEST")
    assert list(refused.json()["details"]) == ["X-Tenant-ID"]
    assert client.get(canvas.url(), headers={"X-Tenant-ID": "default"}).status_code == 200
    assert client.get(canvas.url(), headers={"X-Tenant-ID": "other"}).status_code == 404


def test_data_of_nodes_is_that_of_the_last_run_until_a_node_is_tried_alone(canvas):
    first = canvas.add("transform", {"output": {"n": 1}})
    second = canvas.add("transform", {"output": [2]})
    canvas.connect(first, second)
    assert canvas.get(f"nodes/{second}/input/").json() == {"input_data": {}}
    assert canvas.get(f"nodes/{second}/output/").json() == {"output_data": {}}
    canvas.post("start_execution/")
    drain()
    assert canvas.get(f"nodes/{second}/input/").json() == {"input_data": {first: {"n": 1}}}
    assert canvas.get(f"nodes/{second}/output/").json() == {"output_data": [2]}
    node_data.save(
        canvas.automation, first, form_values={}, input_data={}, output_data={"n": 7, "password": "hunter2"}
    )
    kept = {"n": 7, "password": "***REDACTED***"}
    assert canvas.get(f"nodes/{second}/input/").json() == {"input_data": {first: kept}}
    assert canvas.get(f"nodes/{first}/output/").json() == {"output_data": kept}
    nodes = {node["id"]: node for node in canvas.get("canvas_data/").json()["nodes"]}
    assert (nodes[first]["output_data"], nodes[second]["input_data"]) == (kept, {first: kept})
    assert nodes[second]["output_data"] == [2]


def test_output_of_a_loop_is_its_own_and_that_of_its_body_the_last_iterations(canvas):
    outer = canvas.add("for-each", {"items": [1, 2]})
    inner = canvas.add("for-each", {"items": ["{{ item }}", 9]})
    body = canvas.add("transform", {"output": "{{ item }}"})
    after = canvas.add("transform", {"output": 0})
    canvas.connect(outer, inner, source_handle="item")
    canvas.connect(inner, body, source_handle="item")
    canvas.connect(outer, after, source_handle="done")
    canvas.post("start_execution/")
    drain()
    outputs = {node["id"]: node["output_data"] for node in canvas.get("canvas_data/").json()["nodes"]}
    assert (outputs[outer]["count"], outputs[inner]["results"], outputs[body]) == (2, [2, 9], 9)
    assert canvas.get(f"nodes/{after}/input/").json() == {"input_data": {outer: outputs[outer]}}


def test_input_is_gathered_from_every_source_and_from_the_one_before_where_nothing_is_connected(canvas):
    first, second, third = (canvas.add("transform", {"output": {"n": n}}) for n in range(3))
    canvas.post("start_execution/")
    drain()
    assert canvas.get(f"nodes/{third}/input/").json() == {"input_data": {second: {"n": 1}}}
    assert canvas.get(f"nodes/{first}/input/").json() == {"input_data": {}}
    canvas.connect(first, third)
    canvas.connect(second, third)
    assert canvas.get(f"nodes/{third}/input/").json() == {"input_data": {first: {"n": 0}, second: {"n": 1}}}


@pytest.mark.parametrize("count", [1, 4])
def test_canvas_data_takes_the_same_queries_however_much_is_drawn(canvas, django_assert_num_queries, count):
    for _ in range(count):
        canvas.add("transform", OUTPUT)
    canvas.post("start_execution/")
    drain()
    wake()
    canvas.get("canvas_data/")
    with django_assert_num_queries(5):
        assert len(canvas.get("canvas_data/").json()["nodes"]) == count
