"""The embedded PostgreSQL: started, found, recovered, left to its last user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from config import embedded
from config.postgres_process import postmaster_pid

HOLD = """
import sys
from pathlib import Path
from config import embedded
print(embedded.start_postgres(Path(sys.argv[1]), durable=False), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "data" / "postgres"
    yield place
    if place.exists():
        embedded.stop_postgres(place)


def start(directory: Path) -> str:
    return embedded.start_postgres(directory, durable=False)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as link:
        row = link.execute(query).fetchone()
    return row and row[0]


def user_of(directory: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until it is told a line, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def test_start_makes_a_cluster_with_our_settings_and_finds_it_again(directory: Path) -> None:
    url = start(directory)
    pid = postmaster_pid(directory)

    assert start(directory) == url
    assert postmaster_pid(directory) == pid
    assert ask(url, "SHOW listen_addresses") == ""
    assert ask(url, "SHOW max_connections") == "200"
    assert ask(url, "SHOW fsync") == "off"
    assert ask(url, "SHOW synchronous_commit") == "on"


def test_only_the_owner_reaches_data_and_socket(directory: Path) -> None:
    start(directory)

    assert directory.stat().st_mode & 0o077 == 0
    assert embedded.socket_directory(directory).stat().st_mode & 0o077 == 0


def test_stop_ends_the_server_and_a_new_start_has_the_data(directory: Path) -> None:
    with psycopg.connect(start(directory), autocommit=True) as link:
        link.execute("CREATE TABLE kept AS SELECT 7 AS n")
    embedded.stop_postgres(directory)

    assert embedded.is_running(directory) is False
    assert ask(start(directory), "SELECT n FROM kept") == 7


def until_dead(pid: int) -> None:
    """Wait for the kernel to have ended a killed process; a dying one still looks alive."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            pass


def test_start_recovers_after_sigkill_of_the_postmaster_with_a_busy_backend(directory: Path) -> None:
    url = start(directory)
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("CREATE TABLE kept AS SELECT 7 AS n")
    busy = subprocess.Popen(
        [sys.executable, "-c", f"import psycopg; psycopg.connect({url!r}).execute('SELECT sum(a*1.0) FROM "
         "generate_series(1, 1000000000) a')"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while ask(url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT sum%'") == 0:
            pass
        pid = postmaster_pid(directory)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until_dead(pid)

        assert ask(start(directory), "SELECT n FROM kept") == 7
        assert postmaster_pid(directory) != pid
    finally:
        busy.kill()
        busy.wait()


def test_a_process_id_that_belongs_to_somebody_else_is_not_the_server(directory: Path) -> None:
    url = start(directory)
    embedded.stop_postgres(directory)
    (directory / "postmaster.pid").write_text(f"{os.getpid()}\n{directory}\n")

    assert embedded.is_running(directory) is False
    assert start(directory) == url
    assert ask(url, "SELECT 1") == 1


def test_a_half_made_cluster_is_made_again(directory: Path) -> None:
    half = directory.with_name("postgres.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    assert ask(start(directory), "SELECT 1") == 1
    assert not half.exists()


def test_files_that_are_no_cluster_are_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "thesis.txt").write_text("mine")

    with pytest.raises(embedded.EmbeddedPostgresError, match="no PostgreSQL cluster"):
        start(directory)
    assert (directory / "thesis.txt").read_text() == "mine"


def test_a_server_that_does_not_start_says_why(directory: Path) -> None:
    start(directory)
    embedded.stop_postgres(directory)
    with (directory / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")

    with pytest.raises(embedded.EmbeddedPostgresError, match="no_such_setting"):
        start(directory)


def test_the_socket_of_a_deep_directory_is_short(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "postgres"
    try:
        url = start(deep)
        assert len(str(embedded.socket_directory(deep) / ".s.PGSQL.5432.lock")) <= embedded.SOCKET_PATH_LIMIT
        assert ask(url, "SELECT 1") == 1
    finally:
        embedded.stop_postgres(deep)
        embedded.socket_directory(deep).rmdir()


def test_a_short_path_in_tmp_that_another_user_made_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "postgres"
    place = embedded.socket_directory(deep)
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(embedded.EmbeddedPostgresError, match="belongs to another user"):
            start(deep)
    finally:
        place.unlink()


def test_the_last_user_stops_the_server(directory: Path) -> None:
    first = user_of(directory)
    second = user_of(directory)

    first.communicate("\n")
    assert embedded.is_running(directory) is True
    second.communicate("\n")
    assert embedded.is_running(directory) is False


def test_a_killed_user_does_not_count(directory: Path) -> None:
    killed = user_of(directory)
    last = user_of(directory)
    killed.kill()
    killed.communicate()

    last.communicate("\n")
    assert embedded.is_running(directory) is False


def test_two_directories_have_two_servers(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "postgres"
    try:
        urls = {start(directory), start(other)}
        assert len({ask(url, "SELECT system_identifier FROM pg_control_system()") for url in urls}) == 2
    finally:
        embedded.stop_postgres(other)


def test_the_server_is_in_a_session_of_its_own(directory: Path) -> None:
    start(directory)
    pid = postmaster_pid(directory)

    assert pid is not None
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).name() == "postgres"
