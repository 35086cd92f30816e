from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automate.models import Automation, WebhookSource
from automate.webhooks import sources
from automate.workflows import create_workflow
from automate_core import secrets
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem, Secret, WorkerBeat

pytestmark = pytest.mark.django_db

GOOD_KEY = "kP3mX8vQ2nR7tW5yB9cF4gH6jL1dS0aZ-eU_iO3xN8bV5qTMwYr"


@pytest.fixture(autouse=True)
def _healthy(settings: Any) -> None:
    settings.SECRET_KEY = GOOD_KEY
    settings.REDIS_URL = None
    WorkerBeat.objects.create(worker="one", reaped_at=timezone.now())


def examine() -> tuple[int, dict[str, tuple[str, str, str]]]:
    """Return the exit code and the last finding of each check as (level, message, hint)."""
    out = io.StringIO()
    try:
        call_command("automate_doctor", "--json", stdout=out)
    except CommandError as error:
        code = error.returncode
    else:
        code = 0
    facts = json.loads(out.getvalue())
    return code, {fact["check"]: (fact["level"], fact["message"], fact["hint"]) for fact in facts}


def test_healthy_installation_passes_every_check() -> None:
    code, found = examine()
    assert (code, {level for level, _, _ in found.values()}) == (0, {"ok"})
    assert list(found) == [
        "database", "migrations", "workers", "queue", "dead letters", "clock", "site key", "secrets", "redis",
        "outbound HTTP", "disk", "webhooks", "workflows",
    ]  # fmt: skip
    assert found["database"][1].startswith("PostgreSQL ")


def test_output_names_the_level_the_check_and_the_way_out() -> None:
    WorkerBeat.objects.all().delete()
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 of 13 checks FAIL"):
        call_command("automate_doctor", stdout=out, no_color=True)
    lines = out.getvalue().splitlines()
    assert "ok    migrations     all applied" in lines
    place = lines.index("FAIL  workers        none was seen in the last 30 s")
    assert lines[place + 1] == "                     -> Start one: manage.py automate_worker"


def test_worker_that_was_lost_does_not_count() -> None:
    WorkerBeat.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    code, found = examine()
    assert (code, found["workers"][0]) == (1, "FAIL")


def test_reaper_that_stopped_is_noticed() -> None:
    WorkerBeat.objects.update(
        started_at=timezone.now() - timedelta(hours=1), reaped_at=timezone.now() - timedelta(minutes=5)
    )
    assert examine()[1]["workers"][1].startswith("nothing was taken back from lost workers for 30")


def test_worker_that_just_started_need_not_have_reaped() -> None:
    WorkerBeat.objects.update(reaped_at=None)
    assert examine()[1]["workers"] == ("ok", "1 live", "")


@pytest.mark.parametrize(("minutes", "level"), [(0, "ok"), (2, "warn"), (11, "FAIL")])
def test_age_of_the_queue_decides(minutes: int, level: str) -> None:
    OutboxItem.objects.create(
        kind="event", available_at=timezone.now() - timedelta(minutes=minutes, seconds=1)
    )
    OutboxItem.objects.create(kind="event", available_at=timezone.now() + timedelta(days=1))
    code, found = examine()
    assert (found["queue"][0], found["queue"][1].split(",")[0], code) == (
        level,
        "1 ready",
        int(level == "FAIL"),
    )


def test_expired_lease_nobody_reaped_is_noticed() -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    OutboxItem.objects.create(kind="event", status="CLAIMED", lease_expires_at=long_ago)
    assert examine()[1]["queue"] == (
        "FAIL", "1 leases ran out and nobody took them back", "Run: manage.py outbox_reap",
    )  # fmt: skip


def test_dead_letters_are_a_warning() -> None:
    OutboxItem.objects.create(kind="event", status="FAILED")
    code, found = examine()
    assert (code, found["dead letters"][:2]) == (0, ("warn", "1 to decide about"))


