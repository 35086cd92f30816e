"""Which nodes belong to which loop: the body of a loop is what its edges with the handle `item` lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

BODY_HANDLE = "item"
MAX_PATH = 800
"""Longest path of a step, in characters, without the numbers of the iterations it is in."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge by the ids of its ends."""

    source: str
    target: str
    handle: str | None


@dataclass(frozen=True, slots=True)
class Nesting:
    """The loop each node is directly in (absent: none), and the arrows inside each body and at the top (None)."""

    owner: Mapping[str, str]
    arrows: Mapping[str | None, list[Arrow]]


def nest(
    keys: list[str], loops: list[str], arrows: list[Arrow], wrong: Callable[[str, str], None]
) -> Nesting:
    """Sort nodes and arrows into the bodies they belong to; problems go to `wrong(node id or "", message)`.

    An arrow from a body back to its loop says "next iteration", which the end of the body says anyway.
    """
    bodies = {loop: _reached(loop, arrows) for loop in loops}
    for loop, body in bodies.items():
        if not body:
            wrong(
                loop,
                f"the loop {loop!r} has no body; draw an edge with source_handle {BODY_HANDLE!r} to its first node",
            )
    owner: dict[str, str] = {}
    for key in keys:
        around = sorted((loop for loop in loops if key in bodies[loop]), key=lambda loop: len(bodies[loop]))
        for inner, outer in pairwise(around):
            if inner not in bodies[outer] or not bodies[inner] <= bodies[outer]:
                wrong(
                    key,
                    f"node {key!r} is in the bodies of both {inner!r} and {outer!r}; put one inside the other",
                )
                return Nesting({}, {})
        if around:
            owner[key] = around[0]
    sorted_arrows: dict[str | None, list[Arrow]] = {}
    for arrow in arrows:
        inside, home = owner.get(arrow.source), owner.get(arrow.target)
        if arrow.source in bodies and arrow.handle == BODY_HANDLE:
            if home != arrow.source and arrow.target != arrow.source:
                wrong(
                    arrow.target,
                    f"node {arrow.target!r} is in the body of {home!r} and cannot begin the body of {arrow.source!r}",
                )
        elif inside is not None and arrow.target == inside:
            continue
        elif inside != home:
            where = f"out of the body of {inside!r}" if inside is not None else f"into the body of {home!r}"
            wrong(
                arrow.source,
                f"the edge from {arrow.source!r} to {arrow.target!r} leads {where}; use the loop's own edges",
            )
        else:
            sorted_arrows.setdefault(inside, []).append(arrow)
    for key in keys:
        if _path_length(key, owner) > MAX_PATH:
            wrong(key, f"the path of {key!r} is too long; shorten the ids of the loops around it")
    return Nesting(owner, sorted_arrows)


def _reached(loop: str, arrows: list[Arrow]) -> set[str]:
    """Return the nodes the loop's body edges lead to, without passing through the loop."""
    following: dict[str, list[str]] = {}
    for arrow in arrows:
        following.setdefault(arrow.source, []).append(arrow.target)
    found: set[str] = set()
    waiting = [arrow.target for arrow in arrows if arrow.source == loop and arrow.handle == BODY_HANDLE]
    while waiting:
        key = waiting.pop()
        if key != loop and key not in found:
            found.add(key)
            waiting.extend(following.get(key, ()))
    return found


def _path_length(key: str, owner: Mapping[str, str]) -> int:
    length = len(key)
    while key in owner:
        key = owner[key]
        length += len(key) + 1
    return length
