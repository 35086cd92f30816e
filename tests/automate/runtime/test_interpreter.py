"""The interpreter on random graphs, beside a reference that is too simple to be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from automate.graph import Plan, compile_graph
from automate.runtime.interpreter import State
from automate_core.steps import Effect, StepHandler, StepResult


class Plain(StepHandler):
    """A step with one way out."""

    type = "plain"
    effect = Effect.PURE

    def run(self, config, context):
        return StepResult()


class Switch(Plain):
    """A step with two ways out."""

    type = "switch"
    routes = ("true", "false")


HANDLERS = {"plain": Plain(), "switch": Switch()}


@st.composite
def graphs(draw) -> tuple[Plan, dict[int, str]]:
    """Return a plan of up to 12 nodes, and the route each of its nodes takes."""
    count = draw(st.integers(1, 12))
    kinds = [draw(st.sampled_from(sorted(HANDLERS))) for _ in range(count)]
    edges = []
    for target in range(1, count):
        for source in draw(st.sets(st.integers(0, target - 1), max_size=4)):
            handle = draw(st.sampled_from([None, "true", "false"])) if kinds[source] == "switch" else None
            edges.append({"source": f"n{source}", "target": f"n{target}", "source_handle": handle})
    nodes = [{"id": f"n{number}", "type": kind} for number, kind in enumerate(kinds)]
    plan = compile_graph({"nodes": nodes, "edges": edges}, HANDLERS.get)
    return plan, {place: draw(st.sampled_from(["true", "false"])) for place in range(count)}


def reference(plan: Plan, routes: dict[int, str]) -> set[int]:
    """Return the nodes that run: those nothing leads to, and those a live edge of a node that runs leads to."""
    run: set[int] = set()
    for node in plan.nodes:
        live = [
            edge
            for edge in node.incoming
            if edge.source in run and edge.handle in (None, routes[edge.source])
        ]
        if live or not node.incoming:
            run.add(node.index)
    return run


def play(plan: Plan, routes: dict[int, str], choose) -> tuple[list[int], list[int]]:
    """Finish ready nodes in the order `choose` likes; return the nodes run and the nodes skipped."""
    state = State(plan)
    begun: list[int] = []
    while state.ready:
        place = state.ready.pop(choose(len(state.ready)))
        for edge in plan.nodes[place].incoming:
            assert edge.source in state.over, "ready before everything that can arrive has arrived"
        begun.append(place)
        state.succeed(place, routes[place])
    assert state.is_complete()
    return begun, list(state.skipped)


@given(graphs(), st.randoms(use_true_random=False))
def test_every_node_ends_exactly_once_run_or_skipped_as_the_reference_says(made, random):
    plan, routes = made
    begun, skipped = play(plan, routes, random.randrange)
    expected = reference(plan, routes)
    assert (len(begun), set(begun)) == (len(expected), expected)
    assert sorted(skipped) == sorted(set(range(len(plan.nodes))) - expected)


@given(graphs(), st.randoms(use_true_random=False))
def test_order_of_completion_does_not_matter(made, random):
    plan, routes = made
    first = play(plan, routes, lambda count: 0)
    last = play(plan, routes, lambda count: count - 1)
    shuffled = play(plan, routes, random.randrange)
    assert sorted(first[0]) == sorted(last[0]) == sorted(shuffled[0])
    assert sorted(first[1]) == sorted(last[1]) == sorted(shuffled[1])


@given(graphs())
def test_plan_is_complete_only_at_the_end(made):
    plan, routes = made
    state = State(plan)
    while state.ready:
        assert not state.is_complete()
        place = state.ready.pop()
        state.succeed(place, routes[place])
    assert state.is_complete()
