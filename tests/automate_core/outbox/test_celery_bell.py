"""The doorbell over Celery: it holds up nobody, coalesces, keeps silent after a failure, and never piles up."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from automate_core.outbox.celery_bell import WAITING_LIMIT, Ringer

PATIENCE_SECONDS = 60.0


class Broker:
    """Takes messages only while its gate is open, and fails when told to."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Semaphore(0), threading.Semaphore(0)
        self.error: Exception | None = None
        self.taken = 0

    def send(self) -> None:
        """Take one message, or fail."""
        self.entered.release()
        assert self.gate.acquire(timeout=PATIENCE_SECONDS)
        if self.error:
            raise self.error
        self.taken += 1


def test_ring_returns_while_the_broker_hangs_and_rings_meanwhile_are_one() -> None:
    broker = Broker()
    ringer = Ringer(broker.send)
    ringer.ring()
    assert broker.entered.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(50):
        ringer.ring()
    held_back = broker.taken
    broker.gate.release(2)

    assert broker.entered.acquire(timeout=PATIENCE_SECONDS)
    while broker.taken < 2:
        time.sleep(0.01)
    assert held_back == 0
    assert not broker.entered.acquire(timeout=0.2)


def test_broker_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker()
    broker.error = OSError("nobody there")
    ringer = Ringer(broker.send, pause_seconds=0.01)
    ringer.ring()
    broker.gate.release()
    assert broker.entered.acquire(timeout=PATIENCE_SECONDS)
    while not caplog.records:
        time.sleep(0.01)
    broker.error = None
    broker.gate.release()
    ringer.ring()

    assert broker.entered.acquire(timeout=PATIENCE_SECONDS)
    assert [(one.getMessage(), vars(one)["error"]) for one in caplog.records] == [
        ("outbox.bell_failed", "OSError: nobody there")
    ]


def test_messages_nobody_takes_do_not_pile_up(redis_url: str) -> None:
    from automate_core.tasks import drain_outbox, reap_outbox, run_duties
    from config.celery import app

    def send(producer: Any) -> list[Any]:
        # What beat and the bell do, both for a long time.
        tasks = (drain_outbox, run_duties, reap_outbox)
        return [tasks[n % 3].apply_async(producer=producer, expires=5.0, retry=False) for n in range(150)]

    with app.connection_for_write(url=redis_url) as broker, redis.Redis.from_url(redis_url) as client:
        sent = send(app.amqp.Producer(broker))
        waiting = client.llen("automate")
        client.delete("automate")
        again = drain_outbox.apply_async(producer=app.amqp.Producer(broker), expires=5.0)

        assert (waiting, [one is None for one in sent].count(True)) == (WAITING_LIMIT, 150 - WAITING_LIMIT)
        assert (client.llen("automate"), again is None) == (1, False)
