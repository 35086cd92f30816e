from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client, RequestFactory, override_settings

from automate_api import throttling
from automate_api.throttling import client_address, hit

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

MakeClient = Callable[..., Client]


def limited(**rates: str) -> Any:
    return override_settings(AUTOMATE_API={"RATE_STORAGE": "memory://", **rates})


def test_defaults_are_the_documented_ones(key_client: MakeClient) -> None:
    with limited():
        answer = key_client().get("/api/ping/")
    assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("120", "119")
    assert int(answer["X-RateLimit-Reset"]) > 1_700_000_000


def test_request_over_the_limit_is_429_with_headers(key_client: MakeClient) -> None:
    client = key_client()
    with limited(RATE_STANDARD="2/hour"):
        answers = [client.get("/api/ping/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    last = answers[2]
    assert (last["X-RateLimit-Limit"], last["X-RateLimit-Remaining"]) == ("2", "0")
    assert 1 <= int(last["Retry-After"]) <= 3600
    assert last.json()["error"]["code"] == "RATE_LIMITED"


def test_callers_are_counted_apart_although_they_share_an_address(key_client: MakeClient) -> None:
    one, two = key_client(), key_client()
    with limited(RATE_STANDARD="1/hour"):
        assert [one.get("/api/ping/").status_code, two.get("/api/ping/").status_code] == [200, 200]
        assert one.get("/api/ping/").status_code == 429


def test_refused_requests_count_too(key_client: MakeClient) -> None:
    client = key_client()
    with limited(RATE_STANDARD="1/hour"):
        assert client.get("/api/raise/denied/").status_code == 403
        assert client.get("/api/ping/").status_code == 429


def test_guessing_credentials_is_limited_by_address() -> None:
    with limited(RATE_STANDARD="2/hour"):
        statuses = [Client().get("/api/ping/", headers={"X-API-Key": str(n)}).status_code for n in range(3)]
    assert statuses == [401, 401, 429]


def test_guessing_urls_is_limited_by_address() -> None:
    with limited(RATE_STANDARD="2/hour"):
        assert [Client().get(f"/api/{n}/").status_code for n in range(3)] == [404, 404, 429]


def test_threads_share_one_exact_count() -> None:
    allowed: list[bool] = []

    def work() -> None:
        allowed.extend(hit(scope="t", identity="x", rate="100/hour").allowed for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 100


def test_unreachable_store_falls_back_to_this_process() -> None:
    with limited(RATE_STORAGE="redis://127.0.0.1:1/0"):
        assert [hit(scope="t", identity="x", rate="1/hour").allowed for _ in range(2)] == [True, False]
    throttling.reset()


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (0, "6.6.6.6", "10.0.0.1"),
        (1, "6.6.6.6, 7.7.7.7", "7.7.7.7"),
        (2, "6.6.6.6, 7.7.7.7", "6.6.6.6"),
        (2, "7.7.7.7", "10.0.0.1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_forwarded_address_is_believed_for_trusted_hops_only(
    trusted: int, forwarded: str, address: str
) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": forwarded})
    with limited(TRUSTED_PROXIES=trusted):  # type: ignore[arg-type]
        assert client_address(request) == address


_HITTER = """
import sys
from django.conf import settings
settings.configure(AUTOMATE_API={"RATE_STORAGE": sys.argv[1]})
from automate_api.throttling import hit
print(sum(hit(scope="t", identity="x", rate="150/hour").allowed for _ in range(100)))
"""


def test_processes_share_one_exact_count_in_redis(redis_url: str) -> None:
    """Three processes make 300 requests against a limit of 150."""
    command = [sys.executable, "-c", _HITTER, redis_url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=150)[0]) for process in running) == 150


def test_async_count_is_the_same_count(redis_url: str) -> None:
    async def once() -> bool:
        return (await throttling.ahit(scope="t", identity="x", rate="1/hour")).allowed

    for url in ("memory://", redis_url):
        with limited(RATE_STORAGE=url):
            assert [async_to_sync(once)(), async_to_sync(once)()] == [True, False]
