"""Keys: what a template reads, as a text that fits its column."""

from __future__ import annotations

from typing import Any

import pytest

from automate.limits.keys import MAX_LENGTH, render_key


def event(**payload: Any) -> dict[str, Any]:
    return {"id": "1", "type": "order", "source": "", "payload": payload}


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{{ event.payload.account }}", "7"),
        ("{{ input.account }}/{{ event.type }}", "7/order"),
        ("{{ event.payload.flag }}", "true"),
        ("{{ event.payload.nothing }}", ""),
        ("{{ event.payload.list }}", "[1,2]"),
        ("{{ event.payload.absent }}", ""),
        ("{{ event.payload.absent | default('none') }}", "none"),
        ("all", "all"),
        ("", ""),
    ],
)
def test_key_is_the_text_of_what_the_template_reads(template, key):
    assert render_key(template, event(account=7, flag=True, nothing=None, list=[1, 2])) == key


def test_long_keys_fit_and_stay_different():
    keys = {render_key("{{ input.name }}", event(name="x" * 300 + end)) for end in "ab"}
    assert [len(key) for key in keys] == [MAX_LENGTH, MAX_LENGTH]
