"""Liveness, readiness and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import AsyncClient, Client, override_settings

from automate_core import health
from automate_core.models import WorkerBeat


@pytest.fixture(autouse=True)
def _ask_about_migrations() -> Iterator[None]:
    health._migrated = False
    yield
    health._migrated = False


def beat(*, seen: float = 0, reaped: float | None = 0, started: float = 3600) -> None:
    """Record a worker; times are seconds ago."""
    WorkerBeat.objects.create(
        worker=f"w-{seen}-{reaped}",
        started_at=Now() - timedelta(seconds=started),
        seen_at=Now() - timedelta(seconds=seen),
        reaped_at=None if reaped is None else Now() - timedelta(seconds=reaped),
    )


def test_healthz_answers_without_a_database(client: Client) -> None:
    answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_readyz_is_ready_with_a_live_worker(client: Client) -> None:
    beat()

    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.django_db
def test_readyz_without_a_worker_says_how_to_start_one(client: Client) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unready",
        "reasons": [
            {
                "check": "workers",
                "message": "No worker has ever been seen",
                "hint": "Start one: python manage.py automate_worker",
            }
        ],
    }


@pytest.mark.django_db
@override_settings(AUTOMATE={"LEASE_SECONDS": 30})
@pytest.mark.parametrize(("seen", "status"), [(25, 200), (35, 503)])
def test_a_worker_counts_as_live_for_three_beats(client: Client, seen: float, status: int) -> None:
    beat(seen=seen)

    assert client.get("/readyz").status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reaped", "started", "status"),
    [(50, 3600, 200), (70, 3600, 503), (None, 5, 200), (None, 3600, 503), (86400, 5, 200)],
)
def test_a_reaper_silent_for_a_minute_makes_us_unready(
    client: Client, reaped: float | None, started: float, status: int
) -> None:
    beat(reaped=reaped, started=started)

    answer = client.get("/readyz")
    assert answer.status_code == status
    assert [reason["check"] for reason in answer.json().get("reasons", [])] == ["reaper"] * (status == 503)


@pytest.mark.django_db
def test_one_reaping_worker_is_enough(client: Client) -> None:
    beat(reaped=None)
    beat(reaped=1)

    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_an_unapplied_migration_is_counted(client: Client) -> None:
    beat()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")

    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert [reason["check"] for reason in answer.json()["reasons"]] == ["migrations"]


@pytest.mark.django_db
def test_applied_migrations_are_not_asked_about_twice(client: Client) -> None:
    beat()
    client.get("/readyz")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")

    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_lost_database_makes_us_unready_and_not_a_500(client: Client) -> None:
    given = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nonexistent"
    try:
        answer = client.get("/readyz")
    finally:
        connection.close()
        connection.settings_dict["HOST"] = given

    assert answer.status_code == 503
    assert [reason["check"] for reason in answer.json()["reasons"]] == ["database"]


@pytest.mark.django_db
def test_metrics_are_in_the_prometheus_format(client: Client) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert b"automate_database_up 1.0" in answer.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_only_reading_is_allowed(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


async def _status(path: str) -> int:
    return (await AsyncClient().get(path)).status_code


def test_healthz_answers_under_asgi() -> None:
    from asgiref.sync import async_to_sync

    assert async_to_sync(_status)("/healthz") == 200
