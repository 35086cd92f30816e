"""Settings of the test suite: a real PostgreSQL, from DATABASE_URL or the embedded one."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "tests-only-secret-key-of-no-value-0123456789")

from config import database
from config.settings.base import *

DATABASES = {
    "default": database.from_url(url)
    if (url := os.environ.get("DATABASE_URL"))
    else database.from_embedded(DATA_DIR / "test" / "postgres", durable=False)
}
DATABASES["default"]["TEST"] = {"NAME": f"test_automate_{os.getpid()}"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A test of limits sets its own; no other test may meet one.
AUTOMATE_API = {"RATE_STANDARD": "1000000/minute", "RATE_STORAGE": "memory://"}
