"""Query parameters of lists, read strictly: what is not understood is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from rest_framework.exceptions import ValidationError

Params = Mapping[str, str]
Reader = Callable[[Params, str], Any]
"""Returns a parameter by its name, None when absent or empty; raises ValidationError."""

MAX_TEXT = 255
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_LOST_PLUS = re.compile(r" (\d\d:?\d\d)$")


def read(params: Params, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return parameters by name, each as its reader understands it, and `page` and `page_size`.

    Raises:
        ValidationError: naming every parameter that is not understood.
    """
    found: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for name, reader in {**readers, "page": positive, "page_size": positive}.items():
        try:
            found[name] = reader(params, name)
        except ValidationError as error:
            wrong.update(cast("dict[str, Any]", error.detail))
    if wrong:
        raise ValidationError(wrong)
    return found


def narrowed(queryset: QuerySet[Any], **lookups: Any) -> QuerySet[Any]:
    """Return the rows that fit all lookups which have a value."""
    return queryset.filter(**{name: value for name, value in lookups.items() if value is not None})


def text(params: Params, name: str) -> str | None:
    """Return a text parameter; None when absent or empty."""
    value = params.get(name) or None
    if value is not None and len(value) > MAX_TEXT:
        raise ValidationError({name: f"Give at most {MAX_TEXT} characters"})
    return value


def boolean(params: Params, name: str) -> bool | None:
    """Return a parameter that is true or false."""
    value = text(params, name)
    if value is None:
        return None
    if value.lower() not in _BOOLEANS:
        raise ValidationError({name: "Give true or false"})
    return _BOOLEANS[value.lower()]


def uuid(params: Params, name: str) -> UUID | None:
    """Return a parameter that is an id."""
    value = text(params, name)
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError as error:
        raise ValidationError({name: "Give a UUID"}) from error


def moment(params: Params, name: str) -> datetime | None:
    """Return a parameter that is an ISO 8601 time; UTC when it names no zone, midnight when only a date."""
    value = text(params, name)
    if value is None:
        return None
    try:
        # A plus sign that was not encoded arrives as a space.
        found = parse_datetime(_LOST_PLUS.sub(r"+\1", value))
        day = None if found else parse_date(value)
    except ValueError as error:
        raise ValidationError({name: "This time does not exist"}) from error
    if day is not None:
        found = datetime.combine(day, time())
    if found is None:
        raise ValidationError({name: "Give an ISO 8601 time such as 2024-01-20T14:45:00Z"})
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def choice(params: Params, name: str, choices: Sequence[str]) -> str | None:
    """Return a parameter that is one of `choices`, whatever its case."""
    value = text(params, name)
    if value is None:
        return None
    if value.upper() not in choices:
        raise ValidationError({name: f"Give one of {', '.join(choices)}"})
    return value.upper()


def positive(params: Params, name: str) -> int | None:
    """Return a parameter that is a whole number from 1."""
    value = params.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 30 or int(value) < 1:
        raise ValidationError({name: "Give a positive whole number"})
    return int(value)


def ordering(
    params: Params, name: str = "ordering", *, allowed: Sequence[str], default: str
) -> tuple[str, str]:
    """Return the order asked for, made total by the id."""
    value = text(params, name) or default
    if value.removeprefix("-") not in allowed:
        raise ValidationError({name: f"Give one of {', '.join(allowed)}, with - for descending"})
    return value, "-id" if value.startswith("-") else "id"
