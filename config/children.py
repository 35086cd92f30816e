"""Child processes: each in a group of its own, ended with its parent, started again when it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STABLE_SECONDS = 30.0
"""A child that lived this long has recovered: its next delay is the first one again."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """One supervised process; `now` is a monotonic clock in seconds."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.command = tuple(command)
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._delay = FIRST_DELAY_SECONDS
        self._due_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None else None

    def start(self, now: float) -> None:
        """Start the process."""
        self._process = spawn(self.command, self.environment)
        self._started_at = now
        self._due_at = None

    def check(self, now: float, say: Callable[[str], None]) -> None:
        """Notice a death and say so; start the process again when its delay is over."""
        if self._process is not None and self._process.poll() is not None:
            ending = describe_ending(self._process.returncode)
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


def spawn(
    command: Sequence[str], environment: Mapping[str, str], *, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that a terminal's Ctrl-C does not reach and that ends when this process does."""
    return subprocess.Popen(  # noqa: S603
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
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
