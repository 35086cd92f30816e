"""Draws the state diagrams of the pages as SVG while the site is built, so that no browser has to load a library.

The pages hold them in Mermaid's `stateDiagram-v2`, which code hosts draw themselves. States stand in rows, from top to
bottom; each transition has a number, and what the numbers mean is listed below the drawing. The rows are found as in
Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures" (1981).
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Point = tuple[float, float]

_BLOCK = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TRANSITION = re.compile(r"^\s*(\[\*\]|\w+) --> (\[\*\]|\w+): (\S.*)$")

_WIDTH, _HEIGHT, _ROW, _GAP, _LANE, _DOT, _BADGE = 104.0, 34.0, 104.0, 34.0, 26.0, 7.0, 10.0
_SWEEPS = 24


@dataclass(frozen=True, slots=True)
class Transition:
    """A way from one state to another; the start is `[*]` as a source, the end `[*]` as a target."""

    source: str
    target: str
    text: str


@dataclass(eq=False, slots=True)
class Spot:
    """What takes a place in a row: a state, or the lane of a transition that passes by."""

    name: str
    row: int
    x: float = 0.0
    up: list[Spot] = field(default_factory=list)
    down: list[Spot] = field(default_factory=list)

    @property
    def half(self) -> float:
        """Return half of its width."""
        return {"": _LANE, "start": _LANE, "end": _LANE}.get(self.name, _WIDTH) / 2

    @property
    def y(self) -> float:
        """Return where its middle is, from the top of the drawing."""
        return self.row * _ROW + _HEIGHT


def on_page_markdown(markdown: str, /, **_: Any) -> str:
    """Put drawings in place of the page's state diagrams (an event of MkDocs)."""
    return _BLOCK.sub(lambda found: figure(transitions(found[1])), markdown)


