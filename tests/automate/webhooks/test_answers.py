"""Deliveries that wait: answered with what a workflow responds, or with why they are not, and their event kept."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.test import AsyncClient

from automate.api.webhooks import serve_webhooks
from automate.models import Event, Execution, StepRun
from automate.replays import replay
from automate.webhooks import answers, ingest, sources
from automate.webhooks.respond import Answer
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, Tenant
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect, step_registry
from tests.factories.engine import drain, edge, finish, lose_workers, node, workflow
from tests.factories.scripted import Gate, ScriptedStep

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "webhook-secret"
EVENT = "order.created"

RESPOND = node(
    "reply",
    "respond",
    {
        "status": 201,
        "headers": {"X-Order": "{{ event.payload.n }}"},
        "body": {"got": "{{ event.payload.n }}"},
    },
)

Send = Callable[[str, bytes, dict[str, str]], Awaitable[tuple[int, dict[str, str], bytes]]]
"""Posts a body to a path; returns status, headers by lower-case name, and body."""


async def through_asgi(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    transport = httpx.ASGITransport(app=serve_webhooks(None))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        reply = await client.post(path, content=body, headers=headers, timeout=60)
    return reply.status_code, dict(reply.headers), reply.content


async def through_django(
    path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    reply = await AsyncClient().post(path, body, content_type="application/json", headers=headers)
    return reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, reply.content


@pytest.fixture(params=[through_asgi, through_django])
def send(request: pytest.FixtureRequest) -> Send:
    """Return each way a delivery may come in."""
    way: Send = request.param
    return way


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    settings.AUTOMATE = {**settings.AUTOMATE, "POLL_SECONDS": 0.01}
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def source() -> Any:
    """Return a source whose deliveries wait for longer than any test takes."""
    return make_source(seconds=50.0)


def make_source(slug: str = "shop", *, seconds: float | None) -> Any:
    return sources.create_source(
        slug=slug, preset="generic", secret=SECRET, by="test", answer_seconds=seconds
    )


@pytest.fixture
def at_work() -> Iterator[None]:
    """Let a worker run beside the test."""
    stop = threading.Event()

    def work() -> None:
        try:
            Drain().run(stop)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def in_loop(*work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Await all of it at the same time in one event loop, and close what ingest opened in it."""

    async def main() -> list[Any]:
        try:
            return await asyncio.gather(*(make() for make in work))
        finally:
            connection = ingest.current()._connection
            if connection is not None:
                await connection.close()

    return async_to_sync(main)()


