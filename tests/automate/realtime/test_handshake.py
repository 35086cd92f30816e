"""Who may look on, asked of a real server by an unmodified client."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus

from automate.realtime import handshake
from automate_api import keys, tokens
from automate_api.models import ApiKey
from automate_core.context import tenant_scope
from automate_core.models import Membership, Role, Tenant
from tests.factories.engine import node, workflow
from tests.factories.live import PATIENCE_SECONDS, hear

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def automation(transactional_db):
    return workflow(node("log", "merge"))


@pytest.fixture
def user(transactional_db):
    made = get_user_model().objects.create_user("ada", password="long enough 1")
    Membership.objects.create(tenant=Tenant.objects.get(slug="default"), user=made, role=Role.VIEWER)
    return made


@pytest.fixture
def cookie(user) -> str:
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def first(site: Any, automation: Any, **given: Any) -> Any:
    """Return the type of the first message, or the code a connection was closed with; 403 for no connection."""
    try:
        with site.follow(getattr(automation, "id", automation), **given) as socket:
            return hear(socket)["type"]
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    except InvalidStatus as refused:
        return refused.response.status_code


def closed_with(socket: Any) -> int | None:
    """Read a socket to its end; return the code it was closed with."""
    try:
        while True:
            socket.recv(timeout=PATIENCE_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_each_credential_opens_the_socket(site, automation, user, make_key, cookie):
    token, key = tokens.issue(user).access, make_key()
    ways = [
        {"key": key},
        {"headers": {"Authorization": f"Bearer {key}"}},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"query": f"?token={token}"},
        {"query": f"?token={key}"},
        {"subprotocols": ["bearer", token]},
        {"headers": {"Cookie": cookie}, "origin": site.url},
    ]
    assert [first(site, automation, **way) for way in ways] == ["state_sync"] * len(ways)


def test_token_in_a_subprotocol_is_answered_with_its_name_alone(site, automation, user):
    with site.follow(automation.id, subprotocols=["bearer", tokens.issue(user).access]) as socket:
        assert socket.subprotocol == "bearer"


def test_without_a_good_credential_the_socket_is_closed(site, automation, user, make_key):
    disabled = tokens.issue(user).access
    user.set_password("another one 2")
    user.save()
    gone = make_key(expires_at=timezone.now() - timedelta(seconds=1))
    ways = [
        {},
        {"query": "?token=nonsense"},
        {"query": "?token="},
        {"subprotocols": ["bearer"]},
        {"query": f"?token={disabled}"},
        {"key": gone},
        {"headers": {"Cookie": f"{django_settings.SESSION_COOKIE_NAME}=stranger"}, "origin": site.url},
    ]
    assert [first(site, automation, **way) for way in ways] == [4401] * len(ways)


def test_session_of_a_foreign_page_is_refused_before_the_socket_opens(site, automation, cookie):
    foreign = [
        "https://evil.example", None, "null", f"https://127.0.0.1.evil.example:{site.port}", "http://[", "//",
        f"ftp://127.0.0.1:{site.port}", f"http://x@127.0.0.1:{site.port}", "http://127.0.0.1:99999999",
    ]  # fmt: skip
    assert [first(site, automation, headers={"Cookie": cookie}, origin=origin) for origin in foreign] == [
        403
    ] * len(foreign)
    evil = {"Cookie": cookie, "Host": "evil.example"}
    assert first(site, automation, headers=evil, origin="http://evil.example") == 403


def test_page_of_this_site_without_encryption_may_not_use_a_session_with_it(
    site, automation, cookie, settings
):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    headers = {"Cookie": cookie, "X-Forwarded-Proto": "https"}
    assert first(site, automation, headers=headers, origin=site.url) == 403
    secure = site.url.replace("http:", "https:")
    assert first(site, automation, headers=headers, origin=secure) == "state_sync"


def test_odd_handshakes_are_refused_with_a_code(site, automation, user, make_key, caplog):
    token, key = tokens.issue(user).access, make_key()
    ways: list[tuple[dict[str, Any], int]] = [
        ({"query": f"?token={token}&tenant=%00"}, 4404),
        ({"query": f"?token={token}&tenant=%E2%82%AC"}, 4404),
        ({"query": "?token=%00"}, 4401),
        ({"query": "?token=%E2%82%AC"}, 4401),
        ({"query": "?token=ak_%00"}, 4401),
        ({"query": f"?token=x&token={token}"}, 4401),
        ({"query": f"?token={token}&execution_id=%00"}, 4404),
        ({"query": f"?token={token}&execution_id={automation.id}"}, 4404),
        ({"query": f"?token={token}", "key": key}, 4401),
        ({"key": key, "headers": {"X-Tenant-ID": "nope"}}, 4404),
        ({"key": "ä"}, 4401),
        ({"headers": {"Authorization": "Bearer"}}, 4401),
        ({"subprotocols": [token, "bearer"]}, 4401),
    ]
    found = [first(site, automation, **dict(way)) for way, _ in ways]
    assert found == [code for _, code in ways]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("where", ["%00", "..%2f", "", "a" * 3_000])
def test_odd_path_is_closed_as_unknown(where, site, key):
    assert first(site, where, key=key) == 4404


def test_trusted_origin_may_use_the_session(site, automation, cookie, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    assert first(site, automation, headers={"Cookie": cookie}, origin="https://app.example") == "state_sync"


def test_workflow_of_another_tenant_is_as_unknown_as_one_that_is_not_there(site, automation, make_key):
    other = Tenant.objects.create(slug="other", name="Other")
    foreign = make_key(of=other)
    assert [first(site, automation, key=foreign), first(site, uuid.uuid4(), key=foreign)] == [4404, 4404]


def test_member_of_several_tenants_names_one(site, user):
    other = Tenant.objects.create(slug="other", name="Other")
    Membership.objects.create(tenant=other, user=user, role=Role.VIEWER)
    with tenant_scope(other.pk):
        theirs = workflow(node("log", "merge"))
    token = tokens.issue(user).access
    assert first(site, theirs, query=f"?token={token}") == 4400
    assert first(site, theirs, query=f"?token={token}&tenant=other") == "state_sync"
    assert first(site, theirs, query=f"?token={token}", headers={"X-Tenant-ID": "other"}) == "state_sync"
    assert first(site, theirs, query=f"?token={token}&tenant=default") == 4404


def test_scopes_of_a_key_count(site, automation, make_key):
    assert first(site, automation, key=make_key(scopes=["events:read"])) == 4403
    assert first(site, automation, key=make_key(scopes=["workflows:read"])) == "state_sync"


def test_path_without_a_socket_is_closed_as_unknown(site, key):
    assert first(site, "not-a-uuid", key=key) == 4404


@pytest.mark.parametrize(
    "loss", ["key revoked", "membership removed", "password changed", "logged out", "expired"]
)
def test_right_that_is_lost_closes_the_socket(loss, site, automation, user, cookie, make_key, monkeypatch):
    monkeypatch.setattr("automate.realtime.consumers.RECHECK_SECONDS", (0.2, 0.3))
    given: dict[str, Any] = {"query": f"?token={tokens.issue(user).access}"}
    if loss == "key revoked":
        given = {"key": make_key()}
    elif loss == "logged out":
        given = {"headers": {"Cookie": cookie}, "origin": site.url}
    elif loss == "expired":
        access = tokens.AccessToken.for_user(user)
        access["session"] = tokens._session_claim(user)
        began = time.monotonic()
        first(site, automation, **given)
        access.set_exp(lifetime=timedelta(seconds=2 + 5 * (time.monotonic() - began)))
        given = {"query": f"?token={access}"}
    with site.follow(automation.id, **given) as socket:
        assert hear(socket)["type"] == "state_sync"
        time.sleep(0.5)  # several rechecks find nothing wrong
        if loss == "key revoked":
            keys.revoke_key(ApiKey.all_tenants.get(), by="test")
        elif loss == "membership removed":
            Membership.objects.all().delete()
        elif loss == "password changed":
            user.set_password("another one 2")
            user.save()
        elif loss == "logged out":
            from django.contrib.sessions.models import Session

            Session.objects.all().delete()
        assert closed_with(socket) == (4403 if loss == "membership removed" else 4401)


def denied(site: Any, automation: Any, **given: Any) -> Any:
    """Return the answer to a handshake that is refused before the socket opens; None for a socket."""
    try:
        with (
            site.follow(getattr(automation, "id", automation), **given) as socket,
            suppress(ConnectionClosed),
        ):
            hear(socket)
    except InvalidStatus as refused:
        return refused.response
    return None


@pytest.fixture
def tight(settings: Any) -> int:
    """Let one caller, or one address, make three requests a day."""
    settings.AUTOMATE_API = {
        **settings.AUTOMATE_API,
        "RATE_STANDARD": "3/day",
        "RATE_STORAGE": "calm-memory://",
    }
    return 3


def test_handshakes_of_one_caller_are_limited_with_its_requests(site, automation, make_key, tight):
    mine, theirs = make_key(), make_key()
    url = f"{site.url}/api/automate/workflows/"
    assert httpx.get(url, headers={"X-API-Key": mine}, timeout=60).status_code == 200
    assert [first(site, automation, key=mine) for _ in range(2)] == ["state_sync"] * 2
    answer = denied(site, automation, key=mine)
    assert (answer.status_code, json.loads(answer.body)["error"]["code"]) == (429, "RATE_LIMITED")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("3", "0")
    assert int(answer.headers["Retry-After"]) > 0
    assert httpx.get(url, headers={"X-API-Key": mine}, timeout=60).status_code == 429
    assert first(site, automation, key=theirs) == "state_sync"


@pytest.mark.parametrize("way", ["no credential", "bad credential", "no socket there", "foreign page"])
def test_handshakes_of_nobody_are_limited_by_address(way, site, automation, key, cookie, tight):
    given: dict[str, Any] = {
        "no credential": {},
        "bad credential": {"query": "?token=nonsense"},
        "no socket there": {},
        "foreign page": {"headers": {"Cookie": cookie}, "origin": "https://evil.example"},
    }[way]
    where = "not-a-uuid" if way == "no socket there" else automation
    usual = {"foreign page": 403, "no socket there": 4404}.get(way, 4401)
    assert [first(site, where, **given) for _ in range(tight + 1)] == [usual] * tight + [429]
    assert first(site, automation, key=key) == "state_sync"


def test_looking_again_whether_a_caller_may_look_counts_for_nothing(
    site, automation, make_key, tight, monkeypatch
):
    monkeypatch.setattr("automate.realtime.consumers.RECHECK_SECONDS", (0.01, 0.02))
    key, looked = make_key(), []
    again = handshake.admit_again

    async def counted(*args: Any, **given: Any) -> Any:
        ticket = await again(*args, **given)
        looked.append(ticket)
        return ticket

    monkeypatch.setattr(handshake, "admit_again", counted)
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        deadline = time.monotonic() + 60
        while len(looked) <= 2 * tight:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        socket.send('{"type":"ping"}')
        assert hear(socket)["type"] == "pong"
    assert first(site, automation, key=key) == "state_sync"


def test_connections_of_one_caller_are_counted(site, automation, make_key, settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "LIVE_CONNECTIONS": 2}
    mine, theirs = make_key(), make_key()
    with site.follow(automation.id, key=mine) as one, site.follow(automation.id, key=mine) as two:
        assert {hear(one)["type"], hear(two)["type"]} == {"state_sync"}
        assert first(site, automation, key=mine) == 4429
        assert first(site, automation, key=theirs) == "state_sync"
    # The server hears that a connection was closed after its client knows.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (said := first(site, automation, key=mine)) == 4429 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said == "state_sync"


def test_messages_of_the_client_are_answered(site, automation, key):
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        said = []
        for text in [
            '{"type":"ping"}',
            "nonsense",
            "[]",
            '{"type":1}',
            '{"type":"dance"}',
            b'{"type":"ping"}',
        ]:
            socket.send(text)
            answer = hear(socket)
            said.append((answer["type"], answer.get("code")))
        socket.send(json.dumps({"type": "request_state"}))
        assert hear(socket)["type"] == "state_sync"
    assert said == [
        ("pong", None),
        ("error", "INVALID_JSON"),
        ("error", "INVALID_MESSAGE"),
        ("error", "INVALID_MESSAGE"),
        ("error", "UNKNOWN_TYPE"),
        ("pong", None),
    ]


@pytest.mark.parametrize("size", [70_000, 1_048_576])
def test_long_frame_closes_the_socket(size, site, automation, key):
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        with suppress(ConnectionClosed):
            socket.send('{"type":"' + "x" * size + '"}')
        assert closed_with(socket) == 1009


def test_ten_thousand_messages_close_the_socket(site, automation, key):
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        with suppress(ConnectionClosed):
            for _ in range(10_000):
                socket.send('{"type":"ping"}')
        assert closed_with(socket) == 1008


def test_token_is_in_no_log(site, automation, user, caplog, capfd):
    token = tokens.issue(user).access
    with caplog.at_level("INFO"):
        assert first(site, automation, query=f"?token={token}&tenant=default") == "state_sync"
    server = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert any("WebSocket" in line for line in server)
    assert not [line for line in server if token in line]
