"""The PostgreSQL server both sides share, and the databases made on it for a run."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from config import embedded


class NotDurable(RuntimeError):
    """The server does not flush commits to disk, so its figures would flatter every queue."""


class Server:
    """A PostgreSQL server on which databases can be made."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def start(cls, directory: Path, url: str | None) -> Server:
        """Use the server at `url`, or start the embedded one under `directory`; raises NotDurable."""
        server = cls(url or embedded.start_postgres(directory))
        facts = server.facts()
        for setting in ("fsync", "synchronous_commit"):
            if facts[setting] == "off":
                raise NotDurable(f"{setting} is off on this server; switch it on to measure durable work")
        return server

    def facts(self) -> dict[str, str]:
        """Return the version and the settings that decide what a commit costs."""
        names = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "wal_sync_method")
        with psycopg.connect(self.url) as connection:
            return {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in names}

    def fresh(self, name: str) -> str:
        """Make an empty database, replacing one of the same name, and return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
            connection.execute("CHECKPOINT")
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop(self, name: str) -> None:
        """Remove a database and disconnect whoever still uses it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
