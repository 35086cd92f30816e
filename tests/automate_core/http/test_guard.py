"""The outbound guard: what it refuses, and that refusing sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automate_core.http import OutboundFailed, OutboundRefused, check_url, request

BLOCKED = (Path(__file__).parents[2] / "data" / "ssrf_blocked.txt").read_text().splitlines()


@pytest.mark.parametrize("url", [url for url in BLOCKED if url])
def test_request_refuses_blocked_url_without_connecting(
    url: str, connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    answers |= {"localhost": [["127.0.0.1", "::1"]], "metadata.google.internal": [["169.254.169.254"]]}
    with pytest.raises(OutboundRefused):
        request("GET", url)
    assert connects == []


@pytest.mark.parametrize("url", [url for url in BLOCKED if url])
def test_check_url_refuses_blocked_url(url: str, answers: dict[str, list[list[str]]]) -> None:
    with pytest.raises(OutboundRefused):
        check_url(url)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "10.0.0.1"],
        ["10.0.0.1", "93.184.215.14"],
        ["::1"],
        ["::ffff:192.168.0.1"],
        ["64:ff9b::a00:1"],
        ["2606:4700::1111", "fd00::1"],
        ["fe80::1%eth0"],
        [],
    ],
)
def test_request_refuses_name_with_any_private_address(
    addresses: list[str], connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    answers["rebind.example"] = [addresses]
    with pytest.raises(OutboundRefused):
        request("GET", "http://rebind.example/")
    assert connects == []


def test_request_connects_to_the_address_it_checked_when_dns_changes_its_answer(
    connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    answers["rebind.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    with pytest.raises(OutboundFailed):
        request("GET", "http://rebind.example/")
    assert connects == [("93.184.215.14", 80)]
    with pytest.raises(OutboundRefused):
        request("GET", "http://rebind.example/")
    assert connects == [("93.184.215.14", 80)]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://8.8.8.8/", ("8.8.8.8", 80)),
        ("https://172.32.0.1/", ("172.32.0.1", 443)),
        ("http://[2606:4700:4700::1111]:8080/", ("2606:4700:4700::1111", 8080, 0, 0)),
        ("http://[::ffff:8.8.8.8]/", ("::ffff:808:808", 80, 0, 0)),
        ("http://[64:ff9b::808:808]/", ("64:ff9b::808:808", 80, 0, 0)),
    ],
)
def test_request_goes_to_public_address(
    url: str, address: tuple[Any, ...], connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    with pytest.raises(OutboundFailed):
        request("GET", url)
    assert [(attempt[1:], len(attempt)) for attempt in connects] == [(address[1:], len(address))]


def test_refusal_of_a_name_does_not_name_its_addresses(answers: dict[str, list[list[str]]]) -> None:
    answers["inner.example"] = [["10.11.12.13"]]
    with pytest.raises(OutboundRefused) as refused:
        request("GET", "http://inner.example/")
    assert "10.11.12.13" not in str(refused.value)
    assert "inner.example" in str(refused.value)


def test_check_url_refuses_name_that_resolves_to_private_address(answers: dict[str, list[list[str]]]) -> None:
    answers["inner.example"] = [["192.168.1.10"]]
    with pytest.raises(OutboundRefused):
        check_url("https://inner.example/hook")


@pytest.mark.parametrize(
    "url", ["https://outer.example/hook", "https://unknown.example/hook", "https://MÜNCHEN.example/"]
)
def test_check_url_accepts_public_and_unresolvable_names(
    url: str, answers: dict[str, list[list[str]]]
) -> None:
    answers["outer.example"] = [["93.184.215.14"]]
    assert check_url(url) is None


def test_allow_list_opens_exactly_one_host_and_port(settings: Any, connects: list[Any], answers: Any) -> None:
    settings.AUTOMATE = {"HTTP_ALLOW": ["10.0.0.5:8080", "[::1]:6379", "redis:6379"]}
    answers["redis"] = [["172.18.0.2"]]
    for url in ("http://10.0.0.5:8080/", "http://[::1]:6379/", "http://redis:6379/"):
        check_url(url)
        with pytest.raises(OutboundFailed):
            request("GET", url)
    assert connects == [("10.0.0.5", 8080), ("::1", 6379, 0, 0), ("172.18.0.2", 6379)]
    for url in ("http://10.0.0.5/", "http://10.0.0.5:8081/", "http://10.0.0.6:8080/", "http://redis/"):
        with pytest.raises(OutboundRefused):
            request("GET", url)
    assert len(connects) == 3


def test_request_ignores_proxy_environment(
    monkeypatch: pytest.MonkeyPatch, connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    answers["outer.example"] = [["93.184.215.14"]]
    with pytest.raises(OutboundFailed) as failed:
        request("GET", "http://outer.example/")
    assert connects == [("93.184.215.14", 80)]
    assert failed.value.performed is False


def test_request_tries_the_next_address_when_one_refuses(
    connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    answers["outer.example"] = [["2606:4700::1", "93.184.215.14"]]
    with pytest.raises(OutboundFailed):
        request("GET", "http://outer.example/")
    assert connects == [("2606:4700::1", 80, 0, 0), ("93.184.215.14", 80)]


def test_unresolvable_name_fails_as_not_sent(
    connects: list[Any], answers: dict[str, list[list[str]]]
) -> None:
    with pytest.raises(OutboundFailed) as failed:
        request("GET", "http://unknown.example/")
    assert failed.value.performed is False
    assert connects == []
