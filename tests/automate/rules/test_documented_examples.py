"""The rule examples of the Python API's documentation, run as written."""

from dataclasses import dataclass

import pytest

from automate.rules import compile_rule, evaluate


def test_simple_comparison_is_true() -> None:
    result = evaluate(
        rule_spec={">=": [{"var": "amount"}, 100]},
        context={"amount": 150},
    )
    assert result is True


def test_complex_rule_with_and_or_is_true() -> None:
    rule = {
        "and": [
            {"==": [{"var": "status"}, "active"]},
            {"or": [{">": [{"var": "amount"}, 1000]}, {"==": [{"var": "priority"}, "high"]}]},
        ]
    }
    context = {"status": "active", "amount": 500, "priority": "high"}
    result = evaluate(rule, context)
    assert result is True
    assert evaluate(rule, {**context, "priority": "low"}) is False
    assert evaluate(rule, {**context, "status": "closed"}) is False


def test_compile_once_evaluates_many_times(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass
    class Student:
        name: str
        score: int

    students = [Student("Ada", 91), Student("Bob", 79), Student("Cyd", 80)]

    rule = compile_rule({">=": [{"var": "score"}, 80]})

    for student in students:
        if rule.evaluate({"score": student.score}):
            print(f"{student.name} passed!")

    assert capsys.readouterr().out == "Ada passed!\nCyd passed!\n"


@pytest.mark.parametrize(
    ("rule", "holds", "holds_not"),
    [
        ({"==": [{"var": "a"}, 1]}, {"a": 1}, {"a": 2}),
        ({"!=": [{"var": "a"}, 1]}, {"a": 2}, {"a": 1}),
        ({">": [{"var": "a"}, 10]}, {"a": 11}, {"a": 10}),
        ({">=": [{"var": "a"}, 10]}, {"a": 10}, {"a": 9}),
        ({"<": [{"var": "a"}, 10]}, {"a": 9}, {"a": 10}),
        ({"<=": [{"var": "a"}, 10]}, {"a": 10}, {"a": 11}),
        ({"and": [{"var": "a"}, {"var": "b"}]}, {"a": 1, "b": 1}, {"a": 1, "b": 0}),
        ({"or": [{"var": "a"}, {"var": "b"}]}, {"a": 0, "b": 1}, {"a": 0, "b": 0}),
        ({"!": {"var": "a"}}, {"a": 0}, {"a": 1}),
        ({"in": ["a", {"var": "list"}]}, {"list": ["a"]}, {"list": ["b"]}),
        ({"var": "path.to.value"}, {"path": {"to": {"value": 1}}}, {"path": {"to": {}}}),
        ({"if": [{"var": "cond"}, True, False]}, {"cond": True}, {"cond": False}),
    ],
)
def test_documented_operation_decides(rule: object, holds: object, holds_not: object) -> None:
    assert (evaluate(rule, holds), evaluate(rule, holds_not)) == (True, False)
