from __future__ import annotations

from typing import Any

import pytest

from automate.lint import Facts, Sample
from tests.automate.lint.graphs import EACH, READS_INPUT, graph, log, looped, message, places
from tests.factories.engine import edge, node

PAYLOAD = {"order": {"id": "O1", "note": None}, "lines": [{"sku": "a"}], "total": 150}
KNOWN = Facts(sample=Sample(PAYLOAD, "the last event order.created"))
FIELD = ("log", "graph.nodes[0].config.message")


@pytest.mark.parametrize(
    "path",
    [
        "input.totl",
        "event.payload.order.name",
        "event.payload.total.cents",
        "input.order.note.text",
        "input.lines.x",
    ],
)
def test_path_the_last_event_did_not_have_is_noticed(path: str) -> None:
    assert places("unknown_path", graph(log(message=f"Hi {{{{ {path} }}}}")), KNOWN) == [FIELD]


@pytest.mark.parametrize(
    "path",
    [
        "input",
        "input.total",
        "event.payload.order.id",
        "input.lines[0].sku",
        "input.lines[5].sku",
        "input.nick | default('you')",
        "event.type",
        "execution.trace_id",
        "workflow.slug",
        "variables.anything",
        "steps",
    ],
)
def test_path_that_may_be_there_is_fine(path: str) -> None:
    assert places("unknown_path", graph(log(message=f"Hi {{{{ {path} }}}}")), KNOWN) == []


def test_without_an_event_no_path_into_the_payload_is_judged() -> None:
    assert places("unknown_path", graph(log(message="{{ input.totl }}"))) == []


def test_message_names_the_event_and_the_nearest_key() -> None:
    assert message("unknown_path", graph(log(message="{{ input.totl }}")), KNOWN) == (
        "'input.totl' was not in the last event order.created: input has no 'totl', did you mean 'total'?;"
        " correct the path or add default(...)"
    )


@pytest.mark.parametrize(
    "path", ["evnt.payload.total", "total", "evnt | default(1)", "event.total", "workflow.nam"]
)
def test_path_that_is_never_there_is_noticed(path: str) -> None:
    assert places("unknown_path", graph(log(message=f"{{{{ {path} }}}}"))) == [FIELD]


def test_rule_that_reads_what_is_never_there_is_noticed() -> None:
    rule = {"and": [{">": [{"var": "total"}, 5]}, {"some": [{"var": "input.lines"}, {"var": "sku"}]}]}
    check = node("check", "condition", {"rule": rule})
    assert places("unknown_path", graph(check)) == [("check", "graph.nodes[0].config.rule")]
    assert places("unknown_path", graph(node("check", "condition", {"rule": READS_INPUT})), KNOWN) == []


@pytest.mark.parametrize(
    "path", ["item.sku", "index", "loop.index", "loop.last", "loop.results", "loop.item", "loop.count"]
)
def test_item_is_there_inside_a_loop_only(path: str) -> None:
    inside = looped(log(message=f"{{{{ {path} }}}}"))
    assert places("unknown_path", inside) == []
    assert places("unknown_path", graph(log(message=f"{{{{ {path} }}}}"))) == [FIELD]


def test_while_has_an_index_and_no_item() -> None:
    loop = node("again", "while", {"rule": {"<": [{"var": "index"}, 3]}})
    assert places("unknown_path", looped(log(message="{{ loop.index }}"), loop=loop)) == []
    assert places("unknown_path", looped(log(message="{{ item }}"), loop=loop)) == [
        ("log", "graph.nodes[1].config.message")
    ]


def test_resume_link_is_that_of_a_node_that_waits_for_a_webhook() -> None:
    def mail(node_id: str) -> dict[str, Any]:
        return graph(log(message=f"{{{{ resume.{node_id} }}}}"), node("paid", "wait_for_webhook"))

    assert places("unknown_path", mail("paid")) == []
    assert places("unknown_path", mail("payd")) == [FIELD]
    assert message("unknown_path", mail("payd")).endswith("did you mean 'paid'?")


