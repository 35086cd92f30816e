"""System checks: the settings are ones we enforce, the database is one we support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from automate_core import conf
from automate_core.errors import AutomateError
from automate_core.secrets.cipher import InvalidSecretKeys, newest_key

MINIMUM_POSTGRES = 14
NEW_KEY = "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Refuse AUTOMATE keys that nothing reads and values of the wrong kind."""
    try:
        values = conf.get()
    except (AutomateError, TypeError, ValueError) as error:
        return [Error(str(error), id="automate.E001")]
    wrong = [
        name
        for name in ("LEASE_SECONDS", "CLAIM_LIMIT", "POLL_SECONDS", "EFFECT_SLOTS", "MAX_CLAIMS")
        if not isinstance(getattr(values, name), int | float) or getattr(values, name) <= 0
    ]
    return [Error(f"AUTOMATE[{name!r}] must be a positive number", id="automate.E002") for name in wrong]


@register(Tags.security)
def check_secret_keys(**_: Any) -> list[CheckMessage]:
    """Refuse keys that could not encrypt a stored secret."""
    try:
        newest_key()
    except InvalidSecretKeys as error:
        return [Error(error.message, hint=f"Make one with: python -c '{NEW_KEY}'", id="automate.E004")]
    except (conf.UnknownSetting, ImproperlyConfigured):
        return []  # check_settings and Django itself say these
    return []


@register(Tags.database)
def check_database(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Say plainly that the database must be PostgreSQL 14 or newer."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        if alias == "default" and connection.vendor != "postgresql":
            found.append(
                Error(
                    f"Django Automate needs PostgreSQL {MINIMUM_POSTGRES} or newer; "
                    f"database {alias!r} is {connection.vendor}",
                    hint="Set DATABASE_URL to a PostgreSQL server, or unset it to use the embedded one.",
                    id="automate.E003",
                )
            )
        elif alias == "default" and connection.pg_version < MINIMUM_POSTGRES * 10_000:  # type: ignore[attr-defined]
            found.append(
                Error(
                    f"Django Automate needs PostgreSQL {MINIMUM_POSTGRES} or newer; "
                    f"this server is {connection.pg_version // 10_000}",  # type: ignore[attr-defined]
                    id="automate.E003",
                )
            )
    return found