def transitions(text: str) -> list[Transition]:
    """Return the transitions of a diagram; raises ValueError for a line that is none."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        match = _TRANSITION.match(line)
        if match is None:
            raise ValueError(f"Not a transition with a text: {line!r}")
        source = "start" if match[1] == "[*]" else match[1]
        found.append(Transition(source, "end" if match[2] == "[*]" else match[2], match[3]))
    return found


def figure(found: Sequence[Transition]) -> str:
    """Return the drawing of a diagram with the list of its transitions, as HTML on one line."""
    steps = "".join(f"<li>{_words(one)}: {html.escape(one.text)}</li>" for one in found)
    return f'<figure class="states">{_svg(found)}<figcaption><ol>{steps}</ol></figcaption></figure>'


def _words(one: Transition) -> str:
    ends = {"start": "begin", "end": "end"}
    source, target = (ends.get(name) or f"<code>{name}</code>" for name in (one.source, one.target))
    return f"{source} → {target}"


def _svg(found: Sequence[Transition]) -> str:
    states, lanes = _placed(found)
    left = min(spot.x - spot.half for spot in _all(states, lanes)) - 4
    right = max(spot.x + spot.half for spot in _all(states, lanes)) + 4
    bottom = max(spot.y for spot in states.values()) + _HEIGHT
    curves = _curves(found, states, lanes)
    badges = _badges(curves)
    parts = [f'<path d="{_path(curve)}" marker-end="url(#arrow)"/>' for curve in curves]
    parts += [_state(spot) for spot in states.values()]
    parts += [
        f'<circle class="badge" cx="{x:.0f}" cy="{y:.0f}" r="{_BADGE:.0f}"/>'
        f'<text x="{x:.0f}" y="{y:.0f}">{number}</text>'
        for number, (x, y) in enumerate(badges, 1)
    ]
    names = ", ".join(name for name in states if name not in ("start", "end"))
    return (
        f'<svg viewBox="{left:.0f} 0 {right - left:.0f} {bottom:.0f}" style="max-width:{right - left:.0f}px" '
        f'role="img" data-search-exclude aria-label="States {names}">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" '
        'markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        + "".join(parts)
        + "</svg>"
    )


def _state(spot: Spot) -> str:
    if spot.name in ("start", "end"):
        return f'<circle class="{spot.name}" cx="{spot.x:.0f}" cy="{spot.y:.0f}" r="{_DOT:.0f}"/>'
    return (
        f'<rect x="{spot.x - _WIDTH / 2:.0f}" y="{spot.y - _HEIGHT / 2:.0f}" width="{_WIDTH:.0f}" '
        f'height="{_HEIGHT:.0f}" rx="6"/><text x="{spot.x:.0f}" y="{spot.y:.0f}">{spot.name}</text>'
    )


def _placed(found: Sequence[Transition]) -> tuple[dict[str, Spot], list[list[Spot]]]:
    """Return the states, and for each transition its lanes through the rows between its ends, downwards."""
    rows = _rows(found)
    states = {name: Spot(name, row) for name, row in rows.items()}
    lanes: list[list[Spot]] = []
    for one in found:
        top, bottom = sorted((states[one.source], states[one.target]), key=lambda spot: spot.row)
        lane = [Spot("", row) for row in range(top.row + 1, bottom.row)]
        for above, below in pairwise([top, *lane, bottom]):
            above.down.append(below)
            below.up.append(above)
        lanes.append(lane)
    by_row: dict[int, list[Spot]] = defaultdict(list)
    for spot in _all(states, lanes):
        by_row[spot.row].append(spot)
    for spots in by_row.values():
        _spread(spots)
    for sweep in range(_SWEEPS):
        for row in sorted(by_row, reverse=sweep % 2 == 1):
            for spot in by_row[row]:
                near = (spot.up or spot.down) if sweep % 2 == 0 else (spot.down or spot.up)
                spot.x = sum(other.x for other in near) / len(near) if near else spot.x
            by_row[row].sort(key=lambda spot: spot.x)
            _spread(by_row[row])
    return states, lanes


def _rows(found: Sequence[Transition]) -> dict[str, int]:
    """Return the row of each state: the longest way to it that never leads back to a state named earlier."""
    order: dict[str, int] = {}
    for one in found:
        for name in (one.source, one.target):
            order.setdefault(name, len(order))
    if "end" in order:
        order["end"] = len(order)
    rows = dict.fromkeys(order, 0)
    for name in sorted(order, key=lambda one: order[one]):
        for one in found:
            if one.source == name and order[one.target] > order[name]:
                rows[one.target] = max(rows[one.target], rows[name] + 1)
    return rows


def _spread(spots: Sequence[Spot]) -> None:
    """Move the spots of a row apart, keeping their order and their common middle."""
    if not spots:
        return
    wanted = [spot.x for spot in spots]
    for before, spot in pairwise(spots):
        spot.x = max(spot.x, before.x + before.half + spot.half + _GAP)
    shift = sum(wanted) / len(spots) - sum(spot.x for spot in spots) / len(spots)
    for spot in spots:
        spot.x += shift


def _all(states: dict[str, Spot], lanes: Sequence[Sequence[Spot]]) -> Iterator[Spot]:
    yield from states.values()
    for lane in lanes:
        yield from lane


def _curves(
    found: Sequence[Transition], states: dict[str, Spot], lanes: Sequence[Sequence[Spot]]
) -> list[list[Point]]:
    """Return the points each transition goes through, from its source to its target."""
    ways = []
    for one, lane in zip(found, lanes, strict=True):
        source, target = states[one.source], states[one.target]
        ways.append([source, *(lane if source.row < target.row else reversed(lane)), target])
    sides: dict[tuple[int, bool], list[tuple[float, int]]] = defaultdict(list)
    for number, way in enumerate(ways):
        sides[id(way[0]), way[1].row > way[0].row].append((way[1].x, number))
        sides[id(way[-1]), way[-2].row > way[-1].row].append((way[-2].x, number))
    curves = []
    for number, way in enumerate(ways):
        first, last = way[0], way[-1]
        begin = _port(first, sides[id(first), way[1].row > first.row], number, below=way[1].row > first.row)
        end = _port(last, sides[id(last), way[-2].row > last.row], number, below=way[-2].row > last.row)
        curves.append([begin, *((spot.x, spot.y) for spot in way[1:-1]), end])
    return curves


def _port(spot: Spot, side: list[tuple[float, int]], number: int, *, below: bool) -> Point:
    """Return where a transition meets the edge of a state; those that share the edge share its width."""
    tall = _DOT if spot.name in ("start", "end") else _HEIGHT / 2
    wide = 0.0 if spot.name in ("start", "end") else _WIDTH
    place = sorted(side).index(next(one for one in side if one[1] == number))
    return spot.x + wide * ((place + 1) / (len(side) + 1) - 0.5), spot.y + (tall if below else -tall)


def _path(curve: Sequence[Point]) -> str:
    path = f"M{curve[0][0]:.0f} {curve[0][1]:.0f}"
    for (x1, y1), (x2, y2) in pairwise(curve):
        middle = (y1 + y2) / 2
        path += f"C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
    return path


def _badges(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Return where the number of each transition stands: on its curve, as far from the others as it goes."""
    placed: list[Point] = []
    for curve in curves:
        choices = [_at(*part, t) for part in pairwise(curve) for t in (0.5, 0.4, 0.6, 0.3, 0.7)]
        placed.append(
            max(choices, key=lambda point: min([_apart(point, other) for other in placed] or [1.0]))
        )
    return placed


def _apart(one: Point, other: Point) -> float:
    # Beyond three widths of a badge more distance is no gain; then the first choice, the middle, is taken.
    distance: float = ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5
    return min(distance, 6 * _BADGE)


def _at(one: Point, other: Point, t: float) -> Point:
    """Return the point of the curve between two points at `t` from 0 to 1 (Bernstein's form of a cubic)."""
    middle = (one[1] + other[1]) / 2
    a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
    return (a + b) * one[0] + (c + d) * other[0], a * one[1] + (b + c) * middle + d * other[1]
