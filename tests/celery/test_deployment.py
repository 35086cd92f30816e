"""Celery alone does what plain workers do, and whatever happens to its messages changes nothing but latency."""

from __future__ import annotations

import os
import signal
import time

from django.db.models.functions import Now

from automate.models import Trigger
from automate_core import health, sql
from tests.celery.deployment import Deployment, delivered, emit, finished, outcomes, promise, wait, workflow
from tests.chaos import graphs
from tests.chaos.cluster import Workers


def test_events_become_finished_executions_with_celery_alone(running: Deployment) -> None:
    workflow("alone", graphs.pure())
    emit("alone", 30)

    wait(lambda: finished("alone", 30), "30 executions")

    assert outcomes("alone") == ["SUCCESS"] * 30


def test_installation_is_ready_with_celery_alone(running: Deployment) -> None:
    wait(lambda: health.find_reasons() == [], "ready")

    rows = sql.execute("SELECT worker FROM automate_core_workerbeat WHERE reaped_at IS NOT NULL")
    assert rows in ([], [("celery",)])


def test_schedules_fire_with_celery_alone(running: Deployment) -> None:
    graph = {"nodes": [{"id": "word", "type": "transform", "config": {"output": "fired"}}]}
    workflow("daily", graph, trigger_type="schedule", trigger_config={"cron": "0 5 1 1 *"})
    Trigger.all_tenants.filter(automation__slug="daily").update(next_fire_at=Now())

    wait(lambda: finished("daily", 1), "the scheduled execution")

    assert outcomes("daily") == ["SUCCESS"]


def test_killed_childs_item_is_reaped_and_finishes(running: Deployment) -> None:
    workflow("killed", {"nodes": [graphs.once(running.ledger.url, query="?hold=120")]})
    emit("killed", 1)
    wait(lambda: len(running.ledger.counts()) == 1, "the call has arrived")

    os.kill(_holder(), signal.SIGKILL)
    wait(lambda: finished("killed", 1), "the execution goes on elsewhere")

    assert outcomes("killed") == ["SUCCESS"]
    (entry,) = running.ledger.counts()
    # Once more for each worker that stalls for longer than its lease.
    assert entry["requests"] >= 2
    assert (entry["keys"], entry["effects"]) == (1, 1)


def test_fifty_doubled_messages_deliver_each_item_once(running: Deployment) -> None:
    promise("doubled", 60)
    _send_drains(running, 50)

    wait(lambda: len(delivered("doubled")) >= 60, "60 deliveries")
    wait(lambda: _waiting(running) < 5, "the messages are used up")

    assert delivered("doubled") == list(range(60))


def test_broker_flushed_and_away_loses_nothing(running: Deployment) -> None:
    workflow("outage", graphs.pure())
    emit("outage", 10)
    running.valkey.flush()
    running.valkey.stop()
    try:
        emit("outage", 10)
        promise("outage", 10)
        wait(lambda: running.beat_log().count("Couldn't apply") >= 4, "beat misses the broker for a while")
    finally:
        running.valkey.start()
    emit("outage", 10)

    wait(lambda: running.keep_running() or finished("outage", 30), "30 executions")
    wait(lambda: len(delivered("outage")) >= 10, "10 deliveries")

    assert outcomes("outage") == ["SUCCESS"] * 30
    assert delivered("outage") == list(range(10))


def test_plain_workers_and_celery_together_deliver_each_item_once(running: Deployment) -> None:
    workflow("together", {"nodes": [graphs.mail(running.ledger.url)]})
    workers = Workers(2, env=running.env, logs=running.directory)
    workers.start()
    try:
        wait(lambda: _plain_workers() == 2, "both plain workers beat")
        promise("together", 100)
        emit("together", 100)
        wait(lambda: finished("together", 100), "100 executions")
        wait(lambda: len(delivered("together")) >= 100, "100 deliveries")
    finally:
        workers.stop()

    assert outcomes("together") == ["SUCCESS"] * 100
    assert delivered("together") == list(range(100))
    assert [entry["effects"] for entry in running.ledger.counts()] == [1] * 100


def test_worker_asked_to_stop_finishes_the_call_in_flight_and_leaves_the_rest(running: Deployment) -> None:
    workflow("stopped", {"nodes": [graphs.mail(running.ledger.url, query="?hold=120")]})
    emit("stopped", 1)
    wait(lambda: len(running.ledger.counts()) == 1, "the call has arrived")

    worker = running.worker
    assert worker is not None
    worker.popen.send_signal(signal.SIGTERM)
    wait(lambda: "Warm shutdown" in worker.log.read_text(), "the worker has heard")
    emit("stopped", 1)
    running.ledger.release()

    assert worker.stop() == 0
    assert outcomes("stopped") == ["SUCCESS"]
    running.start_worker()
    wait(lambda: finished("stopped", 2), "another worker does the rest")
    assert [entry["effects"] for entry in running.ledger.counts()] == [1, 1]


def _holder() -> int:
    """Return the process that holds the only item in work: names of drain loops say it."""
    held: list[tuple[str]] = []

    def is_one() -> bool:
        held[:] = sql.execute("SELECT lease_owner FROM automate_core_outboxitem WHERE status = 'CLAIMED'")
        return len(held) == 1

    wait(is_one, "one item is in work")
    return int(held[0][0].split("-")[-3])


def _plain_workers() -> int:
    rows = sql.execute(
        "SELECT count(*) FROM automate_core_workerbeat WHERE reaped_at IS NOT NULL AND worker <> 'celery'"
    )
    return int(rows[0][0])


def _send_drains(deployment: Deployment, count: int) -> None:
    from config.celery import app

    with app.connection_for_write(url=deployment.valkey.url) as broker:
        for _ in range(count):
            app.send_task(
                "automate_core.tasks.drain_outbox", connection=broker, expires=time.time() + 60, retry=False
            )


def _waiting(deployment: Deployment) -> int:
    import redis

    with redis.Redis.from_url(deployment.valkey.url) as client:
        return int(client.llen("automate"))
