"""The slack connector against a loopback server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automate_connectors.base import ConnectorContext
from automate_connectors.builtin import SlackConnector
from automate_core.errors import PermanentError, TransientError
from tests.automate_core.http.conftest import LoopbackServer, reply


def send(config: dict[str, Any], **message: Any) -> dict[str, Any]:
    return SlackConnector(config, ConnectorContext()).execute_action("send_message", message)


def answering(server: LoopbackServer, answer: Any, status: int = 200) -> None:
    server.handle = lambda handler: reply(handler, status, json.dumps(answer).encode())


def test_bot_token_posts_to_chat_post_message(server: LoopbackServer) -> None:
    answering(server, {"ok": True, "channel": "C1", "ts": "1.2", "message": {"text": "hi"}})
    output = send(
        {"bot_token": "xoxb-1", "base_url": server.url("/api")},
        channel="#orders",
        message="hi",
        thread_ts="1.1",
    )
    seen = server.received[0]
    assert output == {"ok": True, "channel": "C1", "ts": "1.2"}
    assert (seen.method, seen.path, seen.headers["authorization"]) == (
        "POST",
        "/api/chat.postMessage",
        "Bearer xoxb-1",
    )
    assert json.loads(seen.body) == {"channel": "#orders", "text": "hi", "thread_ts": "1.1"}


def test_webhook_posts_to_its_url(server: LoopbackServer) -> None:
    output = send({"webhook_url": server.url("/services/T/B/x")}, text="hi", blocks=[{"type": "divider"}])
    seen = server.received[0]
    assert output == {"ok": True}
    assert (seen.path, json.loads(seen.body)) == (
        "/services/T/B/x",
        {"text": "hi", "blocks": [{"type": "divider"}]},
    )
    assert "authorization" not in seen.headers


@pytest.mark.parametrize(
    ("error", "kind", "performed"),
    [
        ("channel_not_found", PermanentError, None),
        ("ratelimited", TransientError, False),
        ("fatal_error", TransientError, None),
    ],
)
def test_refusals_are_errors(
    server: LoopbackServer, error: str, kind: type[Exception], performed: bool | None
) -> None:
    answering(server, {"ok": False, "error": error})
    with pytest.raises(kind, match=error) as failed:
        send({"bot_token": "t", "base_url": server.url()}, channel="c", message="m")
    assert failed.value.extra.get("performed") is performed  # type: ignore[attr-defined]


def test_rate_limit_is_transient_with_its_wait(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 429, b"", {"Retry-After": "30"})
    with pytest.raises(TransientError) as limited:
        send({"webhook_url": server.url()}, message="m")
    assert (limited.value.retry_after_seconds, limited.value.extra["performed"]) == (30.0, False)


def test_redirect_of_a_webhook_is_not_followed(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 302, b"", {"Location": "/elsewhere"})
    with pytest.raises(PermanentError):
        send({"webhook_url": server.url()}, message="m")
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("config", "message"), [({}, {"message": "m"}), ({"bot_token": "t"}, {"message": "m"})]
)
def test_incomplete_configuration_says_what_is_missing(
    config: dict[str, Any], message: dict[str, Any]
) -> None:
    with pytest.raises(PermanentError, match=r"bot_token|channel"):
        send(config, **message)
