"""`make run`: PostgreSQL, a web process and workers, watched until Ctrl-C (`python -m config.supervisor`)."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any

from django.core.exceptions import ImproperlyConfigured

from automate_core.errors import AutomateError
from config import announcement, embedded, processes
from config.children import Child, describe_ending, end_group
from config.forking import fork
from config.plan import Plan

STOP_LIMIT_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
READY_LIMIT_SECONDS = 60.0


class CannotRun(AutomateError):
    """The project cannot be started."""


class StopRequested(Exception):
    """Ctrl-C or SIGTERM came while something was being waited for."""


class Supervisor:
    """Starts everything, keeps it running, stops it.

    Args:
        plan: where and how much.
        children: the processes to keep running; one of them answers at the plan's port.
        preload: imports what all of them need, before the first fork.
        prepare: makes the database ready, in a process of its own, and returns what to announce.
    """

    def __init__(
        self,
        plan: Plan,
        children: Sequence[Child],
        *,
        preload: Callable[[], None],
        prepare: Callable[[], dict[str, Any]],
    ) -> None:
        self.plan = plan
        self.preload = preload
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
        with lock_data_dir(self.plan.data_dir) as lock:
            os.register_at_fork(after_in_child=partial(self._leave_to_parent, lock))
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
        self.plan.apply()
        if self.plan.database_url is None:
            self._start_postgres()
        self.preload()
        self._raise_if_stopping()
        say("Preparing the database...")
        found = self._prepare()
        workers = self.plan.workers
        say(f"Starting the web process and {workers} worker{'' if workers == 1 else 's'}...")
        for child in self.children:
            child.start(time.monotonic())
        self._await_ready()
        say(announcement.compose(f"http://{processes.HOST}:{self.plan.port}", found))

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
        reading, writing = os.pipe()

        def answer() -> None:
            os.write(writing, json.dumps(self.prepare()).encode())

        process = fork(answer, name="automate-setup")
        os.close(writing)
        with open(reading, "rb") as output:
            try:
                while process.poll() is None:
                    self._sleep(0.5)
                    self._raise_if_stopping()
            finally:
                end_group(process.pid, signal.SIGKILL)
                code = process.wait()
            if code:
                raise CannotRun(f"Preparing the database {describe_ending(code)}; see above")
            found: dict[str, Any] = json.loads(output.read())
            return found

    def _await_ready(self) -> None:
        began = time.monotonic()
        reasons = ""
        while (waited := time.monotonic() - began) < READY_LIMIT_SECONDS:
            reasons = announcement.unready(processes.HOST, self.plan.port)
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

    def _leave_to_parent(self, lock: IO[str]) -> None:
        # A fork that lived on would else keep the next supervisor out.
        for ours in (lock, self._wakeup, self._wakeup_write):
            ours.close()

    def _raise_if_stopping(self) -> None:
        if self._stop_signals:
            raise StopRequested

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_signals += 1


def children_of(plan: Plan) -> list[Child]:
    """Return the web process and the workers of a plan, not yet started."""
    web = partial(fork, partial(processes.serve, plan.port), name="automate-web")
    worker = partial(fork, processes.work, name="automate-worker")
    return [Child("web", web), *(Child(f"worker-{number}", worker) for number in range(1, plan.workers + 1))]


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
            probe.bind((processes.HOST, port))
        except PermissionError:
            raise CannotRun(f"Port {port} needs root; choose one above 1023: make run PORT=7878") from None
        except OSError as error:
            raise CannotRun(
                f"Port {port} is taken ({error.strerror}). Choose another: make run PORT={port % 65535 + 1}"
            ) from None


def prepare_database() -> dict[str, Any]:
    """Make the database ready; runs in a process of its own."""
    from config.prepare import prepare

    return prepare()


def say(line: str) -> None:
    """Print a line for the person at the terminal."""
    print(line, flush=True)


def main() -> int:
    """Run until stopped; return the exit code."""
    try:
        plan = Plan.from_environment()
        Supervisor(plan, children_of(plan), preload=processes.preload, prepare=prepare_database).run()
    except (AutomateError, ImproperlyConfigured) as error:
        print(f"Cannot run: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"Cannot run: {error}. Does the data directory belong to another user?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
