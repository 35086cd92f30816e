"""The contract of the doctor's checks, and the registry apps add theirs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from automate_core.registry import Registry


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """What a check found, and what to do about it when something is wrong."""

    level: Level
    message: str
    hint: str = ""


class Check(NamedTuple):
    """A named check; one that needs the database is skipped while that does not answer."""

    name: str
    run: Callable[[], Iterator[Finding]]
    needs_database: bool = True


doctor_registry: Registry[Check] = Registry("doctor check")
