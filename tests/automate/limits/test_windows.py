"""What a trigger's debounce and throttle mean, and what is wrong with them."""

from __future__ import annotations

import pytest

from automate.limits.windows import Debounce, Throttle, window_of, window_problems
from automate.triggers import trigger_problems

EVENT = {"event_type": "order.*"}


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({}, None),
        ({"debounce": None}, None),
        ({"debounce": {"seconds": 5}}, Debounce(5)),
        (
            {"debounce": {"seconds": 5, "max_seconds": 60, "key": "{{ input.id }}"}},
            Debounce(5, 60, "{{ input.id }}"),
        ),
        ({"throttle": {"limit": 3, "per_seconds": 60}}, Throttle(3, 60)),
        ({"throttle": {"limit": 3, "per_seconds": 0.5, "key": "k"}}, Throttle(3, 0.5, "k")),
    ],
)
def test_window_is_what_the_configuration_says(config, window):
    assert (window_problems(config), window_of(config)) == ([], window)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"debounce": 5}, "debounce"),
        ({"debounce": {}}, "debounce.seconds"),
        ({"debounce": {"seconds": 0}}, "debounce.seconds"),
        ({"debounce": {"seconds": True}}, "debounce.seconds"),
        ({"debounce": {"seconds": float("inf")}}, "debounce.seconds"),
        ({"debounce": {"seconds": 5, "max_seconds": 4}}, "debounce.max_seconds"),
        ({"debounce": {"seconds": 5, "max": 4}}, "debounce.max"),
        ({"debounce": {"seconds": 5, "key": "{{ event. }}"}}, "debounce.key"),
        ({"debounce": {"seconds": 5, "key": 1}}, "debounce.key"),
        ({"throttle": []}, "throttle"),
        ({"throttle": {"per_seconds": 1}}, "throttle.limit"),
        ({"throttle": {"limit": 0, "per_seconds": 1}}, "throttle.limit"),
        ({"throttle": {"limit": 1}}, "throttle.per_seconds"),
        ({"throttle": {"limit": 1, "per_seconds": 1, "burst": 1}}, "throttle.burst"),
        ({"debounce": {"seconds": 5}, "throttle": {"limit": 1, "per_seconds": 1}}, "throttle"),
    ],
)
def test_wrong_window_is_refused_where_it_is_wrong(config, field):
    assert [problem.field for problem in trigger_problems("event", {**EVENT, **config})] == [
        f"trigger_config.{field}"
    ]


@pytest.mark.parametrize("kind", ["schedule", "manual"])
def test_windows_are_for_triggers_with_events_of_their_own_rate(kind):
    fields = [problem.field for problem in trigger_problems(kind, {"debounce": {"seconds": 5}})]
    assert "trigger_config.debounce" in fields
