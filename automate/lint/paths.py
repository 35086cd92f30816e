"""Findings about paths: what templates and rules read that will not be there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from automate.lint.drawing import Drawing, Spot
from automate.lint.facts import Facts, Sample
from automate.lint.findings import Codes, Finding
from automate.lint.reads import Reading, node_reads
from automate_core.templating import path_reads

KNOWN_KEYS = {
    "event": ("id", "type", "source", "payload"),
    "execution": ("id", "trace_id"),
    "workflow": ("id", "name", "slug", "version"),
    "compensates": ("path", "input", "output"),
    "loop": ("index", "results", "last", "item", "count"),
}
ROOTS = ("event", "input", "variables", "steps", "execution", "workflow", "resume")
LOOP_ROOTS = ("index", "loop")
ITEM_ROOTS = ("item",)
ITEM_LOOPS = ("for_each", "string_iterator")
UNDO_ROOTS = ("compensates",)

_UNKNOWN = object()
_LONGEST_NAME = 60
_MOST_NAMES = 100
_SHOWN_NAMES = 8


def unknown_paths(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find paths whose beginning nothing has, and paths the last event did not have."""
    for spot in drawing:
        for read in node_reads(spot, drawing):
            problem = (
                _root_problem(read, spot)
                or _resume_problem(read, spot, drawing)
                or _payload_problem(read, facts.sample)
            )
            if problem:
                yield Finding(Codes.UNKNOWN_PATH, spot.key, read.field, problem)
    concurrency = drawing.plan.settings.concurrency
    for one in path_reads(concurrency.key if concurrency else None, "graph.settings.concurrency.key"):
        read = Reading(one.path, one.field, one.has_default, frozenset(), ())
        problem = _key_problem(read) or _payload_problem(read, facts.sample)
        if problem:
            yield Finding(Codes.UNKNOWN_PATH, "", read.field, problem)


def steps_not_before(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find reads of steps that do not exist, or that are not over when the reader runs."""
    for spot in drawing:
        for read in node_reads(spot, drawing):
            problem = _step_problem(read, spot, drawing)
            if problem:
                yield Finding(Codes.STEP_NOT_BEFORE, spot.key, read.field, problem)


def _root_problem(read: Reading, spot: Spot) -> str:
    root = read.path[0]
    known = (*ROOTS, *(LOOP_ROOTS if read.loops else ()), *(UNDO_ROOTS if spot.undoes else ()))
    if any(loop.node.handler.type in ITEM_LOOPS for loop in read.loops):
        known += ITEM_ROOTS
    if root in known:
        return _key_of(read)
    if root in ITEM_ROOTS:
        return f"{read.written} is there only inside a for_each or string_iterator; move the node into one"
    if root in LOOP_ROOTS:
        return f"{read.written} is there only inside a loop; move the node into one or read something else"
    return f"{read.written} begins with {root!r}, which is nothing; {_nearest(root, known, 'begin with')}"


def _resume_problem(read: Reading, spot: Spot, drawing: Drawing) -> str:
    if read.path[0] != "resume" or len(read.path) < 2:
        return ""
    links = [
        one.key for one in drawing if one.plan is spot.plan and one.node.handler.type == "wait_for_webhook"
    ]
    if read.path[1] in links:
        return ""
    hint = _nearest(read.path[1], links, "there is")
    return f"{read.written} is no link: {read.path[1]!r} beside it is no wait_for_webhook; {hint}"


def _key_problem(read: Reading) -> str:
    if read.path[0] not in ("event", "input"):
        return f"{read.written} is not known before the run; a concurrency key reads event and input only"
    return _key_of(read)


def _key_of(read: Reading) -> str:
    root, *rest = read.path
    known = KNOWN_KEYS.get(root)
    if known is None or not rest or rest[0] in known:
        return ""
    hint = f"event.payload.{rest[0]}" if root == "event" else ""
    advice = f"did you mean {hint}?" if hint else _nearest(rest[0], known, "use")
    return f"{read.written} is never there: {root} has {', '.join(known)}; {advice}"


def _payload_problem(read: Reading, sample: Sample | None) -> str:
    keys = _keys_of_payload(read.path)
    if sample is None or read.has_default or not keys:
        return ""
    here: Any = sample.payload
    for depth, key in enumerate(keys):
        inner = _inner(here, key)
        if inner is _UNKNOWN:
            return ""
        if inner is None:
            owner = ".".join(read.path[: len(read.path) - len(keys) + depth])
            has = _nearest(key, here, "there is") if isinstance(here, Mapping) else "it has no keys"
            return (
                f"{read.written} was not in {sample.name}: {owner} has no {key!r}, {has};"
                f" correct the path or add default(...)"
            )
        (here,) = inner
    return ""


def _keys_of_payload(path: tuple[str, ...]) -> tuple[str, ...]:
    if path[0] == "input":
        return path[1:]
    return path[2:] if path[:2] == ("event", "payload") else ()


def _inner(here: Any, key: str) -> Any:
    """Return the value under a key in a tuple, None where there is none, _UNKNOWN where other events may differ."""
    if isinstance(here, Mapping):
        return (here[key],) if key in here else None
    if isinstance(here, list):
        index = int(key) if key.lstrip("-").isdecimal() else None
        if index is None:
            return None
        return (here[index],) if -len(here) <= index < len(here) else _UNKNOWN
    return None


def _step_problem(read: Reading, spot: Spot, drawing: Drawing) -> str:
    if read.path[0] != "steps" or len(read.path) < 2:
        return ""
    wanted = read.path[1]
    if wanted not in drawing.spots:
        return f"{read.written} reads a node that does not exist; {_nearest(wanted, sorted(read.before), 'there is')}"
    if wanted in read.before or read.has_default:
        return ""
    other = drawing.spots[wanted]
    if wanted == spot.key:
        return f"{read.written} is the node's own output, which is not there yet; read another step"
    if other in read.loops:
        return f"{read.written} is not there before the loop {wanted!r} has ended; read it after the loop"
    if other.loops and other.loops[-1] not in read.loops:
        loop = other.loops[-1].key
        return f"{read.written} is inside the loop {loop!r} and not seen outside it; read steps.{loop}.output"
    return (
        f"{read.written} need not be over when node {spot.key!r} runs; draw an edge from {wanted!r} towards it"
        f" or add default(...)"
    )


def _nearest(given: str, known: Iterable[str], words: str) -> str:
    # Bounded, for comparing is slow and graphs and payloads may be large.
    names = [str(name)[:_LONGEST_NAME] for name in islice(known, _MOST_NAMES)]
    near = difflib.get_close_matches(given[:_LONGEST_NAME], names, n=2)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    return f"{words} {shown}" if shown else "there is nothing to read there"