def post(
    send: Send, n: Any = 1, *, slug: str = "shop", key: str | None = None
) -> Callable[[], Awaitable[Any]]:
    """Return a function that sends one signed delivery."""
    body = json.dumps({"event_type": EVENT, "data": {"n": n}}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-webhook-signature": signature, "x-webhook-id": key or f"delivery-{n}"}
    return lambda: send(
        f"/api/automate/webhooks/{slug}/", body, {**headers, "content-type": "application/json"}
    )


def deliver(send: Send, n: Any = 1, **options: Any) -> tuple[int, dict[str, str], bytes]:
    (reply,) = in_loop(post(send, n, **options))
    return reply  # type: ignore[no-any-return]


def why(reply: tuple[int, dict[str, str], bytes]) -> tuple[int, str | None, bool]:
    """Return status, the header that says why, and whether the body is that of an accepted delivery."""
    status, headers, body = reply
    accepted = json.loads(body).get("event_id") == str(Event.objects.get().pk)
    return status, headers.get("automate-answer"), accepted


def looked_up(event: Any, *, tenant_id: str | None = None, seconds: float = 50.0) -> Any:
    """Wait for the answer to an event as a delivery does."""
    owner = tenant_id or str(event.tenant_id)
    (answer,) = in_loop(lambda: answers.current().wait(str(event.pk), tenant_id=owner, seconds=seconds))
    return answer


@pytest.mark.usefixtures("at_work", "source")
def test_delivery_is_answered_with_what_the_workflow_responds(send: Send) -> None:
    workflow(RESPOND)
    status, headers, body = deliver(send, 7)
    assert (status, json.loads(body)) == (201, {"got": 7})
    wanted = {
        "content-type": "application/json",
        "x-order": "7",
        "automate-answer": "respond",
        "cache-control": "no-store",
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "content-length": str(len(body)),
    }
    assert {name: headers.get(name) for name in wanted} == wanted
    assert "x-ratelimit-limit" in headers


@pytest.mark.parametrize("name", ["http-response", "http_response"])
@pytest.mark.usefixtures("at_work", "source")
def test_step_answers_under_its_other_name(send: Send, name: str) -> None:
    workflow(node("reply", name, {"status": 201, "body": "kept"}))
    status, _, body = deliver(send)
    assert (status, body) == (201, b"kept")


@pytest.mark.usefixtures("at_work", "source")
def test_delivery_is_answered_before_the_execution_ends(send: Send) -> None:
    workflow(RESPOND, node("later", "delay", {"seconds": 3600}), edges=[edge("reply", "later")])
    assert deliver(send)[0] == 201
    assert Execution.objects.get().finished_at is None


@pytest.mark.parametrize(
    ("config", "status", "content_type", "body"),
    [
        (
            {"status": 422, "body": {"error": "no such order"}},
            422,
            "application/json",
            b'{"error":"no such order"}',
        ),
        ({"status": 503, "body": "later"}, 503, "text/plain; charset=utf-8", b"later"),
        ({"body": "<Response/>", "content_type": "application/xml"}, 200, "application/xml", b"<Response/>"),
    ],
)
@pytest.mark.usefixtures("at_work", "source")
def test_error_status_and_other_content_are_sent_as_they_are(
    send: Send, config: dict[str, Any], status: int, content_type: str, body: bytes
) -> None:
    workflow(node("reply", "respond", config))
    reply = deliver(send)
    assert (reply[0], reply[1]["content-type"], reply[2]) == (status, content_type, body)


@pytest.mark.usefixtures("at_work", "source")
def test_answer_without_a_body_has_no_length(send: Send) -> None:
    workflow(node("reply", "respond", {"status": 204}))
    status, headers, body = deliver(send)
    assert (status, body, headers["automate-answer"]) == (204, b"", "respond")
    assert send is through_django or "content-length" not in headers


def test_delivery_whose_time_is_over_is_accepted_and_its_event_kept(send: Send) -> None:
    make_source(seconds=0.1)
    workflow(RESPOND)
    assert why(deliver(send)) == (202, "timeout", True)
    drain()
    assert Execution.objects.get().status == "SUCCESS"


def test_repeat_gets_the_recorded_answer(send: Send, source: Any) -> None:
    sources.answer_within(source, 0.1, by="test")
    workflow(RESPOND)
    assert why(deliver(send)) == (202, "timeout", True)
    drain()
    sources.answer_within(source, 50.0, by="test")
    replies = [deliver(send) for _ in range(2)]
    assert [(reply[0], reply[2]) for reply in replies] == [(201, b'{"got":1}')] * 2
    assert (Event.objects.count(), Execution.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("a", "merge")],
        [node("a", "transform", {"output": "{{ input.missing }}"})],
        [node("a", "respond", {"headers": {"x-a": "{{ event.payload.n }}"}})],
    ],
)
@pytest.mark.usefixtures("at_work", "source")
def test_execution_that_ends_without_an_answer_leaves_the_delivery_accepted(
    send: Send, nodes: list[dict[str, Any]]
) -> None:
    workflow(*nodes)
    reply = deliver(send, "1\r\nSet-Cookie: session=evil")
    assert why(reply) == (202, "none", True)
    assert "set-cookie" not in reply[1]


@pytest.mark.usefixtures("at_work", "source")
def test_event_that_starts_nothing_leaves_the_delivery_accepted(send: Send) -> None:
    assert why(deliver(send)) == (202, "none", True)


@pytest.mark.usefixtures("at_work", "source")
def test_first_of_several_answers_counts(send: Send) -> None:
    workflow(
        node("first", "respond", {"body": 1}),
        node("second", "respond", {"body": 2}),
        edges=[edge("first", "second")],
    )
    assert [deliver(send)[2] for _ in range(2)] == [b"1", b"1"]
    assert StepRun.objects.filter(node_type="respond", status="SUCCESS").count() == 2


@pytest.mark.usefixtures("at_work", "source")
def test_answer_is_awaited_beside_an_execution_that_gives_none(send: Send) -> None:
    workflow(node("a", "merge"), slug="silent")
    workflow(node("wait", "delay", {"seconds": 0.2}), RESPOND, edges=[edge("wait", "reply")])
    assert deliver(send)[0] == 201


def test_answers_of_a_replay_are_for_nobody(source: Any) -> None:
    automation = workflow(node("a", "merge"))
    sources.answer_within(source, 0.1, by="test")
    deliver(through_asgi)
    drain()
    update_workflow(automation, by="test", graph={"nodes": [RESPOND]})
    replay(Execution.objects.get(), by="test", version=2)
    drain()
    assert StepRun.objects.filter(node_type="respond", status="SUCCESS").count() == 1
    assert looked_up(Event.objects.get()) is answers.Silence.NONE


def test_answer_of_another_tenant_is_not_given() -> None:
    other = Tenant.objects.create(id=uuid7(), slug="other", name="Other")
    with tenant_scope(other.id):
        make_source("theirs", seconds=0.1)
        workflow(RESPOND)
    make_source(seconds=0.1)
    assert deliver(through_asgi, slug="theirs")[0] == 202
    assert deliver(through_asgi)[0] == 202
    drain()
    theirs, ours = (Event.all_tenants.get(tenant_id=tenant) for tenant in (other.id, DEFAULT_TENANT_ID))
    assert looked_up(theirs).status == 201
    assert looked_up(ours) is answers.Silence.NONE
    assert looked_up(theirs, tenant_id=str(DEFAULT_TENANT_ID)) is answers.Silence.NONE


