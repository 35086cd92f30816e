"""`make run`: PostgreSQL, a web process and workers, watched until Ctrl-C (`python -m config.supervisor`)."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from django.core.exceptions import ImproperlyConfigured

from automate_core.errors import AutomateError
from config import announcement, embedded, environment
from config.children import Child, describe_ending, end_group, spawn

HOST = "127.0.0.1"
STOP_LIMIT_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
READY_LIMIT_SECONDS = 60.0


class CannotRun(AutomateError):
    """The project cannot be started."""


class StopRequested(Exception):
    """Ctrl-C or SIGTERM came while something was being waited for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, read from the environment."""

    data_dir: Path
    port: int
    workers: int
    database_url: str | None

    @classmethod
    def from_environment(cls) -> Plan:
        """Read the plan; raises ImproperlyConfigured naming the variable that is wrong."""
        root = Path(__file__).resolve().parents[1]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        port = environment.whole("PORT", 7878, least=1)
        if port > 65535:
            raise ImproperlyConfigured(f"PORT must be at most 65535, not {port}")
        return cls(
            data_dir=Path(environment.text("AUTOMATE_DATA_DIR", str(root / ".data"))).resolve(),
            port=port,
            workers=environment.whole("AUTOMATE_WORKERS", cores),
            database_url=environment.text("DATABASE_URL") or None,
        )

    @property
    def postgres_dir(self) -> Path:
        """Where the embedded server's data live."""
        return self.data_dir / "postgres"

    def child_environment(self) -> dict[str, str]:
        """Return the environment of web and worker processes: they are told where everything is."""
        return {
            **os.environ,
            "DATABASE_URL": self.database_url or embedded.server_url(self.postgres_dir),
            "AUTOMATE_DATA_DIR": str(self.data_dir),
            "PROMETHEUS_MULTIPROC_DIR": str(self.data_dir / "metrics"),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": environment.text("DJANGO_SETTINGS_MODULE", "config.settings.local"),
        }


