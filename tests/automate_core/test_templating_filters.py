"""What every filter does."""

import datetime
from typing import Any

import pytest

from automate_core.templating import FilterError, compile_template
from automate_core.templating.filters import FILTERS

CASES: list[tuple[str, Any, Any]] = [
    ("default('none')", None, "none"),
    ("default('none')", "", ""),
    ("default('none', true)", "", "none"),
    ("default(1.5)", None, 1.5),
    ("default(-3)", None, -3),
    ("default(false)", None, False),
    ("default(null)", None, None),
    ("default('it\\'s \\u00e9\\n')", None, "it's é\n"),
    ("upper", "abc", "ABC"),
    ("upper", None, ""),
    ("lower", "ABC", "abc"),
    ("title", "ada lovelace", "Ada Lovelace"),
    ("capitalize", "aDA", "Ada"),
    ("trim", "  a ", "a"),
    ("string", 5, "5"),
    ("string", [True, None], "[true,null]"),
    ("string", datetime.date(2025, 3, 1), "2025-03-01"),
    ("json", {"b": 1, "a": ["é"]}, '{"b":1,"a":["é"]}'),
    ("json", "a", '"a"'),
    ("int", "12", 12),
    ("int", " 12.9 ", 12),
    ("int", -1.9, -1),
    ("int", True, 1),
    ("int(0)", "x", 0),
    ("int", "1e3", 1000),
    ("float", "1.5", 1.5),
    ("float", 2, 2.0),
    ("float(null)", "nan", None),
    ("round", 2.5, 3),
    ("round", -2.5, -3),
    ("round", "1.49", 1),
    ("round(2)", 1.005, 1.01),
    ("round(2)", 3, 3),
    ("round(1)", 1e300, 1e300),
    ("abs", "-2.5", 2.5),
    ("length", "abc", 3),
    ("length", [1, 2], 2),
    ("length", {"a": 1}, 1),
    ("first", [1, 2], 1),
    ("first", [], None),
    ("first", "ab", "a"),
    ("last", [1, 2], 2),
    ("last", "", None),
    ("reverse", [1, 2], [2, 1]),
    ("reverse", "ab", "ba"),
    ("join(', ')", ["a", 1, None, True], "a, 1, , true"),
    ("join", ["a", "b"], "ab"),
    ("split", "a,b", ["a", "b"]),
    ("split(' - ')", "a - b", ["a", "b"]),
    ("slice(1)", [1, 2, 3], [2, 3]),
    ("slice(0, -1)", "abc", "ab"),
    ("truncate(5)", "abcdefgh", "ab..."),
    ("truncate(5)", "abcde", "abcde"),
    ("truncate(2, '')", "abcde", "ab"),
    ("replace('a', 'b')", "banana", "bbnbnb"),
    ("date", "2025-03-01T10:20:30Z", "2025-03-01"),
    ("date", 0, "1970-01-01"),
    ("date('%d.%m.%Y %H:%M', 'Europe/Berlin')", "2025-07-01T22:30:00", "02.07.2025 00:30"),
    ("date('iso')", datetime.date(2025, 3, 1), "2025-03-01T00:00:00+00:00"),
    ("date('unix')", "2025-03-01T01:00:00+01:00", 1740787200),
    ("keys", {"a": 1, "b": 2}, ["a", "b"]),
    ("values", {"a": 1, "b": 2}, [1, 2]),
    ("urlencode", "a b/ü?", "a%20b%2F%C3%BC%3F"),
    ("urlencode", {"q": "a b", "n": [1, 2]}, "q=a%20b&n=1&n=2"),
    ("b64encode", "ü:x", "w7w6eA=="),
    ("b64decode", "w7w6eA==", "ü:x"),
    ("escape", '<a href="x">\'&', "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"),
    ("lower | title | replace('A', 'O')", "ANA", "Ona"),
]


@pytest.mark.parametrize(("filtering", "value", "expected"), CASES)
def test_filter_returns(filtering: str, value: Any, expected: Any) -> None:
    result = compile_template(f"{{{{ v | {filtering} }}}}").render({"v": value})
    assert (type(result), result) == (type(expected), expected)


def test_every_filter_has_a_case() -> None:
    assert {case[0].split("(")[0].split(" ")[0] for case in CASES} == set(FILTERS)


def test_default_rescues_an_undefined_path_from_earlier_filters_too() -> None:
    template = compile_template("{{ a.b | upper | default('none') | title }}")
    assert (template.render({}), template.render({"a": {"b": "x"}})) == ("None", "X")


@pytest.mark.parametrize(
    ("filtering", "value"),
    [
        ("int", "abc"),
        ("int", None),
        ("int", "1_000"),
        ("float", [1]),
        ("float", 10**400),
        ("round", "x"),
        ("abs", {}),
        ("length", 5),
        ("length", None),
        ("first", {}),
        ("join", "abc"),
        ("slice(0)", 5),
        ("keys", []),
        ("values", None),
        ("date", "yesterday"),
        ("date", True),
        ("date", -1),
        ("date", None),
        ("date('iso', 'Pacific/Kiritimati')", "9999-12-31T23:00:00Z"),
        ("b64decode", "%%%"),
        ("b64decode", "/w=="),
    ],
)
def test_filter_refuses(filtering: str, value: Any) -> None:
    with pytest.raises(FilterError) as caught:
        compile_template(f"{{{{ v | {filtering} }}}}").render({"v": value})
    assert caught.value.message.startswith(filtering.split("(")[0])
