"""Reading a path from plain data: objects by key, lists by index, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from automate_core.errors import Problem
from automate_core.templating.text import TemplateError

Path = tuple[str, ...]
Read = Callable[[Any], Any]

ABSENT: Final = object()
"""What reading a path yields where there is nothing."""

_INDEX = re.compile(r"-?[0-9]{1,9}")
_SHOWN_KEYS = 8


class UndefinedPath(TemplateError):
    """The template reads a path that is not there.

    `path` is the path as keys, `found` the longest part of it that exists.
    """

    def __init__(self, path: Path, scope: Any, field: str = "") -> None:
        found, here = _longest(path, scope)
        missing = path[len(found)]
        owner = repr(dotted(found)) if found else "the scope"
        message = (
            f"{dotted(path)!r} is undefined: there is no {missing!r} because {owner} {_has(here)};"
            f" correct the path or add a default: {{{{ {dotted(path)} | default('...') }}}}"
        )
        super().__init__(f"{message} (in {field})" if field else message, details=[Problem(field, message)])
        self.path = path
        self.found = found
        self.field = field


def reader(path: Path) -> Read:
    """Return a function that reads `path` from a scope and yields ABSENT where there is nothing."""

    def read(scope: Any) -> Any:
        here = scope
        for key in path:
            here = here.get(key, ABSENT) if type(here) is dict else _step(here, key)
            if here is ABSENT:
                return ABSENT
        return here

    return read


def dotted(path: Path) -> str:
    """Return a path as it is written in a template."""
    first, *rest = path or ("",)
    return first + "".join(f".{key}" if re.fullmatch(r"[\w-]+", key) else f"[{key!r}]" for key in rest)


def _step(here: Any, key: str) -> Any:
    if isinstance(here, Mapping):
        return here.get(key, ABSENT)
    if isinstance(here, (list, tuple)) and _INDEX.fullmatch(key):
        index = int(key)
        return here[index] if -len(here) <= index < len(here) else ABSENT
    return ABSENT


def _longest(path: Path, scope: Any) -> tuple[Path, Any]:
    here = scope
    for depth, key in enumerate(path):
        inner = _step(here, key)
        if inner is ABSENT:
            return path[:depth], here
        here = inner
    return path[:-1], here


def _has(here: Any) -> str:
    if isinstance(here, Mapping):
        keys = [key[:40] for key in here if isinstance(key, str)]
        shown = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
        return f"has {shown or 'no keys'}"
    if isinstance(here, (list, tuple)):
        return f"is a list of {len(here)} item(s)"
    return "is null" if here is None else f"is a {type(here).__name__} and has no keys"
