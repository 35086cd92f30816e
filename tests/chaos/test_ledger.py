"""The ledger counts requests and effects, whatever becomes of the caller."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import pytest

from tests.chaos.ledger import Ledger


@pytest.fixture
def ledger():
    made = Ledger()
    yield made
    made.stop()


def call(ledger, mode, *, key=None, query=""):
    headers = {"Idempotency-Key": key} if key else {}
    body = {"execution": "e", "step": "s"}
    return httpx.post(
        f"{ledger.url}/effect/{mode}{query}", json=body, headers=headers, timeout=30, trust_env=False
    )


def counted(ledger):
    return [(one["mode"], one["keys"], one["requests"], one["effects"]) for one in ledger.counts()]


def test_idempotent_request_takes_effect_once_for_each_key(ledger):
    for key in ("a", "a", "b"):
        assert call(ledger, "idempotent", key=key).status_code == 200
    assert counted(ledger) == [("idempotent", 2, 3, 2)]


def test_other_request_takes_effect_each_time(ledger):
    assert [call(ledger, "at_most_once").json() for _ in range(2)] == [{"first": True}, {"first": False}]
    assert counted(ledger) == [("at_most_once", 0, 2, 2)]


def test_idempotent_request_without_a_key_is_refused(ledger):
    assert call(ledger, "idempotent").status_code == 400
    assert counted(ledger) == []


def test_effect_counts_although_the_caller_is_gone_before_the_answer(ledger):
    body = b'{"execution": "e", "step": "s"}'
    with socket.create_connection(("127.0.0.1", ledger.port)) as caller:
        head = (
            f"POST /effect/at_most_once?delay=0.2 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        caller.sendall(head.encode() + body)
        while not ledger.counts():
            time.sleep(0.01)
    assert counted(ledger) == [("at_most_once", 0, 1, 1)]
    assert call(ledger, "at_most_once").status_code == 200


def test_half_a_request_is_none(ledger):
    with socket.create_connection(("127.0.0.1", ledger.port)) as caller:
        caller.sendall(b"POST /effect/at_most_once HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(100) == b""
    assert counted(ledger) == []


def test_first_answer_is_held_until_released(ledger):
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(call(ledger, "at_most_once", query="?hold=30").json())
    )
    first.start()
    while not ledger.counts():
        time.sleep(0.01)
    answers.append(call(ledger, "at_most_once", query="?hold=30").json())
    ledger.release()
    first.join()
    assert answers == [{"first": False}, {"first": True}]


def test_reset_forgets_counts_and_keys(ledger):
    call(ledger, "idempotent", key="a")
    ledger.reset()
    assert counted(ledger) == []
    call(ledger, "idempotent", key="a")
    assert counted(ledger) == [("idempotent", 1, 1, 1)]
