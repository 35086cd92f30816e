"""Reads the REST reference beside this file: its examples, tables and routes, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFERENCE = (HERE / "rest-api.md").read_text()
VIEWS = (HERE / "views.md").read_text()

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REQUEST = re.compile(rf"```http\n((?:{'|'.join(METHODS)}) .*?)```", re.DOTALL)
_RESPONSE = re.compile(r"\*\*Response:\*\*(?: `(\d{3})[^`]*`)?\n(?:```json\n(.*?)```)?", re.DOTALL)
_HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
_ELLIPSIS = re.compile(r",?\s*\.\.\.\s*(?=[}\]])")


@dataclass(frozen=True)
class Example:
    """One documented request and its answer; `body` is None where the document shows none."""

    title: str
    method: str
    path: str
    headers: dict[str, str]
    sent: Any
    status: int
    body: Any
    is_partial: bool = False
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def examples() -> dict[str, Example]:
    """Return the examples of the reference by `METHOD /path`."""
    found = {}
    for title, text in sections():
        request = _REQUEST.search(text)
        if request is None:
            continue
        response = _RESPONSE.search(text, request.end())
        example = _example(title, request[1], response, text)
        found[example.name] = example
    return found


def sections() -> Iterator[tuple[str, str]]:
    """Yield every second and third level section: its heading and its text up to the next one."""
    headings = list(_HEADING.finditer(REFERENCE))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        yield heading[1], REFERENCE[heading.end() : following.start() if following else None]


def section(title: str) -> str:
    """Return the text of one section."""
    return dict(sections())[title]


def table(text: str) -> list[list[str]]:
    """Return the cells of the rows of the first table in `text`, without its heading."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def json_block(text: str) -> Any:
    """Return the first JSON block in `text`."""
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def _example(title: str, request: str, response: re.Match[str] | None, text: str) -> Example:
    head, _, sent = request.strip().partition("\n\n")
    first, *lines = head.splitlines()
    method, path = first.split(" ", 1)
    shown = response[2] if response else None
    return Example(
        title=title,
        method=method,
        path=path,
        headers=dict(line.split(": ", 1) for line in lines),
        sent=json.loads(sent) if sent else None,
        status=int(response[1]) if response and response[1] else 200,
        body=json.loads(_ELLIPSIS.sub("", shown)) if shown else None,
        is_partial=bool(shown and _ELLIPSIS.search(shown)),
        parameters={
            row[0].strip("`"): {"type": row[1], "default": row[2].strip("`"), "text": row[3]}
            for row in table(text)
        },
    )


VIEW_PREFIXES = {
    "ChatViewSet": "/api/datachat",
    "EmbedViewSet": "/api/embed/{embed_id}",
    "WorkflowViewSet": "/api/automate",
    "ZapierViewSet": "/api/automate/zapier",
    "SchemaViewSet": "/api/automate/schema",
    "PromptEvalViewSet": "/api/automate/prompts",
    "EventIngestView": "/api/v1",
    "JobViewSet": "/api/v1",
    "ArtifactViewSet": "/api/v1",
    "ProviderViewSet": "/api/v1",
    "EndpointViewSet": "/api/v1",
    "ExecutionViewSet": "/api/v1",
    "RAGQueryViewSet": "/api/rag/endpoints",
}
"""Where each class of the views reference is mounted."""


def view_routes() -> set[tuple[str, str]]:
    """Return (method, path) of every row of the route tables of the views reference."""
    found = set()
    view = ""
    lines = VIEWS.splitlines()
    for line, following in pairwise(lines):
        view = line if line in VIEW_PREFIXES else view
        if route := re.fullmatch(r"(/\S*) \|", line):
            methods = following.partition(" |")[0].split("/")
            found |= {(method, VIEW_PREFIXES[view] + route[1]) for method in methods}
        elif line.startswith("automate_studio/"):
            break
        elif route := re.fullmatch(r"(GET|POST) (/\S*) \|", line):
            found.add((route[1], "/api/modal" + route[2]))
    return found
