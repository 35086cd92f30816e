from __future__ import annotations

from typing import Any

import pytest

from tests.automate.lint.graphs import GET, POST, call, graph, log, looped, message, places
from tests.factories.engine import node


def test_call_without_a_time_limit_is_noticed() -> None:
    assert places("missing_timeout", graph(call(timeout_seconds=None))) == [
        ("call", "graph.nodes[0].timeout_seconds")
    ]


@pytest.mark.parametrize(
    "given",
    [
        call(timeout_seconds=5),
        call(config={**GET, "timeout_seconds": 5}, timeout_seconds=None),
        log(),
    ],
)
def test_step_with_a_time_limit_or_without_a_call_is_fine(given: dict[str, Any]) -> None:
    assert places("missing_timeout", graph(given)) == []


def test_retry_of_a_call_that_must_not_be_repeated_is_noticed() -> None:
    given = graph(call(config=POST, retry={"max_attempts": 3}))
    assert places("retry_not_idempotent", given) == [("call", "graph.nodes[0].retry")]
    assert "idempotency_header" in message("retry_not_idempotent", given)


@pytest.mark.parametrize(
    "given",
    [
        call(config=POST),
        call(config=POST, retry={"max_attempts": 1}),
        call(config=GET, retry={"max_attempts": 3}),
        call(config={**POST, "idempotency_header": "Idempotency-Key"}, retry={"max_attempts": 3}),
    ],
)
def test_retry_that_does_no_harm_is_fine(given: dict[str, Any]) -> None:
    assert places("retry_not_idempotent", graph(given)) == []


def test_call_in_a_loop_that_one_failure_ends_is_noticed() -> None:
    assert places("unguarded_call_in_loop", looped(call(config=POST))) == [
        ("call", "graph.nodes[1].on_error")
    ]


@pytest.mark.parametrize(
    "given",
    [
        graph(call(config=POST)),
        looped(call(config=GET)),
        looped(call(config=POST, on_error="continue")),
        looped(call(config=POST), loop=node("each", "for_each", {"items": [1], "on_item_error": "collect"})),
    ],
)
def test_call_whose_failure_is_provided_for_is_fine(given: dict[str, Any]) -> None:
    assert places("unguarded_call_in_loop", given) == []


def test_wait_without_an_end_is_noticed() -> None:
    event = node("paid", "wait_for_event", {"event_type": "order.paid"})
    assert places("wait_without_timeout", graph(event)) == [("paid", "graph.nodes[0].config.timeout_seconds")]
    assert places("wait_without_timeout", graph(node("back", "wait_for_webhook"))) == [
        ("back", "graph.nodes[0].config.timeout_seconds")
    ]


@pytest.mark.parametrize(
    "given",
    [
        graph(node("paid", "wait_for_event", {"event_type": "order.paid", "timeout_seconds": 60})),
        graph(node("back", "wait_for_webhook"), settings={"timeout_seconds": 60}),
        graph(node("pause", "delay", {"seconds": 5})),
    ],
)
def test_wait_that_ends_is_fine(given: dict[str, Any]) -> None:
    assert places("wait_without_timeout", given) == []
    assert places("missing_timeout", given) == []
