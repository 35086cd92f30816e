"""Bring the database to where the code is, make the first things, and tell what to announce."""

from __future__ import annotations

import io
import sys
from typing import Any

from django.core.management import CommandError, call_command
from django.db import DatabaseError

from automate_core.errors import AutomateError


def prepare() -> dict[str, Any]:
    """Check the database, migrate it and make sure of the demo; what fails ends the process with a sentence.

    Returns:
        What `config.demo.ensure` found.
    """
    from config import demo

    try:
        call_command("check", tags=["database"], databases=["default"], stdout=io.StringIO())
        call_command("migrate", verbosity=0, interactive=False)
        return demo.ensure()
    except (CommandError, DatabaseError, AutomateError) as error:
        print(str(error).strip(), file=sys.stderr)
        raise SystemExit(1) from error
