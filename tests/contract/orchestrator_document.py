"""Reads the orchestrator reference beside this file: its endpoints, examples, curl commands and tables, as data."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

REFERENCE = (Path(__file__).parent / "orchestrator-api.md").read_text()
ANYTHING = "..."
"""Stands in examples where the document leaves out what there is."""

_SECTION = re.compile(r"^### (.+)$", re.MULTILINE)
_ROUTE = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/\S+)`")
_ENDPOINT = re.compile(r"^\*\*Endpoint\*\*: (.+)$", re.MULTILINE)
_REQUEST = re.compile(r"\*\*Request\*\*:\n```json\n(.*?)```", re.DOTALL)
_RESPONSE = re.compile(r"\*\*Response\*\*: `(\d{3})[^`]*`(?:\n```json\n(.*?)```)?", re.DOTALL)
_CURL = re.compile(r"```bash\n(curl .*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One documented request and its answer; `body` is None where the document shows none."""

    method: str
    path: str
    sent: Any
    status: int
    body: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def sections() -> Iterator[tuple[str, str]]:
    """Yield every third level section: its heading and its text up to the next heading of that level or above."""
    headings = list(_SECTION.finditer(REFERENCE))
    for heading in headings:
        rest = REFERENCE[heading.end() :]
        end = re.search(r"^#{2,3} ", rest, re.MULTILINE)
        yield heading[1], rest[: end.start() if end else None]


def examples() -> dict[str, Example]:
    """Return the documented endpoints by `METHOD /path`; one that names two methods is there twice."""
    found = {}
    for _, text in sections():
        endpoint = _ENDPOINT.search(text)
        for method, path in _ROUTE.findall(endpoint[1]) if endpoint else ():
            request, response = _REQUEST.search(text), _RESPONSE.search(text)
            assert response is not None
            body = read(response[2]) if response[2] else None
            sent = read(request[1]) if request else None
            example = Example(method, path, sent, int(response[1]), body)
            found[example.name] = example
    return found


def commands() -> list[tuple[str, str, Any]]:
    """Return the curl commands as (method, path, body)."""
    found = []
    for text in _CURL.findall(REFERENCE):
        words = shlex.split(text.replace("\\\n", " "))
        options = dict(pairwise(words))
        url = next(word for word in words if word.startswith("http://"))
        sent = json.loads(options["-d"]) if "-d" in options else None
        found.append((options["-X"], url.partition(":7878")[2], sent))
    return found


def table(title: str) -> list[list[str]]:
    """Return the cells of the rows of the first table of a section, without its heading."""
    rows = [
        line.strip("|").split("|") for line in dict(sections())[title].splitlines() if line.startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def shown(title: str) -> Any:
    """Return the first JSON block of a section."""
    found = re.search(r"```json\n(.*?)```", dict(sections())[title], re.DOTALL)
    assert found is not None
    return read(found[1])


def read(text: str) -> Any:
    """Return documented JSON, with ANYTHING where the document has an ellipsis."""
    return json.loads(text.replace("{...}", f'{{"{ANYTHING}": 0}}').replace("[...]", f'["{ANYTHING}"]'))


def differences(shown: Any, got: Any, path: str = "") -> list[str]:
    """Return where an answer is not of the shape the document shows: names of fields and types of values."""
    if isinstance(shown, dict) and isinstance(got, dict):
        if ANYTHING in shown:
            return []
        prefix = f"{path}." if path else ""
        found = [f"{prefix}{name} is missing" for name in sorted(shown.keys() - got.keys())]
        found += [f"{prefix}{name} is not documented" for name in sorted(got.keys() - shown.keys())]
        return found + [
            line
            for name in shown.keys() & got.keys()
            for line in differences(shown[name], got[name], prefix + name)
        ]
    if isinstance(shown, list) and isinstance(got, list):
        return (
            []
            if ANYTHING in shown
            else [line for one in got for line in differences(shown[0], one, f"{path}[]")]
        )
    if _kind(shown) != _kind(got):
        return [f"{path} is {got!r}, not like {shown!r}"]
    return []


def _kind(value: Any) -> str:
    if isinstance(value, str):
        is_moment = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value)
        return "moment" if is_moment else "string"
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )
