"""Whether this installation is alive and ready: the views behind /healthz, /readyz and /metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from automate_core import conf

REAPER_LIMIT_SECONDS = 60.0
"""How long nobody may have taken items back from lost workers before we call ourselves unready."""

BEATS = """
SELECT extract(epoch FROM now() - max(seen_at)),
       extract(epoch FROM now() - max(reaped_at)),
       extract(epoch FROM now() - min(started_at) FILTER (WHERE seen_at > now() - %s * interval '1 second'))
FROM automate_core_workerbeat
"""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps us from being ready, and what to do about it."""

    check: str
    message: str
    hint: str


@require_safe
@never_cache
async def healthz(request: HttpRequest) -> HttpResponseBase:
    """Answer 200 while this process answers at all; asks nothing of the database."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
async def readyz(request: HttpRequest) -> HttpResponseBase:
    """Answer 200 when work sent here will be done, else 503 with the reasons."""
    reasons = await sync_to_async(find_reasons)()
    if not reasons:
        return JsonResponse({"status": "ready"})
    return JsonResponse({"status": "unready", "reasons": [asdict(reason) for reason in reasons]}, status=503)


@require_safe
@never_cache
async def metrics(request: HttpRequest) -> HttpResponseBase:
    """Answer with the metrics in the Prometheus text format."""
    from automate_core.metrics import render_metrics

    body, content_type = await sync_to_async(render_metrics)()
    return HttpResponse(body, content_type=content_type)


def find_reasons() -> list[Reason]:
    """Return what keeps us from being ready; the first failing check hides those that depend on it."""
    try:
        if waiting := _unapplied_migrations():
            return [
                Reason(
                    "migrations",
                    f"{waiting} migration{'s are' if waiting > 1 else ' is'} not applied",
                    "Run: python manage.py migrate",
                )
            ]
        return _worker_reasons()
    except DatabaseError:
        return [
            Reason(
                "database",
                "The database cannot be reached",
                "Check that PostgreSQL runs and that DATABASE_URL names it; the log has the error",
            )
        ]


_migrated = False


def _unapplied_migrations() -> int:
    # Applied migrations stay applied while a process lives: asked until none is left, then never again.
    global _migrated
    if _migrated:
        return 0
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    _migrated = waiting == 0
    return waiting


def _worker_reasons() -> list[Reason]:
    # A worker beats every third of a lease: three missed beats.
    limit = conf.get().LEASE_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(BEATS, [limit])
        seen, reaped, up = cursor.fetchone()
    if seen is None or seen > limit:
        when = "has ever been seen" if seen is None else f"was seen for {seen:.0f} s"
        return [Reason("workers", f"No worker {when}", "Start one: python manage.py automate_worker")]
    # A worker that just started has not reaped yet; that is no fault.
    idle = min(float(value) for value in (reaped, up) if value is not None)
    if idle > REAPER_LIMIT_SECONDS:
        return [
            Reason(
                "reaper",
                f"Nothing was taken back from lost workers for {idle:.0f} s",
                "Restart the workers; their log says why they do not reap",
            )
        ]
    return []