def test_clock_that_is_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = time.time()
    monkeypatch.setattr("automate_core.doctor.installation.time.time", lambda: now + 3600)
    level, message, _ = examine()[1]["clock"]
    assert (level, message.endswith(" s off the database's")) == ("FAIL", True)


@pytest.mark.parametrize("key", ["short", "django-insecure-" + GOOD_KEY, "a" * 60])
def test_weak_site_key_is_noticed(key: str, settings: Any) -> None:
    settings.SECRET_KEY = key
    assert examine()[1]["site key"][:2] == ("FAIL", "SECRET_KEY is short or guessable")


def test_secret_that_does_not_decrypt_is_named() -> None:
    secrets.store("GOOD", "value", by="test")
    secrets.store("BAD", "value", by="test")
    Secret.objects.filter(name="BAD").update(key_id="00000000")
    level, message, hint = examine()[1]["secrets"]
    assert (level, message) == ("FAIL", "1 of 2 do not decrypt: default/BAD")
    assert "SECRET_KEYS" in hint


def test_redis_is_reached(settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    assert examine()[1]["redis"][:2] == ("ok", "answers")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense"])
def test_redis_that_does_not_answer_is_noticed(url: str, settings: Any) -> None:
    settings.REDIS_URL = url
    code, found = examine()
    assert (code, found["redis"][0]) == (1, "FAIL")


def test_allow_list_entries_that_match_nothing_are_named(settings: Any) -> None:
    settings.AUTOMATE = {
        "HTTP_ALLOW": ["127.0.0.1:8080", "Host.internal:80", "nohost", "http://a.example:80"]
    }
    assert examine()[1]["outbound HTTP"][:2] == (
        "warn", "entries that match nothing: Host.internal:80, nohost, http://a.example:80",
    )  # fmt: skip
    settings.AUTOMATE = {"HTTP_ALLOW": ["127.0.0.1:8080"]}
    assert examine()[1]["outbound HTTP"][:2] == ("ok", "1 private targets opened: 127.0.0.1:8080")


def test_disk_without_space_is_noticed(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    assert examine()[1]["disk"][1].endswith(f"GiB free in {tmp_path}")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**20}))
    assert examine()[1]["disk"][:2] == ("FAIL", f"0.0 GiB free in {tmp_path}")


def test_live_workflow_with_an_unknown_step_is_named() -> None:
    graph = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hi"}}]}
    automation = create_workflow(name="Orders", slug="orders", graph=graph, by="test")
    assert examine()[1]["workflows"] == ("ok", "1 switched on, all can run", "")
    version = automation.live_version
    assert version is not None
    version.graph["nodes"][0]["type"] = "vanished"
    version.save()
    level, message, _ = examine()[1]["workflows"]
    assert (level, message.startswith("default/orders: "), "vanished" in message) == ("FAIL", True, True)
    Automation.objects.update(enabled=False)
    assert examine()[1]["workflows"] == ("ok", "0 switched on, all can run", "")


def test_source_without_a_usable_secret_is_named() -> None:
    sources.create_source(slug="shop", preset="generic", secret="s3cret", by="test")
    assert examine()[1]["webhooks"][:2] == ("ok", "1 switched on, all have a secret")
    Secret.objects.all().delete()
    sources.forget()
    secrets.database.database_backend.forget(DEFAULT_TENANT_ID, "webhook.shop")
    assert examine()[1]["webhooks"] == (
        "FAIL",
        "'shop' has no usable secret and refuses every delivery",
        "Store it: manage.py automate_secret set webhook.shop --tenant default",
    )
    WebhookSource.objects.update(is_enabled=False)
    assert examine()[1]["webhooks"][0] == "ok"


def test_without_a_database_the_rest_is_still_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused\nmore")

    monkeypatch.setattr("automate_core.sql.execute", refuse)
    code, found = examine()
    assert (code, found["database"][:2]) == (1, ("FAIL", "Not reachable: connection refused"))
    assert list(found) == ["database", "site key", "redis", "outbound HTTP", "disk"]
