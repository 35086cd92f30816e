"""Live events converge: the layer is gone, a worker dies, a socket drops; watchers end up at the truth (P14)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.chaos import graphs
from tests.chaos.cluster import ROOT, accepts, wait_until
from tests.chaos.stage import Outcome, Stage, emit_many, rows, workflow
from tests.factories.ports import free_port

ENDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")
LATEST_SECONDS = 2.0
EVENT = "chaos.live"


class Watcher(threading.Thread):
    """A client that follows a workflow, comes back when its socket drops, and notes what it hears and when."""

    def __init__(self, port: int, workflow_id: str, key: str) -> None:
        super().__init__(daemon=True)
        self.url = f"ws://127.0.0.1:{port}/ws/workflow/{workflow_id}/"
        self.numbers: dict[str, list[int]] = {}
        self.ended: dict[str, float] = {}
        self.states: list[dict[str, Any]] = []
        self.done = threading.Event()
        self._key = key
        self.socket: Any = None

    def run(self) -> None:
        while not self.done.is_set():
            with (
                contextlib.suppress(ConnectionClosed, OSError, TimeoutError),
                connect(self.url, additional_headers={"X-API-Key": self._key}, proxy=None) as self.socket,
            ):
                for text in self.socket:
                    self._hear(json.loads(text))
            time.sleep(0.1)

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)

    def _hear(self, said: dict[str, Any]) -> None:
        if said["type"] == "state_sync":
            self.states.append(said["state"])
            if said["state"]["finished_at"] is not None:
                self.ended.setdefault(said["execution_id"], time.time())
            return
        self.numbers.setdefault(said["execution_id"], []).append(said["seq"])
        if said["type"] in ENDS:
            self.ended.setdefault(said["execution_id"], time.time())


def run(stage: Stage) -> list[Outcome]:
    """Follow executions through an outage of the layer, the death of a worker, and a socket that drops."""
    from automate_api import keys
    from automate_core.models import Role

    outage = stage.pick(10.0, 3.0)
    outcome = Outcome("P14", f"after {outage:g} s without the channel layer the state equals the database")
    automation = workflow("live", graphs.calls(stage.ledger.url, hold=1), EVENT)
    key = keys.create_key(name="p14", tenant_id=automation.tenant_id, role=Role.VIEWER, by="chaos")[1]
    port = free_port()
    with _web(port, stage.directory / "logs" / "P14"), stage.workers(2, "P14") as workers:
        workers.start()
        steady, dropped = (Watcher(port, str(automation.pk), key) for _ in range(2))
        for watcher in (steady, dropped):
            watcher.start()
        wait_until(lambda: bool(steady.states and dropped.states), "the sockets are open", 60)
        wait_until(lambda: len(workers.working()) == 2, "the workers are up", 60)
        try:
            _emit(stage, 0, 5)
            if stage.valkey is not None:
                stage.valkey.stop()
            down_at = time.time()
            while time.time() < down_at + outage:
                _emit(stage, 5 + int(time.time() - down_at), 1)
                time.sleep(1.0)
            workers.kill(stage.rng("P14"))
            dropped.drop()
            if stage.valkey is not None:
                stage.valkey.start()
            _emit(stage, 100, 5)
            outcome.require(stage.settle(60 + 3 * stage.lease), "executions were still open at the end")
            time.sleep(LATEST_SECONDS + 0.5)
            _judge(outcome, steady, dropped)
        finally:
            steady.done.set()
            dropped.done.set()
    return [outcome]


def _judge(outcome: Outcome, steady: Watcher, dropped: Watcher) -> None:
    finished = dict(rows("SELECT id::text, extract(epoch FROM finished_at)::float8 FROM automate_execution"))
    late = {one: steady.ended.get(one, float("inf")) - at for one, at in finished.items()}
    outcome.figures |= {
        "executions": len(finished),
        "latest_end_seen_after_seconds": round(max(late.values()), 3),
        "sockets_opened_by_the_dropped_client": len(dropped.states),
    }
    outcome.require(max(late.values()) <= LATEST_SECONDS, f"an end was seen {max(late.values()):.1f} s late")
    holes = [
        one
        for one, seen in steady.numbers.items()
        if seen != list(range(seen[0], seen[0] + len(seen))) or seen[0] != 1
    ]
    outcome.require(not holes, f"{len(holes)} executions were told with gaps")
    outcome.require(steady.numbers.keys() == finished.keys(), "an execution was not told of")
    outcome.require(len(dropped.states) >= 2, "the socket that dropped did not come back")
    with connect(steady.url, additional_headers={"X-API-Key": steady._key}, proxy=None) as fresh:
        state = json.loads(fresh.recv(timeout=60))["state"]
    newest = rows(
        "SELECT id::text, status, seq FROM automate_execution ORDER BY created_at DESC, id DESC LIMIT 1"
    )[0]
    outcome.require(
        (state["execution_id"], state["execution_status"], state["seq"]) == newest,
        f"the state is {state['execution_status']} at {state['seq']}, the database has {newest}",
    )


def _emit(stage: Stage, first: int, count: int) -> None:
    emit_many(EVENT, range(first, first + count), threads=1, rng=stage.rng("P14"), pause=0.0)


@contextlib.contextmanager
def _web(port: int, logs: Path) -> Iterator[None]:
    """Run a web process."""
    logs.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--port",
        str(port),
        "--no-access-log",
    ]
    with (logs / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "--ws", "websockets-sansio"],
            cwd=ROOT, env={**os.environ}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: accepts(port), "the web process listens", 60)
        yield
    finally:
        process.kill()
        process.wait()
