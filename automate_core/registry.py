"""Named entries of one contract, registered in `AppConfig.ready`: the way to add a step, connector or backend."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar

from automate_core.errors import AutomateError

T = TypeVar("T")


class UnknownEntry(AutomateError, LookupError):
    """Nothing is registered under this name."""


class DuplicateEntry(AutomateError):
    """Another entry already has this name."""


class Registry(Generic[T]):
    """A dictionary that refuses silent overwrites and suggests names for typos."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add `entry` under `name`; raises DuplicateEntry when another entry holds the name."""
        held = self._entries.setdefault(name, entry)
        if held is not entry:
            raise DuplicateEntry(f"{self.noun} {name!r} is already registered as {held!r}")
        return entry

    def get(self, name: str) -> T:
        """Return the entry; raises UnknownEntry naming the closest known names."""
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._entries, n=3)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            raise UnknownEntry(f"Unknown {self.noun} {name!r}{hint}") from None

    def unregister(self, name: str) -> None:
        """Remove an entry if it is there (tests and reloads)."""
        self._entries.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