class Supervisor:
    """Starts everything, keeps it running, stops it.

    Args:
        plan: where and how much.
        children: the processes to keep running; one of them answers at the plan's port.
        prepare: the command that makes the database ready and prints what to announce.
    """

    def __init__(self, plan: Plan, children: Sequence[Child], prepare: Sequence[str]) -> None:
        self.plan = plan
        self.children = children
        self.prepare = prepare
        self._stop_signals = 0
        self._wakeup, wakeup_write = socket.socketpair()
        self._wakeup.setblocking(False)
        wakeup_write.setblocking(False)
        signal.set_wakeup_fd(wakeup_write.fileno(), warn_on_full_buffer=False)
        self._wakeup_write = wakeup_write
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)
        # A handler of any kind makes the death of a child write to the wake-up socket.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Start, watch, and stop everything; returns after a stop was asked for."""
        with lock_data_dir(self.plan.data_dir):
            check_port(self.plan.port)
            # Counters of processes long gone; prometheus-client wants the directory empty at the start.
            shutil.rmtree(self.plan.data_dir / "metrics", ignore_errors=True)
            try:
                self._start()
                self._watch()
            except StopRequested:
                pass
            finally:
                self._stop()

    def _start(self) -> None:
        if self.plan.database_url is None:
            self._start_postgres()
        say("Preparing the database...")
        found = self._prepare()
        workers = self.plan.workers
        say(f"Starting the web process and {workers} worker{'' if workers == 1 else 's'}...")
        for child in self.children:
            child.start(time.monotonic())
        self._await_ready()
        say(announcement.compose(f"http://{HOST}:{self.plan.port}", found))

    def _start_postgres(self) -> None:
        say("Starting PostgreSQL...")
        told = False

        def waiting(seconds: float) -> None:
            nonlocal told
            self._raise_if_stopping()
            if seconds > PATIENCE_SECONDS and not told:
                told = True
                say("PostgreSQL is recovering what was under way when it was last stopped...")

        embedded.start_postgres(self.plan.postgres_dir, waiting=waiting)

    def _prepare(self) -> dict[str, Any]:
        process = spawn(self.prepare, self.plan.child_environment(), stdout=subprocess.PIPE)
        try:
            while process.poll() is None:
                self._sleep(0.5)
                self._raise_if_stopping()
            assert process.stdout is not None
            output = process.stdout.read().decode()
        finally:
            end_group(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            raise CannotRun(f"Preparing the database {describe_ending(process.returncode)}; see above")
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return found

    def _await_ready(self) -> None:
        began = time.monotonic()
        reasons = ""
        while (waited := time.monotonic() - began) < READY_LIMIT_SECONDS:
            reasons = announcement.unready(HOST, self.plan.port)
            if not reasons:
                return
            self._sleep(0.1)
            self._check()
            self._raise_if_stopping()
        say(f"Not ready after {waited:.0f} s: {reasons}")

    def _watch(self) -> None:
        while not self._stop_signals:
            self._sleep(0.5)
            self._check()

    def _check(self) -> None:
        if self._stop_signals:
            return
        if self.plan.database_url is None and not embedded.is_running(self.plan.postgres_dir):
            say("PostgreSQL ended; starting it again")
            self._start_postgres()
        for child in self.children:
            child.check(time.monotonic(), say)

    def _stop(self) -> None:
        say("Stopping...")
        for child in self.children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_SECONDS
        asked = self._stop_signals
        while not all(child.is_gone() for child in self.children):
            # A second Ctrl-C means now.
            if time.monotonic() > deadline or self._stop_signals > asked:
                break
            self._sleep(0.1)
        for child in self.children:
            child.signal(signal.SIGKILL)
        if self.plan.database_url is None:
            embedded.stop_postgres(self.plan.postgres_dir)
        say("Stopped.")

    def _sleep(self, seconds: float) -> None:
        # Ends early when a signal comes: a child's death, Ctrl-C.
        if select.select([self._wakeup], [], [], seconds)[0]:
            self._wakeup.recv(4096)

    def _raise_if_stopping(self) -> None:
        if self._stop_signals:
            raise StopRequested

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_signals += 1


def children_of(plan: Plan) -> list[Child]:
    """Return the web process and the workers of a plan, not yet started."""
    shared: Mapping[str, str] = plan.child_environment()
    web = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--host",
        HOST,
        "--port",
        str(plan.port),
    ]
    web += ["--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio", "--log-level", "warning"]
    web += ["--no-access-log", "--no-proxy-headers", "--no-server-header"]
    web += ["--timeout-graceful-shutdown", str(int(STOP_LIMIT_SECONDS) - 2)]
    # config.prepare has checked the system; each worker checking it again is a good part of a quick start.
    worker = [sys.executable, "-m", "django", "automate_worker", "--processes", "1", "--skip-checks"]
    # The web process answers many requests at once and keeps its connections.
    pooled = {"AUTOMATE_DB_POOL": "16", **shared}
    return [
        Child("web", web, pooled),
        *(Child(f"worker-{number}", worker, shared) for number in range(1, plan.workers + 1)),
    ]


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Take the data directory for this process; raises CannotRun when another supervisor has it."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (data_dir / "supervisor.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise CannotRun(
            f"Already running on {str(data_dir)!r} (process {holder}). Stop it first, "
            "or start a second one: make run AUTOMATE_DATA_DIR=/another/place PORT=7879"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def check_port(port: int) -> None:
    """Raise CannotRun when something else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise CannotRun(f"Port {port} needs root; choose one above 1023: make run PORT=7878") from None
        except OSError as error:
            raise CannotRun(
                f"Port {port} is taken ({error.strerror}). Choose another: make run PORT={port % 65535 + 1}"
            ) from None


def say(line: str) -> None:
    """Print a line for the person at the terminal."""
    print(line, flush=True)


def main() -> int:
    """Run until stopped; return the exit code."""
    try:
        plan = Plan.from_environment()
        Supervisor(plan, children_of(plan), [sys.executable, "-m", "config.prepare"]).run()
    except (AutomateError, ImproperlyConfigured) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"Cannot run: {error}. Does the data directory belong to another user?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
