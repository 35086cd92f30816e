"""Operations follow JavaScript where Python and json-logic-qubit do not."""

import datetime
import json
import logging
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from json_logic import operations as library

from automate.rules import compile_rule


def apply(rule: Any, data: Any = None) -> Any:
    return compile_rule(rule).apply(data)


SHARED = [1]
VALUES = {
    "none": None, "true": True, "empty": {}, "list": [1, 2], "one": [1], "nested": [[1], [2, None]],
    "date": datetime.date(2025, 3, 1), "decimal": Decimal("10.50"), "uuid": UUID(int=5), "nan": math.nan,
    "items": [{"name": "a"}, {"name": "b"}], "word": "héllo", "big": 2**60, "shared": SHARED, "same": SHARED,
}  # fmt: skip

JAVASCRIPT = [
    ({"==": [1, "1.0"]}, True),
    ({"==": [1, " 1 "]}, True),
    ({"==": [True, "true"]}, False),
    ({"==": [True, "1"]}, True),
    ({"==": [0, ""]}, True),
    ({"==": [False, ""]}, True),
    ({"==": [None, 0]}, False),
    ({"==": [None, {"var": "gone"}]}, True),
    ({"==": [{"var": "one"}, 1]}, True),
    ({"==": [{"var": "list"}, "1,2"]}, True),
    ({"==": [{"var": "list"}, {"var": "list"}]}, True),
    ({"==": [[1], [1]]}, False),
    ({"==": [{"var": "shared"}, {"var": "same"}]}, True),
    ({"==": [16, "0x10"]}, True),
    ({"==": [1000, "1_000"]}, False),
    ({"==": ["nan", {"var": "nan"}]}, False),
    ({"===": [1, True]}, False),
    ({"===": [1, 1.0]}, True),
    ({"===": ["a", "a"]}, True),
    ({"===": [None, {"var": "none"}]}, True),
    ({"===": [{"var": "nan"}, {"var": "nan"}]}, False),
    ({"!==": [1, 2]}, True),
    ({"!=": [{"var": "nan"}, {"var": "nan"}]}, True),
    ({"<": [{"var": "gone"}, 1]}, True),
    ({">=": [{"var": "gone"}, 0]}, True),
    ({"<": ["abc", 1]}, False),
    ({"<": ["10", "9"]}, True),
    ({"<": ["10", 9]}, False),
    ({"<": [1, 5, 10]}, True),
    ({">": [3, 2, 2]}, False),
    ({"!": [{}]}, False),
    ({"!!": [{}]}, True),
    ({"!!": [{"var": "nan"}]}, False),
    ({"!!": "0"}, True),
    ({"in": [1, [True]]}, False),
    ({"in": [1, "213"]}, True),
    ({"in": ["a", 5]}, False),
    ({"in": [1, [1.0]]}, True),
    ({"in": [True, ["true", "a"]]}, False),
    ({"in": ["b", ["a", "b"]]}, True),
    ({"in": ["c", ["a", "b"]]}, False),
    ({"cat": ["a", None, True, 1.0, 0.5, [1, [2, None]], {"var": "empty"}]}, "atrue10.51,2,[object Object]"),
    ({"cat": [1e21, " ", 1e-7, " ", 0.000001]}, "1e+21 1e-7 0.000001"),
    ({"cat": [123456789012345680000.0]}, "123456789012345680000"),
    ({"+": ["3 apples", 1]}, 4),
    ({"+": ["1.5", "1.5"]}, 3),
    ({"+": []}, 0),
    ({"-": ["5"]}, -5),
    ({"-": [True, None]}, 1),
    ({"*": ["2", 2.5]}, 5),
    ({"/": [7, 2]}, 3.5),
    ({"/": [1, 0]}, math.inf),
    ({"/": [-1, 0]}, -math.inf),
    ({"%": [-7, 3]}, -1),
    ({"%": [5.5, 2]}, 1.5),
    ({"max": ["7", 3, None]}, 7),
    ({"min": [True, 3]}, 1),
    ({"min": []}, None),
    ({"*": [{"var": "big"}, {"var": "big"}]}, float(2**120)),
    ({"substr": ["jsonlogic", "4"]}, "logic"),
    ({"substr": [12345, 1, 2]}, "23"),
    ({"substr": ["abc", -9, 2]}, "ab"),
    ({"merge": [1, [2, [3]], None]}, [1, 2, [3], None]),
    ({"var": "items.1.name"}, "b"),
    ({"var": "items.length"}, 2),
    ({"var": "word.1"}, "é"),
    ({"var": "items.-1"}, None),
    ({"var": "items.01"}, None),
    ({"var": ["items.9", "none"]}, "none"),
    ({"var": ["none", "default"]}, None),
    ({"var": {"cat": ["wo", "rd"]}}, "héllo"),
    ({"var": "word.__class__"}, None),
    ({"var": "items.append"}, None),
    ({"val": ["items", 0, "name"]}, "a"),
    ({"val": "a.b"}, None),
    ({"missing": ["items.5", "word", "none"]}, ["items.5", "none"]),
    ({"missing_some": [2, ["word", "x", "y"]]}, ["x", "y"]),
    ({"<": [{"var": "decimal"}, 11]}, True),
    ({"==": [{"var": "decimal"}, "10.5"]}, True),
    ({"<": [{"var": "date"}, "2025-03-02"]}, True),
    ({"==": [{"var": "uuid"}, str(UUID(int=5))]}, True),
    ({"all": [[], True]}, False),
    ({"none": [{"var": "gone"}, True]}, True),
    ({"some": ["abc", True]}, False),
    ({"map": [{"var": "gone"}, 1]}, []),
    ({"reduce": [{"var": "gone"}, 1]}, None),
    ([{"var": "word"}, 1], ["héllo", 1]),
    ({"log": {"var": "word"}}, "héllo"),
]


