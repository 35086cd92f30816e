"""Whoever leaves, however they leave, leaves nothing behind: no task, no subscription, no seat."""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from automate.events import run_workflow
from automate.models import LiveSeat, LiveWatch
from automate.realtime import hub
from automate_core.steps import Effect
from tests.factories.engine import node, workflow
from tests.factories.live import hear

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 60.0


def until_none(left: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found := left():
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def left_in(site: Any) -> list[str]:
    """Return the tasks, watched workflows and callers with connections in the server's loop."""

    async def left() -> list[str]:
        here = hub.current()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        code = [getattr(task.get_coro(), "cr_code", None) for task in others]
        tasks = [
            one.co_qualname
            for one in code
            if one and ("/automate/" in one.co_filename or one.co_name == "run_asgi")
        ]
        return [*tasks, *here._topics, *(+here.presence._seats)]

    found: list[str] = site.run(left())
    return found


def left_in_tables() -> list[str]:
    return [str(row) for table in (LiveSeat, LiveWatch) for row in table.objects.all()]


def abandoned(site: Any, path: str, key: str, *, upgrade: bool, read: int = 12) -> None:
    """Begin a request, read a little of the answer, and reset the connection."""
    raw = sockets.create_connection(("127.0.0.1", site.port))
    more = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more if upgrade else ''}X-API-Key: {key}\r\n\r\n".encode()
    )
    if read:
        assert raw.recv(read)[:8] == b"HTTP/1.1"
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


@pytest.mark.parametrize("layer", ["memory", "postgres", "redis"], indirect=True)
def test_those_who_leave_leave_nothing_behind(site, worker, key, monkeypatch, register_step, gate):
    monkeypatch.setattr("automate.realtime.hub.LINGER_SECONDS", 0.1)
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    automation = workflow(node("one", "merge"), node("held", "held"))
    execution_id = str(run_workflow("orders", {}))
    assert gate.entered.wait(PATIENCE_SECONDS)
    page = f"/ws/workflow/{automation.id}/"
    events = f"/api/automate/executions/{execution_id}/stream/"
    for upgrade, path in ((True, page), (False, events)):
        for read in (0, 12, 400):
            abandoned(site, path, key, upgrade=upgrade, read=read)
    with site.follow(automation.id, key=key) as polite:
        assert hear(polite)["type"] == "state_sync"
        with httpx.stream("GET", site.url + events, headers={"X-API-Key": key}, timeout=60) as response:
            lines = response.iter_lines()  # whoever lets go of it hangs up
            assert next(lines) == "retry: 1000"
            assert str(automation.id) in left_in(site)
    gate.open.set()
    until_none(lambda: left_in(site))
    until_none(left_in_tables)
