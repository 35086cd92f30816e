"""The Celery tasks, called directly: how a drain ends, what is done beside it, and what shows that Celery lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.signals import worker_shutting_down
from django.db.models.functions import Now

from automate_core import health, tasks
from automate_core.models import OutboxItem, OutboxStatus, WorkerBeat
from automate_core.outbox import enqueue
from automate_core.outbox.duties import Duty, duty_registry
from automate_core.outbox.handlers import ItemHandler, OutboxHandler, handler_registry
from automate_core.tasks import drain_outbox, reap_outbox, run_duties

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class Noting(ItemHandler):
    """Notes the numbers it delivers; each number above zero promises the next lower one."""

    kinds = ("noting",)
    numbers: list[int] = []

    def deliver(self, item: Any) -> None:
        self.numbers.append(item.payload["n"])
        if item.payload["n"]:
            enqueue(kind="noting", payload={"n": item.payload["n"] - 1})


class Keeping(OutboxHandler):
    """Keeps items in flight until `ready` says so."""

    kinds = ("keeping",)

    @staticmethod
    def ready() -> bool:
        return True

    def __init__(self, port: Any) -> None:
        super().__init__(port)
        self._kept: list[Any] = []

    def handle(self, items: Any) -> None:
        self._kept += items

    def turn(self) -> bool:
        if not self._kept or not self.ready():
            return False
        self.port.store.complete(self._kept, self.port.worker)
        self._kept = []
        return True


@pytest.fixture(autouse=True)
def _own_kinds() -> Iterator[None]:
    Noting.numbers = []
    for handler in (Noting, Keeping):
        handler_registry.register(handler.kinds[0], handler)
    tasks._duties_of_this_process.cache_clear()
    yield
    for handler in (Noting, Keeping):
        handler_registry.unregister(handler.kinds[0])
    tasks._duties_of_this_process.cache_clear()
    tasks._shutting_down[0] = 0


@pytest.fixture
def duty_runs() -> Iterator[list[float]]:
    """Give a list that a registered duty writes to."""
    runs: list[float] = []
    duty_registry.register("counted", Duty("counted", 0.05, lambda: runs.append(time.monotonic())))
    yield runs
    duty_registry.unregister("counted")


def keep_until(monkeypatch: pytest.MonkeyPatch, happened: Any) -> None:
    """Keep items in flight until something holds, or patience is at its end."""
    end = time.monotonic() + PATIENCE_SECONDS
    monkeypatch.setattr(Keeping, "ready", staticmethod(lambda: happened() or time.monotonic() > end))


def test_drain_delivers_what_is_ready_and_what_comes_of_it() -> None:
    enqueue(kind="noting", payload={"n": 3})

    drain_outbox()

    assert (Noting.numbers, OutboxItem.all_tenants.count()) == ([3, 2, 1, 0], 0)


def test_drain_that_finds_nothing_leaves_no_trace() -> None:
    drain_outbox()

    assert WorkerBeat.objects.count() == 0


def test_drain_past_its_time_finishes_what_is_in_flight_and_claims_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over: list[float] = []
    promised = []

    def past() -> bool:
        # Counted from when the drain has begun.
        over[:] = over or [time.monotonic() + 0.5]
        if time.monotonic() < over[0]:
            return False
        if not promised:
            promised.append(enqueue(kind="keeping", payload={}))
        return True

    keep_until(monkeypatch, past)
    enqueue(kind="keeping", payload={})

    drain_outbox(max_seconds=0.2)

    left = OutboxItem.all_tenants.values_list("id", "status", "attempts")
    assert list(left) == [(promised[0], OutboxStatus.PENDING, 0)]


def test_drain_of_a_worker_that_shuts_down_claims_nothing() -> None:
    enqueue(kind="noting", payload={"n": 0})
    worker_shutting_down.send(sender="test", sig="SIGTERM", how="Warm", exitcode=0)

    drain_outbox()

    assert (Noting.numbers, OutboxItem.all_tenants.get().status) == ([], OutboxStatus.PENDING)


def test_long_drain_beats_reaps_and_does_duties_beside_it(
    monkeypatch: pytest.MonkeyPatch, duty_runs: list[float]
) -> None:
    seen: list[str] = []

    def all_done() -> bool:
        seen[:] = WorkerBeat.objects.order_by("worker").values_list("worker", flat=True)
        reaped = WorkerBeat.objects.filter(worker="celery", reaped_at__isnull=False).exists()
        return len(seen) == 2 and reaped and len(duty_runs) >= 2

    keep_until(monkeypatch, all_done)
    enqueue(kind="keeping", payload={})

    drain_outbox()

    assert (len(seen), len(duty_runs) >= 2, OutboxItem.all_tenants.count()) == (2, True, 0)
    assert [beat.worker for beat in WorkerBeat.objects.all()] == ["celery"]


def test_run_duties_does_each_duty_that_is_due_once(duty_runs: list[float]) -> None:
    hourly: list[int] = []
    duty_registry.register("hourly", Duty("hourly", 3600.0, lambda: hourly.append(1)))
    try:
        run_duties()
        run_duties()
    finally:
        duty_registry.unregister("hourly")

    assert (hourly, len(duty_runs) >= 1) == ([1], True)


def test_run_duties_and_reap_outbox_make_the_installation_ready() -> None:
    before = [reason.check for reason in health.find_reasons()]
    run_duties()
    reap_outbox()

    assert (before, health.find_reasons()) == (["workers"], [])
    assert list(WorkerBeat.objects.values_list("worker", flat=True)) == ["celery"]


def test_celery_back_after_a_long_silence_counts_as_just_started() -> None:
    long_ago = Now() - timedelta(hours=3)
    WorkerBeat.objects.create(worker="celery", started_at=long_ago, seen_at=long_ago, reaped_at=long_ago)

    run_duties()

    assert health.find_reasons() == []


def test_celery_that_stopped_reaping_is_unready() -> None:
    WorkerBeat.objects.create(
        worker="celery",
        started_at=Now() - timedelta(hours=3),
        seen_at=Now() - timedelta(seconds=1),
        reaped_at=Now() - timedelta(minutes=5),
    )

    run_duties()

    assert [reason.check for reason in health.find_reasons()] == ["reaper"]


def test_reap_outbox_takes_items_back_and_drops_old_beats() -> None:
    enqueue(kind="noting", payload={"n": 0})
    OutboxItem.all_tenants.update(
        status=OutboxStatus.CLAIMED,
        lease_owner="gone",
        attempts=1,
        lease_expires_at=Now() - timedelta(seconds=1),
        lease_renewed_at=Now() - timedelta(seconds=31),
    )
    WorkerBeat.objects.create(worker="gone", seen_at=Now() - timedelta(hours=2))

    reap_outbox()

    assert OutboxItem.all_tenants.get().status == OutboxStatus.PENDING
    assert list(WorkerBeat.objects.values_list("worker", flat=True)) == ["celery"]


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process where Celery is not installed."""
    hidden = "import sys; sys.modules['celery'] = sys.modules['kombu'] = None\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test", **env},
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_everything_loads_without_celery() -> None:
    code = (
        "import django; django.setup()\n"
        "from automate_core.outbox.worker import Worker\n"
        "from django.urls import get_resolver; get_resolver().url_patterns\n"
        "print('automate_core.tasks' in sys.modules)"
    )

    ran = python(code)

    assert (ran.returncode, ran.stdout) == (0, "False\n"), ran.stderr


def test_tasks_without_celery_name_the_extra_to_install() -> None:
    ran = python("import django; django.setup(); import automate_core.tasks")

    assert ran.returncode == 1
    assert "pip install 'django-automate[celery]'" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("env", "on"),
    [
        ({"AUTOMATE_CELERY": "1", "REDIS_URL": "redis://127.0.0.1:1/0"}, True),
        ({"AUTOMATE_CELERY": "1", "REDIS_URL": ""}, False),
        ({"AUTOMATE_CELERY": "0", "REDIS_URL": "redis://127.0.0.1:1/0"}, False),
    ],
)
def test_celery_is_rung_when_the_environment_asks_for_it_and_names_a_broker(
    env: dict[str, str], on: bool
) -> None:
    code = (
        "import django; django.setup()\n"
        "from automate_core.outbox import doorbell\n"
        "print(doorbell.has_others())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test", **env},
        capture_output=True,
        text=True,
        timeout=150,
    )

    assert ran.stdout == f"{on}\n", ran.stderr
