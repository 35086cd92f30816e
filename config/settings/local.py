"""Standalone settings: the embedded PostgreSQL unless DATABASE_URL names a server."""

from __future__ import annotations

from config import database, environment
from config.settings.base import *

DATABASES = {
    "default": database.from_url(url, pool=DATABASE_POOL)
    if (url := environment.text("DATABASE_URL"))
    else database.from_embedded(DATA_DIR / "postgres", pool=DATABASE_POOL)
}

AUTOMATE["PUBLIC_URL"] = (
    AUTOMATE["PUBLIC_URL"] or f"http://127.0.0.1:{environment.whole('PORT', 7878, least=1)}"
)
