"""A Celery deployment on loopback: broker, workers and beat as real processes, on a database of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from django.core.management import call_command
from django.db import connection

from automate.events import emit_event
from automate.workflows import create_workflow
from automate_core import sql
from automate_core.outbox import enqueue
from tests.chaos.app.delivery import DELIVERED
from tests.chaos.cluster import ROOT, Valkey, wait_until
from tests.chaos.ledger import Ledger

LEASE_SECONDS = 6.0
LIMIT_SECONDS = 120.0
STOP_SECONDS = 90.0


@dataclass
class Process:
    """One process in a group of its own, so that nothing it started outlives it."""

    popen: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Ask it to end; return its exit code, that of a kill when it did not listen."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(STOP_SECONDS)
        self.kill()
        return self.popen.wait()

    def kill(self) -> None:
        """End it and what it forked, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)


@dataclass
class Deployment:
    """The servers of the module's tests, and the processes started so far."""

    valkey: Valkey
    ledger: Ledger
    directory: Path
    env: Mapping[str, str]
    started: list[Process] = field(default_factory=list)
    worker: Process | None = None
    beat: Process | None = None

    def start(self, *command: str) -> Process:
        """Start `python -m celery -A config.celery ...`."""
        log = self.directory / f"celery-{len(self.started)}-{command[0]}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "config.celery", *command], cwd=ROOT, env=self.env,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.started.append(Process(popen, log))
        return self.started[-1]

    def start_worker(self) -> None:
        """Start a worker of two processes, which is `worker` from then on."""
        self.worker = self.start("worker", "--pool", "prefork", "--concurrency", "2")

    def start_beat(self) -> None:
        """Start beat."""
        self.beat = self.start("beat", "--schedule", str(self.directory / "beat"), "--pidfile", "")

    def keep_running(self) -> None:
        """Start again what has ended, as a process manager does: Celery may end when it loses its broker."""
        if self.worker and self.worker.popen.poll() is not None:
            self.start_worker()
        if self.beat and self.beat.popen.poll() is not None:
            self.start_beat()

    def beat_log(self) -> str:
        """Return what beat has written."""
        return self.beat.log.read_text() if self.beat else ""

    def logs(self) -> str:
        """Return the end of every log, to show beside a failure."""
        return "\n".join(f"--- {one.log.name}\n{one.log.read_text()[-3000:]}" for one in self.started)

    def stop(self) -> None:
        """End everything."""
        for process in self.started:
            process.kill()
            process.popen.wait()
        self.valkey.stop()
        self.ledger.stop()


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Point Django at a new, migrated database for the time of the block; yields its URL."""
    name, settings = f"celery_{os.getpid()}", connection.settings_dict
    connection.close()
    before = settings["NAME"]
    with contextlib.closing(_server()) as server:
        server.execute(f"CREATE DATABASE {name}")
        settings["NAME"] = name
        try:
            call_command("migrate", verbosity=0)
            sql.execute(DELIVERED)
            yield _url(settings)
        finally:
            connection.close()
            settings["NAME"] = before
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _server() -> psycopg.Connection[Any]:
    connection.settings_dict["NAME"], name = "postgres", connection.settings_dict["NAME"]
    try:
        connection.ensure_connection()
        return psycopg.connect(**sql.connect_params(), autocommit=True)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


def _url(settings: Mapping[str, Any]) -> str:
    account = ":".join(quote(settings[part], safe="") for part in ("USER", "PASSWORD") if settings[part])
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    return f"postgresql://{account}@{port}/{settings['NAME']}?host={quote(settings['HOST'])}"


def workflow(slug: str, graph: dict[str, Any], **trigger: Any) -> None:
    """Create a workflow that events of its own name start, unless told otherwise."""
    given = trigger or {"trigger_type": "event", "trigger_config": {"event_type": slug}}
    create_workflow(name=slug, slug=slug, graph=graph, by="test", **given)


def emit(event_type: str, count: int) -> None:
    """Emit some events, each in a commit of its own."""
    for number in range(count):
        emit_event(event_type, {"n": number})


def promise(key: str, count: int) -> None:
    """Put items into the outbox whose deliveries are written down."""
    for number in range(count):
        enqueue(kind="chaos_ordered", payload={"n": number}, key=f"{key}-{number}")


def delivered(key: str) -> list[int]:
    """Return the numbers of the deliveries written down, as often as they happened, in their order."""
    rows = sql.execute("SELECT n FROM chaos_delivered WHERE key LIKE %s || '-%%' ORDER BY n", (key,))
    return [row[0] for row in rows]


def outcomes(slug: str) -> list[str]:
    """Return the status of each execution of a workflow."""
    return [
        row[0]
        for row in sql.execute(
            "SELECT e.status FROM automate_execution e JOIN automate_automation a ON a.id = e.automation_id"
            " WHERE a.slug = %s",
            (slug,),
        )
    ]


def finished(slug: str, count: int) -> bool:
    """Tell whether that many executions succeeded."""
    return outcomes(slug).count("SUCCESS") >= count


def wait(happened: Any, what: str, seconds: float = LIMIT_SECONDS) -> None:
    """Wait until something holds; fails past the limit."""
    wait_until(happened, what, seconds)
