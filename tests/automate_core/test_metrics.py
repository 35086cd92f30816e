from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from automate_core import metrics
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem, WorkerBeat
from automate_core.outbox import OutboxReaper


def scraped(text: bytes) -> dict[str, float]:
    """Samples by name, or by `name{label=value}` when they have labels."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape() -> dict[str, float]:
    return scraped(metrics.render_metrics()[0])


def item(**given: Any) -> OutboxItem:
    return OutboxItem.all_tenants.create(**{"tenant_id": DEFAULT_TENANT_ID, "kind": "event", **given})


def ago(**duration: float) -> Any:
    return Now() - timedelta(**duration)


@pytest.mark.django_db
def test_metrics_are_in_the_text_format() -> None:
    body, content_type = metrics.render_metrics()
    assert content_type.startswith("text/plain; version=")
    assert b"# TYPE automate_outbox_claimed_total counter" in body


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("counter", "labels", "sample"),
    [
        (metrics.outbox_claimed, {"kind": "event"}, "outbox_claimed_total{kind=event}"),
        (metrics.outbox_done, {"kind": "event"}, "outbox_done_total{kind=event}"),
        (metrics.outbox_retried, {}, "outbox_retried_total"),
        (metrics.outbox_failed, {}, "outbox_failed_total"),
        (metrics.lease_lost, {}, "lease_lost_total"),
        (metrics.executions_finished, {"status": "SUCCESS"}, "executions_finished_total{status=SUCCESS}"),
        (metrics.steps_finished, {"status": "FAILED"}, "steps_finished_total{status=FAILED}"),
        (metrics.events_ingested, {"source_kind": "github"}, "events_ingested_total{source_kind=github}"),
    ],
)
def test_counter_is_scraped(counter: Any, labels: dict[str, str], sample: str) -> None:
    before = scrape().get(f"automate_{sample}", 0.0)
    (counter.labels(**labels) if labels else counter).inc(2)
    assert scrape()[f"automate_{sample}"] - before == 2.0


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ingest_seconds", "claim_seconds", "commit_seconds"])
def test_histogram_is_scraped(name: str) -> None:
    samples = (
        f"automate_{name}_count",
        f"automate_{name}_bucket{{le=0.01}}",
        f"automate_{name}_bucket{{le=0.005}}",
    )
    before = scrape()
    getattr(metrics, name).observe(0.0075)
    after = scrape()
    assert [after[sample] - before[sample] for sample in samples] == [1.0, 1.0, 0.0]


@pytest.mark.django_db
def test_gauges_of_an_empty_system() -> None:
    found = scrape()
    assert {name: found[name] for name in found if name in GAUGES} == {
        "automate_database_up": 1.0,
        "automate_outbox_ready": 0.0,
        "automate_outbox_oldest_ready_age_seconds": 0.0,
        "automate_outbox_oldest_expired_lease_age_seconds": 0.0,
        "automate_outbox_dead": 0.0,
        "automate_reaper_last_run_age_seconds": math.inf,
        "automate_workers_live": 0.0,
    }


GAUGES = {
    "automate_database_up",
    "automate_outbox_ready",
    "automate_outbox_oldest_ready_age_seconds",
    "automate_outbox_oldest_expired_lease_age_seconds",
    "automate_outbox_dead",
    "automate_reaper_last_run_age_seconds",
    "automate_workers_live",
}


@pytest.mark.django_db
def test_gauges_of_the_outbox() -> None:
    item(available_at=ago(minutes=5))
    item(available_at=ago(minutes=1), suspect=True)
    item(available_at=Now() + timedelta(minutes=5))
    item(status="CLAIMED", lease_expires_at=ago(minutes=7))
    item(status="CLAIMED", lease_expires_at=ago(minutes=2))
    item(status="CLAIMED", lease_expires_at=Now() + timedelta(minutes=5))
    for _ in range(4):
        item(status="FAILED", available_at=ago(hours=1))
    found = scrape()
    assert (found["automate_outbox_ready"], found["automate_outbox_dead"]) == (2.0, 4.0)
    assert found["automate_outbox_oldest_ready_age_seconds"] == pytest.approx(300, abs=30)
    assert found["automate_outbox_oldest_expired_lease_age_seconds"] == pytest.approx(420, abs=30)


@pytest.mark.django_db
def test_gauges_of_the_workers(settings) -> None:
    settings.AUTOMATE = {"LEASE_SECONDS": 60}
    WorkerBeat.objects.create(worker="live", seen_at=ago(seconds=20), reaped_at=ago(seconds=100))
    WorkerBeat.objects.create(worker="live too", seen_at=Now(), reaped_at=None)
    WorkerBeat.objects.create(worker="gone", seen_at=ago(seconds=200), reaped_at=ago(seconds=210))
    found = scrape()
    assert found["automate_workers_live"] == 2.0
    assert found["automate_reaper_last_run_age_seconds"] == pytest.approx(100, abs=30)


@pytest.mark.django_db
def test_scrape_costs_one_query_a_subject() -> None:
    with CaptureQueriesContext(connection) as queries:
        scrape()
    assert len(queries) == 5
    for _ in range(3):
        item(status="FAILED")
    with CaptureQueriesContext(connection) as queries:
        scrape()
    assert len(queries) == 5


CHILD = """
import sys
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "automate_core"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": "1",
    }},
)
django.setup()
from automate_core import metrics
if sys.argv[1] == "render":
    sys.stdout.buffer.write(metrics.render_metrics()[0])
else:
    metrics.outbox_done.labels("event").inc(float(sys.argv[1]))
    metrics.commit_seconds.observe(0.2)
"""


def in_a_process(argument: str, directory: Path) -> bytes:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, "-c", CHILD, argument],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=150,
    ).stdout


def test_processes_are_added_up_and_a_lost_database_is_said(tmp_path: Path) -> None:
    in_a_process("2", tmp_path)
    in_a_process("3", tmp_path)
    found = scraped(in_a_process("render", tmp_path))
    assert found["automate_outbox_done_total{kind=event}"] == 5.0
    assert found["automate_commit_seconds_count"] == 2.0
    assert {name: value for name, value in found.items() if name in GAUGES} == {"automate_database_up": 0.0}


@pytest.mark.django_db
def test_items_given_up_by_the_reaper_are_counted() -> None:
    before = scrape()["automate_outbox_failed_total"]
    lost = {"status": "CLAIMED", "lease_owner": "gone", "lease_epoch": 1, "lease_expires_at": ago(hours=1)}
    item(**lost, attempts=3, max_attempts=3)
    item(**lost, attempts=1, max_attempts=3)
    assert OutboxReaper().reap_stale_items() == 2
    assert scrape()["automate_outbox_failed_total"] - before == 1
