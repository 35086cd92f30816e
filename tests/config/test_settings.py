"""Settings from the environment: what is read, what is refused, what commands cost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import database, embedded, environment, keys

OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "PORT")
ROOT = Path(__file__).resolve().parents[2]


def settings_in(module: str, names: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Read settings in a process of their own, with only these variables of ours set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(("AUTOMATE", "DJANGO"))
    }
    code = (
        "import json; from django.conf import settings; "
        f"print(json.dumps({{name: getattr(settings, name) for name in {names!r}}}, default=str))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "DJANGO_SETTINGS_MODULE": f"config.settings.{module}", **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_local_settings_keep_one_secret_key_in_the_data_directory(tmp_path: Path) -> None:
    first, second = (
        json.loads(settings_in("local", ["SECRET_KEY"], AUTOMATE_DATA_DIR=str(tmp_path / "d")).stdout)
        for _ in range(2)
    )

    assert first == second
    assert len(first["SECRET_KEY"]) >= 50
    assert stat.S_IMODE((tmp_path / "d" / "secret.key").stat().st_mode) == 0o600


def test_local_settings_name_the_embedded_server_without_starting_it(tmp_path: Path) -> None:
    found = json.loads(settings_in("local", ["DATABASES"], AUTOMATE_DATA_DIR=str(tmp_path)).stdout)
    entry = found["DATABASES"]["default"]

    assert entry["ENGINE"] == "config.embedded_backend"
    assert entry["HOST"] == str(embedded.socket_directory(tmp_path / "postgres"))
    assert not (tmp_path / "postgres").exists()


def test_variables_become_settings(tmp_path: Path) -> None:
    found = json.loads(
        settings_in(
            "local",
            ["DATABASES", "REDIS_URL", "CACHES", "AUTOMATE", "AUTOMATE_API", "SECRET_KEY"],
            AUTOMATE_DATA_DIR=str(tmp_path),
            DATABASE_URL="postgresql://me:p%40ss@db:5433/flows?sslmode=require",
            REDIS_URL="redis://cache:6379/1",
            SECRET_KEY="given",
            AUTOMATE_LEASE_SECONDS="12.5",
            AUTOMATE_HTTP_ALLOW="127.0.0.1:9000, ledger:80",
            AUTOMATE_RATE_WEBHOOK="9/minute",
            AUTOMATE_RATE_STANDARD="100000/minute",
        ).stdout
    )
    entry = found["DATABASES"]["default"]

    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"], entry["NAME"]) == (
        "me",
        "p@ss",
        "db",
        "5433",
        "flows",
    )
    assert entry["OPTIONS"] == {"sslmode": "require", "prepare_threshold": 2}
    assert found["REDIS_URL"] == "redis://cache:6379/1"
    assert found["CACHES"]["default"]["LOCATION"] == "redis://cache:6379/1"
    assert found["SECRET_KEY"] == "given"
    assert found["AUTOMATE"]["LEASE_SECONDS"] == 12.5
    assert found["AUTOMATE"]["HTTP_ALLOW"] == ["127.0.0.1:9000", "ledger:80"]
    assert found["AUTOMATE_API"] == {"RATE_STANDARD": "100000/minute", "RATE_WEBHOOK": "9/minute"}
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL"])
def test_production_makes_nothing_up(missing: str) -> None:
    given = {"SECRET_KEY": "s" * 60, "ALLOWED_HOSTS": "example.org", "DATABASE_URL": "postgresql://u@h/d"}
    del given[missing]
    done = settings_in("production", ["DEBUG"], **given)

    assert done.returncode == 1
    assert f"ImproperlyConfigured: Set {missing}" in done.stderr


def test_production_cookies_are_secure() -> None:
    names = ["DEBUG", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "ALLOWED_HOSTS"]
    done = settings_in(
        "production",
        names,
        SECRET_KEY="s" * 60,
        ALLOWED_HOSTS="example.org,www.example.org",
        DATABASE_URL="postgresql://u@h/d",
    )

    assert json.loads(done.stdout) == {
        "DEBUG": False,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "ALLOWED_HOSTS": ["example.org", "www.example.org"],
    }


@pytest.mark.parametrize("url", ["mysql://u@h/d", "postgresql://u@h", "nonsense"])
def test_a_url_of_no_postgres_database_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must look like postgresql://"):
        database.from_url(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        database.from_url("mysql://u:hunter2@h/d")

    assert "hunter2" not in str(caught.value)


def test_a_pool_is_made_when_asked_for() -> None:
    assert database.from_url("postgresql://u@h/d", pool=5)["OPTIONS"]["pool"]["max_size"] == 5


def test_a_number_with_words_in_it_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMATE_LEASE_SECONDS", "30s")

    with pytest.raises(ImproperlyConfigured, match="AUTOMATE_LEASE_SECONDS must be a number, not '30s'"):
        environment.number("AUTOMATE_LEASE_SECONDS", 30.0)


def test_of_several_first_callers_all_get_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    found: list[str] = []

    def call() -> None:
        together.wait()
        found.append(keys.load_or_create(tmp_path / "d" / "secret.key"))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
