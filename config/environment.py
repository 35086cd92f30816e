"""Values read from the environment, with messages that name the variable."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """Return the variable; an empty one counts as absent."""
    return os.environ.get(name, "").strip() or default


def required(name: str, why: str) -> str:
    """Return the variable; raises ImproperlyConfigured with `why` when it is absent."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"Set {name}: {why}")
    return value


def number(name: str, default: float, *, least: float = 0.0) -> float:
    """Return the variable as a number; raises ImproperlyConfigured when it is none or below `least`."""
    given = text(name)
    try:
        value = float(given) if given else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {given!r}") from None
    if not least <= value < float("inf"):
        raise ImproperlyConfigured(f"{name} must be at least {least:g}, not {given!r}")
    return value


def whole(name: str, default: int, *, least: int = 0) -> int:
    """Return the variable as a whole number; raises ImproperlyConfigured like `number`."""
    value = number(name, default, least=least)
    if value != int(value):
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text(name)!r}")
    return int(value)


def words(name: str, default: str = "") -> tuple[str, ...]:
    """Return a comma-separated list."""
    return tuple(word.strip() for word in text(name, default).split(",") if word.strip())
