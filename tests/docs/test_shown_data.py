"""JSON and text of the pages: each block is a graph, a trigger, a body or an answer of the API, or made and compared.

`test_every_block_is_looked_at` lists the blocks nobody looks at; there must be none.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import playwright
import pytest
import yaml
from django.contrib.auth import get_user_model
from django.core.management import get_commands
from django.db import DatabaseError, connection, transaction
from django.test import Client

from automate import workflows
from automate.events import run_workflow
from automate.models import Execution
from automate.realtime import snapshot
from automate.realtime.routing import websocket_urlpatterns
from automate.triggers import trigger_problems
from automate_core import audit, sql
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, Tenant
from automate_core.templating import compile_template
from tests.docs import test_requests as requests
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of
from tests.factories.engine import drain, node, workflow

NODE = Path(playwright.__file__).parent / "driver" / "node"
"""The JavaScript engine that comes with playwright's wheel."""

Place = tuple[str, int]
Judge = Callable[[Any], None]


def graph(shown: Any) -> None:
    """It compiles: a graph, or one node of it."""
    assert workflows.problems(graph=shown if "nodes" in shown else {"nodes": [shown]}) == []


def trigger(shown: Any) -> None:
    """It is the `trigger_config` of a workflow that events start."""
    assert trigger_problems("event", shown) == []


def template(shown: Any) -> None:
    """Every text of it is a template."""
    compile_template(shown)


def body_of(method: str, path: str) -> Judge:
    """It is a body of this operation."""

    def judge(shown: Any) -> None:
        known = requests.resolved(requests.operation(method, path)["requestBody"])
        assert requests.problems_with(known["content"]["application/json"]["schema"], shown) == []

    return judge


def answer_of(method: str, path: str, status: int) -> Judge:
    """It is what this operation answers, with every field and no other."""

    def judge(shown: Any) -> None:
        known = requests.resolved(requests.operation(method, path)["responses"][str(status)])
        schema = known["content"]["application/json"]["schema"]
        assert requests.problems_with(schema, shown) == []
        fields = requests.resolved(schema).get("properties", {})
        assert not isinstance(shown, dict) or set(shown) <= set(fields)

    return judge


JSON: dict[Place, Judge] = {
    ("docs/how-to/approvals.md", 0): graph,
    ("docs/how-to/canvas-api.md", 0): answer_of("GET", "/api/workflow/{id}/start_execution/", 422),
    ("docs/how-to/call-the-api.md", 0): answer_of("POST", "/api/automate/workflows/", 400),
    ("docs/how-to/connectors.md", 0): graph,
    ("docs/how-to/endpoints.md", 0): answer_of("POST", "/api/v1/endpoints/{id}/run/", 200),
    ("docs/how-to/events.md", 0): answer_of("POST", "/api/automate/events/", 201),
    ("docs/how-to/executions.md", 0): body_of("POST", "/api/automate/executions/{id}/replay/"),
    ("docs/how-to/executions.md", 1): body_of("POST", "/api/automate/executions/{id}/replay/"),
    ("docs/how-to/failures.md", 0): graph,
    ("docs/how-to/failures.md", 1): graph,
    ("docs/how-to/failures.md", 2): graph,
    ("docs/how-to/limits.md", 0): graph,
    ("docs/how-to/limits.md", 1): trigger,
    ("docs/how-to/limits.md", 2): trigger,
    ("docs/how-to/lists.md", 0): graph,
    ("docs/how-to/waiting.md", 0): graph,
    ("docs/how-to/waiting.md", 1): graph,
    ("docs/how-to/webhooks.md", 0): graph,
    ("docs/how-to/workflows-of-workflows.md", 0): graph,
    ("docs/how-to/zapier.md", 0): answer_of("GET", "/api/automate/zapier/triggers/", 200),
    ("docs/reference/rest-api.md", 0): answer_of("POST", "/api/automate/workflows/", 400),
    ("docs/reference/rest-api.md", 1): body_of("POST", "/api/automate/workflows/"),
    ("docs/reference/templates.md", 0): template,
    ("docs/tutorial.md", 0): answer_of("POST", "/api/automate/webhooks/{source}/", 202),
    ("docs/tutorial.md", 1): answer_of("POST", "/api/automate/executions/{id}/replay/", 202),
}
"""What the JSON blocks of a page are, by place among them."""

MADE = {
    ("docs/how-to/development-mode.md", 0): "test_a_node_tried_out_gives_what_is_shown",
    ("docs/how-to/development-mode.md", 1): "test_a_step_of_a_loop_gives_what_is_shown",
    ("docs/how-to/rules.md", 0): "test_a_refused_rule_says_what_is_shown",
    ("docs/how-to/watch-live.md", 0): "test_the_socket_shown_is_routed",
    ("docs/how-to/workflows-of-workflows.md", 1): "test_an_error_workflow_gets_what_is_shown",
    ("docs/how-to/workflows-of-workflows.md", 2): "test_an_error_workflow_gets_what_is_shown",
    ("docs/reference/live.md", 0): "test_the_state_of_a_workflow_has_the_members_shown",
}
"""Blocks that tests below make anew and compare."""

