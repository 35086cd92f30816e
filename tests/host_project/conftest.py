"""A wheel of the project, an environment that has it from there only, and a host project with fresh databases."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connections
from psycopg import sql as compose

from automate_core import sql
from tests.host_project import guide

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "automate*", "rag", "config")
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Host:
    """A copy of the host project with a database of its own."""

    python: Path
    project: Path
    environment: dict[str, str]

    def run(self, *arguments: str, apps: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a script of the project."""
        environment = self.environment if apps is None else {**self.environment, "HOST_APPS": apps}
        return _call(str(self.python), *arguments, cwd=self.project, env=environment)


@dataclass(frozen=True)
class Site:
    """The host project being served: where, what was made in it, and what its server writes."""

    url: str
    seeded: dict[str, Any]
    log: Path

    def client(self, **headers: str) -> httpx.Client:
        """Return a client of the site."""
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for pattern in BUILT_FROM:
        for found in ROOT.glob(pattern):
            if found.is_dir() and not found.name.endswith(".egg-info"):
                shutil.copytree(found, sources / found.name, ignore=shutil.ignore_patterns("__pycache__"))
            elif found.is_file():
                shutil.copy(found, sources)
    _call(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(sources),
        cwd=out,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def host_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with the wheel, and the running one's libraries beside it."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    answer = _call(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    site = Path(answer.stdout.strip())
    _call(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel),
        cwd=home,
    )  # fmt: skip
    # Lines of a .pth file are searched last and their own .pth files are not read: no editable install comes along.
    libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    return python


@pytest.fixture
def host(host_python: Path, tmp_path: Path, django_db_blocker: object) -> Iterator[Host]:
    """Return the host project on a fresh database of this test."""
    with _host(host_python, tmp_path, django_db_blocker) as host:
        yield host


@pytest.fixture(scope="module")
def site(
    host_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: object,
) -> Iterator[Site]:
    """Serve the host project, with a REST API and the guide's examples, from a process of its own."""
    with _host(host_python, tmp_path_factory.mktemp("site"), django_db_blocker, "host.site") as host:
        for example in guide.examples():
            if example.title in guide.SECTIONS:
                (host.project / "guide" / f"{example.module}.py").write_text(example.source)
        seeded = json.loads(host.run("manage.py", "seed").stdout.splitlines()[-1])
        log = host.project / "server.log"
        with log.open("w") as written:
            server = subprocess.Popen(
                [str(host_python), "-u", "manage.py", "runserver", "--noreload", "127.0.0.1:0"],
                cwd=host.project, env=host.environment, stdout=written, stderr=written,
            )  # fmt: skip
        try:
            yield Site(_address_in(log, server), seeded, log)
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)


@contextmanager
def _host(python: Path, home: Path, blocker: Any, settings: str = "host.settings") -> Iterator[Host]:
    """Copy the host project and make it a database."""
    project = home / "project"
    shutil.copytree(Path(__file__).parent / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
    name = f"host_{os.getpid()}_{abs(hash(str(home))) % 10**8}"
    with blocker.unblock():
        connections["default"].ensure_connection()
        params = sql.connect_params()
        connections["default"].close()
    with psycopg.connect(**params, autocommit=True) as server:
        server.execute(compose.SQL("CREATE DATABASE {}").format(compose.Identifier(name)))
        database = {
            "NAME": name, "HOST": server.info.host, "PORT": str(server.info.port), "USER": server.info.user,
            "PASSWORD": server.info.password,
        }  # fmt: skip
        inherited = {
            key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DATABASE_URL")
        }
        environment = {**inherited, "DJANGO_SETTINGS_MODULE": settings, "HOST_DATABASE": json.dumps(database)}
        try:
            yield Host(python, project, environment)
        finally:
            server.execute(compose.SQL("DROP DATABASE {} WITH (FORCE)").format(compose.Identifier(name)))


def _address_in(log: Path, server: subprocess.Popen[bytes]) -> str:
    """Return the address a server says it listens on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"development server at (\S+)/\n", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"The server did not start:\n{log.read_text()[-3000:]}")


def _call(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done
