"""A secret that a connection sends out and the server sends back stands nowhere but in its encrypted column."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from automate.events import emit_event
from automate.models import Execution
from automate_api.keys import create_key
from automate_connectors import connections
from automate_core import secrets
from automate_core.models import DEFAULT_TENANT_ID, Role
from automate_core.telemetry import HumanFormatter, JsonFormatter
from tests.factories.engine import EVENT, drain, node, wake, workflow

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = 'c4N/ary+key="7f3a9b2d&<x>~!'
OTHER_CANARY = "pa55/Word+of_the~canary?=1"


class Parrot(BaseHTTPRequestHandler):
    """Sends the credentials back in every way it can think of, with the status its path names."""

    seen: list[str]

    def do_POST(self) -> None:
        authorization = self.headers["Authorization"]
        kind, _, token = authorization.partition(" ")
        if kind == "Basic":
            token = base64.b64decode(token).decode().partition(":")[2]
        self.server.seen.append(token)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps(
            {
                "authorization": authorization,
                "note": f"you sent {token}, didn't you?",
                token: "as a key",
                "list": [token, {"deep": [f"<{token}>"]}],
                "forms": sorted(spellings(token)),
                "text": json.dumps({"text": json.dumps({"x": token})}),
            }
        ).encode()
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", token)
        self.send_header("Location", f"/login?next={quote(token, safe='')}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def spellings(secret: str) -> set[str]:
    """Return the texts the secret may be written as: raw, URL, base64 in every alignment, JSON, HTML."""
    raw = secret.encode()
    quoted = quote(secret, safe="")
    found = {secret, quoted, quote(secret), quote_plus(secret), html.escape(secret)}
    found |= {re.sub(r"%..", lambda escape: escape[0].lower(), quoted)}
    found |= {once := escaped(secret), escaped(once)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found |= {encode(b"-" * offset + raw).decode() for offset in range(3)}
    return found


def escaped(text: str) -> str:
    """Return the text as it stands inside a JSON string."""
    return json.dumps(text)[1:-1]


def traces(secret: str) -> set[str]:
    """Return what to look for: the spellings, without the ends that base64 shares with its neighbours."""
    return {spelling[4:-4] for spelling in spellings(secret)} | {secret.encode().hex()}


@pytest.fixture
def parrot() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    server.seen = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def logs() -> Iterator[list[io.StringIO]]:
    """Everything logged, down to DEBUG, as the two formatters write it."""
    streams, handlers = [], []
    for formatter in (JsonFormatter(), HumanFormatter()):
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(formatter)
        streams.append(handler.stream)
        handlers.append(handler)
        logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield streams
    logging.getLogger().setLevel(level)
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def test_canary_stands_nowhere_in_clear(
    parrot: ThreadingHTTPServer, logs: list[io.StringIO], settings: Any
) -> None:
    address = f"127.0.0.1:{parrot.server_port}"
    settings.AUTOMATE = {"HTTP_ALLOW": [address], "RETRY_INITIAL_SECONDS": 0.01, "STEP_ATTEMPTS": 2}
    secrets.store("CANARY", CANARY, by="test")
    secrets.store("OTHER", OTHER_CANARY, by="test")
    base = f"http://{address}/"
    connections.create(
        name="bearer", connector="http", config={"base_url": base, "bearer_token": "$secret:CANARY"}
    )
    connections.create(
        name="basic",
        connector="http",
        config={"base_url": base, "username": "ann", "password": "$secret:OTHER"},
    )
    for name in ("bearer", "basic"):
        for status in (200, 400, 503):
            call: dict[str, Any] = {
                "connection": name,
                "method": "POST",
                "url": f"answer/{status}",
                "json": {},
            }
            workflow(
                node("call", "http.request", {**call, "idempotency_header": "Idempotency-Key"}),
                node("keep", "set", {"values": {"note": "{{ steps.call.output.body.note }}"}}),
                node(
                    "pass", "transform", {"output": {"all": "{{ steps.call.output }} {{ variables.note }}"}}
                ),
                slug=f"{name}-{status}",
            )
    emit_event(EVENT, {})
    for _ in range(3):
        drain()
        wake()
    ends = Execution.objects.values_list("automation__slug", "status").order_by("automation__slug")
    assert dict(ends) == {
        "basic-200": "SUCCESS", "basic-400": "FAILED", "basic-503": "FAILED",
        "bearer-200": "SUCCESS", "bearer-400": "FAILED", "bearer-503": "FAILED",
    }  # fmt: skip
    assert sorted(parrot.seen) == sorted([CANARY, OTHER_CANARY] * 4)  # type: ignore[attr-defined]

    told = {"database": database_text(), "logs": "".join(stream.getvalue() for stream in logs)}
    told |= {"answers": answers(), "commands": command_output()}
    assert "***REDACTED***" in told["database"]
    assert "***REDACTED***" in told["answers"]
    hits = {
        (place, written)
        for place, text in told.items()
        for secret in (CANARY, OTHER_CANARY)
        for trace in traces(secret)
        for written in (trace, escaped(trace), escaped(escaped(trace)))
        if written in text
    }
    assert hits == set()


def database_text() -> str:
    """Return every row of every table as JSON; bytes come as hex."""
    with connection.cursor() as cursor:
        return "\n".join(
            row
            for table in connection.introspection.table_names(cursor)
            for (row,) in _rows(cursor, f'SELECT to_jsonb(t)::text FROM "{table}" t')
        )


def _rows(cursor: Any, query: str) -> list[tuple[str]]:
    cursor.execute(query)
    return list(cursor.fetchall())


def answers() -> str:
    """Return what the API says about every workflow, execution and event."""
    _, key = create_key(name="reader", tenant_id=DEFAULT_TENANT_ID, role=Role.ADMIN, by="test")
    client = Client(headers={"X-API-Key": key})
    found = []
    for kind in ("workflows", "executions", "events"):
        rows = client.get(f"/api/automate/{kind}/", {"page_size": 100})
        found.append(rows.content.decode())
        ids = [row["id"] for row in rows.json()["results"]]
        found += [client.get(f"/api/automate/{kind}/{one}/").content.decode() for one in ids]
    return "\n".join(found)


def command_output() -> str:
    """Return what the commands print about the executions."""
    output = io.StringIO()
    for execution in Execution.objects.all():
        call_command("automate_execution", str(execution.pk), stdout=output)
        call_command("automate_execution", str(execution.pk), "--json", stdout=output)
    call_command("automate_secret", "list", stdout=output)
    return output.getvalue()
