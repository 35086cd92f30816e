"""The `date` filter: reads ISO 8601 text or Unix seconds, writes a strftime form in a time zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ISO = "iso"
UNIX = "unix"

# glibc takes widths (`%999999d`) that fill the memory: only plain directives pass.
_FORM = re.compile(r"(?:[^%]|%[-]?[aAbBdHIjmMpSyYfzZGVu%])*", re.DOTALL)
_LONGEST_FORM = 100
_UNIX_LIMIT = 253_402_300_800


class BadDate(ValueError):
    """The value is not a date."""


def check_date_arguments(form: str = "%Y-%m-%d", zone: str = "UTC") -> None:
    """Raise ValueError when the form or the time zone of a `date` filter is not one."""
    if len(form) > _LONGEST_FORM or not _FORM.fullmatch(form):
        raise ValueError(
            "takes 'iso', 'unix' or a form of up to 100 characters with %Y %m %d %H %M %S and the like"
        )
    _zone(zone)


def format_date(value: Any, form: str, zone: str) -> str | int:
    """Return the moment `value` stands for, written in `form`; a moment without an offset is UTC.

    Args:
        value: ISO 8601 text, Unix seconds, or a date or datetime.
        form: strftime directives, `iso` (RFC 3339 text) or `unix` (whole seconds).
        zone: IANA name of the time zone to write in.
    """
    moment = _moment(value)
    if form == UNIX:
        return int(moment.timestamp())
    try:
        local = moment.astimezone(_zone(zone))
    except (OverflowError, ValueError) as error:
        raise BadDate("is out of range in this time zone") from error
    return local.isoformat() if form == ISO else local.strftime(form)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return _aware(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value < _UNIX_LIMIT:
            return datetime.fromtimestamp(value, UTC)
        raise BadDate("needs Unix seconds between 1970 and 9999")
    if isinstance(value, str) and len(value) <= _LONGEST_FORM:
        try:
            return _aware(datetime.fromisoformat(value.strip()))
        except ValueError as error:
            raise BadDate("needs ISO 8601 text or Unix seconds, this text is neither") from error
    raise BadDate(f"needs ISO 8601 text or Unix seconds, not a {type(value).__name__}")


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"does not know the time zone {name!r:.60}; use an IANA name") from error
