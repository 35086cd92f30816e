"""The postmaster process of a data directory: found, started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from config.postgres_programs import Account, EmbeddedPostgresError, program, spawn_options

READY_LIMIT_SECONDS = 3600.0
"""Crash recovery replays at most max_wal_size; an hour means something else is wrong."""
LOG_LIMIT_BYTES = 10_000_000

_children: dict[Path, subprocess.Popen[bytes]] = {}


def postmaster_pid(directory: Path) -> int | None:
    """Return the process id of the server of `directory`, or None; a stale or reused id does not count."""
    child = _children.get(directory)
    if child is not None and child.poll() is not None:
        del _children[directory]
    try:
        pid = int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
        command = psutil.Process(pid).cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return pid if str(directory) in command else None


def spawn(directory: Path, socket: Path, account: Account | None) -> None:
    """Start the server in a session of its own, so that a Ctrl-C meant for us does not reach it."""
    if (directory / "postmaster.pid").exists():
        _clear_away(directory)
    log = log_path(directory)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.old"))
    with log.open("ab") as output:
        _children[directory] = subprocess.Popen(  # noqa: S603
            [program("postgres"), "-D", str(directory), "-k", str(socket)],
            stdout=output,
            stderr=output,
            start_new_session=True,
            **spawn_options(account),
        )


def wait_until_ready(directory: Path, waiting: Callable[[float], None]) -> None:
    """Return when the server accepts connections; raises EmbeddedPostgresError when it ends instead."""
    began = time.monotonic()
    while not _is_ready(directory):
        waited = time.monotonic() - began
        child = _children.get(directory)
        gone = child.poll() is not None if child is not None else postmaster_pid(directory) is None
        if gone or waited > READY_LIMIT_SECONDS:
            raise EmbeddedPostgresError(
                f"PostgreSQL {'did not start' if gone else 'is not ready'}; "
                f"its log {str(log_path(directory))!r} ends:\n{log_tail(directory)}"
            )
        waiting(waited)
        time.sleep(0.02)


def stop_process(directory: Path, limit_seconds: float) -> None:
    """Ask the server to stop at once but cleanly; after the limit, abort it."""
    # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (documentation, section 18.5).
    for signal_number, limit in (
        (signal.SIGINT, limit_seconds),
        (signal.SIGQUIT, 10.0),
        (signal.SIGKILL, 5.0),
    ):
        pid = postmaster_pid(directory)
        if pid is None:
            return
        os.kill(pid, signal_number)
        if _gone(directory, limit):
            return


def log_path(directory: Path) -> Path:
    """Return the file the server of `directory` logs to."""
    return directory.with_name(directory.name + ".log")


def log_tail(directory: Path, lines: int = 15) -> str:
    """Return the last lines of the server's log."""
    try:
        return "\n".join(log_path(directory).read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _clear_away(directory: Path) -> None:
    # The postmaster was killed. A busy backend outlives it and keeps the shared memory, and the id in the
    # file may belong to any process by now: either would make the next postmaster refuse to start.
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            with suppress(psutil.Error):
                if process.cwd() == str(directory):
                    process.kill()
                    process.wait(5)
    (directory / "postmaster.pid").unlink(missing_ok=True)


def _is_ready(directory: Path) -> bool:
    # Line 8 of postmaster.pid is the status the server itself writes.
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready" and postmaster_pid(directory) is not None


def _gone(directory: Path, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if postmaster_pid(directory) is None:
            return True
        time.sleep(0.02)
    return False
