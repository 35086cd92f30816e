"""Bring the database to where the code is, make the first things, and print what to announce as JSON."""

from __future__ import annotations

import io
import json
import os
import sys


def main() -> int:
    """Migrate, make sure of the demo, print what was found on the last line of standard output."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    import django

    django.setup()
    from django.core.management import CommandError, call_command
    from django.db import DatabaseError

    from automate_core.errors import AutomateError
    from config import demo

    try:
        call_command("check", tags=["database"], databases=["default"], stdout=io.StringIO())
        call_command("migrate", verbosity=0, interactive=False)
        found = demo.ensure()
    except (CommandError, DatabaseError, AutomateError) as error:
        print(str(error).strip(), file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
