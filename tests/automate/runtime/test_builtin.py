"""The built-in steps: what they need, what they do, and what they refuse only when they run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime.plans import find_handler
from tests.factories.engine import EVENT, drain, finish, node, workflow


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("logging", {}, "message"),
        ("transform", {}, "output"),
        ("set", {}, "values"),
        ("set", {"values": [1]}, "values"),
        ("condition", {}, "rule"),
        ("delay", {}, ""),
        ("delay", {"seconds": 1, "until": "2024-01-01"}, ""),
        ("delay", {"seconds": -1}, "seconds"),
        ("delay", {"seconds": True}, "seconds"),
        ("delay", {"seconds": 31_622_401}, "seconds"),
        ("delay", {"seconds": "soon"}, "seconds"),
        ("delay", {"duration": [1]}, "duration"),
        ("delay", {"duration": "nan", "unit": "hours"}, "duration"),
        ("delay", {"until": "tomorrow"}, "until"),
        ("delay", {"until": "9999-12-31T23:59:59-14:00"}, "until"),
        ("condition", {"rule": {"vra": "input.n"}}, "rule"),
        ("switch", {"cases": [{"route": "a", "rule": {"vra": "input.n"}}]}, "cases[0].rule"),
        ("while", {"rule": {"vra": "input.n"}}, "rule"),
        ("counter", {"step": "x"}, "step"),
        ("counter", {"start": "inf"}, "start"),
        ("queue_reader", {"queue": "q", "limit": "many"}, "limit"),
    ],
)
def test_step_refuses_a_config_it_cannot_run(kind, config, field):
    assert [problem.field for problem in find_handler(kind).problems(config)] == [field]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("delay", {"seconds": "{{ input.n }}"}),
        ("delay", {"duration": "1.5", "unit": "hours"}),
        ("counter", {"start": "10", "step": "{{ input.n }}"}),
        ("queue_reader", {"queue": "q", "limit": "7"}),
    ],
)
def test_step_takes_numbers_as_text_and_leaves_templates_to_be_rendered(kind, config):
    assert find_handler(kind).problems(config) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({"seconds": 900}, 900),
        ({"seconds": "{{ event.payload.seconds }}"}, 1800),
        ({"until": "{{ event.payload.aware }}"}, 3600),
        ({"until": "{{ event.payload.naive }}"}, 7200),
    ],
)
def test_delay_waits_for_its_time_and_holds_no_worker(config, seconds):
    workflow(node("wait", "delay", config), node("after", "transform", {"output": "on"}))
    now = datetime.now(UTC)
    aware, naive = now + timedelta(hours=1), (now + timedelta(hours=2)).replace(tzinfo=None)
    emit_event(EVENT, {"seconds": "1800", "aware": aware.isoformat(), "naive": naive.isoformat()})
    drain()
    assert Execution.objects.get().status == "WAITING"
    wakes_in = StepRun.objects.get().wake_at - now
    assert timedelta(seconds=seconds) - wakes_in < timedelta(minutes=10)
    assert wakes_in - timedelta(seconds=seconds) < timedelta(minutes=10)
    assert finish().status == "SUCCESS"
    assert StepRun.objects.get(path="after").output_data == "on"


@pytest.mark.django_db(transaction=True)
def test_delay_until_a_time_in_the_config_waits_for_it():
    until = datetime.now(UTC) + timedelta(days=3)
    workflow(node("wait", "delay", {"until": until.isoformat()}))
    emit_event(EVENT, {})
    drain()
    assert StepRun.objects.get().wake_at == until


@pytest.mark.django_db(transaction=True)
def test_delay_until_a_time_past_goes_on_at_once():
    workflow(node("wait", "delay", {"until": "2020-01-01T00:00:00Z"}))
    emit_event(EVENT, {})
    drain()
    assert Execution.objects.get().status == "SUCCESS"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "config",
    [
        {"until": "{{ event.payload.soon }}"},
        {"until": "{{ event.payload.last }}"},
        {"until": "{{ event.payload.first }}"},
        {"seconds": "{{ event.payload.soon }}"},
        {"seconds": "{{ event.payload.long }}"},
    ],
)
def test_delay_until_no_time_fails(config):
    workflow(node("wait", "delay", config))
    edges = {"last": "9999-12-31T23:59:59-14:00", "first": "0001-01-01T00:00:00+14:00"}
    emit_event(EVENT, {"soon": "soon", "long": "1e400", **edges})
    drain()
    assert Execution.objects.get().status == "FAILED"
    (name,) = config
    assert Execution.objects.get().error_summary.startswith(f"wait: {name} must be")