PAGES_OF_THEIR_OWN = {
    "docs/how-to/model-triggers.md": "test_triggers_pages.py",
    "docs/how-to/schedules.md": "test_triggers_pages.py",
    "docs/how-to/workflows.md": "test_workflows_page.py",
    "docs/reference/nodes.md": "test_nodes_page.py",
    "docs/reference/triggers.md": "test_triggers_pages.py",
}
"""Pages whose JSON and text have a test module of their own."""

LOOKED_AT_ELSEWHERE = {
    ("docs/how-to/endpoints.md", "text", 0): "tests/automate_modal/api/test_stream.py has such a stream",
    (
        "docs/how-to/operate.md",
        "text",
        0,
    ): "an installation with these faults; tests/automate_core/commands/test_automate_doctor.py has each",
    (
        "docs/reference/commands.md",
        "text",
        8,
    ): "tests/automate/commands/test_automate_execution.py has such a table",
    (
        "docs/reference/commands.md",
        "text",
        10,
    ): "tests/automate/commands/test_automate_lint.py has such lines",
    ("docs/how-to/watch-live.md", "nginx", 0): "the configuration of another program",
}
"""Blocks that are examples of what tests outside of this folder make, and why they are not made here."""

GENERAL = {
    "bash": "test_lines_of_the_shell_are_programs_that_exist and test_requests.py",
    "console": "the same",
    "http": "test_requests.py",
    "js": "test_scripts_parse",
    "mermaid": "test_states.py",
    "python": "test_code_blocks.py",
    "sql": "test_statements_that_erase_a_trail_do",
    "yaml": "test_yaml_parses",
}
"""Languages of which every block is looked at."""


def places(*languages: str) -> dict[tuple[str, str, int], Block]:
    return {
        (name_of(page), language, place): block
        for page in PAGES
        for language in languages
        for place, block in enumerate(blocks(page, language))
    }


def test_every_block_is_looked_at() -> None:
    languages = {block.language for page in PAGES for block in blocks(page)}
    left = {
        place
        for place in places(*languages - set(GENERAL))
        if place[0] not in PAGES_OF_THEIR_OWN
        and (place[0], place[2]) not in (JSON if place[1] == "json" else {})
        and (place[0], place[2]) not in MADE
        and place not in LOOKED_AT_ELSEWHERE
        and not _is_synopsis(place)
        and not _is_of_the_tutorial(place)
    }
    assert left == set()


def test_what_is_said_of_blocks_is_said_of_blocks_that_exist() -> None:
    known = {(page, place) for page, _, place in places("json", "text")}
    assert set(JSON) | set(MADE) <= known
    assert set(LOOKED_AT_ELSEWHERE) <= set(places("text", "nginx"))
    assert set(MADE.values()) <= set(globals())
    assert all((Path(__file__).parent / name).is_file() for name in PAGES_OF_THEIR_OWN.values())


def _is_synopsis(place: tuple[str, str, int]) -> bool:
    """Tell whether every line is a use of a command of ours, which test_code_blocks.py parses."""
    lines = places(place[1])[place].text.splitlines()
    return all(line.split()[0] in get_commands() for line in lines if line)


def _is_of_the_tutorial(place: tuple[str, str, int]) -> bool:
    return place[0] == "docs/tutorial.md" and place[1] == "text"  # test_tutorial.py compares them


@pytest.mark.parametrize("place", [pytest.param(place, id=f"{place[0]}:{place[1]}") for place in JSON])
@pytest.mark.django_db
def test_json_is_what_the_page_says(place: Place) -> None:
    JSON[place](json.loads(places("json")[place[0], "json", place[1]].text))


def shell() -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in places("bash", "console").values()]


@pytest.mark.parametrize("block", shell())
def test_shell_parses(block: Block) -> None:
    text = block.text if block.language == "bash" else "\n".join(_typed(block))
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PROGRAMS = {
    "curl",
    "make",
    "python",
    ".venv/bin/python",
    "printf",
    "openssl",
    "sed",
    "tail",
    "cat",
    "python3",
}


@pytest.mark.parametrize("block", shell())
def test_lines_of_the_shell_are_programs_that_exist(block: Block) -> None:
    for line in _typed(block):
        # Of an assignment, what its value is made with.
        words = shlex.split(re.sub(r"^\w+=\$\(", "", line), comments=True)
        words = words[1:] if words and re.match(r"\w+=", words[0]) else words
        if not words:
            continue
        program, *more = words
        assert program in PROGRAMS | {"pip", "git", "cd", ".", "automate", "export"}, line
        if program == "make":
            targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert next(word for word in more if "=" not in word) in targets, line
        elif program.endswith("python") and more[0] == "manage.py":
            assert more[1] in get_commands(), line
        elif program.endswith("python") and more[0] == "-m":
            path = ROOT / more[1].replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), line


def _typed(block: Block) -> list[str]:
    """Return what a person types: in a console, what follows the prompt; without the text of here-documents."""
    text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block.text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), text.replace("\\\n", " "))
    lines = text.splitlines()
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return lines


