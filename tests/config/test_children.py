"""Supervised processes: started again with back-off, ended with their parent and with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from config.children import Child, describe_ending, spawn

PARENT = """
import sys, time
from functools import partial
from config.children import Child, spawn
child = Child("child", partial(spawn, [sys.executable, "-c", "import time; time.sleep(600)"]))
child.start(0.0)
print(child.pid, flush=True)
time.sleep(600)
"""


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 60
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"process {pid} still runs"
            time.sleep(0.01)


def ended(child: Child) -> Child:
    while not child.is_gone():
        time.sleep(0.01)
    return child


def test_a_dead_child_is_started_again_after_delays_that_double() -> None:
    said: list[str] = []
    child = Child("web", partial(spawn, [sys.executable, "-c", "raise SystemExit(3)"]))
    child.start(0.0)
    ended(child).check(10.0, said.append)
    child.check(10.4, said.append)
    assert child.pid is None
    child.check(10.5, said.append)
    assert child.pid is not None
    ended(child).check(11.0, said.append)

    assert said == [
        "web stopped with exit code 3; starting it again in 0.5 s",
        "web stopped with exit code 3; starting it again in 1 s",
    ]


def test_delays_have_an_upper_bound() -> None:
    said: list[str] = []
    child = Child("web", partial(spawn, [sys.executable, "-c", "raise SystemExit(3)"]))
    now = 0.0
    child.start(now)
    for _ in range(8):
        ended(child).check(now, said.append)
        now += 30.0
        child._started_at = now - 1.0
        child.check(now, said.append)

    assert said[-1] == "web stopped with exit code 3; starting it again in 30 s"


def test_a_child_that_lived_long_starts_with_the_first_delay() -> None:
    said: list[str] = []
    child = Child("web", partial(spawn, [sys.executable, "-c", "raise SystemExit(3)"]))
    child.start(0.0)
    ended(child).check(1.0, said.append)
    child.check(2.0, said.append)
    ended(child).check(1000.0, said.append)

    assert said[-1] == "web stopped with exit code 3; starting it again in 0.5 s"


def test_a_signal_reaches_what_the_child_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "import subprocess, sys, pathlib, time; p = subprocess.Popen([sys.executable, '-c', 'import time; "
        f"time.sleep(600)']); pathlib.Path({str(note)!r}).write_text(str(p.pid) + ' '); time.sleep(600)"
    )
    child = Child("web", partial(spawn, [sys.executable, "-c", script]))
    child.start(0.0)
    while not note.exists() or not note.read_text().endswith(" "):
        time.sleep(0.01)
    child.signal(signal.SIGKILL)
    ended(child)

    wait_for_end(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children only on Linux")
def test_a_child_does_not_outlive_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    wait_for_end(pid)


def test_a_child_is_in_a_group_of_its_own() -> None:
    child = Child("web", partial(spawn, [sys.executable, "-c", "import time; time.sleep(600)"]))
    child.start(0.0)
    try:
        assert child.pid is not None
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == os.getsid(0)
    finally:
        child.signal(signal.SIGKILL)
        ended(child)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "stopped with exit code 0"), (-9, "was killed by SIGKILL"), (-250, "was killed by signal 250")],
)
def test_an_ending_is_described(code: int, words: str) -> None:
    assert describe_ending(code) == words
