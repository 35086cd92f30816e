"""The test settings on a database of the chaos run's own, with its app and a lease from the environment."""

from __future__ import annotations

from config.settings import test
from config.settings.test import *  # noqa: F403

INSTALLED_APPS = [*test.INSTALLED_APPS, "tests.chaos.app"]
