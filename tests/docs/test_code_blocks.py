"""Every code block of the documentation: Python runs, JSON parses, commands are understood, links lead somewhere.

The blocks of a page share one namespace and run in order; tests they define are run too. `BEFORE` holds what a block
takes for granted, by page and place among the page's Python blocks. A line that ends in a comment with a Python literal
must have that value.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tokenize
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from django.db import transaction
from rest_framework.serializers import Serializer

from automate.events import run_workflow
from automate.models import Execution
from automate_connectors import registry as connector_registry
from automate_core import secrets
from automate_core.doctor import doctor_registry
from automate_core.models import Tenant
from automate_core.redaction import redact
from automate_core.secrets import secret_backends
from tests.docs.pages import PAGES, ROOT, Block, anchors, blocks, code_spans, links, name_of
from tests.factories.engine import drain, edge, node, workflow

Names = dict[str, Any]

LANGUAGES = {"bash", "console", "http", "js", "json", "mermaid", "nginx", "python", "sql", "text", "yaml"}
OURS = {
    "automate_api",
    "automate_connectors",
    "automate_core",
    "automate_llm",
    "automate_modal",
    "automate_studio",
}

ONLY_IMPORTS = {
    ("docs/how-to/watch-live.md", 0): "it follows a server; tests/automate/realtime has such clients",
    ("docs/reference/outbound-http.md", 0): "it calls a server on the internet",
}
"""Python blocks of which only the imports are run, and why."""


def has_order(names: Names) -> None:
    names |= {"transaction": transaction, "order": SimpleNamespace(id=7, save=lambda: None)}


def has_settings(names: Names) -> None:
    names["MIDDLEWARE"] = ["django.middleware.common.CommonMiddleware"]


def has_a_secret_to_store(names: Names) -> None:
    names |= {"value": "sk_test_4242", "user": SimpleNamespace(pk=1)}


def has_a_stored_secret(names: Names) -> None:
    from pydantic import BaseModel

    secrets.store("STRIPE_API_KEY", "sk_test_4242", by="test")
    config = SimpleNamespace(api_key=secrets.SecretRef("$secret:STRIPE_API_KEY"))
    names |= {"stripe": SimpleNamespace(), "BaseModel": BaseModel, "config": config}


def has_a_partner(names: Names) -> None:
    names |= {"call_the_partner": lambda: "fine", "record": lambda output: None, "redact": redact}


def has_environment(names: Names) -> None:
    names["os"] = SimpleNamespace(environ={"AUTOMATE_SECRET_KEY": "", "VAULT_TOKEN": ""})


def has_backends(names: Names) -> None:
    names |= {"re": re, "SecretBackend": secrets.SecretBackend, "secret_backends": secret_backends}


def has_a_logger(names: Names) -> None:
    import logging

    names["logger"] = logging.getLogger("docs")


def has_items(names: Names) -> None:
    names |= {"kinds": ["event"], "items": []}


def has_a_workflow(names: Names) -> None:
    workflow(node("hello", "logging", {"message": "Hello {{ input.name }}"}), slug="send-welcome-email")


def has_an_automation(names: Names) -> None:
    names["automation"] = workflow(node("log", "logging", {"message": "{{ input.order_id }}"}), slug="log")


def has_a_waiting_execution(names: Names) -> None:
    hold = {"seconds": 3600}
    workflow(
        node("begin", "merge"), node("approve", "delay", hold), node("charge", "delay", hold),
        edges=[edge("begin", "approve"), edge("begin", "charge")], slug="charge",
    )  # fmt: skip
    execution_id = run_workflow("charge", {})
    drain()
    names["execution"] = Execution.objects.get(pk=execution_id)


def has_models(names: Names) -> None:
    names |= dict.fromkeys(("Order", "Invoice"), Tenant)
    names |= dict.fromkeys(("OrderSerializer", "InvoiceSerializer"), Serializer)


def has_a_celery_application(names: Names) -> None:
    from celery import Celery

    names["app"] = Celery("host", set_as_current=False)


BEFORE: dict[tuple[str, int], Callable[[Names], None]] = {
    ("README.md", 0): has_order,
    ("docs/how-to/deploy.md", 0): has_a_celery_application,
    ("docs/how-to/executions.md", 0): has_a_waiting_execution,
    ("docs/how-to/extend-the-api.md", 0): has_models,
    ("docs/how-to/host-project.md", 1): has_settings,
    ("docs/how-to/secrets.md", 0): has_a_secret_to_store,
    ("docs/how-to/secrets.md", 1): has_a_stored_secret,
    ("docs/how-to/secrets.md", 2): has_a_partner,
    ("docs/how-to/secrets.md", 3): has_environment,
    ("docs/how-to/secrets.md", 6): has_backends,
    ("docs/reference/python-api.md", 0): has_a_workflow,
    ("docs/reference/python-api.md", 2): has_an_automation,
    ("docs/reference/telemetry.md", 0): has_a_logger,
    ("docs/reference/telemetry.md", 2): has_items,
}


@pytest.fixture
def _registries() -> Iterator[None]:
    """Take out again what the pages register."""
    yield
    connector_registry.unregister("weather")
    doctor_registry.unregister("printer")
    secret_backends.unregister("keyring")


def pages_with(*languages: str) -> list[Any]:
    return [pytest.param(page, id=name_of(page)) for page in PAGES if blocks(page, *languages)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_registries")
@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run_and_have_the_values_they_show(page: Path) -> None:
    names: Names = {"__name__": "documentation"}
    for place, block in enumerate(blocks(page, "python")):
        BEFORE.get((name_of(page), place), lambda _: None)(names)
        run(block, names, only_imports=(name_of(page), place) in ONLY_IMPORTS)
        for test in [name for name in names if name.startswith("test_")]:
            names.pop(test)()


def test_settings_of_the_blocks_name_places_that_have_one() -> None:
    places = {(name_of(page), place) for page in PAGES for place in range(len(blocks(page, "python")))}
    assert (set(BEFORE) | set(ONLY_IMPORTS)) - places == set()


def run(block: Block, names: Names, *, only_imports: bool = False) -> None:
    """Run a block statement by statement, with the line numbers of its page."""
    source = "\n" * (block.line - 1) + block.text
    shown = comments(source)
    for statement in ast.parse(source).body:
        if only_imports and not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), str(block), "exec", dont_inherit=True), names)
            continue
        value = eval(compile(ast.Expression(statement.value), str(block), "eval", dont_inherit=True), names)
        try:
            expected = ast.literal_eval(shown.get(statement.end_lineno or 0, ""))
        except (SyntaxError, ValueError):
            continue
        assert value == expected, f"{name_of(block.page)}:{statement.lineno}"


def comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def test_a_block_that_shows_a_wrong_value_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"README\.md:3"):
        run(Block(ROOT / "README.md", 3, "python", "1 + 1   # 3\n"), {})


@pytest.mark.parametrize("page", pages_with("json"))
def test_json_blocks_parse(page: Path) -> None:
    for block in blocks(page, "json"):
        try:
            json.loads(block.text)
        except ValueError as error:
            pytest.fail(f"{block}: {error}")


def test_every_block_has_a_language_that_is_looked_at() -> None:
    assert {block.language for page in PAGES for block in blocks(page)} <= LANGUAGES


def mentions() -> list[Any]:
    """Return every use of a command of ours: where it is, its name, its words, whether it can be run as it is."""
    command = re.compile(r"(?<![\w/.-])(automate_[a-z]+|outbox_reap)(?![\w./-])(.*)")
    found = []
    for page in PAGES:
        lines = [(f"{block}", line, True) for block in blocks(page, "bash", "console", "text")
                 for line in block.text.replace("\\\n", " ").splitlines()]  # fmt: skip
        lines += [(name_of(page), span, False) for span in code_spans(page)]
        for where, line, is_whole in lines:
            match = command.search(line)
            if match and match[1] not in OURS and not match[2].startswith(("[", "=")):
                words = first_command(match[2])
                is_whole &= not any("[" in word or re.fullmatch(r"[A-Z]+", word) for word in words)
                found.append(pytest.param(match[1], words, is_whole, id=f"{where} {match[0].strip()}"))
    return found


def first_command(text: str) -> list[str]:
    """Return the words up to where the shell would begin something else."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = []
    for word in lexer:
        if word[0] in "|();<>&":
            break
        words.append(word)
    return words


@pytest.mark.parametrize(("name", "words", "is_whole"), mentions())
def test_commands_are_understood(name: str, words: list[str], is_whole: bool) -> None:
    assert name in get_commands()
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    parsers = [parser]
    verbs = next((one.choices for one in parser._actions if isinstance(one, _SubParsersAction)), {})
    if verbs and words and not words[0].startswith(("-", "[")):
        parsers = [verbs[verb] for verb in words[0].split("|")]
    known = {option for one in parsers for option in one._option_string_actions}
    assert {option for word in words for option in re.findall(r"^\[?(--[a-z-]+)", word)} - known == set()
    if is_whole:
        parse(parser, words)


def parse(parser: ArgumentParser, words: list[str]) -> None:
    try:
        parser.parse_args(words)
    except CommandError as error:
        pytest.fail(str(error))
    except SystemExit as ended:
        pytest.fail(f"the parser ends with {ended.code}")


def test_commands_of_every_app_are_described() -> None:
    ours = {name for name, app in get_commands().items() if str(app).startswith("automate")}
    page = ROOT / "docs" / "reference" / "commands.md"
    described = {word for span in code_spans(page) for word in span.split()[:1]}
    assert ours - described == set()


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES if links(page)])
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link
