"""Forks of this process: what is imported once serves them all, so that starting one costs milliseconds."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from config.children import die_with, name_process

_BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}


class Fork:
    """A forked process, watched like a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how the process ended (negative: the signal), or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for the end and return how it ended."""
        return self._reap(0)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def fork(target: Callable[[], None], *, name: str) -> Fork:
    """Run `target` in a new process, in a group of its own, that ends when this process does.

    Only a process without threads and without open connections may fork. The new process leaves nothing of its
    parent's stack to unwind: it ends when `target` returns, with exit code 0, or 1 after an exception.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal between the fork and its own handlers would be taken for the parent's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    pid = os.fork()
    if pid == 0:
        _run_and_exit(target, parent, name, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    return Fork(pid)


def _run_and_exit(target: Callable[[], None], parent: int, name: str, mask: set[int]) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_with(parent)()
        name_process(name)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        target()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001 - the edge of the process: whatever it was is shown and ends it
        traceback.print_exc()
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
