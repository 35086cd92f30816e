"""No credential of a handshake reaches a log, at any level: a server of its own says all it can say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import connection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from automate_api import tokens
from automate_core.models import Membership, Role, Tenant
from tests.factories.engine import node, workflow
from tests.factories.live import hear

pytestmark = pytest.mark.django_db(transaction=True)

OPAQUE = "opaque-7d31f0-not-a-token"


def test_credentials_of_handshakes_are_in_no_line_a_server_writes(make_key, tmp_path):
    user = get_user_model().objects.create_user("ada", password="long enough 1")
    Membership.objects.create(tenant=Tenant.objects.get(slug="default"), user=user, role=Role.VIEWER)
    token, key = tokens.issue(user).access, make_key()
    automation = workflow(node("log", "merge"))
    cookie = {"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={OPAQUE}"}
    ways = [
        ({"query": f"?token={token}"}, "state_sync"),
        ({"query": f"?tenant=default&token={key}"}, "state_sync"),
        ({"subprotocols": ["bearer", token]}, "state_sync"),
        ({"subprotocols": ["bearer", key]}, "state_sync"),
        ({"additional_headers": {"X-API-Key": key}}, "state_sync"),
        ({"additional_headers": {"Authorization": f"Bearer {key}"}}, "state_sync"),
        ({"query": f"?token={OPAQUE}"}, 4401),
        ({"subprotocols": ["bearer", OPAQUE]}, 4401),
        ({"additional_headers": cookie}, 403),
    ]
    log = tmp_path / "server.log"
    with running(log) as url:
        assert [first(f"{url}/ws/workflow/{automation.id}/", **dict(way)) for way, _ in ways] == [
            answer for _, answer in ways
        ]
        assert first(f"{url}/no/such/socket/", query=f"?token={OPAQUE}") in (4404, 403)
    written = log.read_text()
    assert f"GET /ws/workflow/{automation.id}/?" in written  # the lines are there that would show it
    assert [secret for secret in (token, key, OPAQUE) if secret in written] == []


def first(url: str, *, query: str = "", **given: object) -> object:
    """Return the type of the first message, or the code or status of a refusal."""
    try:
        with connect(url + query, proxy=None, open_timeout=60, **given) as socket:  # type: ignore[arg-type]
            return hear(socket, timeout=60)["type"]
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    except InvalidStatus as refused:
        return refused.response.status_code


@contextmanager
def running(log: Path) -> Iterator[str]:
    """Run uvicorn as from a shell, as talkative as it can be, on this test's database."""
    params = connection.get_connection_params()
    host, port = params.get("host") or "", params.get("port") or ""
    user, password = params.get("user") or "", params.get("password") or ""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "SECRET_KEY": django_settings.SECRET_KEY,
        "DATABASE_URL": f"postgresql://{user}:{password}@/{params['dbname']}?host={host}&port={port}",
        "AUTOMATE_LOG_LEVEL": "DEBUG",
    }
    argv = [
        sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", "0",
        "--ws", "websockets-sansio", "--log-level", "trace",
    ]  # fmt: skip
    with log.open("wb") as out:
        server = subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield f"ws://127.0.0.1:{listening_port(server, log)}"
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        server.kill()
        server.wait()


def listening_port(server: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port the server says it listens on."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = log.read_text()
        if "running on http://127.0.0.1:" in said:
            return int(said.partition("running on http://127.0.0.1:")[2].split()[0])
        assert server.poll() is None, said
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text()}")
