"""A wheel of the project, an environment that has it from there only, and a host project with fresh databases."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connections
from psycopg import sql as compose

from automate_core import sql

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "automate*", "rag", "config")
PATIENCE_SECONDS = 120

Run = Callable[..., subprocess.CompletedProcess[str]]


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
def host(host_python: Path, tmp_path: Path, django_db_blocker: object) -> Iterator[Run]:
    """Return a function that runs a script of the host project on this test's fresh database."""
    project = tmp_path / "project"
    shutil.copytree(Path(__file__).parent / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
    name = f"host_{os.getpid()}_{abs(hash(str(tmp_path))) % 10**8}"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connections["default"].ensure_connection()
        params = sql.connect_params()
        connections["default"].close()
    with psycopg.connect(**params, autocommit=True) as server:
        server.execute(compose.SQL("CREATE DATABASE {}").format(compose.Identifier(name)))
        database = {
            "NAME": name, "HOST": server.info.host, "PORT": str(server.info.port), "USER": server.info.user,
            "PASSWORD": server.info.password,
        }  # fmt: skip

        def run(*arguments: str, apps: str | None = None) -> subprocess.CompletedProcess[str]:
            environment = {
                name: value
                for name, value in os.environ.items()
                if name not in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "DATABASE_URL")
            }
            environment["HOST_DATABASE"] = json.dumps(database)
            if apps is not None:
                environment["HOST_APPS"] = apps
            return _call(str(host_python), *arguments, cwd=project, env=environment)

        try:
            yield run
        finally:
            server.execute(compose.SQL("DROP DATABASE {} WITH (FORCE)").format(compose.Identifier(name)))


def _call(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done
