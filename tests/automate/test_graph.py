"""The graph compiler: what is wrong is said by node, and nothing else is ever raised."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automate.graph import MAX_NODES, InvalidGraph, Retry, compile_graph, graph_problems
from automate.runtime.plans import find_handler
from automate_core.steps import Effect


def problems(*nodes, edges=()):
    found = graph_problems({"nodes": list(nodes), "edges": list(edges)}, find_handler)
    return [(problem.field, problem.message) for problem in found]


def log(key, **more):
    return {"id": key, "type": "logging", "config": {"message": "x"}, **more}


def test_nodes_without_edges_run_in_list_order():
    plan = compile_graph({"nodes": [log("b"), log("a"), log("c")]}, find_handler)
    assert [node.key for node in plan.nodes] == ["b", "a", "c"]
    assert [(edge.source, edge.target) for edge in plan.edges] == [(0, 1), (1, 2)]


def test_edges_put_nodes_in_order_and_doubles_count_once():
    edges = [{"source": "a", "target": "b"}, {"from": "a", "to": "b"}, {"source": "c", "target": "a"}]
    plan = compile_graph({"nodes": [log("b"), log("a"), log("c")], "edges": edges}, find_handler)
    assert [node.key for node in plan.nodes] == ["c", "a", "b"]
    assert len(plan.edges) == 2


def test_node_carries_its_handlers_effect_limits_and_prepared_rule():
    nodes = [
        {"id": "c", "type": "condition", "config": {"rule": {"==": [1, 1]}}, "retry": {"max_attempts": 7}},
        {"id": "get", "type": "http.request", "config": {"method": "GET", "url": "https://example.com"}},
        {
            "id": "post",
            "type": "http.request",
            "config": {"method": "POST", "url": "https://example.com"},
            "timeout_seconds": 5,
        },
    ]
    plan = compile_graph({"nodes": nodes}, find_handler)
    assert [node.effect for node in plan.nodes] == [Effect.PURE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE]
    assert plan.nodes[0].retry == Retry(max_attempts=7)
    assert (plan.nodes[1].retry, plan.nodes[2].timeout_seconds) == (None, 5.0)
    assert plan.nodes[0].prepared.evaluate({}) is True


@pytest.mark.parametrize(
    ("nodes", "edges", "field", "message"),
    [
        ([log("a"), log("a")], [], "nodes[1].id", "node id 'a' is used twice"),
        ([{"id": "a", "type": "nope"}], [], "nodes[0].type", "node 'a' has the unknown type 'nope'"),
        ([{"id": "", "type": "merge"}], [], "nodes[0].id", None),
        ([{"id": "a/b", "type": "merge"}], [], "nodes[0].id", None),
        ([{"id": "a\x00b", "type": "merge"}], [], "nodes[0].id", None),
        ([{"id": "a\ud800", "type": "merge"}], [], "nodes[0].id", None),
        ([{"id": "x" * 201, "type": "merge"}], [], "nodes[0].id", None),
        ([{"id": "a", "type": "logging"}], [], "nodes[0].config.message", "node 'a': is required"),
        (
            [{"id": "a", "type": "merge", "config": 3}],
            [],
            "nodes[0].config",
            "the config of node 'a' must be an object",
        ),
        (
            [log("a", retry={"max_attempts": 0})],
            [],
            "nodes[0].retry.max_attempts",
            "node 'a': must be a whole number from 1 to 100",
        ),
        ([log("a", retry=3)], [], "nodes[0].retry.max_attempts", None),
        (
            [log("a", timeout_seconds=0)],
            [],
            "nodes[0].timeout_seconds",
            "node 'a': must be a number of seconds up to 3600",
        ),
        ([log("a", timeout_seconds=float("nan"))], [], "nodes[0].timeout_seconds", None),
        (
            [{"id": "a", "type": "logging", "config": {"message": "{{ oops"}}],
            [],
            "nodes[0].config.message",
            None,
        ),
        (
            [{"id": "a", "type": "condition", "config": {"rule": {"nope": 1}}}],
            [],
            "nodes[0].config.rule",
            None,
        ),
        ([log("a")], [{"source": "a", "target": "z"}], "edges[0].target", "there is no node 'z'"),
        ([log("a")], [{"source": None, "target": "a"}], "edges[0].source", "there is no node None"),
        ([log("a")], [7], "edges[0]", "must be an object"),
        (
            [log("a"), log("b")],
            [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}],
            "edges",
            "these nodes form a cycle: 'a', 'b'",
        ),
        ([log("a")], [{"source": "a", "target": "a"}], "edges", "these nodes form a cycle: 'a'"),
        (
            [log("first"), log("a"), log("b"), log("after"), log("last")],
            [
                {"source": "first", "target": "a"},
                {"source": "a", "target": "b"},
                {"source": "b", "target": "a"},
                {"source": "b", "target": "after"},
                {"source": "after", "target": "last"},
            ],
            "edges",
            "these nodes form a cycle: 'a', 'b'",
        ),
    ],
)
def test_problem_names_the_place_and_the_node(nodes, edges, field, message):
    (found,) = problems(*nodes, edges=edges)
    assert found[0] == field
    assert message is None or found[1] == message


def test_unknown_route_is_refused_and_a_handle_without_routes_ignored():
    nodes = [{"id": "c", "type": "condition", "config": {"rule": True}}, log("a")]
    edge = {"source": "c", "target": "a", "source_handle": "maybe"}
    assert problems(*nodes, edges=[edge]) == [
        ("edges[0].source_handle", "node 'c' has no route 'maybe'; it has true, false")
    ]
    plan = compile_graph(
        {"nodes": [log("x"), log("a")], "edges": [{"source": "x", "target": "a", "source_handle": "out"}]},
        find_handler,
    )
    assert plan.edges[0].handle is None


def test_every_problem_is_reported_at_once():
    nodes = [{"id": "a", "type": "nope"}, {"id": "b", "type": "logging"}, 3]
    assert [field for field, _ in problems(*nodes, edges=[{"source": "a", "target": "q"}])] == [
        "nodes[0].type",
        "nodes[1].config.message",
        "nodes[2]",
        "edges[0].target",
    ]


def test_node_and_edge_wrong_in_two_ways_are_named_twice():
    found = problems({"id": 5, "type": 6}, log("a"), edges=[{"source": "x", "target": "y"}, {"source": "a"}])
    assert [field for field, _ in found] == [
        "nodes[0].id", "nodes[0].type", "edges[0].source", "edges[0].target", "edges[1].target",
    ]  # fmt: skip


def test_template_that_is_none_is_named_by_its_place_in_the_config():
    values = {"a": ["fine", {"b": "{{ x | nope }}"}]}
    ((field, message),) = problems({"id": "n", "type": "set", "config": {"values": values}})
    assert field == "nodes[0].config.values.a[1].b"
    assert message.startswith(
        "node 'n': Template error in values.a[1].b at character 7: unknown filter 'nope'"
    )


def test_too_many_nodes_are_refused():
    (found,) = problems(*(log(f"n{number}") for number in range(MAX_NODES + 1)))
    assert found == ("nodes", f"has {MAX_NODES + 1} nodes; at most {MAX_NODES} are allowed")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KINDS = [
    "logging",
    "transform",
    "set",
    "condition",
    "merge",
    "delay",
    "http.request",
    "slack.send_message",
    "email.send",
]
FIELDS = [
    "message",
    "output",
    "values",
    "rule",
    "seconds",
    "until",
    "url",
    "method",
    "json",
    "connection",
    "to",
    "subject",
]
NODES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "c"]) | ANY_JSON,
        "type": st.sampled_from(KINDS) | ANY_JSON,
        "config": st.dictionaries(st.sampled_from(FIELDS), ANY_JSON | st.just("{{ input.x }}")) | ANY_JSON,
        "retry": ANY_JSON | st.fixed_dictionaries({"max_attempts": ANY_JSON}),
        "timeout_seconds": ANY_JSON,
    },
)
EDGES = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["a", "b", "c", "true"]) | ANY_JSON
        for name in ("source", "target", "from", "to", "source_handle")
    },
)


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    ANY_JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "nodes": st.lists(NODES | ANY_JSON, max_size=4) | ANY_JSON,
            "edges": st.lists(EDGES | ANY_JSON, max_size=4) | ANY_JSON,
        },
    )
)
def test_garbage_raises_nothing_but_invalid_graph(graph):
    try:
        plan = compile_graph(graph, find_handler)
    except InvalidGraph:
        assert graph_problems(graph, find_handler)
    else:
        assert all(edge.source < edge.target for edge in plan.edges)
