"""Lanes: what a look leaves known."""

from __future__ import annotations

from automate_core.ids import uuid7
from automate_core.outbox.lanes import Lanes


def test_look_that_finds_nothing_keeps_a_lane_lately_in_use():
    lanes, tenant = Lanes(), uuid7()
    lanes.found([(tenant, 0, 100.0, False)], took_seconds=0.0)
    lanes.found([(None, None, None, False)], took_seconds=10.0)
    assert [(lane.tenant_id, lane.floor) for lane in lanes.turn(10)] == [(tenant, 100.0)]


def test_look_that_finds_nothing_forgets_a_lane_long_unused(monkeypatch):
    monkeypatch.setattr("automate_core.outbox.lanes.KEEP_SECONDS", -1.0)
    lanes = Lanes()
    lanes.found([(uuid7(), 0, 100.0, False)], took_seconds=0.0)
    lanes.found([], took_seconds=0.0)
    monkeypatch.undo()
    assert lanes.turn(10) == []


def test_look_takes_a_lower_floor():
    lanes, tenant = Lanes(), uuid7()
    lanes.found([(tenant, 0, 100.0, False)], took_seconds=0.0)
    lanes.found([(tenant, 0, 50.0, True)], took_seconds=0.0)
    assert [lane.floor for lane in lanes.turn(10)] == [50.0]
    assert lanes.suspects_waiting is True
