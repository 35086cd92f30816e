"""Every operation of the OpenAPI document under generated requests: nothing breaks, and every answer is documented."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from automate.webhooks import sources
from automate_api import tokens
from automate_api.asgi import App
from automate_core.models import Role
from tests.automate_api.conftest import key_client, make_key, make_user, tenant

__all__ = ["key_client", "make_key", "make_user", "tenant"]

SECONDS = int(os.environ.get("AUTOMATE_FUZZ_SECONDS", "0"))
"""How long to go on; 0: a fixed number of requests, the same each time."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
)

CONFIG = {
    "continue-on-failure": True,
    "request-timeout": 60,
    "parameters": {"header.X-Tenant-ID": "default", "path.source": "shop"},
    "auth": {"openapi": {"apiKeyAuth": {"api_key": "next"}, "webhookSignature": {"api_key": "sign"}}},
    "generation": {"max-examples": 100 if SECONDS else 2, "database": "none"},
    "phases": {"coverage": {"enabled": SECONDS > 0}},
    "checks": {
        "enabled": True,
        # What a graph, a cron line or a rule means is beyond a schema: 400 is then the documented answer.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "303", "400", "401", "403", "404", "409", "429"]
        },
    },
}


@dataclass
class Run:
    """What came of a run: failures, calls by operation, and how often each check ran."""

    failures: set[str] = field(default_factory=set)
    called: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)


class Callers:
    """Stands in front of the application: the key `next` is the next caller's, the signature `sign` the right one.

    What carries neither word, such as a request without a credential or with a made up one, passes as it is.
    """

    def __init__(self) -> None:
        self.secret = b"webhook-secret"
        self.credentials: dict[str, tuple[bytes, bytes]] = {}
        self.answers: Counter[tuple[str, int]] = Counter()

    def __call__(self, app: App) -> App:
        turns = cycle(("admin", "viewer", "editor"))

        async def called(scope: Any, receive: Any, send: Any) -> None:
            name = "nobody"
            headers = scope["headers"]
            if (b"x-api-key", b"next") in headers:
                name = next(turns)
                headers = [self.credentials[name] if pair[0] == b"x-api-key" else pair for pair in headers]
            elif (b"x-webhook-signature", b"sign") in headers and "/webhooks/" in scope["path"]:
                name = "sender"
                body = await _read(receive)
                receive = _replay(body, receive)
                digest = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
                right = (b"x-webhook-signature", b"sha256=" + digest.encode())
                headers = [right if pair[0] == b"x-webhook-signature" else pair for pair in headers]

            async def noted(message: Any) -> None:
                if message["type"] == "http.response.start":
                    self.answers[name, message["status"]] += 1
                await send(message)

            await app({**scope, "headers": headers}, receive, noted)

        return called


async def _read(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Any) -> Any:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return pending.pop() if pending else await receive()

    return received


def run(document: dict[str, Any], url: str, *, path: str | None = None) -> Run:
    """Send generated requests to every operation, or to those of one path, and check the answers."""
    settings = {**CONFIG, "base-url": url}
    config = SchemathesisConfig.from_dict(
        {**settings, **({"max-time": SECONDS} if SECONDS and not path else {"seed": 1})}
    )
    schema = schemathesis.openapi.from_dict(document, config=config)
    found = Run()
    for event in from_schema(schema.include(path=path) if path else schema).execute():
        if isinstance(event, events.NonFatalError):
            found.failures.add(str(event.value))
        elif isinstance(event, events.FatalError):
            found.failures.add(str(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            _count(event.recorder, found)
    return found


def _count(recorder: Any, found: Run) -> None:
    for case in recorder.cases.values():
        found.called[case.value.operation.label] += 1
    for node in (node for nodes in recorder.checks.values() for node in nodes):
        found.checks[node.name] += 1
        if node.status != Status.SUCCESS:
            info = node.failure_info
            found.failures.add(f"{recorder.label}: {node.name}: {info and (info.failure, info.code_sample)}")


@pytest.fixture
def front() -> Callers:
    return Callers()


@pytest.fixture
def callers(front: Callers, server_url: str, tenant: Any, make_key: Any, make_user: Any) -> Callers:
    """A tenant's own admin key, the key of a viewer, and the token of an editor."""
    sources.create_source(slug="shop", preset="generic", secret=front.secret.decode(), by="test")
    token = tokens.issue(make_user("editor", role=Role.EDITOR)).access
    viewer = make_key(Role.ADMIN, user=make_user("viewer", role=Role.VIEWER))[1]
    front.credentials = {
        "admin": (b"x-api-key", make_key()[1].encode()),
        "viewer": (b"x-api-key", viewer.encode()),
        "editor": (b"authorization", f"Bearer {token}".encode()),
    }
    return front


@pytest.fixture
def document(server_url: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server_url}/api/schema/", trust_env=False, timeout=60).json())


@pytest.mark.timeout(0)
def test_generated_requests_are_answered_as_the_document_says(
    server_url: str, document: dict[str, Any], callers: Callers
) -> None:
    found = run(document, server_url)
    assert "\n".join(sorted(found.failures)) == ""
    described = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert described - found.called.keys() == set()
    assert {name for name in CHECKS if not found.checks[name]} == set()
    seen = callers.answers.keys()
    assert seen >= {("sender", 202), ("nobody", 401), ("admin", 200), ("editor", 200), ("viewer", 200)}
    assert seen >= {("viewer", 403), ("editor", 403)}


def test_run_notices_what_the_document_does_not_say(
    server_url: str, document: dict[str, Any], callers: Callers
) -> None:
    path = "/api/automate/events/{id}/"
    del document["paths"][path]["get"]["responses"]["404"]
    found = run(document, server_url, path=path)
    assert any("status_code_conformance" in failure for failure in found.failures)
