"""Entries of Django's DATABASES: from a URL, or the embedded server."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import embedded

PREPARE_THRESHOLD = 2


def from_url(url: str, *, pool: int = 0) -> dict[str, Any]:
    """Turn a `postgresql://` URL into an entry of DATABASES.

    Args:
        url: `postgresql://user:password@host:port/name?option=value`; options go to the driver, and
            `host` as an option names a Unix socket's directory. Statements run twice are prepared;
            `prepare_threshold=0` turns that off, for poolers that cannot carry prepared statements.
        pool: most connections this process keeps open; 0 opens one per request or command.

    Raises:
        ImproperlyConfigured: the URL is not one of a PostgreSQL database.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres", "pgsql") or not parts.path.strip("/"):
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgresql://user:password@host:5432/name; "
            f"this one has scheme {parts.scheme!r} and database {parts.path.strip('/')!r}"
        )
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    threshold = str(options.pop("prepare_threshold", PREPARE_THRESHOLD))
    options["prepare_threshold"] = int(threshold) if threshold.isdigit() and int(threshold) else None
    host = options.pop("host", None) or parts.hostname or ""
    entry: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
    if pool:
        add_pool(entry, pool)
    return entry


def add_pool(entry: dict[str, Any], size: int) -> None:
    """Let connections of an entry be kept and shared: at most `size` of them."""
    entry["OPTIONS"]["pool"] = {"min_size": 1, "max_size": size, "timeout": 10}


def from_embedded(directory: Path, *, durable: bool = True, pool: int = 0) -> dict[str, Any]:
    """Return the entry for the embedded server of `directory`, which starts at the first connection."""
    return {
        **from_url(embedded.server_url(directory), pool=pool),
        "ENGINE": "config.embedded_backend",
        "EMBEDDED": {"directory": directory, "durable": durable},
    }
