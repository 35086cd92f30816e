"""A rule may not do more than its budget, and nothing but RuleError comes out of one."""

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automate.rules import RuleBudgetExceeded, RuleError, RuleThrew, RuleTooLarge, compile_rule, evaluate
from automate.rules.compiler import OPERATORS
from automate_core.errors import ErrorCodes


def nested(depth: int) -> Any:
    rule: Any = {"var": "x"}
    for _ in range(depth - 1):
        rule = {"!": [rule]}
    return rule


def test_depth_64_compiles_and_65_does_not() -> None:
    assert evaluate(nested(64), {"x": 1}) is False
    with pytest.raises(RuleTooLarge, match="64 operations"):
        compile_rule(nested(65))


def test_hostile_nesting_is_refused() -> None:
    rule: Any = 1
    for _ in range(sys.getrecursionlimit() * 3):
        rule = [rule]
    with pytest.raises(RuleTooLarge):
        compile_rule(rule)


def test_long_rule_is_refused_when_compiled() -> None:
    compile_rule({"and": [{"var": "x"}] * 9_999})
    with pytest.raises(RuleTooLarge, match="10001 operations"):
        compile_rule({"and": [{"var": "x"}] * 10_000})


@pytest.mark.parametrize("name", ["map", "filter", "reduce", "all", "some", "none"])
def test_loop_over_more_than_the_budget_raises(name: str) -> None:
    item = {"var": ""}
    never_decides = {"==" if name == "all" else "!=": [item, item]}
    rule = compile_rule({name: [{"var": "list"}, never_decides]})
    rule.apply({"list": [1] * 3_300})
    with pytest.raises(RuleBudgetExceeded) as caught:
        rule.evaluate({"list": [1] * 3_400})
    assert caught.value.code == ErrorCodes.RULE_ERROR


def test_loop_in_a_loop_multiplies() -> None:
    rule = compile_rule({"map": [{"var": "a"}, {"map": [{"var": "b"}, {"var": ""}]}]})
    row = {"b": [1] * 100}
    assert len(rule.apply({"a": [row] * 90})) == 90
    with pytest.raises(RuleBudgetExceeded):
        rule.apply({"a": [row] * 110})


def test_evaluations_do_not_share_a_budget() -> None:
    rule = compile_rule({"some": [{"var": "list"}, {">": [{"var": ""}, 5]}]})
    context = {"list": [1] * 4_000}
    assert [rule.evaluate(context) for _ in range(5)] == [False] * 5


ACCUMULATED = {"var": "accumulator"}


@pytest.mark.parametrize(
    ("body", "initial"),
    [
        ({"cat": [ACCUMULATED, ACCUMULATED]}, "x"),
        ({"merge": [ACCUMULATED, ACCUMULATED]}, [1]),
        ([ACCUMULATED, ACCUMULATED], []),
        ({"cat": [[ACCUMULATED, ACCUMULATED]]}, "x"),
        ([ACCUMULATED], []),
    ],
)
def test_growth_in_a_loop_raises(body: Any, initial: Any) -> None:
    rule = compile_rule({"reduce": [{"var": "list"}, body, initial]})
    with pytest.raises(RuleBudgetExceeded):
        rule.apply({"list": [0] * 100})


@pytest.mark.parametrize(
    ("rule", "half"),
    [
        ({"cat": [{"var": "a"}, {"var": "a"}]}, "x" * 131_072),
        ({"substr": [{"var": "a"}, 0]}, "x" * 262_144),
        ({"merge": [{"var": "a"}, {"var": "a"}]}, [1] * 5_000),
    ],
)
def test_one_operation_makes_a_limited_value(rule: Any, half: Any) -> None:
    assert evaluate(rule, {"a": half}) is True
    with pytest.raises(RuleBudgetExceeded):
        evaluate(rule, {"a": half + half[:1]})


def test_constant_that_cannot_be_computed_fails_only_when_reached() -> None:
    long = "x" * 200_000
    rule = compile_rule({"if": [{"var": "bad"}, {"cat": [long, long]}, True]})
    assert rule.evaluate({}) is True
    with pytest.raises(RuleBudgetExceeded):
        rule.evaluate({"bad": 1})


def test_multiplying_in_a_loop_ends_at_infinity() -> None:
    rule = compile_rule({"reduce": [{"var": "list"}, {"*": [ACCUMULATED, ACCUMULATED]}, 3]})
    assert rule.apply({"list": [0] * 100}) == math.inf


def test_searching_a_long_list_in_a_loop_is_charged() -> None:
    long = list(range(10_000))
    rule = compile_rule({"reduce": [{"var": "list"}, {"in": [-1, ACCUMULATED]}, {"var": "long"}]})
    assert rule.evaluate({"list": [1], "long": long}) is False
    keep = {"reduce": [{"var": "list"}, {"if": [{"in": [-1, ACCUMULATED]}, 1, ACCUMULATED]}, {"var": "long"}]}
    with pytest.raises(RuleBudgetExceeded):
        evaluate(keep, {"list": [1] * 1_000, "long": long})


def test_converting_deep_data_to_text_raises() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    rule = compile_rule({"==": [{"var": "x"}, "1"]})
    with pytest.raises(RuleBudgetExceeded):
        rule.evaluate({"x": deep})


def test_throw_raises_only_when_reached() -> None:
    rule = compile_rule({"if": [{"var": "bad"}, {"throw": "No stock"}, True]})
    assert rule.evaluate({}) is True
    with pytest.raises(RuleThrew, match="'No stock'"):
        rule.evaluate({"bad": 1})


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from([400, 5_000]).map(lambda power: -(10**power))
    | st.sampled_from(["a", "a.b", "1", "length", "1e999", "0x1f", "Infinity", ""])
)  # fmt: skip
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)
RULES = st.recursive(
    DATA | st.sampled_from(["a", "b", "a.b", "", 0]).map(lambda path: {"var": path}),
    lambda inner: st.tuples(st.sampled_from(sorted(OPERATORS)), st.lists(inner, max_size=4) | inner).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    max_leaves=12,
)


@given(RULES, DATA)
def test_any_rule_over_any_data_yields_a_bool_or_a_rule_error(rule: Any, data: Any) -> None:
    try:
        compiled = compile_rule(rule)
    except RuleError:
        return
    error = compiled.explain(data).error
    if error is not None:
        with pytest.raises(RuleError) as caught:
            compiled.evaluate(data)
        assert caught.value.message == error
        return
    result = compiled.evaluate(data)
    assert type(result) is bool
    assert compile_rule({"!!": [rule]}).evaluate(data) is result
