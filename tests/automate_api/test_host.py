"""The toolkit alone in a host project, with nothing but what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
SECRET_KEY = "a host's own secret key, long enough for everyone"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "automate_core", "automate_api"]
DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "automate_api.v1.urls"
USE_TZ = True
"""
ROUTES = """
import django
django.setup()
from django.urls import get_resolver
print(*[pattern.pattern for pattern in get_resolver().url_patterns])
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "hostsettings.py").write_text(SETTINGS)
    return tmp_path


def python(host: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    env = {"PYTHONPATH": f"{host}:{root}", "DJANGO_SETTINGS_MODULE": "hostsettings"}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=120)


def test_toolkit_passes_the_checks_alone(host: Path) -> None:
    result = python(host, "-m", "django", "check")
    assert (result.returncode, "ERROR" in result.stderr) == (0, False)
    assert "automate_api.W002" in result.stderr


def test_toolkit_mounts_only_what_is_installed(host: Path) -> None:
    assert python(host, "-c", ROUTES).stdout.split() == [
        "auth/token/",
        "auth/token/refresh/",
        "auth/token/verify/",
        "schema/",
        "schema/swagger-ui/",
        "schema/redoc/",
    ]
