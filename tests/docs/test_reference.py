"""The reference has all the code has: error codes, headers, roles, scopes, options, metrics, log events, messages."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class
from django.urls import URLPattern, URLResolver, get_resolver
from prometheus_client import REGISTRY

from automate.realtime import consumers, handshake, messages, statuses
from automate.timetable import Missed
from automate_api.errors import STATUS
from automate_core.errors import ErrorCodes
from automate_core.models import Role
from tests.docs.pages import ROOT, code_spans
from tests.docs.test_requests import document

REFERENCE = ROOT / "docs" / "reference"
PACKAGES = (
    "automate",
    "automate_api",
    "automate_connectors",
    "automate_core",
    "automate_modal",
    "automate_studio",
)


def cells(page: str, heading: str = "") -> list[list[str]]:
    """Return the cells of the rows of a page's tables that begin with code."""
    text = (ROOT / "docs" / page).read_text()
    text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0] if heading else text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def named(page: str, heading: str = "") -> set[str]:
    """Return what is named by code in the first column of the tables."""
    return {word for row in cells(page, heading) for word in re.findall(r"`([^`]+)`", row[0])}


def test_every_error_code_is_on_the_page_and_no_other() -> None:
    assert named("reference/errors.md") == set(ErrorCodes)


def test_statuses_of_codes_are_those_of_the_api() -> None:
    shown = {row[0].strip("`"): int(row[1][:3]) for row in cells("reference/errors.md", "Of requests")}
    assert shown == {code: STATUS[code] for code in shown}


def test_every_header_of_the_api_is_on_the_page() -> None:
    parts = document()["components"]
    headers = {one["name"] for one in parts["parameters"].values() if one["in"] == "header"}
    headers |= {one["name"] for one in parts["securitySchemes"].values() if one.get("in") == "header"}
    for operations in document()["paths"].values():
        for operation in operations.values():
            headers |= {one["name"] for one in operation.get("parameters", []) if one.get("in") == "header"}
            headers |= {name for one in operation["responses"].values() for name in one.get("headers", {})}
    assert len(headers) > 10
    shown = {word for span in code_spans(REFERENCE / "rest-api.md") for word in re.findall(r"[\w-]+", span)}
    assert headers - shown == set()


def test_every_role_is_on_the_page() -> None:
    text = (ROOT / "docs" / "how-to" / "authentication.md").read_text()
    shown = re.findall(r"^\| (\w+) \|", text.split("## Roles")[1].split("## ")[0], re.MULTILINE)
    assert shown[1:] == list(Role)


def test_every_resource_of_scopes_is_on_the_page_and_no_other() -> None:
    assert named("how-to/authentication.md", "Scopes") == {
        scope for view in views(get_resolver()) if (scope := getattr(view, "api_scope", ""))
    }


def views(found: URLResolver) -> Iterator[type]:
    for one in found.url_patterns:
        if isinstance(one, URLResolver):
            yield from views(one)
        elif isinstance(one, URLPattern):
            yield getattr(one.callback, "cls", None) or getattr(one.callback, "view_class", object)


def ours() -> list[str]:
    return sorted(name for name, app in get_commands().items() if str(app).startswith("automate"))


@pytest.mark.parametrize("name", ours())
def test_every_option_of_a_command_is_on_the_page(name: str) -> None:
    text = (REFERENCE / "commands.md").read_text()
    section = text.split(f"\n## {name}\n")
    about = section[1].split("\n## ")[0] if len(section) > 1 else ""
    about += "".join(line for line in text.splitlines() if line.startswith(f"| `{name}"))
    given = {option for option in options(name) if not re.search(rf"{option}(?![\w-])", about)}
    assert given == set()


def options(name: str) -> set[str]:
    """Return the long options of a command and of its verbs, without those of every command."""
    command = load_command_class(get_commands()[name], name)
    usual = {action.dest for action in BaseCommand().create_parser("manage.py", name)._actions}
    found: set[str] = set()
    for action in actions(command.create_parser("manage.py", name)):
        if action.dest not in usual and action.help != "==SUPPRESS==":
            found |= {option for option in action.option_strings if option.startswith("--")}
    return found


def actions(parser: ArgumentParser) -> Iterator[Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, _SubParsersAction):
            for verb in action.choices.values():
                yield from actions(verb)


@pytest.mark.django_db
def test_every_metric_is_on_the_page() -> None:
    found = {one.name for one in REGISTRY.collect() if one.name.startswith("automate_")}
    shown = {name.removesuffix("_total") for name in named("reference/telemetry.md", "Metrics")}
    assert len(found) > 10
    assert {name.removesuffix("_total") for name in found} <= shown


def test_every_log_event_is_on_the_page_and_no_other() -> None:
    call = re.compile(r"logger\.(?:debug|info|warning|error|exception|critical)\(\s*\"([a-z_]+\.[a-z_.]+)\"")
    said = {
        event
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for event in call.findall(path.read_text())
    }
    text = (REFERENCE / "telemetry.md").read_text().split("### Events")[1].split("\n## ")[0]
    first = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    assert {event for cell in first for event in re.findall(r"`([^`]+)`", cell)} == said


def test_every_message_of_the_socket_is_on_the_page() -> None:
    kinds = {*messages._NODE.values(), *messages._WORKFLOW.values(), *messages.FLEETING}
    kinds |= {"state_sync", "pong", "error"}
    shown = set(code_spans(REFERENCE / "live.md"))
    shown |= set(re.findall(r"^### (\w+)$", (REFERENCE / "live.md").read_text(), re.MULTILINE))
    assert kinds - shown == set()
    endings = {kind.removeprefix("iteration") for kind in messages._ITERATION.values()}
    assert {ending for ending in endings if f"`{ending}`" in (REFERENCE / "live.md").read_text()} >= {
        "_completed", "_failed", "_cancelled"
    }  # fmt: skip


def test_every_close_code_is_on_the_page_and_no_other() -> None:
    rows = (REFERENCE / "live.md").read_text().split("## Close codes")[1].splitlines()
    shown = {int(row.split(" | ")[0].strip("| ")) for row in rows if re.match(r"^\| \d+ \|", row)}
    of_the_server = {1012}  # sent by the web server when it ends
    assert shown == of_the_server | {
        consumers.TOO_BIG, consumers.POLICY, consumers.TRY_LATER, handshake.BAD_REQUEST, handshake.UNAUTHORIZED,
        handshake.FORBIDDEN, handshake.NOT_FOUND, handshake.TOO_MANY,
    }  # fmt: skip


def test_every_status_word_of_the_socket_is_on_the_page() -> None:
    assert set(statuses.SOCKET_WORDS.values()) <= set(code_spans(REFERENCE / "live.md"))


def test_every_way_to_miss_a_schedule_is_on_the_page() -> None:
    assert set(Missed) <= set(code_spans(ROOT / "docs" / "how-to" / "schedules.md"))
