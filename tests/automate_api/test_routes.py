"""What holds for every route under /api/, taken from the URL resolver: a new route is tested by being there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from automate_api.authentication import AutomateAuthentication
from automate_api.errors import is_flat
from automate_api.v1.base import BaseAPIView
from tests.automate.api.conftest import make_event, make_execution, make_workflow

__all__ = ["make_event", "make_execution", "make_workflow"]

PUBLIC = {
    "/api/auth/token/": "the way in",
    "/api/auth/token/refresh/": "carries its own token",
    "/api/auth/token/verify/": "carries its own token",
    "/api/auth/token/blacklist/": "carries its own token",
    "/api/schema/": "describes routes, holds no data",
    "/api/schema/swagger-ui/": "describes routes, holds no data",
    "/api/schema/redoc/": "describes routes, holds no data",
    "/api/automate/webhooks/<source>/": "authenticated by its signature",
    "/api/automate/resume/<token>/": "carries its own token",
    "/api/automate/approvals/links/<token>/": "carries its own token",
}
"""Routes that answer without a credential, and why."""

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """A route: its URL with <placeholders>, its view, the methods it answers."""

    url: str
    callback: Any
    methods: tuple[str, ...]

    @property
    def view(self) -> Any:
        return getattr(self.callback, "cls", None) or getattr(self.callback, "view_class", None)

    def path(self, **values: str) -> str:
        """Return the path with these values in the placeholders, and something of the right form in the others."""
        given = {"number": "1", "pk": "11111111-1111-4111-8111-111111111111", **values}
        return re.sub(r"<(\w+)>", lambda match: given.get(match[1], "1"), self.url)


def walk(patterns: Sequence[Any], prefix: str = "/") -> Iterator[Route]:
    for pattern in patterns:
        url = prefix + readable(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, url)
        elif isinstance(pattern, URLPattern) and url.startswith("/api/"):
            yield Route(url, pattern.callback, methods_of(pattern.callback))


def readable(pattern: str) -> str:
    named = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", pattern)
    return re.sub(r"<\w+:(\w+)>", r"<\1>", named).removeprefix("^").removesuffix("$").removesuffix(r"\Z")


def methods_of(callback: Any) -> tuple[str, ...]:
    actions = getattr(callback, "actions", None)
    if actions is not None:
        return tuple(method for method in METHODS if method in actions)
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    return tuple(method for method in METHODS if hasattr(view, method)) if view else ("post",)


ROUTES = list(walk(get_resolver("config.urls").url_patterns))
PRIVATE = [route for route in ROUTES if route.url not in PUBLIC]
by_url = {"ids": lambda route: route.url}


def call(
    client: Client, method: str, url: str, body: Any = None, content_type: str = "application/json"
) -> Any:
    if method == "get":
        return client.get(url)
    return client.generic(method.upper(), url, b"{}" if body is None else body, content_type=content_type)


def error_of(answer: Any) -> dict[str, Any]:
    """Return the error of an answer, of either shape."""
    body: dict[str, Any] = answer.json()
    if is_flat(answer.wsgi_request.path):
        return {"message" if name == "error" else name: value for name, value in body.items()}
    return dict(body["error"])


def test_resolver_walk_finds_the_documented_routes() -> None:
    urls = {route.url for route in ROUTES}
    assert urls >= {
        *PUBLIC,
        "/api/automate/workflows/",
        "/api/automate/workflows/<pk>/",
        "/api/automate/workflows/<pk>/versions/<number>/restore/",
        "/api/automate/executions/<pk>/replay/",
        "/api/automate/events/",
        "/api/v1/events/<pk>/",
        "/api/v1/executions/",
    }


@pytest.mark.parametrize("route", PRIVATE, **by_url)
def test_private_route_is_authenticated_scoped_and_limited(route: Route) -> None:
    assert issubclass(route.view, BaseAPIView)
    view = route.view(**getattr(route.callback, "initkwargs", {}))
    assert [type(found) for found in view.get_authenticators()] == [AutomateAuthentication]
    assert (view.public, bool(view.get_permissions()), bool(view.get_throttles())) == (False, True, True)


@pytest.mark.django_db
@pytest.mark.parametrize("route", PRIVATE, **by_url)
def test_private_route_answers_anonymous_with_401(route: Route) -> None:
    answers = [call(Client(), method, route.path()) for method in route.methods]
    assert [answer.status_code for answer in answers] == [401] * len(route.methods)
    for answer in answers:
        assert error_of(answer)["code"] == "UNAUTHORIZED"
        assert answer["X-RateLimit-Limit"] == "1000000"
        assert answer["Cache-Control"] == "no-store"
        assert answer["X-Trace-ID"] == error_of(answer)["trace_id"]


@pytest.mark.django_db
@pytest.mark.parametrize("route", [r for r in ROUTES if r.url in PUBLIC], **by_url)
def test_public_route_is_limited_and_traced(route: Route) -> None:
    for method in route.methods:
        answer = call(Client(), method, route.path())
        assert answer.status_code < 500
        assert "X-RateLimit-Limit" in answer
        assert "X-Trace-ID" in answer


QUERIES = [
    "page=-1",
    "page=" + "9" * 400,
    "page_size=1000000000",
    "page_size=-1",
    "since=notadate",
    "until=99999-01-01",
    "ordering=%27;--",
    "search=%25_%5C%22%27",
    "enabled=%F0%9F%98%80",
    "status=%E2%80%AE",
    "workflow=1",
    "a=%00",
    "a=%ff%fe",
    "&&=&==",
    "type=" + "x" * 5000,
]


@pytest.mark.django_db
@pytest.mark.parametrize("route", [r for r in ROUTES if "get" in r.methods], **by_url)
def test_no_query_is_a_server_error(key_client: Callable[..., Client], route: Route) -> None:
    client = key_client()
    answers = {query: client.get(f"{route.path()}?{query}").status_code for query in QUERIES}
    assert {query: status for query, status in answers.items() if status >= 500} == {}


BODIES = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"null", "application/json"),
    (b"\xff\xfe", "application/json"),
    (b"[" * 2000 + b"]" * 2000, "application/json"),
    (b'{"name": "\\u0000"}', "application/json"),
    (b'{"name": 1e999}', "application/json"),
    (b'{"name": "\\ud800"}', "application/json"),
    (b'{"name": {"a": []}, "type": [], "payload": 1, "graph": [1], "slug": {}}', "application/json"),
    (
        b'{"name": "a", "graph": {"nodes": [{"id": {}, "type": [], "config": 1}], "edges": 7}}',
        "application/json",
    ),
    (b'{"name": "a", "graph": {"nodes": null, "edges": {"a": 1}}}', "application/json"),
    (b'{"name": "a", "trigger_type": {}, "trigger_config": {"rule": [[]], "cron": 5}}', "application/json"),
    (b'{"name": "a", "trigger_type": "schedule", "trigger_config": {"cron": ["*"]}}', "application/json"),
    (
        b'{"name": "a", "trigger_type": "model", "trigger_config": {"model": [], "changes": 5}}',
        "application/json",
    ),
    (b'{"name": "a", "trigger_type": "event", "trigger_config": {"event_type": {}}}', "application/json"),
    (
        b'{"name": "a", "trigger_type": "model", "trigger_config": {"model": "a.b", "changes": [{}]}}',
        "application/json",
    ),
    (b'{"type": "a", "payload": {"n": 123456789012345678901234567890}}', "application/json"),
    (b"{}", "application/json; charset=utf-7"),
    (b"a=b", "application/x-www-form-urlencoded"),
    (b"--x", "multipart/form-data; boundary=x"),
    (b"<a/>", "text/xml"),
    (b"{}", "nonsense"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("route", [r for r in ROUTES if r.methods != ("get",)], **by_url)
def test_no_body_is_a_server_error(
    key_client: Callable[..., Client], make_workflow: Callable[..., Any], route: Route
) -> None:
    client, workflow = key_client(), make_workflow()
    path = route.path(pk=str(workflow.pk))
    failures = []
    for method in route.methods:
        for body, content_type in BODIES if method not in ("get", "delete") else ():
            answer = call(client, method, path, body, content_type)
            if answer.status_code >= 500:
                failures.append((method, body, content_type, answer.status_code))
            elif answer.status_code >= 400:
                assert sorted(error_of(answer)) == ["code", "details", "message", "trace_id"]
    assert failures == []


@pytest.mark.django_db
def test_openapi_document_lists_every_route_but_its_own() -> None:
    document = Client().get("/api/schema/").json()
    described = {re.sub(r"{\w+}", "{}", path) for path in document["paths"]}
    expected = {re.sub(r"<\w+>", "{}", route.url) for route in ROUTES}
    assert described == {url for url in expected if not url.startswith("/api/schema/")}
    assert document["openapi"].startswith("3.0")
