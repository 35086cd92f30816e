"""The page of every REST operation, made from openapi.yaml while the site is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/rest-operations.md"
DOCUMENT = "reference/openapi.yaml"
_TITLES = {"auth": "Tokens", "automate": "Automate", "modal": "Calls and results", "v1": "The same under v1"}
_INTRODUCTION = """# REST operations

Every operation of the API, from its OpenAPI document. What holds for all of them (credentials, headers, errors, limits,
lists) is on the page [REST API](rest-api.md). Each may also answer 400, 405, 413, 415, 429, 500 and 503.
"""
_COMMON = {"400", "405", "413", "415", "429", "500", "503"}


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the page to those of the site (an event of MkDocs)."""
    document = yaml.safe_load((Path(config["docs_dir"]) / DOCUMENT).read_text())
    files.append(File.generated(config, PAGE, content=page(document)))
    return files


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document, in Markdown."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            text = "\n".join(_operation(document, f"{method.upper()} {path}", operation))
            by_tag.setdefault(operation["tags"][0], []).append(text)
    sections = [
        f"## {_TITLES.get(tag, tag.capitalize())}\n\n" + "\n".join(by_tag[tag]) for tag in sorted(by_tag)
    ]
    return "\n".join([_INTRODUCTION, *sections])


def _operation(document: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield operation.get("description", "") + "\n"
    parameters = [one for one in operation.get("parameters", []) if "$ref" not in one]
    if parameters:
        yield "| Parameter | In | Type | |\n|---|---|---|---|"
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {_cell(one.get('description', ''))} |"
        yield ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body (`{media}`):\n"
        yield from _fields(document, content["schema"], has_required=True)
        yield from _example(content)
    yield "| Answer | |\n|---|---|"
    for status, response in operation["responses"].items():
        if status not in _COMMON:
            told = _resolved(document, response).get("description") or HTTPStatus(int(status)).phrase
            yield f"| {status} | {_cell(told)} |"
    yield ""
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items() if status < "300" else ():
            yield f"{status} (`{media}`):\n"
            yield from _fields(document, content.get("schema", {}))
            yield from _example(content)


def _fields(
    document: Mapping[str, Any], schema: Mapping[str, Any], *, has_required: bool = False
) -> Iterator[str]:
    found = _resolved(document, schema)
    if found.get("type") == "array":
        yield "A list of:\n"
        found = _resolved(document, found["items"])
    if not found.get("properties"):
        return
    yield "| Field | Type | |\n|---|---|---|"
    for name, field in found["properties"].items():
        notes = [field.get("description", "")]
        notes += ["required"] if has_required and name in found.get("required", ()) else []
        yield f"| `{name}` | {_type(field)} | {_cell('; '.join(filter(None, notes)))} |"
    yield ""


def _example(content: Mapping[str, Any]) -> Iterator[str]:
    values = [one["value"] for one in content.get("examples", {}).values()]
    values += [content["example"]] if "example" in content else []
    for value in values:
        yield f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return _cell(", ".join(f"`{value}`" for value in schema["enum"] if value is not None))
    name = schema.get("$ref", "").rpartition("/")[2]
    if name or "allOf" in schema or "oneOf" in schema:
        return name or ", ".join(_type(one) for one in schema.get("allOf", schema.get("oneOf", ())))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format", kind))


def _resolved(document: Mapping[str, Any], thing: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = document
    for part in thing.get("$ref", "").removeprefix("#/").split("/") if "$ref" in thing else ():
        found = found[part]
    return found if "$ref" in thing else thing


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
