"""How match and rule become one rule, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from automate.waits.correlation import MAX_LEAVES, folded, match_problems, sought
from automate_core.errors import PermanentError


def test_folded_puts_the_payload_first_for_the_index() -> None:
    rule = folded({"source": "shop", "payload.order.id": 5.0}, {"var": "x"})
    assert rule == {
        "and": [
            {"===": [{"val": ["payload", "order", "id"]}, 5]},
            {"===": [{"val": ["source"]}, "shop"]},
            {"var": "x"},
        ]
    }


def test_folded_without_a_payload_path_begins_with_nothing_to_look_up() -> None:
    assert folded({}, None) == {"and": [True]}
    assert folded({"source": "shop"}, None)["and"][0] is True


@pytest.mark.parametrize("value", [None, "", [], {}, ["a"], "a\x00b", "\ud800"])
def test_folded_refuses_values_no_event_can_be_told_by(value: Any) -> None:
    with pytest.raises(PermanentError, match=r"match\.payload\.id"):
        folded({"payload.id": value}, None)


@pytest.mark.parametrize(
    "match",
    ["payload.id", ["payload.id"], {"payload": 1}, {"payload.": 1}, {"payload..id": 1}, {"order": 1}, {"": 1}, {1: 2},
     {f"payload.k{n}": n for n in range(21)}],
)  # fmt: skip
def test_match_problems_names_what_is_no_path(match: Any) -> None:
    assert [problem.field.split(".")[0] for problem in match_problems(match)][:1] == ["match"]


def test_match_problems_accepts_paths_of_an_event() -> None:
    assert match_problems({"id": 1, "type": 2, "source": 3, "payload.a": 4, "payload.a.b c": 5}) == []


def test_sought_lists_the_values_of_objects_and_gives_up_on_too_many() -> None:
    payload = {"a": {"b": 1.0}, "l": [{"c": 2}], "n": None, "x.y": 3, "t": True}
    assert sought(payload) == ['[{"val":["payload","a","b"]},1]', '[{"val":["payload","t"]},true]']
    assert len(sought({f"k{n}": n for n in range(MAX_LEAVES)}) or ()) == MAX_LEAVES
    assert sought({f"k{n}": n for n in range(MAX_LEAVES + 1)}) is None
