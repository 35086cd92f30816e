from __future__ import annotations

from typing import Any

import pytest

from automate.lint import Facts, KnownConnection
from tests.automate.lint.graphs import GET, call, graph, log, message, places
from tests.factories.engine import node

STORED = Facts(
    secrets=frozenset({"API_KEY"}),
    connections={
        "shop": KnownConnection("http"),
        "off": KnownConnection("http", is_enabled=False),
        "chat": KnownConnection("slack"),
    },
    bound=frozenset({"slack"}),
    workflows=frozenset({"make-invoice"}),
    workflow_ids=frozenset({"0198f2a0-1c2d-7e3f-9a4b-5c6d7e8f9a0b"}),
)
SAY = {"channel": "#orders", "message": "hi"}


def test_secret_that_is_not_stored_is_noticed() -> None:
    given = graph(call(config={**GET, "headers": {"X-Key": "$secret:API_KEI"}}))
    assert places("unknown_secret", given, STORED) == [("call", "graph.nodes[0].config.headers.X-Key")]
    assert message("unknown_secret", given, STORED).endswith("store it with automate_secret set API_KEI")


@pytest.mark.parametrize("text", ["$secret:API_KEY", "costs $secret:nothing", "$env:HOME"])
def test_secret_that_is_stored_or_none_is_fine(text: str) -> None:
    assert places("unknown_secret", graph(log(message=text)), STORED) == []


def test_what_is_not_known_is_not_judged() -> None:
    given = graph(call(config={**GET, "connection": "x", "headers": {"X-Key": "$secret:X"}}))
    assert (places("unknown_secret", given), places("unknown_connection", given)) == ([], [])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shp", "there is no connection 'shp'; create it or correct the name"),
        ("chat", "the connection 'chat' is for slack, not for http; name another"),
        ("off", "the connection 'off' is switched off; enable it"),
    ],
)
def test_connection_that_cannot_be_used_is_noticed(name: str, says: str) -> None:
    given = graph(call(config={**GET, "connection": name}))
    assert places("unknown_connection", given, STORED) == [("call", "graph.nodes[0].config.connection")]
    assert message("unknown_connection", given, STORED) == says


@pytest.mark.parametrize("name", [None, "shop", "{{ input.shop }}"])
def test_connection_that_may_be_used_is_fine(name: Any) -> None:
    config = GET if name is None else {**GET, "connection": name}
    assert places("unknown_connection", graph(call(config=config)), STORED) == []


def test_step_that_needs_a_connection_and_names_none_wants_exactly_one() -> None:
    given = graph(node("tell", "slack.send_message", SAY, timeout_seconds=5))
    assert places("unknown_connection", given, STORED) == []
    none = Facts(connections={}, bound=STORED.bound)
    assert message("unknown_connection", given, none) == "there is no enabled slack connection; create one"
    two = Facts(
        connections={"a": KnownConnection("slack"), "b": KnownConnection("slack")}, bound=STORED.bound
    )
    assert message("unknown_connection", given, two) == (
        "there are several slack connections; name one in connection"
    )


def test_workflow_that_does_not_exist_is_noticed() -> None:
    nodes = (
        node("a", "subworkflow", {"workflow": "make-invoce"}),
        node("b", "subworkflow", {"workflow": "make-invoice"}),
        node("c", "subworkflow", {"workflow": "0198f2a0-1c2d-7e3f-9a4b-5c6d7e8f9a0b"}),
    )
    assert places("unknown_workflow", graph(*nodes), STORED) == [("a", "graph.nodes[0].config.workflow")]
    assert message("unknown_workflow", graph(*nodes), STORED) == (
        "there is no workflow 'make-invoce'; create it or correct the slug"
    )
    of_errors = graph(log(), settings={"error_workflow": "absent"})
    assert places("unknown_workflow", of_errors, STORED) == [("", "graph.settings.error_workflow")]
    of_errors = graph(log(), settings={"error_workflow": "make-invoice"})
    assert places("unknown_workflow", of_errors, STORED) == []
    assert (
        places("unknown_workflow", graph(node("a", "subworkflow", {"workflow": "{{ input.slug }}"})), STORED)
        == []
    )
