"""Prometheus metrics: what this process counted, and what the database says at the moment of the scrape."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.db import Error
from django.db.models import Aggregate, Count, DurationField, ExpressionWrapper, Max, Min
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from automate_core import conf

logger = logging.getLogger(__name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

outbox_claimed = Counter("automate_outbox_claimed_total", "Outbox items claimed by workers.", ["kind"])
outbox_done = Counter("automate_outbox_done_total", "Outbox items delivered.", ["kind"])
outbox_retried = Counter("automate_outbox_retried_total", "Outbox items put back to be tried again.")
outbox_failed = Counter("automate_outbox_failed_total", "Outbox items that became dead letters.")
lease_lost = Counter("automate_lease_lost_total", "Outbox items whose lease ran out during their work.")
executions_finished = Counter("automate_executions_finished_total", "Executions that ended.", ["status"])
steps_finished = Counter("automate_steps_finished_total", "Step runs that ended.", ["status"])
events_ingested = Counter("automate_events_ingested_total", "Events stored.", ["source_kind"])
ingest_seconds = Histogram(
    "automate_ingest_seconds", "Time from a received event to its commit.", buckets=_SECONDS
)
claim_seconds = Histogram("automate_claim_seconds", "Time one claim of a batch takes.", buckets=_SECONDS)
commit_seconds = Histogram("automate_commit_seconds", "Time one group commit takes.", buckets=_SECONDS)


def render_metrics() -> tuple[bytes, str]:
    """Return the metrics in Prometheus' text format, and its content type.

    With `PROMETHEUS_MULTIPROC_DIR` set (before Python starts, to an empty directory all processes share) the
    counters and histograms are the sums over all processes; else those of this process.
    """
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(_database_registry), CONTENT_TYPE_LATEST


class DatabaseCollector(Collector):
    """Reads queue and worker gauges from the database, one query each; all times are the database's clock."""

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; when the database does not answer, only `automate_database_up` 0."""
        up = GaugeMetricFamily("automate_database_up", "1 when the database answered this scrape, else 0.")
        try:
            gauges = [*_outbox_gauges(), *_worker_gauges()]
        except Error as error:
            logger.warning("metrics.database_lost", extra={"error": str(error)})
            gauges = []
        up.add_metric([], 1 if gauges else 0)
        yield up
        yield from gauges

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering does not query the database."""
        return []


_database_registry = CollectorRegistry()
_database_registry.register(DatabaseCollector())


def _outbox_gauges() -> Iterator[Metric]:
    # Models are imported at the scrape: counters must be importable before the apps are ready.
    from automate_core.models import OutboxItem, OutboxStatus

    items = OutboxItem.all_tenants
    ready = items.filter(status=OutboxStatus.PENDING, available_at__lte=Now()).aggregate(
        count=Count("id"), age=_age(Min("available_at"))
    )
    yield _gauge("automate_outbox_ready", "Outbox items that could be claimed now.", ready["count"])
    yield _gauge(
        "automate_outbox_oldest_ready_age_seconds",
        "How long the oldest of them has been waiting; 0 when there is none.",
        _seconds(ready["age"], absent=0),
    )
    leased = items.filter(status=OutboxStatus.CLAIMED).aggregate(age=_age(Min("lease_expires_at")))
    yield _gauge(
        "automate_outbox_oldest_expired_lease_age_seconds",
        "How long ago the oldest lease ran out that nobody reaped; 0 when there is none.",
        _seconds(leased["age"], absent=0),
    )
    dead = items.filter(status=OutboxStatus.FAILED).count()
    yield _gauge("automate_outbox_dead", "Dead letters: items that failed for good.", dead)


def _worker_gauges() -> Iterator[Metric]:
    from automate_core.models import WorkerBeat

    reaped = WorkerBeat.objects.aggregate(age=_age(Max("reaped_at")))
    yield _gauge(
        "automate_reaper_last_run_age_seconds",
        "How long ago a worker last reaped; +Inf when none is known to have.",
        _seconds(reaped["age"], absent=math.inf),
    )
    lease = timedelta(seconds=conf.get().LEASE_SECONDS)
    live = WorkerBeat.objects.filter(seen_at__gt=Now() - lease).count()
    yield _gauge("automate_workers_live", "Workers seen within the length of a lease.", live)


def _age(moment: Aggregate) -> ExpressionWrapper[CombinedExpression]:
    return ExpressionWrapper(Now() - moment, output_field=DurationField())


def _seconds(age: timedelta | None, *, absent: float) -> float:
    return absent if age is None else max(0.0, age.total_seconds())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
