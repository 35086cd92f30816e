"""A wrong rule is refused when it is compiled, and the error says where."""

import math
from typing import Any

import pytest

from automate.rules import InvalidRule, compile_rule
from automate_core.errors import ErrorCodes


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ({"and": [True, {"eq": [1, 2]}]}, "and[1].eq", "unknown operator 'eq'"),
        ({"and": [True, {"==": [{"vra": "x"}, 2]}]}, "and[1].==[0].vra", "did you mean 'var'"),
        ({"and": [True, {"==": [1]}]}, "and[1].==", "needs at least 2 argument(s), it has 1"),
        ({"method": ["x", "upper"]}, "method", "unknown operator 'method'"),
        ({"!": {"filter": {"var": "x"}}}, "!.filter", "needs at least 2"),
        ({"and": True}, "and", "'and' takes a list of arguments, not True"),
        ({"or": [{"==": [1, 1], "!=": [1, 2]}]}, "or[0]", "put the conditions in a list under 'and'"),
        ({"==": [1, 1], "<": [1, 2]}, "", "several keys ('==', '<')"),
        ({"==": [1, {1: 2}]}, "==[1]", "the key 1 is not a string"),
        ({"==": [1, math.nan]}, "==[1]", "nan is not a JSON number"),
        ({"==": [1, math.inf]}, "==[1]", "inf is not a JSON number"),
        ({"==": [1, {1, 2}]}, "==[1]", "a set is not a JSON value"),
        ({"==": [1, 10**5_000]}, "==[1]", "the integer is too large"),
        ({"val": [{"var": "x"}]}, "val", "takes literal keys"),
        (object(), "", "a object is not a JSON value"),
    ],
)
def test_wrong_rule_is_refused_with_its_place(rule: Any, path: str, message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        compile_rule(rule)
    assert caught.value.path == path
    assert caught.value.code == ErrorCodes.RULE_ERROR
    assert message in caught.value.message
    assert [problem.field for problem in caught.value.details] == [path]


@pytest.mark.parametrize("literal", [{}, {"a": 1, "b": 2}, [], "text", None, 0, {"if": 1, "b": 2}])
def test_data_in_argument_position_is_passed_through(literal: Any) -> None:
    assert compile_rule({"if": [{"var": "x"}, 0, literal]}).apply({}) == literal


def test_constant_parts_are_computed_once_when_compiled() -> None:
    explanation = compile_rule({"==": [{"var": "x"}, {"+": [1, 2]}]}).explain({"x": 3})
    assert (explanation.value, explanation.children[1].value) == (True, 3)
    compile_rule({"or": [True, {"/": [1, 0]}]})
