"""Every operation of the OpenAPI document under generated requests: nothing breaks, and every answer is documented."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from automate.webhooks import sources
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
    "request-timeout": 20,
    "parameters": {"header.X-Tenant-ID": "default", "path.source": "shop"},
    "generation": {"max-examples": 100 if SECONDS else 4, "database": "none"},
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


def run(document: dict[str, Any], url: str, key: str, *, path: str | None = None) -> Run:
    """Send generated requests to every operation, or to those of one path, and check the answers."""
    settings = {**CONFIG, "base-url": url, "auth": {"openapi": {"apiKeyAuth": {"api_key": key}}}}
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
def key(server_url: str, tenant: Any, make_key: Any) -> str:
    sources.create_source(slug="shop", preset="generic", secret="webhook-secret", by="test")
    return str(make_key()[1])


@pytest.fixture
def document(server_url: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server_url}/api/schema/", trust_env=False).json())


@pytest.mark.timeout(0)
def test_generated_requests_are_answered_as_the_document_says(
    server_url: str, document: dict[str, Any], key: str
) -> None:
    found = run(document, server_url, key)
    assert sorted(found.failures) == []
    described = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert described - found.called.keys() == set()
    assert {name for name in CHECKS if not found.checks[name]} == set()


def test_run_notices_what_the_document_does_not_say(
    server_url: str, document: dict[str, Any], key: str
) -> None:
    path = "/api/automate/events/{id}/"
    del document["paths"][path]["get"]["responses"]["404"]
    found = run(document, server_url, key, path=path)
    assert any("status_code_conformance" in failure for failure in found.failures)
