"""What the database refuses on behalf of a limit: an error that costs the items concerned a try, not the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, OperationalError

from automate_core.errors import AutomateError


class LimitNotKept(AutomateError):
    """The database refused to store what a limit decided."""


@contextmanager
def refusals_as_errors() -> Iterator[None]:
    """Raise LimitNotKept where the database refuses a statement; the drain loop then hands items in one by one.

    A database that went away is another matter: that error stays as it is, and the batch is handed in again.
    """
    try:
        yield
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        raise LimitNotKept(f"The database refused what a limit decided: {error}") from error
