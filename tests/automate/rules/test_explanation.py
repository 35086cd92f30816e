"""An explanation shows what every part came to, and what was never looked at."""

from typing import Any

import pytest

from automate.rules import Explanation, compile_rule


def outline(explanation: Explanation) -> Any:
    """Reduce a tree to path -> value, with `...` where evaluation never got."""
    shown = {explanation.path: explanation.value if explanation.evaluated else ...}
    for child in explanation.children:
        for path, value in outline(child).items():
            shown[path if child.item is None else f"{path}@{child.item}"] = value
    return shown


def test_explanation_of_a_false_rule_shows_the_reason() -> None:
    rule = compile_rule(
        {
            "and": [
                {"==": [{"var": "status"}, "active"]},
                {"or": [{">": [{"var": "amount"}, 1000]}, {"==": [{"var": "priority"}, "high"]}]},
                {"var": "never"},
            ]
        }
    )
    context = {"status": "active", "amount": 500, "priority": "low"}
    assert outline(rule.explain(context)) == {
        "and": False,
        "and[0].==": True,
        "and[0].==[0].var": "active",
        "and[0].==[1]": "active",
        "and[1].or": False,
        "and[1].or[0].>": False,
        "and[1].or[0].>[0].var": 500,
        "and[1].or[0].>[1]": 1000,
        "and[1].or[1].==": False,
        "and[1].or[1].==[0].var": "low",
        "and[1].or[1].==[1]": "high",
        "and[2].var": ...,
    }


@pytest.mark.parametrize(
    ("rule", "not_evaluated"),
    [
        ({"or": [{"var": "yes"}, {"var": "no"}]}, ["or[1].var"]),
        ({"if": [{"var": "no"}, 1, {"var": "yes"}, 2, 3]}, ["if[1]", "if[4]"]),
        ({"if": [{"var": "no"}, 1, 2]}, ["if[1]"]),
        ({"<": [{"var": "yes"}, 0, {"var": "no"}]}, ["<[2].var"]),
        ({"var": ["yes", {"cat": ["a", {"var": "no"}]}]}, ["var[1].cat"]),
        ({"var": ["gone", {"var": "no"}]}, []),
        ({"reduce": [{"var": "list"}, {"var": "current"}, 0]}, ["reduce[1].var"]),
        ({"map": [{"var": "gone"}, {"var": ""}]}, ["map[1].var"]),
    ],
)
def test_branches_not_taken_are_marked(rule: Any, not_evaluated: list[str]) -> None:
    shown = outline(compile_rule(rule).explain({"yes": 1, "no": 0, "list": [1]}))
    assert [path for path, value in shown.items() if value is ...] == not_evaluated


def test_loop_shows_items_up_to_the_one_that_decides() -> None:
    explanation = compile_rule({"all": [{"var": "list"}, {"<": [{"var": ""}, 3]}]}).explain(
        {"list": [1, 5, 2]}
    )
    assert explanation.value is False
    assert [(child.item, child.value) for child in explanation.children] == [
        (None, [1, 5, 2]), (0, True), (1, False),
    ]  # fmt: skip


def test_error_is_shown_where_it_happened() -> None:
    explanation = compile_rule({"or": [{"var": "a"}, {"throw": "No"}, 1]}).explain({})
    assert explanation.error == "The rule raised 'No'"
    assert [(child.evaluated, child.error) for child in explanation.children] == [
        (True, None), (True, "The rule raised 'No'"), (False, None),
    ]  # fmt: skip


def test_explanation_as_dict_is_plain_data() -> None:
    assert compile_rule({"!": [{"var": "x"}]}).explain({"x": 1}).as_dict() == {
        "operator": "!", "path": "!", "arguments": [{"var": "x"}], "value": False,
        "evaluated": True, "error": None, "item": None,
        "children": [{
            "operator": "var", "path": "![0].var", "arguments": "x", "value": 1,
            "evaluated": True, "error": None, "item": None, "children": [],
        }],
    }  # fmt: skip


def test_explanation_of_a_huge_rule_ends() -> None:
    explanation = compile_rule({"and": [{"var": "x"}] * 5_000}).explain({"x": 1})
    assert explanation.value == 1
    assert [child.evaluated for child in explanation.children].count(False) > 4_000
