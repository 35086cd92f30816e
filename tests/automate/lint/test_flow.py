from __future__ import annotations

from typing import Any

import pytest

from tests.automate.lint.graphs import (
    READS_INPUT,
    READS_NOTHING,
    graph,
    log,
    looped,
    message,
    places,
)
from tests.factories.engine import edge, node

CHECK = node("check", "condition", {"rule": READS_NOTHING})


def test_node_behind_a_break_is_unreachable() -> None:
    body = (log("first"), node("stop", "break"), log("never"), log("nor_this"))
    assert places("unreachable", looped(*body)) == [
        ("never", "graph.nodes[3]"),
        ("nor_this", "graph.nodes[4]"),
    ]


def test_node_before_a_break_is_reachable() -> None:
    assert places("unreachable", looped(log("first"), node("stop", "break"), after=[log("then")])) == []


def test_branch_against_a_constant_rule_is_unreachable() -> None:
    edges = [edge("check", "yes", "true"), edge("check", "no", "false")]
    given = graph(CHECK, log("yes"), log("no"), edges=edges)
    assert places("unreachable", given) == [("no", "graph.nodes[2]")]
    assert message("unreachable", given) == (
        "node 'no' is never reached: the rules of 'check' that decide it read nothing, so it never leaves by"
        " 'false'; draw another edge to it or remove it"
    )


@pytest.mark.parametrize("rule", [READS_INPUT, {"missing": ["input.total"]}])
def test_branches_of_a_rule_that_reads_data_are_reachable(rule: Any) -> None:
    edges = [edge("check", "yes", "true"), edge("check", "no", "false")]
    check = node("check", "condition", {"rule": rule})
    assert places("unreachable", graph(check, log("yes"), log("no"), edges=edges)) == []


def test_routes_a_switch_never_leaves_by_are_unreachable() -> None:
    cases = [
        {"route": "never", "rule": {"==": [1, 2]}},
        {"route": "big", "rule": READS_INPUT},
        {"route": "always", "rule": True},
        {"route": "late", "rule": READS_INPUT},
    ]
    routes = ["never", "big", "always", "late", "default"]
    edges = [edge("pick", route, route) for route in routes]
    given = graph(node("pick", "switch", {"cases": cases}), *map(log, routes), edges=edges)
    assert [one for one, _ in places("unreachable", given)] == ["never", "late", "default"]


def test_timeout_of_a_wait_without_one_is_unreachable() -> None:
    def waiting(**more: Any) -> Any:
        edges = [edge("back", "then", "main"), edge("back", "late", "timeout")]
        return graph(node("back", "wait_for_webhook", more), log("then"), log("late"), edges=edges)

    assert places("unreachable", waiting()) == [("late", "graph.nodes[2]")]
    assert places("unreachable", waiting(timeout_seconds=60)) == []


def test_node_with_another_way_to_it_is_reachable() -> None:
    edges = [edge("check", "both", "false"), edge("other", "both"), edge("check", "other", "true")]
    assert places("unreachable", graph(CHECK, log("both"), log("other"), edges=edges)) == []


def test_body_of_a_loop_that_never_begins_is_unreachable() -> None:
    loop = node("again", "while", {"rule": {"==": [1, 2]}})
    assert places("unreachable", looped(log("body"), loop=loop)) == [("body", "graph.nodes[1]")]
    loop = node("again", "while", {"rule": READS_INPUT})
    assert places("unreachable", looped(log("body"), loop=loop)) == []


def test_node_that_undoes_is_reached_when_what_it_undoes_is() -> None:
    edges = [edge("check", "charge", "true")]
    nodes = (CHECK, log("charge", compensate_with="refund"), log("refund"))
    assert places("unreachable", graph(*nodes, edges=edges)) == []
    edges = [edge("check", "charge", "false")]
    assert places("unreachable", graph(*nodes, edges=edges)) == [
        ("charge", "graph.nodes[1]"),
        ("refund", "graph.nodes[2]"),
    ]


@pytest.mark.parametrize("edges", [[], [edge("check", "log")]])
def test_condition_without_a_connected_route_is_noticed(edges: Any) -> None:
    check = node("check", "condition", {"rule": READS_INPUT})
    given = graph(log("log"), check, edges=[]) if not edges else graph(check, log("log"), edges=edges)
    assert [one for one, _ in places("routes_unconnected", given)] == ["check"]


def test_condition_with_one_connected_route_or_a_reader_is_fine() -> None:
    check = node("check", "condition", {"rule": READS_INPUT})
    assert places("routes_unconnected", graph(check, log(), edges=[edge("check", "log", "true")])) == []
    reader = log("log", "{{ steps.check.output.result }}")
    assert places("routes_unconnected", graph(check, reader, edges=[edge("check", "log")])) == []


def test_output_nobody_reads_is_noticed() -> None:
    shape = node("shape", "transform", {"output": 1})
    assert places("unused_output", graph(shape, log())) == [("shape", "graph.nodes[0]")]
    apart = graph(log("start"), shape, log("other"), edges=[edge("start", "shape"), edge("start", "other")])
    assert places("unused_output", apart) == [("shape", "graph.nodes[1]")]


@pytest.mark.parametrize(
    "reader",
    [
        log("reader", "{{ steps.shape.output }}"),
        log("reader", "{{ steps | json }}"),
        node("reader", "condition", {"rule": {"==": [{"var": "steps.shape.output"}, 1]}}),
    ],
)
def test_output_somebody_reads_is_used(reader: dict[str, Any]) -> None:
    assert places("unused_output", graph(node("shape", "transform", {"output": 1}), reader)) == []


def test_output_of_the_last_step_is_the_result() -> None:
    shape = node("shape", "transform", {"output": 1})
    assert places("unused_output", graph(log(), shape)) == []
    assert places("unused_output", looped(log(), shape)) == []


def test_output_beside_a_return_is_unused() -> None:
    shape, result = node("shape", "transform", {"output": 1}), node("result", "return", {"output": 2})
    assert places("unused_output", graph(log(), result, shape)) == [("shape", "graph.nodes[2]")]


def test_output_of_a_body_that_keeps_another_result_is_unused() -> None:
    shape = node("shape", "transform", {"output": 1})
    loop = node("each", "for_each", {"items": [1], "result": "{{ item }}"})
    assert places("unused_output", looped(shape, loop=loop)) == [("shape", "graph.nodes[1]")]
    loop = node("each", "for_each", {"items": [1], "result": "{{ steps.shape.output }}"})
    assert places("unused_output", looped(shape, loop=loop)) == []
