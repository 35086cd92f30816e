"""Child processes: each in a group of its own, ended with its parent, started again when it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STABLE_SECONDS = 30.0
"""A child that lived this long has recovered: its next delay is the first one again."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Process(Protocol):
    """A started process, as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""

    def poll(self) -> int | None:
        """Return how the process ended (negative: the signal), or None while it runs."""


class Child:
    """One supervised process; `now` is a monotonic clock in seconds."""

    def __init__(self, name: str, launch: Callable[[], Process]) -> None:
        self.name = name
        self._launch = launch
        self._process: Process | None = None
        self._started_at = 0.0
        self._delay = FIRST_DELAY_SECONDS
        self._due_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None else None

    def start(self, now: float) -> None:
        """Start the process."""
        self._process = self._launch()
        self._started_at = now
        self._due_at = None

    def check(self, now: float, say: Callable[[str], None]) -> None:
        """Notice a death and say so; start the process again when its delay is over."""
        if self._process is not None and (code := self._process.poll()) is not None:
            ending = describe_ending(code)
            end_group(self._process.pid, signal.SIGKILL)
            self._process = None
            if now - self._started_at >= STABLE_SECONDS:
                self._delay = FIRST_DELAY_SECONDS
            self._due_at = now + self._delay
            say(f"{self.name} {ending}; starting it again in {self._delay:g} s")
            self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)
        if self._due_at is not None and now >= self._due_at:
            self.start(now)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and everything it started."""
        if self._process is not None:
            end_group(self._process.pid, number)

    def is_gone(self) -> bool:
        """Tell whether the process has ended."""
        return self._process is None or self._process.poll() is not None


def spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process that a terminal's Ctrl-C does not reach and that ends when this process does."""
    return subprocess.Popen(  # noqa: S603
        list(command),
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=die_with(os.getpid()),
    )


def die_with(parent: int) -> Callable[[], None]:
    """Return what the new process runs first: it asks the kernel to be killed when `parent` ends (Linux)."""

    def settle() -> None:
        # Writing to the terminal from a background group must not stop the process under `stty tostop`.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            # The parent may have ended between the fork and the call above.
            if os.getppid() != parent:
                os._exit(1)

    return settle


def name_process(name: str) -> None:
    """Set the name `ps -o comm` and `top` show for this process (Linux; 15 bytes)."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15])


def end_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to every process in the group of `leader`, if any is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def describe_ending(code: int) -> str:
    """Say how a process ended, from its return code (negative: the signal)."""
    if code >= 0:
        return f"stopped with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
