"""How values read as text, and how much text a template may make."""

from __future__ import annotations

from typing import Any

import orjson

from automate_core.errors import AutomateError, ErrorCodes

MAX_TEXT = 1_048_576
"""Longest text, in characters, one template or filter may produce."""


class TemplateError(AutomateError):
    """The template failed."""

    code = ErrorCodes.TEMPLATE_ERROR


def as_text(value: Any) -> str:
    """Return a value as it appears inside text: null is nothing, the rest as in JSON without quotes.

    Lists and objects become compact JSON. Raises TemplateError for what JSON cannot hold.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    written = as_json(value)
    # Dates, times and UUIDs are JSON strings; in text they have no quotes.
    return orjson.loads(written) if written.startswith('"') else written


def as_json(value: Any) -> str:
    """Return compact JSON text; raises TemplateError for what JSON cannot hold."""
    try:
        return limited(orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode())
    except TypeError as error:
        raise TemplateError(f"A {type(value).__name__} cannot be written as JSON: {error}") from error


def limited(text: str) -> str:
    """Return `text`; raises TemplateError when it is longer than MAX_TEXT."""
    check_length(len(text))
    return text


def check_length(characters: int) -> None:
    """Raise TemplateError when a text of that many characters is too long to make."""
    if characters > MAX_TEXT:
        raise TemplateError(f"The rendered text is longer than {MAX_TEXT} characters; pass a part of it")


def _digits(value: int) -> str:
    try:
        return str(int(value))
    except ValueError as error:
        raise TemplateError("The integer is too long to write out") from error
