"""Django's PostgreSQL backend, on a server that starts when it is first needed.

Commands that touch no database (`help`, `check`, `makemigrations --check`) start nothing.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from config import embedded


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to the embedded server."""

    def get_connection_params(self) -> dict[str, Any]:
        """Return what the driver needs, after making sure that the server runs."""
        embedded.ensure_postgres(**self.settings_dict["EMBEDDED"])
        return super().get_connection_params()
