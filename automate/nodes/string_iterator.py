"""The node `string_iterator`: takes a text apart and repeats its body for each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from automate.runtime.loop_steps import ITERATION_FIELDS, ForEachStep, checked_items
from automate_core.errors import PermanentError, Problem

MAX_SEPARATOR_LENGTH = 100
WAYS = ("separator", "lines", "words", "characters")


class StringIteratorStep(ForEachStep):
    """Repeats its body for each part of a text: between separators, or its lines, words or characters."""

    type = "string_iterator"
    label = "String iterator"
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "title": "Text", "description": "What to take apart."},
            "split_by": {
                "enum": list(WAYS), "default": "separator", "title": "Split by", "description": "What a part is.",
            },
            "separator": {
                "type": "string", "minLength": 1, "maxLength": MAX_SEPARATOR_LENGTH, "default": ",",
                "title": "Separator", "description": "What stands between two parts.",
                "x-depends-on": {"split_by": "separator"},
            },
            "trim": {
                "type": "boolean", "default": True, "title": "Trim",
                "description": "Leave out white space around each part (not when splitting into characters).",
            },
            "skip_empty": {
                "type": "boolean", "default": True, "title": "Skip empty parts",
                "description": "Leave out parts with nothing in them.",
            },
            **ITERATION_FIELDS,
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a text; check how it is split."""
        found = self.iteration_problems(config)
        if not isinstance(config.get("text"), str):
            found.append(Problem("text", "is required: a text, usually a template"))
        if config.get("split_by", "separator") not in WAYS:
            found.append(Problem("split_by", f"must be one of {', '.join(WAYS)}"))
        if not _is_separator(config.get("separator", ",")):
            found.append(Problem("separator", f"must be a text of 1 to {MAX_SEPARATOR_LENGTH} characters"))
        elif "separator" in config and config.get("split_by", "separator") != "separator":
            found.append(Problem("separator", "is used only when split_by is separator; leave it out"))
        for field in ("trim", "skip_empty"):
            if not isinstance(config.get(field, True), bool):
                found.append(Problem(field, "must be true or false"))
        return found

    def items_of(self, config: Mapping[str, Any]) -> list[Any]:
        """Return the parts of the text."""
        text, separator = config["text"], config.get("separator", ",")
        if not isinstance(text, str):
            raise PermanentError(f"text must be a text, not {type(text).__name__}; check the template")
        if not _is_separator(separator):
            raise PermanentError(f"separator must be a text of 1 to {MAX_SEPARATOR_LENGTH} characters")
        way = config.get("split_by", "separator")
        if way == "characters":
            return checked_items(list(text))
        if way == "separator":
            parts = text.split(separator)
        else:
            parts = text.splitlines() if way == "lines" else text.split()
        if config.get("trim", True):
            parts = [part.strip() for part in parts]
        return checked_items([part for part in parts if part or not config.get("skip_empty", True)])


def _is_separator(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_SEPARATOR_LENGTH