def test_concurrency_key_reads_event_and_input_only() -> None:
    def key(path: str) -> dict[str, Any]:
        return graph(log(), settings={"concurrency": {"limit": 1, "key": f"{{{{ {path} }}}}"}})

    place = ("", "graph.settings.concurrency.key")
    assert places("unknown_path", key("input.order.id"), KNOWN) == []
    assert places("unknown_path", key("input.account"), KNOWN) == [place]
    assert places("unknown_path", key("steps.log.output"), KNOWN) == [place]


def test_read_of_a_step_that_does_not_exist_is_noticed() -> None:
    given = graph(log("first"), log(message="{{ steps.frist.output | default('') }}"))
    assert places("step_not_before", given) == [("log", "graph.nodes[1].config.message")]
    assert message("step_not_before", given).endswith("did you mean 'first'?")


def test_read_of_a_step_beside_after_or_itself_is_noticed() -> None:
    for path in ("beside", "later", "log"):
        nodes = (log("start"), log("beside"), log(message=f"{{{{ steps.{path}.output }}}}"), log("later"))
        edges = [edge("start", "beside"), edge("start", "log"), edge("log", "later")]
        assert [key for key, _ in places("step_not_before", graph(*nodes, edges=edges))] == ["log"]


def test_read_of_a_step_before_is_fine() -> None:
    nodes = (log("a"), log("b"), log(message="{{ steps.a.output }} {{ steps.b.output }}"))
    assert places("step_not_before", graph(*nodes)) == []
    nodes = (log("start"), log("beside"), log(message="{{ steps.beside.output.x | default('') }}"))
    edges = [edge("start", "beside"), edge("start", "log")]
    assert places("step_not_before", graph(*nodes, edges=edges)) == []


def test_body_sees_what_is_before_its_loop_and_in_its_iteration() -> None:
    edges = [edge("start", "each"), edge("each", "a", "item"), edge("a", "b")]
    both = log("b", "{{ steps.start.output }} {{ steps.a.output }}")
    given = graph(log("start"), node("each", "for_each", EACH), log("a"), both, edges=edges)
    assert places("step_not_before", given) == []
    both = log("b", "{{ steps.each.output }}")
    given = graph(log("start"), node("each", "for_each", EACH), log("a"), both, edges=edges)
    assert message("step_not_before", given).endswith(
        "before the loop 'each' has ended; read it after the loop"
    )


def test_steps_of_a_body_are_not_seen_outside_it() -> None:
    given = looped(log("a"), after=[log(message="{{ steps.a.output }}")])
    assert message("step_not_before", given).endswith("not seen outside it; read steps.each.output")
    assert places("step_not_before", looped(log("a"), after=[log(message="{{ steps.each.output }}")])) == []


def test_result_of_a_loop_reads_its_body() -> None:
    def loop(result: str) -> dict[str, Any]:
        return node("each", "for_each", {**EACH, "result": result})

    assert places("step_not_before", looped(log("a"), loop=loop("{{ steps.a.output }}"))) == []
    given = looped(log("a"), loop=loop("{{ steps.each.output }}"), after=[log("b")])
    assert places("step_not_before", given) == [("each", "graph.nodes[0].config.result")]
    assert places("unknown_path", looped(log("a"), loop=loop("{{ item.sku }}"))) == []


def test_node_that_undoes_may_read_whatever_has_run() -> None:
    nodes = (
        log("charge", compensate_with="refund"),
        log("ship"),
        log("refund", "{{ steps.charge.output }} {{ steps.ship.output }} {{ steps.shp.output }}"),
    )
    given = graph(*nodes)
    assert places("step_not_before", given) == [("refund", "graph.nodes[2].config.message")]


def test_node_that_undoes_reads_what_it_undoes_and_no_item() -> None:
    def undo(path: str) -> dict[str, Any]:
        given = looped(log("charge", compensate_with="refund"))
        given["nodes"].append(log("refund", f"{{{{ {path} }}}}"))
        return given

    assert places("unknown_path", undo("compensates.output.id")) == []
    assert places("step_not_before", undo("steps.charge.output")) == []
    assert places("unknown_path", undo("item")) == [("refund", "graph.nodes[2].config.message")]
    assert places("unknown_path", graph(log(message="{{ compensates.path }}"))) == [FIELD]
