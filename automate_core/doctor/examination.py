"""The examination: every check in turn, those that make no sense without the database only while it answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from django.db import DatabaseError

from automate_core.doctor.contract import Check, Finding, Level, doctor_registry
from automate_core.doctor.installation import CHECKS
from automate_core.errors import AutomateError

logger = logging.getLogger(__name__)

FOUNDATIONS = frozenset({"database", "migrations"})
"""Checks without whose success those that need the database would only repeat the same failure."""


class Result(NamedTuple):
    """A finding with the name of its check."""

    check: str
    finding: Finding


def examine() -> Iterator[Result]:
    """Run every check, ours first and then those the apps registered, and yield what each finds."""
    broken = False
    for check in (*CHECKS, *(doctor_registry.get(name) for name in doctor_registry)):
        if broken and check.needs_database:
            continue
        for finding in _findings(check):
            yield Result(check.name, finding)
            broken = broken or (check.name in FOUNDATIONS and finding.level == Level.FAIL)


def _findings(check: Check) -> Iterator[Finding]:
    try:
        yield from check.run()
    except (AutomateError, DatabaseError) as error:
        text = str(error).strip() or type(error).__name__
        yield Finding(Level.FAIL, f"The check stopped: {text.splitlines()[0]}", "Put that right first")
    except Exception as error:
        logger.exception("doctor.check_failed", extra={"check": check.name})
        yield Finding(Level.FAIL, f"The check stopped: {type(error).__name__}", "The log has the traceback")
