"""The embedded PostgreSQL: one server per data directory, reached over a private Unix socket.

Beside the data directory `d` lie `d.lock` (held while starting or stopping), `d.users` (held shared by every
process that uses the server, so that the last one knows it is the last), `d.log` and `d.run` (the socket).
All locks are flock(2) locks: they die with their process, whatever kills it.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from config.postgres_process import (
    READY_LIMIT_SECONDS,
    log_tail,
    postmaster_pid,
    spawn,
    stop_process,
    wait_until_ready,
)
from config.postgres_programs import (
    Account,
    EmbeddedPostgresError,
    account_for,
    open_paths,
    program,
    spawn_options,
)

SOCKET_PATH_LIMIT = 100
"""Bytes of a socket path that every system allows (sun_path holds 104 to 108)."""

CONFIGURATION = """
# Set by Django Automate when this cluster was made.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = on
jit = off
autovacuum_naptime = 10s
timezone = 'UTC'
log_timezone = 'UTC'
"""

DISPOSABLE = """
fsync = off
synchronous_commit = on
full_page_writes = off
"""

Waiting = Callable[[float], None]

_held: dict[Path, IO[bytes]] = {}


def _forget_held() -> None:
    # A fork is not a second user: it uses what its parent holds, or takes a hold of its own.
    for users in _held.values():
        users.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget_held)


def server_url(directory: Path) -> str:
    """Return the URL of the server of `directory`, running or not."""
    socket = quote(str(socket_directory(directory)), safe="/")
    return f"postgresql://postgres@/postgres?host={socket}"


def start_postgres(directory: Path, *, durable: bool = True, waiting: Waiting | None = None) -> str:
    """Start (or find running) the server whose data live in `directory`; return its URL.

    The last process that called this stops the server when it ends, unless `stop_postgres` did.

    Args:
        directory: PostgreSQL's data directory; made when it is missing. Its parent may be missing too.
        durable: False turns fsync off in a new cluster: for tests, which kill processes, never the machine.
        waiting: called again and again with the seconds waited so far; what it raises ends the wait.

    Raises:
        EmbeddedPostgresError: the wheel is missing or the server does not start; it quotes the log.
    """
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = account_for(directory)
    with _exclusive(directory):
        open_paths(account, directory, program("postgres"))
        if not (directory / "PG_VERSION").exists():
            _initialise(directory, account, durable=durable)
        if postmaster_pid(directory) is None:
            spawn(directory, _prepare_socket(directory, account), account)
        wait_until_ready(directory, waiting or (lambda _: None))
        _hold(directory)
    return server_url(directory)


def ensure_postgres(directory: Path, *, durable: bool = True) -> str:
    """Start the server unless this process already did; return its URL."""
    directory = directory.resolve()
    if directory in _held:
        return server_url(directory)
    return start_postgres(directory, durable=durable)


def stop_postgres(directory: Path, *, limit_seconds: float = 60.0) -> None:
    """Stop the server of `directory` cleanly; past the limit, abort it for the next start to recover."""
    directory = directory.resolve()
    with _exclusive(directory):
        stop_process(directory, limit_seconds)


def is_running(directory: Path) -> bool:
    """Tell whether the server of `directory` runs."""
    return postmaster_pid(directory.resolve()) is not None


def socket_directory(directory: Path) -> Path:
    """Return where the socket of `directory` is: beside it, or in /tmp when that path would be too long."""
    directory = directory.resolve()
    near = directory.with_name(directory.name + ".run")
    if len(os.fsencode(near / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_LIMIT:
        return near
    # /tmp and not TMPDIR: every process that uses this data directory must arrive at the same place.
    return Path("/tmp") / f"automate-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}"  # noqa: S108


def _initialise(directory: Path, account: Account | None, *, durable: bool) -> None:
    # Made aside and renamed when complete: a directory with a PG_VERSION is never half a cluster.
    if directory.exists() and any(directory.iterdir()):
        raise EmbeddedPostgresError(
            f"{str(directory)!r} holds files but no PostgreSQL cluster; move them away"
        )
    new = directory.with_name(directory.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(  # noqa: S603
        [program("initdb"), *options, *([] if durable else ["--no-sync"]), f"--pgdata={new}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **spawn_options(account),
    )
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"initdb failed:\n{done.stdout.strip()}")
    with (new / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION + ("" if durable else DISPOSABLE))
    if directory.exists():
        directory.rmdir()
    new.rename(directory)


def _prepare_socket(directory: Path, account: Account | None) -> Path:
    place = socket_directory(directory)
    owner = os.geteuid() if account is None else account.uid
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        # In /tmp anyone may have made it first; theirs would see what we say to the server.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise EmbeddedPostgresError(f"{str(place)!r} belongs to another user; remove it") from None
    if account is not None:
        os.chown(place, account.uid, account.gid)
    place.chmod(0o700)
    open_paths(account, place)
    for stale in place.glob(".s.PGSQL.*"):
        stale.unlink()
    return place


@contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    with directory.with_name(directory.name + ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hold(directory: Path) -> None:
    if directory not in _held:
        users = directory.with_name(directory.name + ".users").open("ab")
        fcntl.flock(users, fcntl.LOCK_SH)
        _held[directory] = users
        atexit.register(_release, directory, os.getpid())


def _release(directory: Path, pid: int) -> None:
    if os.getpid() != pid or directory not in _held or not directory.exists():
        return
    with _exclusive(directory), _held.pop(directory) as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        stop_process(directory, READY_LIMIT_SECONDS)


__all__ = [
    "EmbeddedPostgresError",
    "ensure_postgres",
    "is_running",
    "log_tail",
    "server_url",
    "socket_directory",
    "start_postgres",
    "stop_postgres",
]
