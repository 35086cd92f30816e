from __future__ import annotations

import pytest

from automate.models import Execution
from automate.workflows import create_workflow
from automate_core.outbox.drain import Drain
from benchmarks import client, graphs

pytestmark = pytest.mark.django_db(transaction=True)


def workflow(slug, graph, event_type=None):
    trigger = {"trigger_type": "event", "trigger_config": {"event_type": event_type}} if event_type else {}
    create_workflow(name=slug, slug=slug, graph=graph, by="test", **trigger)


def test_wire_counts_fewer_statements_and_commits_than_the_loop_has_items():
    workflow("foreach", graphs.FOREACH)

    found = client.wire("foreach", 60)

    execution = Execution.objects.get()
    assert execution.status == "SUCCESS"
    loop = execution.steps.get(path="loop")
    assert loop.output_data["results"] == list(range(60))
    assert 1 <= found["commits"] <= found["statements"] < 60


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        ("listen", graphs.listening("bench.answer", timeout_seconds=None)),
        ("listen-timed", graphs.listening("bench.answer", timeout_seconds=86_400)),
        ("sleep", graphs.sleeping(86_400)),
    ],
)
def test_occurring_events_start_executions_that_wait(name, graph):
    workflow(name, graph, f"bench.{name}")

    client.occur(f"bench.{name}", 5)
    Drain().run_until_empty()

    assert list(Execution.objects.values_list("status", flat=True)) == ["WAITING"] * 5


def test_parallel_calls_have_no_path_between_them():
    graph = graphs.parallel("http://127.0.0.1/", 3)

    assert {(edge["source"], edge["target"]) for edge in graph["edges"]} == {
        ("start", "call_0"),
        ("start", "call_1"),
        ("start", "call_2"),
    }
