"""Forks: they end as told, alone, with their parent, and hold nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from config import embedded

RAN = """
import os, sys, time
from config.forking import fork
{body}
"""

LONG = "print(fork(lambda: time.sleep(600), name='t').pid, flush=True); time.sleep(600)"


def run(body: str) -> subprocess.CompletedProcess[str]:
    """Run a script that forks: pytest itself has threads and connections, so it must not."""
    return subprocess.run([sys.executable, "-c", RAN.format(body=body)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("lambda: None", 0),
        ("lambda: sys.exit(3)", 3),
        ("lambda: sys.exit('no')", 1),
        ("lambda: 1 / 0", 1),
        ("lambda: os.kill(os.getpid(), 9)", -9),
    ],
)
def test_a_fork_ends_as_its_target_does(target: str, code: int) -> None:
    assert run(f"print(fork({target}, name='t').wait())").stdout == f"{code}\n"


def test_an_exception_in_a_fork_is_shown_and_does_not_run_the_parents_code() -> None:
    done = run("try:\n  fork(lambda: 1 / 0, name='t').wait()\nfinally:\n  print('parent')")

    assert done.stdout == "parent\n"
    assert "ZeroDivisionError" in done.stderr


def test_a_fork_has_its_own_group_default_signals_and_no_input() -> None:
    body = (
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *a: None)\n"
        "def look():\n"
        "  print(os.getpgid(0) == os.getpid(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,\n"
        "        repr(sys.stdin.read()), len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))\n"
        "fork(look, name='t').wait()"
    )

    assert run(body).stdout == "True True '' 0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children only on Linux")
def test_a_fork_does_not_outlive_a_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", RAN.format(body=LONG)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()

    assert psutil.wait_procs([child], timeout=60)[1] == []


def test_a_supervised_fork_is_started_again() -> None:
    body = (
        "from config.children import Child\n"
        "child = Child('worker-1', lambda: fork(lambda: time.sleep(600), name='t'))\n"
        "child.start(0.0); first = child.pid; os.kill(first, 9)\n"
        "while not child.is_gone(): time.sleep(0.01)\n"
        "child.check(1.0, print); child.check(2.0, print); print(child.pid not in (None, first))"
    )

    assert run(body).stdout == "worker-1 was killed by SIGKILL; starting it again in 0.5 s\nTrue\n"


def test_a_fork_is_no_second_user_of_the_embedded_server(tmp_path: Path) -> None:
    place = tmp_path / "postgres"
    body = (
        "from pathlib import Path\n"
        "from config import embedded\n"
        f"embedded.start_postgres(Path({str(place)!r}), durable=False)\n"
        "fork(lambda: print('held', len(embedded._held)), name='t').wait()"
    )

    assert run(body).stdout == "held 0\n"
    assert embedded.is_running(place) is False
