"""Lists what a template would read, and where it says so, without rendering it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automate_core.templating.expressions import Expression, parse_text
from automate_core.templating.lookups import Path


@dataclass(frozen=True, slots=True)
class PathRead:
    """One path read: as keys, the field of the template it is written in, and whether a default stands in for it."""

    path: Path
    field: str
    has_default: bool


def path_reads(value: Any, field: str = "") -> Iterator[PathRead]:
    """Yield every path a template reads, in order, as often as it is written.

    Args:
        value: the template, any JSON value.
        field: where the value is; parts of it are `field.key` and `field[0]`.

    Raises:
        TemplateSyntaxError: an expression is wrong.
    """
    if isinstance(value, str):
        for piece in parse_text(value, field):
            if isinstance(piece, Expression):
                yield PathRead(piece.path, field, any(call.name == "default" for call in piece.filters))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from path_reads(item, f"{field}.{key}" if field else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from path_reads(item, f"{field}[{index}]")