@pytest.mark.parametrize(("rule", "expected"), JAVASCRIPT, ids=[json.dumps(rule) for rule, _ in JAVASCRIPT])
def test_operation_equals_javascript(rule: Any, expected: Any) -> None:
    value = apply(rule, VALUES)
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    "rule", [{"+": [None, 1]}, {"/": [0, 0]}, {"%": [1, 0]}, {"max": [1, "x"]}, {"-": ["x"]}]
)
def test_arithmetic_without_a_number_is_nan_and_false(rule: Any) -> None:
    assert math.isnan(apply(rule))
    assert compile_rule(rule).evaluate({}) is False


@pytest.mark.parametrize(
    ("name", "args"),
    [("+", [1, 2]), ("-", [5, 3]), ("*", [2, 3]), ("/", [4, 2]), ("min", [2, 1]), ("max", [2, 1]),
     ("merge", [[1], [2]]), ("substr", ["abc", 1])],
)  # fmt: skip
def test_operation_takes_its_semantics_from_the_library(
    name: str, args: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = library[name](*args)
    used: list[str] = []
    original = library[name]
    monkeypatch.setitem(library, name, lambda *given: (used.append(name), original(*given))[1])
    assert (apply({name: args}), used) == (expected, [name])


def test_log_writes_no_payload_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        apply({"log": {"var": "card"}}, {"card": "4242"})
    assert caplog.text == ""


@pytest.mark.parametrize(
    "context", [{}, {"a": {}}, {"a": None}, {"a": 1}, None, [], "text", 5, {"a": {"b": None}}]
)
def test_var_of_an_absent_path_is_null(context: Any) -> None:
    assert apply({"var": "a.b"}, context) is None


def test_var_compared_with_a_literal_converts_like_any_comparison() -> None:
    rule = compile_rule({"==": [{"var": "n"}, 1]})
    deep = compile_rule({"==": [{"var": "a.n"}, 1]})
    values = [1, 1.0, "1", True, [1], "x", None, {}]
    expected = [True, True, True, True, True, False, False, False]
    assert [rule.evaluate({"n": value}) for value in values] == expected
    assert [deep.evaluate({"a": {"n": value}}) for value in values] == expected


def test_result_of_a_literal_list_is_a_copy() -> None:
    rule = compile_rule({"if": [{"var": "x"}, ["a"], []]})
    rule.apply({"x": 1}).append("b")
    assert rule.apply({"x": 1}) == ["a"]


def test_rule_is_compiled_from_a_copy() -> None:
    spec: dict[str, Any] = {"in": [{"var": "x"}, ["a"]]}
    rule = compile_rule(spec)
    spec["in"][1].append("b")
    assert rule.evaluate({"x": "b"}) is False
    rule.spec["in"][1].append("b")
    assert rule.spec == {"in": [{"var": "x"}, ["a"]]}
