r"""The syntax: finds `{{ path | filter(literal) }}` in text and reads it; everything else is text.

    expression = "{{" path { "|" filter } "}}"
    path       = name { "." key | "[" index "]" | "[" string "]" }
    filter     = name [ "(" literal { "," literal } ")" ]
    literal    = string | number | true | false | null

`\{{` is the text `{{`; before it, `\\` is one backslash.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from automate_core.errors import Problem
from automate_core.templating.filters import FILTERS
from automate_core.templating.lookups import Path
from automate_core.templating.text import TemplateError

_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_OPENING = re.compile(r"(\\*)\{\{")
_CLOSING = re.compile(r"\s*\}\}")
_ROOT = re.compile(r"\s*([^\W\d][\w-]*)")
_KEY = re.compile(rf"\.([\w-]+)|\[\s*(-?[0-9]+)\s*\]|\[\s*({_STRING})\s*\]", re.DOTALL)
_FILTER = re.compile(r"\s*\|\s*([^\W\d]\w*)")
_ARGUMENTS = re.compile(r"\s*\(\s*")
_LITERAL = re.compile(
    rf"({_STRING})|(-?[0-9]+(?:\.[0-9]+)?)(?!\w)|(true|false|null|none)\b", re.DOTALL | re.I
)
_COMMA = re.compile(r"\s*,\s*")
_ARGUMENTS_END = re.compile(r"\s*\)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_LONGEST_NUMERAL = 30


class TemplateSyntaxError(TemplateError):
    """The template is not written correctly.

    `field` is the path inside the template value, `position` the character it went wrong at, from 0.
    """

    def __init__(self, message: str, *, field: str = "", position: int = 0) -> None:
        where = f" in {field}" if field else ""
        super().__init__(
            f"Template error{where} at character {position}: {message}", details=[Problem(field, message)]
        )
        self.field = field
        self.position = position


@dataclass(frozen=True, slots=True)
class FilterCall:
    """A filter with its literal arguments."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A path and the filters its value goes through."""

    path: Path
    filters: tuple[FilterCall, ...]


def parse_text(text: str, field: str = "") -> list[str | Expression]:
    """Return the pieces of a text template in order; raises TemplateSyntaxError."""
    pieces: list[str | Expression] = []
    literal: list[str] = []
    position = 0
    while match := _OPENING.search(text, position):
        backslashes = len(match[1])
        literal.append(text[position : match.start()] + "\\" * (backslashes // 2))
        position = match.end()
        if backslashes % 2:
            literal.append("{{")
            continue
        if written := "".join(literal):
            pieces.append(written)
        literal = []
        parser = _Parser(text, position, field)
        pieces.append(parser.expression())
        position = parser.position
    if written := "".join([*literal, text[position:]]):
        pieces.append(written)
    return pieces


class _Parser:
    """Reads one expression, from behind `{{` to behind `}}`."""

    def __init__(self, text: str, position: int, field: str) -> None:
        self.text = text
        self.position = position
        self.field = field

    def expression(self) -> Expression:
        root = self._take(_ROOT)
        if not root:
            self._fail("expected a path such as event.payload.id after '{{'; write \\{{ for the text itself")
        path = [root[1]]
        while key := self._take(_KEY):
            path.append(_unquoted(key[3]) if key[3] else key[1] or key[2])
        filters = []
        while name := self._take(_FILTER):
            filters.append(self._filter(name[1], name.start(1)))
        if not self._take(_CLOSING):
            self._fail("expected '|' and a filter, or '}}'; there are only paths and filters here")
        return Expression(tuple(path), tuple(filters))

    def _filter(self, name: str, start: int) -> FilterCall:
        known = FILTERS.get(name)
        if not known:
            near = difflib.get_close_matches(name[:40], FILTERS, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(FILTERS))}"
            self._fail(f"unknown filter {name!r:.60}; {hint}", start)
        call = FilterCall(name, self._arguments())
        if problem := known.problem(call.arguments):
            self._fail(f"{name} {problem}", start)
        return call

    def _arguments(self) -> tuple[Any, ...]:
        if not self._take(_ARGUMENTS):
            return ()
        arguments: list[Any] = []
        while not self._take(_ARGUMENTS_END):
            if arguments and not self._take(_COMMA):
                self._fail("expected ',' or ')'")
            literal = self._take(_LITERAL)
            if not literal:
                self._fail("filters take literals only: 'text', 1.5, true, false or null")
            arguments.append(self._value(literal))
        return tuple(arguments)

    def _value(self, literal: re.Match[str]) -> Any:
        if literal[1]:
            return _unquoted(literal[1])
        if literal[3]:
            return _WORDS[literal[3].lower()]
        if len(literal[2]) > _LONGEST_NUMERAL:
            self._fail("the number is too long", literal.start())
        return float(literal[2]) if "." in literal[2] else int(literal[2])

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()
        return match

    def _fail(self, message: str, position: int | None = None) -> NoReturn:
        at = self.position if position is None else position
        raise TemplateSyntaxError(message, field=self.field, position=at)


def _unquoted(string: str) -> str:
    return _ESCAPE.sub(_escaped, string[1:-1])


def _escaped(match: re.Match[str]) -> str:
    if len(match[1]) == 5:
        return chr(int(match[1][1:], 16))
    return _ESCAPED.get(match[1], match[0])
