"""How a graph is drawn, and what a version keeps of it."""

from __future__ import annotations

import pytest

from automate.drawings import drawn_graph, is_position, kept_positions, position_problems, shown_graph, split
from automate.models import Automation
from automate.workflows import (
    create_workflow,
    draft_problems,
    draw,
    place_node,
    settle_draft,
    update_workflow,
)
from automate_core.errors import NotFound, ValidationFailed
from tests.factories.engine import node

HERE = {"x": 1, "y": 2.5}


def test_split_takes_positions_out_and_drawn_graph_puts_them_back():
    graph = {"nodes": [node("a", "merge", position=HERE), node("b", "merge")], "edges": [], "settings": {}}
    meaning, layout = split(graph)
    assert (layout, [sorted(one) for one in meaning["nodes"]]) == (
        {"a": HERE},
        [["config", "id", "type"]] * 2,
    )
    assert drawn_graph(Automation(draft=meaning, layout=layout)) == graph


@pytest.mark.parametrize("graph", [{}, {"nodes": []}, {"nodes": [node("a", "merge")], "edges": None}])
def test_shown_graph_is_the_one_that_was_saved_and_drawn_graph_has_its_lists(graph):
    workflow = Automation(draft=graph)
    assert shown_graph(workflow) == graph
    assert drawn_graph(workflow) == {"nodes": graph.get("nodes", []), "edges": []}


@pytest.mark.parametrize("graph", [{}, {"nodes": 3}, {"nodes": "ab"}, {"nodes": [1, None, {"id": 7}]}])
def test_split_of_no_graph_is_harmless(graph):
    assert split(graph) == (graph, {})
    assert position_problems(graph) == []


def test_kept_positions_are_those_of_nodes_that_are_there():
    assert kept_positions({"a": HERE, "b": HERE}, {"nodes": [node("a", "merge")]}) == {"a": HERE}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HERE, True),
        ({"x": -1, "y": 0, "z": 9}, True),
        ({"x": "1", "y": 2}, False),
        ({"x": True, "y": 2}, False),
        ({"x": 1}, False),
        (None, False),
        ([1, 2], False),
    ],
)
def test_position_is_two_numbers(value, expected):
    assert is_position(value) is expected


@pytest.mark.django_db
class TestVerbs:
    """The verbs that keep drawings."""

    def create(self):
        return create_workflow(name="Drawn", by="test", graph={"nodes": [node("a", "merge", position=HERE)]})

    def test_version_from_before_that_holds_positions_equals_the_same_graph_without(self):
        made = self.create()
        version = made.live_version
        version.graph = {"nodes": [node("a", "merge", position={"x": 9, "y": 9})], "edges": []}
        version.save()
        graph = {"nodes": [node("a", "merge", position=HERE)], "edges": []}
        made = update_workflow(Automation.objects.get(), by="test", graph=graph)
        assert (made.live_version.number, drawn_graph(made)) == (1, graph)

    def test_change_that_raises_changes_nothing(self):
        made = self.create()

        def change(graph):
            graph["nodes"].clear()
            raise NotFound("gone")

        with pytest.raises(NotFound):
            draw(made, change, by="test")
        assert drawn_graph(Automation.objects.get())["nodes"] == [node("a", "merge", position=HERE)]

    def test_draft_that_compiles_by_now_is_settled(self, register_later):
        made = draw(self.create(), lambda graph: {**graph, "nodes": [node("b", "t.later")]}, by="test")
        assert [problem.field for problem in draft_problems(made)] == ["graph.nodes[0].type"]
        with pytest.raises(ValidationFailed, match="cannot run yet"):
            settle_draft(made, by="test")
        register_later()
        made = settle_draft(made, by="test")
        assert (made.draft, made.live_version.number) == (None, 2)
        assert settle_draft(made, by="test").live_version.number == 2

    def test_deleted_workflow_cannot_be_drawn(self):
        made = self.create()
        Automation.objects.filter(pk=made.pk).delete()
        for act in (
            lambda: draw(made, dict, by="test"),
            lambda: place_node(made, "a", HERE, by="test"),
            lambda: update_workflow(made, by="test", name="New"),
        ):
            with pytest.raises(NotFound):
                act()

    def test_impossible_position_is_refused(self):
        made = self.create()
        with pytest.raises(ValidationFailed):
            place_node(made, "a", {"x": "left"}, by="test")
        with pytest.raises(ValidationFailed):
            draw(made, lambda graph: {**graph, "nodes": [node("a", "merge", position=1)]}, by="test")

    @pytest.fixture
    def register_later(self):
        from automate_core.steps import Effect, step_registry
        from tests.factories.scripted import ScriptedStep

        yield lambda: step_registry.register(
            "t.later", ScriptedStep("t.later", Effect.PURE, lambda config, context: {})
        )
        step_registry.unregister("t.later")
