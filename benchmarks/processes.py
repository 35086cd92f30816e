"""Child processes of a benchmark: each in its own group, with a log, ended with the run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 15.0


class Stalled(RuntimeError):
    """Something did not happen in time."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 30) -> str:
        """Return the end of the log under a heading that names the process and its state."""
        code = self.process.poll()
        state = "running" if code is None else f"ended with exit code {code}"
        content = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.name}: {state}; the last lines of its log:", *content])


@contextlib.contextmanager
def child(
    name: str, argv: Sequence[str], *, env: Mapping[str, str], logs: Path, stdin: bool = False
) -> Iterator[Child]:
    """Run a process for the time of the block, with a pipe to talk to if asked; its whole group is ended after it."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, env=dict(env), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            stdin=subprocess.PIPE if stdin else None,
        )  # fmt: skip
    try:
        yield Child(name, process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(argv: Sequence[str], *, env: Mapping[str, str], timeout: float, stdin: str = "") -> str:
    """Run a command to its end and return what it printed; raises Stalled with its errors when it fails."""
    try:
        ran = subprocess.run(
            argv, env=dict(env), cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise Stalled(f"{' '.join(argv[-3:])} did not end within {timeout:g} s") from None
    if ran.returncode != 0:
        raise Stalled(f"{' '.join(argv[-3:])} failed:\n{ran.stderr[-3000:]}")
    return ran.stdout


def wait_until(
    happened: Callable[[], bool], *, what: str, timeout: float, children: Sequence[Child], poll: float = 0.01
) -> float:
    """Poll until `happened()`; return the wall clock time at which it was seen.

    Raises:
        Stalled: not within `timeout` seconds, or one of `children` has ended; it quotes the logs' ends.
    """
    deadline = time.monotonic() + timeout
    while not happened():
        dead = [one.name for one in children if one.process.poll() is not None]
        if dead or time.monotonic() > deadline:
            reason = f"{dead[0]} ended" if dead else f"not within {timeout:g} s"
            raise Stalled("\n".join([f"{what}: {reason}", *(one.tail() for one in children)]))
        time.sleep(poll)
    return time.time()


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
