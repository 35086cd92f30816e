"""The headers of every response, on every route and for every status a client can bring about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from automate_api import throttling
from tests.automate_api.conftest import key_client, make_key, make_user, tenant
from tests.automate_api.test_routes import METHODS, ROUTES, Route

__all__ = ["key_client", "make_key", "make_user", "tenant"]

pytestmark = pytest.mark.django_db

MakeClient = Callable[..., Client]
TRACE = "t-1"
JSON = "application/json"


def wrong_in(answer: Any, status: int | None = None, *, allow: bool = False) -> str:
    """Return what is wrong about a response, nothing when all is well."""
    headers = answer.headers
    problems = [
        "trace" if headers.get("X-Trace-ID") != TRACE else "",
        "limit" if not headers.get("X-RateLimit-Limit", "").isdigit() else "",
        "remaining" if not headers.get("X-RateLimit-Remaining", "").isdigit() else "",
        "reset" if not headers.get("X-RateLimit-Reset", "").isdigit() else "",
        "cache" if headers.get("Cache-Control") != "no-store" else "",
        f"status {answer.status_code}" if status and answer.status_code != status else "",
        "allow" if allow and not headers.get("Allow") else "",
    ]
    if answer.status_code >= 400 and not answer.streaming:
        error = answer.json()["error"]
        trace = error["trace_id"] if isinstance(error, dict) else answer.json()["trace_id"]
        problems.append("body" if trace != TRACE else "")
    return " ".join(filter(None, problems))


def requests(routes: list[Route]) -> Iterator[tuple[Route, str]]:
    for route in routes:
        for method in route.methods:
            yield route, method.upper()


@pytest.fixture
def client(key_client: MakeClient) -> Client:
    made = key_client()
    made.defaults["HTTP_X_TRACE_ID"] = TRACE
    return made


def found_wrong(
    send: Callable[[Route, str], Any], status: int | None = None, **options: bool
) -> dict[str, str]:
    found = {
        f"{method} {route.url}": wrong_in(send(route, method), status, **options)
        for route, method in requests(ROUTES)
    }
    return {name: wrong for name, wrong in found.items() if wrong}


def test_answers_of_callers_and_strangers(client: Client) -> None:
    stranger = Client(headers={"X-Trace-ID": TRACE})
    for caller in (client, stranger):
        assert found_wrong(lambda route, method: caller.generic(method, route.path(), b"{}", JSON)) == {}  # noqa: B023


def test_413_and_415(client: Client) -> None:
    big = b"a" * 1_048_577
    assert found_wrong(lambda route, method: client.generic(method, route.path(), big, JSON), 413) == {}

    def encoded(route: Route, method: str) -> Any:
        return client.generic(method, route.path(), b"{}", JSON, headers={"Content-Encoding": "gzip"})

    assert found_wrong(encoded, 415) == {}


def test_400_of_a_url_and_of_a_host(client: Client) -> None:
    assert found_wrong(lambda route, method: client.generic(method, f"{route.path()}?a=%00"), 400) == {}

    def elsewhere(route: Route, method: str) -> Any:
        return client.generic(method, route.path(), headers={"Host": "elsewhere.example"})

    assert found_wrong(elsewhere, 400) == {}


def test_405_names_the_methods_there_are(client: Client) -> None:
    wrong = {}
    for route in ROUTES:
        for method in {name.upper() for name in METHODS} - {name.upper() for name in route.methods}:
            answer = client.generic(method, route.path(), b"{}", JSON)
            if problem := wrong_in(answer, 405, allow=True):
                wrong[method, route.url] = problem
    assert wrong == {}


def test_404_of_what_no_route_answers(client: Client) -> None:
    for route in ROUTES:
        assert wrong_in(client.get(f"{route.path()}no/such/thing/"), 404) == ""


def test_redirect_to_the_slash(client: Client) -> None:
    def unslashed(route: Route, method: str) -> Any:
        return client.generic(method, route.path().removesuffix("/"))

    wrong = found_wrong(unslashed)
    assert {name: problem for name, problem in wrong.items() if not name.endswith("download/")} == {}


def test_429_says_when_to_come_back(client: Client) -> None:
    rates = dict.fromkeys(("RATE_STANDARD", "RATE_WEBHOOK"), "1/hour")
    wrong = {}
    with override_settings(AUTOMATE_API={**rates, "RATE_STORAGE": "memory://"}):
        for route, method in requests(ROUTES):
            throttling.reset()
            for _ in range(2):
                answer = client.generic(method, route.path(), b"{}", JSON)
            problem = wrong_in(answer, 429)
            if problem or not 1 <= int(answer.headers.get("Retry-After", "0")) <= 3600:
                wrong[method, route.url] = problem or "Retry-After"
            if answer.headers.get("X-RateLimit-Remaining") != "0":
                wrong[method, route.url] = f"{problem} remaining"
    throttling.reset()
    assert wrong == {}


@pytest.mark.parametrize(
    "name", ["X-Trace-ID", "traceparent", "X-Tenant-ID", "X-Request-ID", "Origin", "Last-Event-ID"]
)
def test_what_a_header_says_is_never_a_header_of_its_own(client: Client, name: str) -> None:
    def send(route: Route, method: str) -> Any:
        given = {"X-Trace-ID": "", name: "planted\r\nSet-Cookie: planted=1"}
        return client.generic(method, route.path(), b"{}", JSON, headers=given)

    for route, method in requests(ROUTES):
        answer = send(route, method)
        assert [pair for pair in answer.items() if "planted" in pair[1] or "\n" in pair[1]] == []
        assert "planted" not in answer.cookies
