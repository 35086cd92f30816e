from __future__ import annotations

import os
import sys

import pytest

from benchmarks.processes import Stalled, accepts, child, free_port, run, wait_until


def test_child_ends_the_whole_group_with_the_block(tmp_path):
    script = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"
    )
    with child(
        "parent", ["sh", "-c", f'{sys.executable} -c "{script}"; sleep 600'], env=os.environ, logs=tmp_path
    ) as one:
        wait_until(lambda: one.log.read_text().strip() != "", what="a pid", timeout=30, children=[one])
        grandchild = int(one.log.read_text())

    assert one.process.returncode is not None
    wait_until(lambda: not _lives(grandchild), what="the grandchild is gone", timeout=60, children=[])


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_wait_until_quotes_the_log_of_a_process_that_ended(tmp_path):
    argv = [sys.executable, "-c", "raise SystemExit('no such table')"]
    with child("worker", argv, env=os.environ, logs=tmp_path) as one, pytest.raises(Stalled) as stalled:
        wait_until(lambda: False, what="all done", timeout=30, children=[one])

    lines = str(stalled.value).splitlines()
    assert lines[0] == "all done: worker ended"
    assert lines[1] == "--- worker: ended with exit code 1; the last lines of its log:"
    assert lines[-1] == "no such table"


def test_wait_until_gives_up_after_its_time():
    with pytest.raises(Stalled, match=r"all done: not within 0\.05 s"):
        wait_until(lambda: False, what="all done", timeout=0.05, children=[])


def test_run_returns_what_was_printed_and_raises_with_the_errors():
    assert (
        run([sys.executable, "-c", "print(input())"], env=os.environ, timeout=30, stdin="hello") == "hello\n"
    )
    with pytest.raises(Stalled, match="boom"):
        run([sys.executable, "-c", "raise SystemExit('boom')"], env=os.environ, timeout=30)


def test_free_port_has_no_listener():
    assert accepts(free_port()) is False
