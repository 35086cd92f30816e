"""The bell in processes that emit: what arrives at the broker, and what a broker that fails costs them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from automate.models import Event
from tests.celery.deployment import Deployment
from tests.chaos.cluster import ROOT
from tests.factories.ports import free_port

EMIT = """
import sys, time, django
django.setup()
from automate.events import emit_event
from automate_core.outbox import doorbell
kind, broker = sys.argv[1:]
for n in range(20):
    emit_event(kind, {"n": n})
if broker == "there":
    import redis
    from django.conf import settings
    client = redis.Redis.from_url(settings.REDIS_URL)
    end = time.monotonic() + 60
    while not client.llen("automate") and time.monotonic() < end:
        time.sleep(0.02)
    print(client.lindex("automate", 0).decode())
"""


def emit_in_process(deployment: Deployment, kind: str, broker: str, redis_url: str) -> str:
    """Emit 20 events in a process that rings Celery; return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", EMIT, kind, broker], cwd=ROOT, env={**deployment.env, "REDIS_URL": redis_url},
        capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def deaf_broker() -> Iterator[str]:
    """Give the URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_events_ring_celery_with_a_message_that_expires(deployment: Deployment, redis_url: str) -> None:
    kind = f"bell.{uuid4()}"

    message = json.loads(emit_in_process(deployment, kind, "there", redis_url))

    assert message["headers"]["task"] == "automate_core.tasks.drain_outbox"
    assert (message["headers"]["argsrepr"], message["headers"]["kwargsrepr"]) == ("()", "{}")
    expires = datetime.fromisoformat(message["headers"]["expires"])
    assert expires - datetime.now(UTC) <= timedelta(seconds=5)
    assert Event.all_tenants.filter(type=kind).count() == 20


def test_events_are_stored_although_nobody_answers_at_the_broker(
    deployment: Deployment, deaf_broker: str
) -> None:
    kind = f"bell.{uuid4()}"

    emit_in_process(deployment, kind, "deaf", deaf_broker)

    assert Event.all_tenants.filter(type=kind).count() == 20


def test_events_are_stored_although_the_broker_is_away(deployment: Deployment) -> None:
    kind = f"bell.{uuid4()}"

    emit_in_process(deployment, kind, "away", f"redis://127.0.0.1:{free_port()}/0")

    assert Event.all_tenants.filter(type=kind).count() == 20
