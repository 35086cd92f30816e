"""The standalone settings plus the benchmarks' app and its empty view."""

from __future__ import annotations

from config.settings import local
from config.settings.local import *  # noqa: F403

INSTALLED_APPS = [*local.INSTALLED_APPS, "benchmarks.effects_app"]
ROOT_URLCONF = "benchmarks.urls"
