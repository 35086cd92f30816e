"""Templates look values up in plain data, and do nothing else."""

import contextlib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automate_core.errors import ErrorCodes
from automate_core.templating import (
    FilterError,
    TemplateError,
    TemplateSyntaxError,
    UndefinedPath,
    compile_template,
)

HOSTILE = Path(__file__).parents[1] / "data" / "templates_literal_or_error.txt"
SCOPE: dict[str, Any] = {
    "event": {
        "payload": {
            "text": "tea & ünï",
            "n": 7,
            "half": 2.5,
            "yes": True,
            "null": None,
            "items": [{"name": "a"}, {"name": "b"}],
            "empty": [],
            "X-Header": "h",
            "with space": "s",
            "__class__": "just a key",
            "0": "zero",
        }
    },
    "steps": {"fetch-user": {"output": {"id": 5}}},
}


def render(template: Any, scope: Any = SCOPE) -> Any:
    return compile_template(template).render(scope)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{{ event.payload.text }}", "tea & ünï"),
        ("{{event.payload.n}}", 7),
        ("{{ event.payload.yes }}", True),
        ("{{ event.payload.null }}", None),
        ("{{ event.payload.items }}", [{"name": "a"}, {"name": "b"}]),
        ("{{ event.payload.items.1.name }}", "b"),
        ("{{ event.payload.items[0].name }}", "a"),
        ("{{ event.payload.items[-1].name }}", "b"),
        ("{{ event.payload.0 }}", "zero"),
        ("{{ event.payload.X-Header }}", "h"),
        ("{{ event['payload'][\"with space\"] }}", "s"),
        ("{{ event.payload.__class__ }}", "just a key"),
        ("{{ steps.fetch-user.output.id }}", 5),
        (" {{ event.payload.n }}", " 7"),
        ("{{ event.payload.n }}{{ event.payload.n }}", "77"),
        ("[{{ event.payload.null }}]", "[]"),
        ("{{ event.payload.yes }}!", "true!"),
        ("{{ event.payload.half }}!", "2.5!"),
        ("{{ event.payload.items }}!", '[{"name":"a"},{"name":"b"}]!'),
        ("a {% b %} }} c", "a {% b %} }} c"),
        (r"\{{ event }}", "{{ event }}"),
        (r"\\{{ event.payload.n }}", "\\7"),
        (r"C:\dir", r"C:\dir"),
        ("{{ event.payload.gone | default('}}') }}", "}}"),
    ],
)
def test_text_renders(template: str, expected: Any) -> None:
    value = render(template)
    assert (type(value), value) == (type(expected), expected)


def test_any_json_value_renders() -> None:
    template = {"a": ["{{ event.payload.n }}", 1, {"{{ b }}": None}], "c": {"d": "x{{ event.payload.n }}"}}
    assert render(template) == {"a": [7, 1, {"{{ b }}": None}], "c": {"d": "x7"}}
    assert list(render({"b": "{{ event.payload.n }}", "a": 1})) == ["b", "a"]


def test_paths_are_listed_once_and_in_order() -> None:
    template = compile_template(["{{ a.b.0 | upper }} {{ c }}", {"k": "{{ a.b[0] }}{{ d['e f'] }}"}])
    assert template.paths == (("a", "b", "0"), ("c",), ("d", "e f"))
    assert template.is_constant is False
    assert compile_template({"k": ["text", 1]}).is_constant is True


def test_mapping_scope_is_read_by_key() -> None:
    assert render("{{ a.b }}", MappingProxyType({"a": MappingProxyType({"b": 1})})) == 1