def test_answer_holds_when_the_worker_is_lost_before_the_end(source: Any) -> None:
    sources.answer_within(source, 0.1, by="test")
    gate = Gate()
    step = ScriptedStep("test.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    step_registry.register("test.slow", step)
    workflow(
        node("first", "respond", {"body": "{{ execution.id }}"}),
        node("slow", "test.slow"),
        node("second", "respond", {"body": "second"}),
        edges=[edge("first", "slow"), edge("slow", "second")],
    )
    lost = Drain()
    try:
        deliver(through_asgi)
        gate.turn_until_entered(lost)
        event, execution = Event.objects.get(), Execution.objects.get()
        wanted = Answer(200, {"content-type": "text/plain; charset=utf-8"}, str(execution.pk).encode())
        assert looked_up(event) == wanted
        gate.open.set()
        assert lose_workers() == 1
        assert finish(execution.pk).status == "SUCCESS"
        assert looked_up(event) == wanted
    finally:
        gate.open.set()
        lost.close()
        step_registry.unregister("test.slow")


def test_delivery_beyond_the_limit_is_answered_at_once(send: Send, settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "MAX_WAITING_ANSWERS": 1}
    make_source(seconds=3.0)
    replies = in_loop(*(post(send, n) for n in range(3)))
    assert sorted(reply[1]["automate-answer"] for reply in replies) == ["busy", "busy", "timeout"]
    assert [reply[0] for reply in replies] == [202, 202, 202]
    assert Event.objects.count() == 3


def test_place_is_free_again_once_a_delivery_is_answered(send: Send, settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "MAX_WAITING_ANSWERS": 1}
    make_source(seconds=0.1)

    async def one_by_one() -> list[str]:
        return [(await post(send, n)())[1]["automate-answer"] for n in range(3)]

    assert in_loop(one_by_one) == [["timeout"] * 3]


def test_source_that_does_not_wait_is_answered_at_once(send: Send) -> None:
    make_source(seconds=None)
    workflow(RESPOND)

    async def post_and_look() -> tuple[Any, bool]:
        reply = await post(send)()
        return reply, asyncio.get_running_loop() in answers._by_loop

    ((reply, looked),) = in_loop(post_and_look)
    assert (why(reply), looked) == ((202, None, True), False)


@pytest.mark.usefixtures("at_work", "source")
def test_fifty_deliveries_at_once_get_their_own_answers(send: Send) -> None:
    workflow(RESPOND)
    replies = in_loop(*(post(send, n) for n in range(50)))
    assert [(status, json.loads(body)) for status, _, body in replies] == [
        (201, {"got": n}) for n in range(50)
    ]


def test_all_who_wait_share_one_connection_and_hold_no_thread() -> None:
    source = make_source(seconds=0.1)
    looking = (
        "SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query LIKE '%AS answered ON true%'"
    )

    async def main() -> tuple[int, int]:
        await post(through_asgi, "first")()
        await sync_to_async(sources.answer_within)(source, 50.0, by="test")
        threads = threading.active_count()
        sent = [asyncio.ensure_future(post(through_asgi, n)()) for n in range(20)]
        while len(answers.current()._waiting) < 20:
            await asyncio.sleep(0.01)
        more = threading.active_count() - threads
        connection = await ingest.current()._connected()
        count = 0
        # Until they have looked, and connections that were closed have gone.
        for _ in range(1_000):
            found = await (await connection.execute(looking)).fetchone()
            assert found is not None
            if (count := found[0]) == 1:
                break
            await asyncio.sleep(0.05)
        for one in sent:
            one.cancel()
        await asyncio.gather(*sent, return_exceptions=True)
        return count, more

    ((connections, more),) = in_loop(main)
    assert connections == 1
    # The pool of threads may grow by the one that rang a bell just then, not with those who wait.
    assert more < 20 / 4


@pytest.mark.usefixtures("at_work", "source")
def test_two_senders_of_one_delivery_get_the_same_answer() -> None:
    workflow(node("reply", "respond", {"body": "{{ execution.id }}"}))
    replies = in_loop(post(through_asgi), post(through_django))
    assert [UUID(reply[2].decode()) for reply in replies] == [Execution.objects.get().pk] * 2


@pytest.mark.usefixtures("at_work", "source")
def test_waiting_goes_on_after_the_connection_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BROKEN_SECONDS", 0.01)
    workflow(RESPOND)

    async def two() -> list[int]:
        first = await post(through_asgi, 1)()
        connection = answers.current()._connection
        assert connection is not None
        await connection.execute("SELECT set_config('idle_session_timeout', '1ms', false)")
        await asyncio.sleep(0.1)
        second = await post(through_asgi, 2)()
        return [first[0], second[0]]

    assert in_loop(two) == [[201, 201]]


def test_connection_is_closed_when_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEEP_SECONDS", 0.0)
    make_source(seconds=0.1)

    async def main() -> tuple[Any, Any]:
        await post(through_asgi, 1)()
        waits = answers.current()
        opened = waits._connection
        while waits._task is not None:
            await asyncio.sleep(0.01)
        return opened is not None and opened.closed, (await post(through_asgi, 2)())[1]["automate-answer"]

    assert in_loop(main) == [(True, "timeout")]
