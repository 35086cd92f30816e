"""The OpenAPI document: complete, true to the reference, and not changed unawares."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from tests.automate_api.test_routes import PUBLIC
from tests.contract import documented
from tests.contract.test_rest_api import ADDED, MOUNTED, differences

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.yaml"
SHARED = {"X-Trace-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


@pytest.fixture(scope="module")
def text() -> str:
    written = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=written)
    return written.getvalue().strip()


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def resolved(document: dict[str, Any], thing: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in thing:
        return thing
    found = document
    for part in thing["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_committed_document_is_the_generated_one(text: str) -> None:
    assert COMMITTED.read_text().strip() == text, "if this change is meant, run: make openapi"


def test_every_operation_says_how_to_authenticate(document: dict[str, Any]) -> None:
    schemes = {"bearerAuth", "apiKeyAuth", "sessionAuth", "webhookSignature"}
    assert set(document["components"]["securitySchemes"]) == schemes
    paths = [url.replace("<", "{").replace(">", "}") for url in PUBLIC]
    for name, operation in operations(document).items():
        found = {scheme for alternative in operation.get("security", []) for scheme in alternative}
        if "/webhooks/" in name:
            assert found == {"webhookSignature"}
        elif name.split(" ")[1] in paths:
            assert found == set()
        else:
            assert found == {"bearerAuth", "apiKeyAuth", "sessionAuth"}


def failures_of(name: str, operation: dict[str, Any]) -> set[str]:
    """Return the statuses from 400 an operation has to name, from who may call it and how."""
    schemes = {scheme for alternative in operation.get("security", []) for scheme in alternative}
    found = {"400", "405", "413", "415", "429", "500", "503"}
    if "apiKeyAuth" in schemes:
        found |= {"401", "403", "404"} | (set() if name.startswith("GET") else {"409"})
    elif schemes or "/auth/" in name:
        found |= {"401"}
    elif "{" in name:
        found |= {"404"}
    return found | ({"422"} if is_flat(name) else set())


def is_flat(name: str) -> bool:
    return name.partition(" ")[2].startswith(("/api/workflow/", "/api/nodes/"))


def test_every_operation_names_the_errors_that_can_happen(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        found = {status for status in operation["responses"] if status >= "400"}
        # A view may name a status of its own besides.
        assert (name, failures_of(name, operation) - found) == (name, set())
        assert (name, found - failures_of(name, operation)) in [(name, set()), (name, {"409"})]


OWN_HEADERS = {
    "401": {"WWW-Authenticate"},
    "405": {"Allow"},
    "409": {"Retry-After"},
    "415": {"Accept-Encoding"},
    "429": {"Retry-After"},
    "503": {"Retry-After"},
}


def test_every_response_has_its_headers_and_every_error_its_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, ref in operation["responses"].items():
            response = resolved(document, ref)
            assert response["headers"].keys() >= SHARED | OWN_HEADERS.get(status, set()), (name, status)
            assert not [header for header in response["headers"].values() if "$ref" in header and
                        header["$ref"].rpartition("/")[2] not in document["components"]["headers"]]  # fmt: skip
            if status >= "400":
                schema = response["content"]["application/json"]["schema"]
                shape = "FlatError" if is_flat(name) else "Error"
                assert schema == {"$ref": f"#/components/schemas/{shape}"}, (name, status)


def test_example_of_an_error_is_that_of_the_reference(document: dict[str, Any]) -> None:
    shown = documented.json_block(documented.section("Error Responses"))
    assert (
        document["components"]["responses"]["BadRequest"]["content"]["application/json"]["example"] == shown
    )


def test_mutations_take_an_idempotency_key(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        given = {resolved(document, parameter)["name"] for parameter in operation["parameters"]}
        is_ours = any("apiKeyAuth" in one for one in operation.get("security", []))
        assert {"X-Trace-ID", "traceparent"} <= given
        assert ("X-Tenant-ID" in given) == is_ours
        changes = not name.startswith("GET") or operation.get("x-changes-something", False)
        assert ({"X-Request-ID", "Idempotency-Key"} <= given) == (is_ours and changes)


def test_gets_that_start_or_stop_something_say_so(document: dict[str, Any]) -> None:
    gets = {
        name
        for name, operation in operations(document).items()
        if name.startswith("GET") and "409" in operation["responses"]
    }
    assert gets == {f"GET /api/workflow/{{id}}/{verb}_execution/" for verb in ("start", "stop")}


def test_a_node_is_not_moved_without_a_position(document: dict[str, Any]) -> None:
    moved = operations(document)["PATCH /api/workflow/{id}/nodes/{node_id}/position/"]
    assert moved["requestBody"]["content"]["application/json"]["schema"]["required"] == ["position"]


def example_of(content: dict[str, Any]) -> Any:
    (media,) = content.values()
    if "example" in media:
        return media["example"]
    (only,) = media["examples"].values()
    return only["value"]


@pytest.mark.parametrize("example", MOUNTED, ids=lambda example: example.name)
def test_examples_are_those_of_the_reference(document: dict[str, Any], example: documented.Example) -> None:
    operation = operations(document)[example.name]
    if example.sent is not None:
        assert example_of(operation["requestBody"]["content"]) == example.sent
    if example.body is not None:
        shown = example_of(operation["responses"][str(example.status)]["content"])
        if example.is_partial:
            shown = {name: shown[name] for name in example.body}
        assert differences(example.body, shown, ADDED.get(example.name, set())) == []


def test_document_is_served_as_it_is_committed(client: Any, document: dict[str, Any]) -> None:
    assert json.loads(client.get("/api/schema/").content)["paths"].keys() == document["paths"].keys()
