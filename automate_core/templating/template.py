"""Compiled templates: any JSON value whose texts may hold expressions, turned into closures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automate_core.errors import Problem
from automate_core.templating.expressions import Expression, FilterCall, TemplateSyntaxError, parse_text
from automate_core.templating.filters import FILTERS
from automate_core.templating.lookups import ABSENT, Path, UndefinedPath, reader
from automate_core.templating.text import TemplateError, as_text, limited

MAX_DEPTH = 64
"""Deepest nesting of lists and objects in a template."""

Render = Callable[[Any], Any]


class Template:
    """A compiled template. Immutable: share it between threads and keep it."""

    __slots__ = ("_render", "is_constant", "paths")

    is_constant: bool
    """Whether it has no expressions, so that it renders to the same whatever the scope."""
    paths: tuple[Path, ...]
    """The paths it reads, each once, in order, as keys: `("event", "payload", "id")`."""

    def __init__(self, value: Any) -> None:
        compiler = _Compiler()
        compiled = compiler.compile(value, "", 1)
        self._render: Render = (lambda scope: compiled.value) if isinstance(compiled, _Fixed) else compiled
        self.paths = tuple(compiler.paths)
        self.is_constant = not self.paths

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Return the value with every expression replaced by what it reads from `scope`.

        A text that is exactly one expression becomes the value read, of whatever type; it is the scope's
        own object, not a copy. What was read is never rendered again. Lists and objects of the template
        itself are new in every result.

        Raises:
            UndefinedPath: a path is not in the scope and has no default.
            FilterError: a filter cannot work on the value it got.
            TemplateError: the text gets longer than 1 MB, or holds what JSON cannot.
        """
        return self._render(scope)


def compile_template(value: Any) -> Template:
    """Compile a JSON value (texts, lists, objects, scalars; keys of objects are not templates).

    Raises:
        TemplateSyntaxError: an expression is wrong, or the value is not JSON or nested over 64 levels.
    """
    return Template(value)


def is_fixed(value: Any) -> bool:
    """Tell whether a value holds no expression, so that what is wrong with it now is wrong with it always."""
    try:
        return compile_template(value).is_constant
    except TemplateSyntaxError:
        return False


class _Compiler:
    """One compilation: collects the paths read."""

    def __init__(self) -> None:
        self.paths: dict[Path, None] = {}

    def compile(self, value: Any, field: str, depth: int) -> Render | _Fixed:
        """Return the closure that makes the value, or the value itself when it is an immutable constant."""
        if isinstance(value, str):
            return self._text(value, field)
        if value is None or isinstance(value, (bool, int, float)):
            return _Fixed(value)
        if depth > MAX_DEPTH:
            raise TemplateSyntaxError(f"nested deeper than {MAX_DEPTH} levels", field=field[:200])
        if isinstance(value, Mapping):
            return self._object(value, field, depth)
        if isinstance(value, (list, tuple)):
            return self._list(value, field, depth)
        raise TemplateSyntaxError(f"a {type(value).__name__} is not a JSON value", field=field)

    def _object(self, value: Mapping[Any, Any], field: str, depth: int) -> Render:
        parts: dict[str, Render | _Fixed] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise TemplateSyntaxError(f"the key {key!r:.100} is not a string", field=field)
            parts[key] = self.compile(item, f"{field}.{key}" if field else key, depth + 1)
        # A copy keeps the order of the keys and the constants; only the rest is filled in.
        fixed = {key: part.value if isinstance(part, _Fixed) else None for key, part in parts.items()}
        filled = tuple((key, part) for key, part in parts.items() if not isinstance(part, _Fixed))

        def render(scope: Any) -> dict[str, Any]:
            result = fixed.copy()
            for key, render_item in filled:
                result[key] = render_item(scope)
            return result

        return render

    def _list(self, value: list[Any] | tuple[Any, ...], field: str, depth: int) -> Render:
        parts = [self.compile(item, f"{field}[{index}]", depth + 1) for index, item in enumerate(value)]
        return _filling(parts)

    def _text(self, value: str, field: str) -> Render | _Fixed:
        pieces = parse_text(value, field)
        if all(isinstance(piece, str) for piece in pieces):
            return _Fixed("".join(map(str, pieces)))
        parts = [
            self._expression(piece, field) if isinstance(piece, Expression) else _Fixed(piece)
            for piece in pieces
        ]
        if len(parts) == 1:
            (only,) = parts
            return only
        fill = _filling(parts)

        def render(scope: Any) -> str:
            return limited("".join([as_text(piece) for piece in fill(scope)]))

        return _naming(render, field)

    def _expression(self, expression: Expression, field: str) -> Render:
        path = expression.path
        self.paths[path] = None
        read = reader(path)
        calls = tuple(map(_call, expression.filters))
        if not calls:

            def render(scope: Any) -> Any:
                value = read(scope)
                if value is ABSENT:
                    raise UndefinedPath(path, scope, field)
                return value

            return render
        names = [call.name for call in expression.filters]
        rescue = names.index("default") if "default" in names else None

        def render_filtered(scope: Any) -> Any:
            value = read(scope)
            remaining = calls
            if value is ABSENT:
                if rescue is None:
                    raise UndefinedPath(path, scope, field)
                value, remaining = None, calls[rescue:]
            for call in remaining:
                value = call(value)
                # After each, for some double a text: twenty of them in a row would fill the memory.
                if isinstance(value, str):
                    limited(value)
            return value

        return _naming(render_filtered, field)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A constant no one can change: a text, number, boolean or null."""

    value: Any


def _filling(parts: Sequence[Render | _Fixed]) -> Callable[[Any], list[Any]]:
    """Return a closure that makes the list of the parts."""
    fixed = [part.value if isinstance(part, _Fixed) else None for part in parts]
    filled = tuple((index, part) for index, part in enumerate(parts) if not isinstance(part, _Fixed))

    def fill(scope: Any) -> list[Any]:
        result = fixed.copy()
        for index, render_item in filled:
            result[index] = render_item(scope)
        return result

    return fill


def _call(filtering: FilterCall) -> Render:
    function, arguments = FILTERS[filtering.name].call, filtering.arguments
    return lambda value: function(value, *arguments)


def _naming(render: Render, field: str) -> Render:
    """Add to errors of filters and of text where in the template they happened."""

    def render_named(scope: Any) -> Any:
        try:
            return render(scope)
        except UndefinedPath:
            raise
        except TemplateError as error:
            if not field or error.details:
                raise
            message = f"{error.message} (in {field})"
            raise type(error)(message, details=[Problem(field, error.message)]) from error

    return render_named