@pytest.mark.parametrize(
    ("path", "found", "reason"),
    [
        ("evnt.id", (), "the scope has event, steps"),
        (
            "event.payload.user.name",
            ("event", "payload"),
            "there is no 'user' because 'event.payload' has text, n",
        ),
        ("event.payload.items.2.name", ("event", "payload", "items"), "is a list of 2 item(s)"),
        ("event.payload.null.x", ("event", "payload", "null"), "is null"),
        ("event.payload.text.length", ("event", "payload", "text"), "is a str and has no keys"),
    ],
)
def test_undefined_path_names_what_exists(path: str, found: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UndefinedPath) as caught:
        render({"body": {"to": [f"{{{{ {path} }}}}"]}})
    error = caught.value
    assert (error.path, error.found, error.field) == (tuple(path.split(".")), found, "body.to[0]")
    assert error.code == ErrorCodes.TEMPLATE_ERROR
    assert reason in error.message
    assert f"{{{{ {path} | default('...') }}}}" in error.message
    assert [problem.field for problem in error.details] == ["body.to[0]"]


@pytest.mark.parametrize(
    ("template", "field", "position", "message"),
    [
        ({"to": "Hi {{ name | uper }}"}, "to", 13, "did you mean upper"),
        (["ok", "{{ a.b"], "[1]", 6, "expected '|' and a filter, or '}}'"),
        ("{{ 7*7 }}", "", 2, "expected a path"),
        ("{{ a() }}", "", 4, "only paths and filters"),
        ("{{ a | replace('x') }}", "", 7, "takes 2 argument(s), not 1"),
        ("{{ a | upper(1) }}", "", 7, "takes 0 argument(s), not 1"),
        ("{{ a | join(5) }}", "", 7, "needs a text as argument 1, not 5"),
        ("{{ a | default(b) }}", "", 15, "literals only"),
        ("{{ a | round(16) }}", "", 7, "needs 0 to 15 digits"),
        ("{{ a | date('%E') }}", "", 7, "takes 'iso', 'unix' or a form"),
        ("{{ a | date('iso', 'Mars') }}", "", 7, "does not know the time zone 'Mars'"),
        ({"a": {1: 2}}, "a", 0, "the key 1 is not a string"),
        ({"a": [object()]}, "a[0]", 0, "is not a JSON value"),
    ],
)
def test_syntax_error_says_where(template: Any, field: str, position: int, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        compile_template(template)
    assert (caught.value.field, caught.value.position) == (field, position)
    assert message in caught.value.message


def test_nesting_is_limited() -> None:
    def nest(depth: int) -> Any:
        return [nest(depth - 1)] if depth else "{{ event.payload.n }}"

    render(nest(64))
    with pytest.raises(TemplateSyntaxError, match="64 levels"):
        compile_template(nest(65))


def test_output_text_is_limited() -> None:
    scope = {"a": "x" * 600_000}
    assert len(render("{{ a }}{{ b | default('') }}", scope)) == 600_000
    for template in (
        "{{ a }}{{ a }}",
        "{{ a | replace('x', 'yy') }}",
        "{{ a | json | b64encode | b64encode }}",
    ):
        with pytest.raises(TemplateError, match="longer than 1048576 characters"):
            render(template, scope)


def test_replacing_is_limited_before_the_memory_is_taken() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        render(f"{{{{ a | replace('x', '{'y' * 10_000_000}') }}}}", {"a": "x" * 1_000_000})


def test_filters_in_a_row_cannot_grow_without_end() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        render("{{ a" + " | json" * 60 + " }}", {"a": "\\"})


@pytest.mark.parametrize(
    "value", [{"a": [1, {"b": 2}]}, ["x", [1]], {"a": "{{ event.payload.n }}", "b": [{}]}]
)
def test_results_do_not_share_the_template(value: Any) -> None:
    def spoil(here: Any) -> None:
        inner = list(here.values() if isinstance(here, dict) else here)
        for item in inner:
            if isinstance(item, (dict, list)):
                spoil(item)
        here.clear()

    template = compile_template(value)
    expected = deepcopy(template.render(SCOPE))
    spoil(template.render(SCOPE))
    assert template.render(SCOPE) == expected


def test_template_is_compiled_from_a_copy() -> None:
    value: dict[str, Any] = {"a": [1]}
    template = compile_template(value)
    value["a"].append(2)
    assert template.render({}) == {"a": [1]}


def hostile_cases() -> list[str]:
    return HOSTILE.read_text().splitlines()


@pytest.mark.parametrize("text", hostile_cases())
def test_hostile_template_is_literal_or_an_error(text: str) -> None:
    payload = {"text": "tea", "n": 7, "items": [1]}
    try:
        rendered = render(text, {"event": {"payload": payload}})
    except TemplateError:
        rendered = text
    assert rendered == (text[1:] if text.startswith(r"\{{") else text)
    assert payload == {"text": "tea", "n": 7, "items": [1]}


class Trap:
    """Not plain data: reading anything from it is a breach."""

    def __init__(self) -> None:
        self.touched: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name != "__class__" and not name.startswith("touched"):
            object.__getattribute__(self, "touched").append(name)
        return object.__getattribute__(self, name)

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("an item was read from an object")

    def __call__(self) -> Any:
        raise AssertionError("an object was called")

    def __str__(self) -> str:
        raise AssertionError("an object was turned into text")


NAMES = st.sampled_from(["trap", "a", "__class__", "__dict__", "items", "keys", "0", "touched", "__init__"])


@given(
    st.lists(NAMES, min_size=1, max_size=4),
    st.sampled_from(["", " | json", " | upper", " | length", " | join"]),
)
def test_rendering_never_does_more_than_lookups(path: list[str], filtering: str) -> None:
    trap = Trap()
    scope = {"trap": trap, "a": {"trap": trap, "items": [trap]}, "__class__": {"trap": trap}}
    for text in (f"{{{{ {'.'.join(path)}{filtering} }}}}", f"x {{{{ {'.'.join(path)}{filtering} }}}}"):
        with contextlib.suppress(TemplateError):
            render(text, scope)
    assert trap.touched == []


PLAIN = st.text().filter(lambda text: "{{" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_value_without_expressions_renders_to_itself(value: Any) -> None:
    template = compile_template(value)
    assert template.is_constant is True
    assert template.render({}) == value


@given(st.text(), st.text())
def test_rendered_values_are_never_rendered_again(left: str, right: str) -> None:
    scope = {"left": left + "{{ secret }}", "right": right, "secret": "no", "brace": "{"}
    assert render("{{ left }}", scope) == left + "{{ secret }}"
    assert render("{{ left }}{{ right }}", scope) == left + "{{ secret }}" + right
    assert render("{{ brace }}{{ brace }} secret }}", scope) == "{{ secret }}"


@given(st.text(alphabet="{}|%.()[]'\"\\ ab0,-", max_size=40))
def test_any_text_renders_or_raises_a_template_error(text: str) -> None:
    with contextlib.suppress(TemplateError):
        render("{{" + text, {"a": {"b": [1]}, "b": "x"})


@dataclass
class Record:
    """An object with attributes, which are not data."""

    password: str = "s3cret"


ODD = {
    "huge": 10**5_000,
    "object": object(),
    "set": {1},
    "key": {(1,): 2},
    "surrogate": "\ud800",
    "bytes": b"x",
    "dataclass": Record(),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "template", ["x{{ a }}", *(f"{{{{ a | {name} }}}}" for name in ("json", "int", "urlencode"))]
)
def test_odd_scope_values_are_template_errors_at_worst(kind: str, template: str) -> None:
    with contextlib.suppress(TemplateError):
        render(template, {"a": ODD[kind]})


@pytest.mark.parametrize("kind", ["huge", "object", "set", "key", "bytes", "dataclass"])
def test_values_json_cannot_hold_do_not_become_text(kind: str) -> None:
    with pytest.raises(TemplateError):
        render("x{{ a }}", {"a": ODD[kind]})


def test_filter_error_says_where_without_the_value() -> None:
    with pytest.raises(FilterError) as caught:
        render({"n": "{{ token | int }}"}, {"token": "s3cret"})
    assert caught.value.message == "int cannot make a number of a str; give a fallback: int(0) (in n)"
    assert [problem.field for problem in caught.value.details] == ["n"]
