"""Pages of lists: `page`, `page_size`, relative links, and what bounds the cost of a page of a huge table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.signing import b64_decode, b64_encode
from django.db.models import Field, Q, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from automate_api import filters
from automate_api.conf import setting

_LONGEST_CURSOR = 2_000
_SKIPPED_WHOLE = 500
"""Rows read only to be skipped; of more than these, nothing but the key is read."""


@dataclass(frozen=True, slots=True)
class _Order:
    """The columns a queryset is ordered by, all ascending or all descending."""

    fields: tuple[str, ...]
    is_descending: bool


class StandardPagination(PageNumberPagination):
    """`{count, next, previous, results}`: 25 rows by default, 100 at most, links without a host.

    Rows beyond `AUTOMATE_API["COUNT_LIMIT"]` are not counted and have no page numbers: `count` stops there, and
    `next` goes on with a `cursor`, which costs the same however deep it is.
    """

    page_size_query_param = "page_size"
    cursor_query_param = "cursor"
    request: Request
    count: int
    _next: str | None
    _previous: str | None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Return the rows of the page asked for.

        Raises:
            ValidationError: `page`, `page_size` or `cursor` is not one.
            NotFound: there is no such page.
        """
        self.request = request
        filters.read(request.query_params, {})
        size = self.get_page_size(request)
        if request.query_params.get(self.cursor_query_param):
            return self._after_cursor(queryset, size)
        number = filters.positive(request.query_params, self.page_query_param) or 1
        return self._numbered(queryset, number, size)

    def get_page_size(self, request: Request) -> int:
        """Return the rows per page: what was asked, capped, or the default."""
        asked = filters.positive(request.query_params, self.page_size_query_param)
        return min(asked or int(setting("PAGE_SIZE")), int(setting("MAX_PAGE_SIZE")))

    def get_next_link(self) -> str | None:
        """Return the path and query of the next page."""
        return self._next

    def get_previous_link(self) -> str | None:
        """Return the path and query of the previous page."""
        return self._previous

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page around its rows."""
        return Response(
            {
                "count": self.count,
                "next": self.get_next_link(),
                "previous": self.get_previous_link(),
                "results": data,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return what the OpenAPI document says about a page."""
        link = {"type": "string", "nullable": True, "format": "uri-reference"}
        return {
            "type": "object",
            "required": ["count", "next", "previous", "results"],
            "properties": {
                "count": {"type": "integer", "example": 42},
                "next": {**link, "example": "/api/automate/workflows/?page=3"},
                "previous": {**link, "example": "/api/automate/workflows/"},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return what the OpenAPI document says about the query parameters."""
        cursor = {
            "name": self.cursor_query_param,
            "required": False,
            "in": "query",
            "description": "Where a `next` link beyond the counted rows goes on; never made by clients.",
            "schema": {"type": "string"},
        }
        return [*super().get_schema_operation_parameters(view), cursor]

    def _numbered(self, queryset: Any, number: int, size: int) -> list[Any]:
        limit, first = _count_limit(), (number - 1) * size
        if first >= limit:
            raise NotFound(
                f"Only the first {limit} rows have page numbers; follow `next`, or narrow the list"
            )
        rows = _slice(queryset, first, size + 1)
        if not rows and number > 1:
            raise NotFound(f"There is no page {number}")
        # The last page tells the count by itself.
        known = first + len(rows)
        self.count = min(known, limit) if len(rows) <= size else bounded_count(queryset, limit)
        self._next = self._link_after(queryset, rows[:size], number, size) if len(rows) > size else None
        self._previous = self._numbered_link(number - 1) if number > 1 else None
        return rows[:size]

    def _after_cursor(self, queryset: Any, size: int) -> list[Any]:
        order = _order_of(queryset)
        if order is None:
            raise ValidationError({self.cursor_query_param: "This list has no cursors; use page"})
        values = _values(queryset.model, order.fields, self.request.query_params[self.cursor_query_param])
        rows = list(queryset.filter(_beyond(order, values))[: size + 1])
        self.count = bounded_count(queryset, _count_limit())
        self._previous = None
        self._next = self._cursor_link(rows[size - 1], order) if len(rows) > size else None
        return rows[:size]

    def _link_after(self, queryset: Any, rows: Sequence[Any], number: int, size: int) -> str | None:
        if number * size < _count_limit():
            return self._numbered_link(number + 1)
        order = _order_of(queryset)
        return None if order is None else self._cursor_link(rows[-1], order)

    def _numbered_link(self, number: int) -> str:
        path = self.request.get_full_path()
        if number == 1:
            return remove_query_param(path, self.page_query_param)
        return replace_query_param(path, self.page_query_param, number)

    def _cursor_link(self, row: Any, order: _Order) -> str:
        path = remove_query_param(self.request.get_full_path(), self.page_query_param)
        return replace_query_param(path, self.cursor_query_param, cursor_of(row, order.fields))


def bounded_count(queryset: QuerySet[Any] | Sequence[Any], limit: int) -> int:
    """Return how many rows there are, at most `limit`; no more than `limit` rows are read for it."""
    if isinstance(queryset, QuerySet):
        return queryset.order_by()[:limit].count()
    return min(len(queryset), limit)


def _slice(queryset: Any, first: int, number: int) -> list[Any]:
    """Return `number` rows after the `first` ones; what is skipped is read from an index, where there is one."""
    if first <= _SKIPPED_WHOLE or not isinstance(queryset, QuerySet):
        return list(queryset[first : first + number])
    keys = queryset.prefetch_related(None).values("pk")[first : first + number]
    return list(queryset.filter(pk__in=keys))


def cursor_of(row: Any, fields: Sequence[str]) -> str:
    """Return the cursor that continues after `row` in a list ordered by `fields`."""
    return b64_encode(orjson.dumps([str(getattr(row, name)) for name in fields])).decode()


def _order_of(queryset: Any) -> _Order | None:
    """Return the order of a queryset when rows after a given one can be asked for: columns of its own, one way."""
    given = queryset.query.order_by if isinstance(queryset, QuerySet) else ()
    names = [name for name in given if isinstance(name, str)]
    if not names or len(names) < len(given):
        return None
    descends = {name.startswith("-") for name in names}
    fields = tuple(name.removeprefix("-") for name in names)
    if len(descends) > 1 or not all(_is_cursor_field(queryset.model, name) for name in fields):
        return None
    return _Order(fields, descends.pop())


def _is_cursor_field(model: Any, name: str) -> bool:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return isinstance(field, Field) and not field.null and not field.is_relation


def _values(model: Any, fields: Sequence[str], cursor: str) -> list[Any]:
    wrong = ValidationError({"cursor": "Give the cursor of a `next` link of this list"})
    if len(cursor) > _LONGEST_CURSOR:
        raise wrong
    try:
        texts = orjson.loads(b64_decode(cursor.encode()))
    except ValueError as error:
        raise wrong from error
    if not isinstance(texts, list) or len(texts) != len(fields):
        raise wrong
    try:
        return [_value(model, name, text) for name, text in zip(fields, texts, strict=True)]
    except (DjangoValidationError, ValueError, OverflowError) as error:
        raise wrong from error


def _value(model: Any, name: str, text: Any) -> Any:
    if not isinstance(text, str) or "\x00" in text:
        raise ValueError(name)
    return model._meta.get_field(name).to_python(text)


def _beyond(order: _Order, values: Sequence[Any]) -> Q:
    """Return what is true of the rows after the one with `values`; its first part alone bounds the index."""
    step = "lt" if order.is_descending else "gt"
    found = Q(**{f"{order.fields[-1]}__{step}": values[-1]})
    for name, value in reversed(list(zip(order.fields[:-1], values[:-1], strict=True))):
        found = Q(**{f"{name}__{step}e": value}) & (Q(**{f"{name}__{step}": value}) | found)
    return found


def _count_limit() -> int:
    return int(setting("COUNT_LIMIT"))
