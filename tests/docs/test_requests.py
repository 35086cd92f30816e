"""Every request the pages show, as `curl` or as an `http` block, is one the API's document knows.

Path, method, query parameters, headers and body are looked up in `docs/reference/openapi.yaml`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml
from django.urls import resolve

from tests.docs.pages import PAGES, ROOT, Block, blocks

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
EVERYWHERE = {"content-type", "x-api-key", "authorization", "accept", "last-event-id"}
"""Headers a document does not list with the operations: how the body is labelled, who asks, and those of streams."""
OF_SENDERS = {
    "x-github-event", "x-github-delivery", "x-hub-signature-256", "x-webhook-id", "x-webhook-signature",
}  # fmt: skip
"""Headers that senders of webhooks choose."""
WITHOUT_KEY = (
    "/api/auth/",
    "/api/automate/webhooks/",
    "/api/automate/resume/",
    "/api/automate/approvals/links/",
)

_REQUEST = re.compile(rf"^({'|'.join(METHODS)}) (\S+)$")
_HEADER = re.compile(r"^([\w-]+): (.+)$")
_VALUE = re.compile(r"\$\(.*?\)|\$\{?\w+\}?|\{\w+\}|<\w+>", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """A request as a page shows it."""

    where: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str
    is_pasted: bool = False


def shown() -> list[Any]:
    found = [one for page in PAGES for block in blocks(page, "http") for one in _of_http(block)]
    found += [one for page in PAGES for block in blocks(page, "bash", "console") for one in _of_shell(block)]
    return [pytest.param(one, id=f"{one.where} {one.method} {one.path}") for one in found]


def _of_http(block: Block) -> Iterator[Request]:
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if _REQUEST.match(line)] + [len(lines)]
    assert starts[0] == 0, f"{block}: begins with no request"
    for begin, end in pairwise(starts):
        match = _REQUEST.match(lines[begin])
        assert match is not None
        heads = [_HEADER.match(line) for line in lines[begin + 1 : end]]
        body = "\n".join(
            line for line, head in zip(lines[begin + 1 : end], heads, strict=True) if head is None
        )
        url = urlsplit(match[2])
        yield Request(
            str(block), match[1], url.path, dict(parse_qsl(url.query)),
            {head[1].lower(): head[2] for head in heads if head}, body.strip(),
        )  # fmt: skip


def _of_shell(block: Block) -> Iterator[Request]:
    variables = dict(re.findall(r"^(\w+)='(.*)'$", block.text, re.MULTILINE))
    files = dict(re.findall(r"^cat > (\S+) <<'JSON'\n(.*?)^JSON$", block.text, re.MULTILINE | re.DOTALL))
    text = block.text.replace("\\\n", " ")
    # Up to where the shell sees the command end: quoted text may go over several lines.
    for command in re.findall(r"(?<![\w.-])curl (?:'[^']*'|\"[^\"]*\"|[^\n|'\"])*", text):
        yield _of_curl(str(block), shlex.split(command), variables, files)


def _of_curl(where: str, words: list[str], variables: dict[str, str], files: dict[str, str]) -> Request:
    method, url, body, headers = "", "", "", {}
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name.strip().lower()] = value.strip()
        elif word in ("-d", "--data", "--data-binary"):
            body = next(rest)
        elif word in ("-w", "-o", "--max-time"):
            next(rest)
        elif not word.startswith("-"):
            assert not url, f"{where}: two URLs"
            url = word
    body = files[body[1:]] if body.startswith("@") else variables.get(body.removeprefix("$"), body)
    parts = urlsplit(url)
    assert parts.netloc == "127.0.0.1:7878", f"{where}: {url} cannot be pasted"
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(
        where, method or ("POST" if body else "GET"), parts.path, query, headers, body, is_pasted=True
    )


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "reference" / "openapi.yaml").read_text())
    return found


def operation(method: str, path: str) -> dict[str, Any]:
    """Return what the document says of a route; parameters in the path match anything."""
    value = _VALUE.sub("x", path)
    fitting = [known for known in document()["paths"] if _matches(known, value)]
    # A literal part is closer than a parameter: nodes/add/ before nodes/{node_id}/.
    for known in sorted(fitting, key=lambda one: one.count("{")):
        if method.lower() in document()["paths"][known]:
            found: dict[str, Any] = document()["paths"][known][method.lower()]
            return found
    pytest.fail(f"The document has no {method} {path}")


def _matches(known: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(known)), path) is not None


def resolved(thing: dict[str, Any]) -> dict[str, Any]:
    for part in thing["$ref"].removeprefix("#/").split("/") if "$ref" in thing else ():
        thing = document() if thing.get("$ref") else thing
        thing = thing[part]
    return thing


def problems_with(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what a schema of the document finds wrong with a value."""
    whole = nullable({**schema, "components": document()["components"]})
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]


def nullable(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as JSON Schema has it: `nullable` adds null to what is allowed."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


@pytest.mark.parametrize("request_", shown())
def test_requests_of_the_pages_are_those_of_the_api(request_: Request) -> None:
    if not request_.path.startswith("/api/"):
        assert resolve(request_.path)  # what is not of the API is in no document
        return
    known = operation(request_.method, request_.path)
    parameters = [resolved(one) for one in known.get("parameters", [])]
    assert set(request_.query) <= {one["name"] for one in parameters if one["in"] == "query"}
    headers = {one["name"].lower() for one in parameters if one["in"] == "header"}
    assert set(request_.headers) - EVERYWHERE - OF_SENDERS <= headers
    bodies = resolved(known.get("requestBody", {})).get("content", {})
    if request_.body and "..." not in request_.body:
        assert "application/json" in bodies
        assert problems_with(bodies["application/json"]["schema"], json.loads(request_.body)) == []


def test_curl_says_who_asks_and_what_it_sends() -> None:
    for one in (parameter.values[0] for parameter in shown()):
        if not one.is_pasted:
            continue
        is_open = one.path.startswith(WITHOUT_KEY) or not one.path.startswith("/api/")
        assert is_open or {"x-api-key", "authorization"} & set(one.headers), one
        assert not one.body or one.headers.get("content-type") == "application/json", one


def test_a_request_the_api_does_not_know_is_noticed() -> None:
    with pytest.raises(pytest.fail.Exception, match="no POST /api/nowhere/"):
        operation("POST", "/api/nowhere/")
    body = operation("POST", "/api/automate/workflows/")["requestBody"]["content"]["application/json"]
    assert problems_with(body["schema"], {"name": 5}) != []