@pytest.mark.parametrize("block", [pytest.param(one, id=str(one)) for one in places("js").values()])
def test_scripts_parse(block: Block) -> None:
    done = subprocess.run([NODE, "--check", "-"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [pytest.param(one, id=str(one)) for one in places("yaml").values()])
def test_yaml_parses(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


def shown(page: str, language: str, place: int) -> str:
    return places(language)[page, language, place].text


@pytest.mark.django_db(transaction=True)
def test_an_error_workflow_gets_what_is_shown() -> None:
    page = "docs/how-to/workflows-of-workflows.md"
    settings, given = (json.loads(shown(page, "json", place)) for place in (1, 2))
    alarm = workflow(node("say", "logging", {"message": "{{ input.status }}"}), slug="alarm")
    charge = node("charge", "transform", {"output": "{{ input.nothing }}"})
    workflows.create_workflow(
        name="orders", graph={**settings, "nodes": [charge]}, trigger_type="manual", by="test"
    )
    run_workflow("orders", {"order_id": "O1"})
    drain()
    got = Execution.objects.get(automation=alarm).context
    assert (set(got), set(got["error"])) == (set(given), set(given["error"]))
    assert (got["workflow"], got["status"], got["input"]) == ("orders", "FAILED", {"order_id": "O1"})


@pytest.mark.django_db(transaction=True)
def test_a_node_tried_out_gives_what_is_shown() -> None:
    page = "docs/how-to/development-mode.md"
    canvas = Canvas()
    canvas.add("greet", "data-transformer")
    given, expected = shown(page, "http", 0).split("\n\n", 1)[1], json.loads(shown(page, "json", 0))
    answer = canvas.post("execute_and_save_node/", json.loads(given))
    assert {**answer, "session_id": expected["session_id"]} == expected


@pytest.mark.django_db(transaction=True)
def test_a_step_of_a_loop_gives_what_is_shown() -> None:
    canvas = Canvas()
    canvas.add("lines", "for-each")
    body = {"node_id": "lines", "form_values": {"items": ["tea", "mug", "pot"]}}
    answer = canvas.post("execute_and_save_node/", body)
    assert answer["output"] == json.loads(shown("docs/how-to/development-mode.md", "json", 1))


class Canvas:
    """An administrator who draws a workflow."""

    def __init__(self) -> None:
        self.client = Client()
        self.client.force_login(get_user_model().objects.create_superuser("ada"))
        self.root = "/api/workflow/"
        self.root += f"{self.post('', {'name': 'Drawn'})['id']}/"

    def post(self, path: str, body: Any) -> Any:
        answer = self.client.post(self.root + path, body, content_type="application/json")
        assert answer.status_code < 300, answer.content
        return answer.json()

    def add(self, node_id: str, kind: str) -> None:
        self.post("nodes/add/", {"id": node_id, "nodeTemplate": kind, "position": {"x": 0, "y": 0}})


def test_a_refused_rule_says_what_is_shown() -> None:
    from automate.rules import InvalidRule, compile_rule

    with pytest.raises(InvalidRule) as caught:
        compile_rule({"and": [True, {"==": [{"vra": "a"}, 1]}]})
    assert str(caught.value).startswith(shown("docs/how-to/rules.md", "text", 0).strip().removesuffix("..."))


def test_the_socket_shown_is_routed() -> None:
    url = shown("docs/how-to/watch-live.md", "text", 0).strip()
    path = url.removeprefix("ws://127.0.0.1:7878/").replace("{workflow_id}", str(uuid7()))
    assert [one for one in websocket_urlpatterns if one.pattern.match(path)] != []


@pytest.mark.django_db(transaction=True)
def test_the_state_of_a_workflow_has_the_members_shown() -> None:
    example = json.loads(shown("docs/reference/live.md", "json", 0))
    assert set(example) >= {"type", "state", "execution_id", "seq"}
    made = workflow(
        node("shape", "transform", {"output": 1}), node("call", "delay", {"seconds": 3600}), slug="state"
    )
    run_workflow("state", {})
    drain()
    rows = sql.execute(snapshot.READ, snapshot.params(str(made.id)))
    state = snapshot.state_of(str(made.id), rows)
    assert list(state) == list(example["state"])
    assert set(state["executing_nodes"]["call"]) == set(example["state"]["executing_nodes"]["call"])
    assert set(state["completed_nodes"][0]) == set(example["state"]["completed_nodes"][0])


@pytest.mark.django_db(transaction=True)
def test_statements_that_erase_a_trail_do() -> None:
    tenant = Tenant.objects.create(slug="acme", name="Acme")
    for scope in (tenant.pk, DEFAULT_TENANT_ID):
        with tenant_scope(scope):
            audit.record(actor="user:7", action="order.approved", target="order:41")
    (block,) = places("sql").values()
    with connection.cursor() as cursor:
        cursor.execute(block.text.replace("'...'", f"'{tenant.pk}'"))
    assert AuditEntry.all_tenants.filter(tenant=tenant).count() == 0
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM automate_core_auditentry")
