"""The supervisor as a person meets it: what it prints, restarts, refuses and leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.core.exceptions import ImproperlyConfigured

from automate_core.errors import AutomateError
from config.plan import Plan
from config.supervisor import check_port, children_of, lock_data_dir
from tests.factories.ports import free_port

TINY = [sys.executable, "-m", "tests.config.tiny_supervisor"]
Running = subprocess.Popen[str]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def run(tmp_path: Path, port: int) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*extra: str) -> Running:
        process = subprocess.Popen(
            [*TINY, str(tmp_path), str(port), *extra],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def read_until(process: Running, pattern: str) -> re.Match[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if match := re.search(pattern, line):
            return match
    pytest.fail(f"{pattern!r} was never printed, only: {''.join(lines)}")


def read_until_up(process: Running) -> int:
    """Read until everything has started, in whatever order it says so; return the worker's process id."""
    first = read_until(process, r"worker is (\d+)|Ctrl-C stops everything")
    if first[1]:
        read_until(process, "Ctrl-C stops everything")
        return int(first[1])
    return int(read_until(process, r"worker is (\d+)")[1])


def left_in_session(process: Running) -> list[psutil.Process]:
    left = []
    for candidate in psutil.process_iter():
        try:
            if os.getsid(candidate.pid) == process.pid and candidate.status() != psutil.STATUS_ZOMBIE:
                left.append(candidate)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_everything_and_exits_0(
    run: Callable[..., Running], number: signal.Signals
) -> None:
    supervisor = run()
    read_until_up(supervisor)
    supervisor.send_signal(number)
    output, _ = supervisor.communicate()

    assert output.splitlines() == ["Stopping...", "Stopped."]
    assert supervisor.returncode == 0
    assert left_in_session(supervisor) == []


def test_a_second_signal_ends_a_process_that_ignores_the_first(run: Callable[..., Running]) -> None:
    supervisor = run("deaf")
    read_until_up(supervisor)
    supervisor.send_signal(signal.SIGINT)
    read_until(supervisor, "Stopping")
    supervisor.send_signal(signal.SIGINT)
    supervisor.communicate()

    assert supervisor.returncode == 0
    assert left_in_session(supervisor) == []


def test_a_killed_worker_is_started_again_and_it_says_so(run: Callable[..., Running]) -> None:
    supervisor = run()
    first = read_until_up(supervisor)
    os.kill(first, signal.SIGKILL)
    read_until(supervisor, r"^worker-1 was killed by SIGKILL; starting it again in 0\.5 s$")

    assert int(read_until(supervisor, r"worker is (\d+)")[1]) != first


def test_a_killed_web_process_answers_again(run: Callable[..., Running], port: int) -> None:
    supervisor = run()
    read_until_up(supervisor)
    web = next(
        child for child in psutil.Process(supervisor.pid).children() if child.cmdline()[-1] == str(port)
    )
    web.kill()
    read_until(supervisor, "^web was killed by SIGKILL")
    answers = None
    while answers is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                answers = answer.status
        except OSError:
            continue

    assert answers == 200


def test_children_end_with_a_killed_supervisor_and_the_next_one_starts(run: Callable[..., Running]) -> None:
    supervisor = run()
    read_until_up(supervisor)
    children = psutil.Process(supervisor.pid).children()
    supervisor.kill()
    supervisor.wait()

    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    read_until(run(), "Ctrl-C stops everything")


def test_the_announcement_has_the_login_and_where_to_make_a_key(
    run: Callable[..., Running], port: int
) -> None:
    supervisor = run()

    read_until(supervisor, f"Django Automate runs at http://127.0.0.1:{port}/")
    read_until(supervisor, "Login     user admin, password p-1")
    read_until(supervisor, r"API key   make one: \.venv/bin/python manage\.py automate_apikey create")
    read_until(supervisor, f"curl -i http://127.0.0.1:{port}/api/automate/webhooks/demo/")


def test_a_second_supervisor_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with (
        lock_data_dir(tmp_path),
        pytest.raises(AutomateError, match=rf"Already running on .* \(process {os.getpid()}\)"),
    ):
        lock_data_dir(tmp_path)


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    lock_data_dir(tmp_path).close()

    lock_data_dir(tmp_path).close()


def test_a_taken_port_is_named_with_what_to_do(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(AutomateError, match=rf"Port {port} is taken .* make run PORT={port + 1}"):
            check_port(port)


def test_a_taken_port_exits_1_and_says_so(tmp_path: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "config.supervisor"],
            env={**os.environ, "PORT": str(port), "AUTOMATE_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot run: Port {port} is taken")


def test_the_plan_reads_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORT", "7900")
    monkeypatch.setenv("AUTOMATE_WORKERS", "3")
    monkeypatch.setenv("AUTOMATE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/d")
    plan = Plan.from_environment()

    assert plan == Plan(data_dir=tmp_path, port=7900, workers=3, database_url="postgresql://u@h/d")
    assert [child.name for child in children_of(plan)] == ["web", "worker-1", "worker-2", "worker-3"]


def test_the_plan_has_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "AUTOMATE_WORKERS", "AUTOMATE_DATA_DIR", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    plan = Plan.from_environment()

    assert plan.port == 7878
    assert plan.workers == len(os.sched_getaffinity(0))
    assert plan.data_dir == Path(__file__).resolve().parents[2] / ".data"
    assert plan.database_url is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "http", "PORT must be a number, not 'http'"),
        ("PORT", "70000", "PORT must be at most 65535"),
        ("AUTOMATE_WORKERS", "-1", "AUTOMATE_WORKERS must be at least 0"),
        ("AUTOMATE_WORKERS", "1.5", "AUTOMATE_WORKERS must be a whole number"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=says):
        Plan.from_environment()
