"""A compiled operation: the closure that runs it, and what compiler and explanations need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from automate.rules.budget import MAX_OPERATIONS, Meter

Run = Callable[[Any, Meter | None], Any]
"""Computes a value from the data in scope; the meter is there when the rule has a loop."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation or literal of a rule, compiled.

    `cost` is what one run counts, without the bodies of loops: those are charged per element.
    `keys` is the literal path of a `var` without a default, which comparisons look up themselves.
    """

    run: Run
    spec: Any
    path: str
    operator: str | None = None
    children: tuple[Node, ...] = ()
    cost: int = 0
    is_bool: bool = False
    is_constant: bool = False
    has_loop: bool = False
    keys: tuple[str, ...] | None = None

    @property
    def constant(self) -> Any:
        """The value of a constant node."""
        return self.run(None, None)

    def meter(self) -> Meter | None:
        """Return what one run of this node may spend on loops; None when it has none."""
        return Meter(MAX_OPERATIONS - self.cost) if self.has_loop else None


@dataclass(frozen=True, slots=True)
class Built:
    """What a builder makes of an operation's compiled arguments."""

    run: Run
    is_bool: bool = False
    keys: tuple[str, ...] | None = None
    foldable: bool = True


Builder = Callable[[tuple[Node, ...]], Built]
"""Turns compiled arguments into the closure of one operation."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operation of the language: how it is built and how it must be written.

    `needs` is the fewest arguments; `takes_list` refuses a bare scalar in place of the list of arguments;
    `body` is the index of the argument that runs once per element.
    """

    build: Builder
    needs: int = 0
    takes_list: bool = False
    body: int | None = None


class BadArguments(Exception):
    """An operation is written with arguments it cannot take; the compiler adds where."""
